"""Extenders: HTTP services that are asked beside the plugins (the field `extenders`)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sampan.apimachinery import names
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.scheduler.configuration.fields import Fields

DEFAULT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ExtenderTLS:
    """How to trust the extender and prove who we are; data wins over files."""

    insecure: bool = False
    server_name: str = ""
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    cert_data: bytes = b""
    key_data: bytes = b""
    ca_data: bytes = b""


@dataclass(frozen=True, slots=True)
class ManagedResource:
    """A resource that the extender takes care of; NodeResourcesFit may leave it alone."""

    name: str
    ignored_by_scheduler: bool = False


@dataclass(frozen=True, slots=True)
class ExtenderConfig:
    """A verb that is empty is not supported by the extender. Verbs are appended to `url_prefix`.

    `ignorable`: when the extender fails, the attempt goes on without it. `node_cache_capable`: it knows the nodes, so
    only their names are sent. With managed resources only pods that request one of them concern it.
    """

    url_prefix: str
    filter_verb: str = ""
    preempt_verb: str = ""
    prioritize_verb: str = ""
    bind_verb: str = ""
    weight: int = 0
    enable_https: bool = False
    tls: ExtenderTLS | None = None
    http_timeout_s: float = DEFAULT_TIMEOUT_S
    node_cache_capable: bool = False
    managed_resources: tuple[ManagedResource, ...] = ()
    ignorable: bool = False


def read_extenders(items: list[Fields], path: Path) -> tuple[ExtenderConfig, ...]:
    found = tuple(map(_read, items))
    if items:
        items[0].errors += _validate(found, path)
    return found


def _read(fields: Fields) -> ExtenderConfig:
    tls = _read_tls(fields.object("tlsConfig")) if "tlsConfig" in fields else None
    found = ExtenderConfig(
        fields.text("urlPrefix"), fields.text("filterVerb"), fields.text("preemptVerb"), fields.text("prioritizeVerb"),
        fields.text("bindVerb"), fields.integer("weight"), fields.boolean("enableHTTPS"), tls,
        fields.seconds("httpTimeout", DEFAULT_TIMEOUT_S) or DEFAULT_TIMEOUT_S, fields.boolean("nodeCacheCapable"),
        tuple(map(_read_resource, fields.objects("managedResources"))), fields.boolean("ignorable"),
    )
    fields.done()
    return found


def _read_resource(fields: Fields) -> ManagedResource:
    found = ManagedResource(fields.text("name"), fields.boolean("ignoredByScheduler"))
    fields.done()
    return found


def _read_tls(fields: Fields) -> ExtenderTLS:
    def data(name: str) -> bytes:
        text = fields.text(name)
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            fields.errors.append(invalid(fields.path.child(name), text, "must be base64-encoded"))
            return b""

    found = ExtenderTLS(
        fields.boolean("insecure"), fields.text("serverName"), fields.text("certFile"), fields.text("keyFile"),
        fields.text("caFile"), data("certData"), data("keyData"), data("caData"),
    )
    fields.done()
    return found


def _validate(extenders: Sequence[ExtenderConfig], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    managed: set[str] = set()
    for position, extender in enumerate(extenders):
        at = path.index(position)
        if not re.match("https?://.", extender.url_prefix):
            errors.append(
                invalid(at.child("urlPrefix"), extender.url_prefix, "must be an http or https URL")
                if extender.url_prefix else required(at.child("urlPrefix"), "")
            )
        if extender.prioritize_verb and extender.weight <= 0:
            detail = "must have a positive weight applied to it"
            errors.append(invalid(at.child("weight"), extender.weight, detail))
        for number, resource in enumerate(extender.managed_resources):
            name = at.child("managedResources").index(number).child("name")
            errors += [invalid(name, resource.name, problem) for problem in extended_resource_problems(resource.name)]
            if resource.name in managed:
                errors.append(invalid(name, resource.name, "duplicate extender managed resource name"))
            managed.add(resource.name)
    binders = sum(bool(extender.bind_verb) for extender in extenders)
    if binders > 1:
        found = f"found {binders} extenders implementing bind"
        errors.append(invalid(path, found, "only one extender can implement bind"))
    return errors


def extended_resource_problems(name: str) -> list[str]:
    """Why it is not the name of an extended resource: one with a domain that is not Kubernetes' own."""
    problems = names.qualified_name(name)
    if not problems and ("/" not in name or "kubernetes.io/" in name or name.startswith("requests.")):
        problems = [f"{name} is an invalid extended resource name"]
    return problems
