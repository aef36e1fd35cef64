"""A policy's parameters: the objects that a binding's `paramRef` points at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sampan.api.kind import Kind
from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, labels_of
from sampan.apiserver.admission.matching.version import convert
from sampan.apiserver.admission.policies.policy import Binding, Policy
from sampan.apiserver.seams import AdmissionAttributes, ServerParts

Parameters: TypeAlias = Sequence[Object | None]


class Unconfigured(Exception):
    """The binding does not say what it should, or points at nothing; `str` says why."""


async def parameters_of(
    policy: Policy, binding: Binding, attributes: AdmissionAttributes, parts: ServerParts
) -> Parameters:
    """The objects, one evaluation each; `[None]` for a policy without parameters. Raises Unconfigured."""
    wanted, reference = policy.spec.get("paramKind"), (binding.document.get("spec") or {}).get("paramRef")
    if not wanted or not reference:
        return [None]
    kind = _kind(wanted, parts)
    found = await _find(kind, reference, _namespace(kind, reference, attributes), parts)
    if not found and reference.get("parameterNotFoundAction") != "Allow":
        raise Unconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _kind(wanted: Object, parts: ServerParts) -> Kind:
    for kind in parts.kinds():
        if kind.resource.api_version == wanted.get("apiVersion") and kind.resource.kind == wanted.get("kind"):
            return kind
    text = f"{wanted.get('apiVersion')}, Kind={wanted.get('kind')}"
    raise Unconfigured(f"failed to find resource referenced by paramKind: '{text}'")


def _namespace(kind: Kind, reference: Object, attributes: AdmissionAttributes) -> str:
    given = str(reference.get("namespace") or "")
    if not kind.resource.namespaced:
        if given:
            raise Unconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    if given:
        return given
    if not attributes.namespace:
        raise Unconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    return attributes.namespace


async def _find(kind: Kind, reference: Object, namespace: str, parts: ServerParts) -> list[Object | None]:
    reader, resource, name = parts.reader, kind.resource, str(reference.get("name") or "")
    if name:
        one = reader.get(resource, name, namespace)
        if one is None:
            await reader.fresh(resource)
            one = reader.get(resource, name, namespace)
        found = [one] if one is not None else []
    else:
        selector = selectors.from_document(reference.get("selector"))
        found = [one for one in reader.list(resource, namespace) if selector.matches(labels_of(one))]
    return [await _in_version(one, kind, parts) for one in found]


async def _in_version(obj: Object, kind: Kind, parts: ServerParts) -> Object:
    """The cache holds each object in one version; expressions see the one that the policy names."""
    if obj.get("apiVersion") == kind.resource.api_version:
        return obj
    group, _, version = str(obj.get("apiVersion") or "").rpartition("/")
    source = parts.kind_of(group, version, kind.resource.plural)
    return obj if source is None else await convert(obj, source, kind)
