"""The paths and operations of a resource, before they are written as OpenAPI v2 or v3.

Names of operations, actions and parameters are upstream's, since clients find things by them: kubectl explain looks
for the group-version-kind of a path, kubectl apply for the `fieldValidation` parameter and the patch content types, and
code generators for the operation ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.openapi.served import ServedResource, ServedSubresource

META_V1: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
STATUS: Final = f"{META_V1}.Status"
DELETE_OPTIONS: Final = f"{META_V1}.DeleteOptions"
PATCH: Final = f"{META_V1}.Patch"
PATCH_TYPES: Final = (
    "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
CUSTOM_PATCH_TYPES: Final = PATCH_TYPES[:-1]
"""No strategic merge: kubectl reads here that it must send a merge patch instead."""
STREAMING_LIST: Final = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
MEDIA_TYPES: Final = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
CUSTOM_MEDIA_TYPES: Final = MEDIA_TYPES[:-1]

_LIST_PARAMETERS: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)
_WRITE_PARAMETERS: Final = ("dryRun", "fieldManager", "fieldValidation")
_DELETE_PARAMETERS: Final = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)
_DELETE_COLLECTION_PARAMETERS: Final = (
    *_DELETE_PARAMETERS, *(name for name in _LIST_PARAMETERS if name not in ("allowWatchBookmarks", "watch")),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `body` and `answer` are names of definitions, empty for none."""

    method: str
    id: str
    description: str
    action: str
    gvk: tuple[str, str, str]
    tag: str
    parameters: tuple[str, ...]
    body: str
    answer: str
    codes: tuple[int, ...]
    is_custom: bool = False
    """Of a custom resource, which has fewer encodings."""

    @property
    def media_types(self) -> tuple[str, ...]:
        """Of answers."""
        types = CUSTOM_MEDIA_TYPES if self.is_custom else MEDIA_TYPES
        if self.action != "list":
            return types
        return (*types, *(STREAMING_LIST[:1] if self.is_custom else STREAMING_LIST))

    @property
    def body_types(self) -> tuple[str, ...]:
        """Of the body."""
        if self.body != PATCH:
            return ("*/*",)
        return CUSTOM_PATCH_TYPES if self.is_custom else PATCH_TYPES


@dataclass(frozen=True, slots=True)
class PathItem:
    """A path with its operations; `parameters` are those in its text."""

    path: str
    parameters: tuple[str, ...]
    operations: tuple[Operation, ...]


def path_items(resources: Iterable[ServedResource]) -> Iterator[PathItem]:
    """Every path of the resources, in their order."""
    for resource in resources:
        for item in _path_items(resource):
            if resource.schema is None:
                yield item
            else:
                operations = tuple(dataclasses.replace(one, is_custom=True) for one in item.operations)
                yield dataclasses.replace(item, operations=operations)


def _path_items(resource: ServedResource) -> Iterator[PathItem]:
    yield from _collection(resource)
    if {"get", "update", "patch", "delete"} & set(resource.verbs):
        yield _item(resource)
    for subresource in resource.subresources:
        yield _subresource(resource, subresource)


def group_name(group: str) -> str:
    """As it stands in operation ids: `Core`, `Apps`, `RbacAuthorization`."""
    parts = group.removesuffix(".k8s.io").replace("-", ".").split(".") if group else ["core"]
    return "".join(part[:1].upper() + part[1:] for part in parts)


@dataclass(frozen=True, slots=True)
class _Names:
    """What the operations of one path have in common."""

    id: str
    what: str
    gvk: tuple[str, str, str]
    tag: str

    def operation(
        self, method: str, id: str, parameters: tuple[str, ...], body: str, answer: str,
    ) -> Operation:
        """The methods that act on one object, or create one."""
        verb, action, codes = _METHODS[method]
        return Operation(
            method, id, f"{verb} {self.what}", action, self.gvk, self.tag, parameters, body, answer, codes
        )


_METHODS: Final[dict[str, tuple[str, str, tuple[int, ...]]]] = {
    "get": ("read", "get", (200,)), "post": ("create", "post", (200, 201, 202)), "put": ("replace", "put", (200, 201)),
    "patch": ("partially update", "patch", (200, 201)), "delete": ("delete", "delete", (200, 202)),
}


def _prefix(resource: ServedResource) -> tuple[str, str]:
    """(group and version as in operation ids, tag)."""
    group = group_name(resource.group)
    version = resource.version[:1].upper() + resource.version[1:]
    return f"{group}{version}", f"{group[:1].lower()}{group[1:]}_{resource.version}"


