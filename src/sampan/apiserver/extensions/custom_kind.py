"""From a CustomResourceDefinition to `Kind`s, one for each version: pure, made again whenever the definition changes.

Objects are stored in the storage version. The other versions are views of it: with the strategy None only `apiVersion`
differs, with Webhook another program converts (`convert`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sampan.api.kind import STANDARD_VERBS, Convert, Custom, Kind, Subresource
from sampan.apimachinery.jsonpath import simple_fields
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.defaulting import compile_defaults
from sampan.apimachinery.schema.structural import compile_structural
from sampan.apiserver.extensions.printer_columns import columns_of
from sampan.apiserver.extensions.scale import scale_subresource
from sampan.apiserver.extensions.strategy import Strategy
from sampan.apiserver.extensions.validator import Validator

_WHILE_TERMINATING = tuple(verb for verb in STANDARD_VERBS if verb != "create")


@dataclass(frozen=True, slots=True)
class CustomKinds:
    """`stored` keeps the objects; `served` are those that have an endpoint, `stored` among them if it has one."""

    stored: Kind
    served: tuple[Kind, ...]


def kinds_of(crd: Object, convert: Convert | None) -> CustomKinds:
    """The kinds of an accepted definition. `convert` is given when its strategy is Webhook."""
    versions = crd["spec"]["versions"]
    storage = next(version for version in versions if version.get("storage"))
    made = {version["name"]: _kind(crd, version, storage["name"], convert) for version in versions}
    served = tuple(made[version["name"]] for version in versions if version.get("served"))
    return CustomKinds(made[storage["name"]], served)


def resource_of(crd: Object, version: str) -> Resource:
    spec = crd["spec"]
    names = spec["names"]
    return Resource(spec["group"], version, names["plural"], names["kind"], namespaced=spec["scope"] == "Namespaced")


def _kind(crd: Object, version: Object, storage: str, convert: Convert | None) -> Kind:
    resource = resource_of(crd, version["name"])
    names = dig(crd, "status", "acceptedNames", default={}) or crd["spec"]["names"]
    raw = dig(version, "schema", "openAPIV3Schema", default={})
    reader = Reader(resource, raw, keeps_version=convert is not None)
    subresources = version.get("subresources") or {}
    validator = Validator(raw)
    strategy = Strategy(has_status="status" in subresources)
    views: dict[str, Subresource] = {}
    if "status" in subresources:
        views["status"] = Subresource("status", prepare_update=strategy.prepare_status,
                                      validate_update=validator.validate_update, writes_metadata=False)
    if subresources.get("scale"):
        views |= scale_subresource(subresources["scale"], strategy, validator)
    stored = resource_of(crd, storage)
    is_view = resource != stored
    fields = _selectable(version)
    custom = Custom(
        schema=reader.schema, published=raw, on_read=reader, storage_version=stored.api_version, convert=convert,
        warning=_warning(crd, version, resource),
    )
    return Kind(
        resource=resource, definition=_definition(resource), singular=names.get("singular") or "",
        short_names=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()),
        verbs=_WHILE_TERMINATING if _is_terminating(crd) else STANDARD_VERBS,
        default=reader.default, prepare_create=strategy.prepare_create, prepare_update=strategy.prepare_update,
        validate=validator.validate, validate_update=validator.validate_update, subresources=views,
        field_names=tuple(fields), fields=lambda obj: _field_values(obj, fields), columns=columns_of(version),
        storage_resource=stored if is_view else None,
        from_storage=reader.view if is_view and convert is None else None,
        to_storage=_to_version(stored.api_version) if is_view and convert is None else None,
        custom=custom,
    )


def _is_terminating(crd: Object) -> bool:
    return bool(crd["metadata"].get("deletionTimestamp"))


def _definition(resource: Resource) -> str:
    """As OpenAPI names it: `com.example.stable.v1.CronTab`."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


class Reader:
    """Brings documents to a version's present schema: pruned, defaulted, under its apiVersion."""

    def __init__(self, resource: Resource, raw: Object, *, keeps_version: bool) -> None:
        self.schema = compile_structural(raw, resource.group, resource.version, resource.kind)
        self._complete = compile_defaults(raw)
        self._api_version = resource.api_version
        self._keeps_version = keeps_version

    def __call__(self, obj: Object) -> bool:
        """In place; whether anything changed."""
        changed = False
        if obj.get("apiVersion") != self._api_version:
            if self._keeps_version:
                return False  # not this version's yet: it will be when it was converted
            obj["apiVersion"] = self._api_version
            changed = True
        unknown: list[str] = []
        pruned = self.schema.decode(obj, None, unknown)
        if unknown:
            obj.clear()
            obj.update(pruned)
        return self._defaulted(obj) or changed or bool(unknown)

    def view(self, obj: Object) -> Object:
        """As `Kind.from_storage`."""
        self(obj)
        return obj

    def default(self, obj: Object) -> None:
        """As `Kind.default`."""
        self._defaulted(obj)

    def _defaulted(self, obj: Object) -> bool:
        return self._complete(obj) if self._complete is not None else False


def _to_version(api_version: str) -> Any:
    return lambda obj: {**obj, "apiVersion": api_version}


def _warning(crd: Object, version: Object, resource: Resource) -> str:
    if not version.get("deprecated"):
        return ""
    given = version.get("deprecationWarning")
    return str(given) if given is not None else f"{resource.api_version} {resource.kind} is deprecated"


def _selectable(version: Object) -> Mapping[str, tuple[str, ...]]:
    paths = [field["jsonPath"] for field in version.get("selectableFields") or []]
    return {path.lstrip("."): fields for path in paths if (fields := simple_fields(path))}


def _field_values(obj: Object, fields: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
    found = {}
    for name, path in fields.items():
        value = dig(obj, *path)
        found[name] = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return found