def _collection(resource: ServedResource) -> Iterator[PathItem]:
    prefix, tag = _prefix(resource)
    scope = "Namespaced" if resource.namespaced else ""
    gvk = (resource.group, resource.version, resource.kind)
    kind, verbs = resource.kind, resource.verbs
    names = _Names(f"{prefix}{scope}{kind}", f"{_article(kind)} {kind}", gvk, tag)
    listing = Operation(
        "get", f"list{names.id}", f"list or watch objects of kind {kind}", "list", gvk, tag, _LIST_PARAMETERS, "",
        resource.list_definition, (200,),
    )
    operations: list[Operation] = [listing] if "list" in verbs else []
    if "create" in verbs:
        operations.append(names.operation(
            "post", f"create{names.id}", _WRITE_PARAMETERS, resource.definition, resource.definition
        ))
    if "deletecollection" in verbs:
        operations.append(Operation(
            "delete", f"delete{prefix}Collection{scope}{kind}", f"delete collection of {kind}", "deletecollection", gvk,
            tag, _DELETE_COLLECTION_PARAMETERS, DELETE_OPTIONS, STATUS, (200,),
        ))
    path = f"{resource.root}/namespaces/{{namespace}}/{resource.resource}"
    if operations and resource.namespaced:
        yield PathItem(path, ("namespace", "pretty"), tuple(operations))
        operations = []
        if "list" in verbs:
            operations = [dataclasses.replace(listing, id=f"list{prefix}{kind}ForAllNamespaces")]
    if operations:
        yield PathItem(f"{resource.root}/{resource.resource}", ("pretty",), tuple(operations))


def _item(resource: ServedResource) -> PathItem:
    prefix, tag = _prefix(resource)
    kind = resource.kind
    names = _Names(
        f"{prefix}{'Namespaced' if resource.namespaced else ''}{kind}", f"the specified {kind}",
        (resource.group, resource.version, kind), tag,
    )
    operations = _object_operations(names, resource.verbs, resource.definition)
    if "delete" in resource.verbs:
        operations.append(names.operation("delete", f"delete{names.id}", _DELETE_PARAMETERS, DELETE_OPTIONS, STATUS))
    return PathItem(_item_path(resource), _item_parameters(resource), tuple(operations))


def _subresource(resource: ServedResource, subresource: ServedSubresource) -> PathItem:
    prefix, tag = _prefix(resource)
    group = resource.group if subresource.group is None else subresource.group
    definition = subresource.definition or ("" if subresource.kind else resource.definition)
    suffix = "".join(part[:1].upper() + part[1:] for part in subresource.name.split("/"))
    names = _Names(
        f"{prefix}{'Namespaced' if resource.namespaced else ''}{resource.kind}{suffix}",
        f"{subresource.name} of the specified {resource.kind}",
        (group, subresource.version or resource.version, subresource.kind or resource.kind), tag,
    )
    operations = _object_operations(names, subresource.verbs, definition)
    if "create" in subresource.verbs and subresource.definition:
        operations.append(names.operation("post", f"create{names.id}", _WRITE_PARAMETERS, definition, definition))
    elif "create" in subresource.verbs:
        operations.append(Operation(
            "post", f"connectPost{names.id}", f"connect POST requests to {names.what}", "connect", names.gvk, tag, (),
            "", "", (200,),
        ))
    path = f"{_item_path(resource)}/{subresource.name}"
    return PathItem(path, _item_parameters(resource), tuple(operations))


def _object_operations(names: _Names, verbs: tuple[str, ...], definition: str) -> list[Operation]:
    operations = []
    if "get" in verbs:
        operations.append(names.operation("get", f"read{names.id}", (), "", definition))
    if "update" in verbs:
        operations.append(names.operation("put", f"replace{names.id}", _WRITE_PARAMETERS, definition, definition))
    if "patch" in verbs:
        operations.append(names.operation(
            "patch", f"patch{names.id}", (*_WRITE_PARAMETERS, "force"), PATCH, definition
        ))
    return operations


def _item_path(resource: ServedResource) -> str:
    place = f"{resource.root}/namespaces/{{namespace}}" if resource.namespaced else resource.root
    return f"{place}/{resource.resource}/{{name}}"


def _item_parameters(resource: ServedResource) -> tuple[str, ...]:
    return ("name", "namespace", "pretty") if resource.namespaced else ("name", "pretty")


def _article(kind: str) -> str:
    return "an" if kind[:1] in "AEIO" else "a"
