"""An AdmissionRequest: a write as webhooks and CEL expressions see it (admission.k8s.io/v1)."""

from __future__ import annotations

from sampan.api.kind import Kind
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, meta
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.matching.version import document_of, is_whole
from sampan.apiserver.seams import AdmissionAttributes


def name_of(attributes: AdmissionAttributes) -> str:
    """The object's name; empty while the server has yet to make one up."""
    return attributes.name or str(meta(attributes.object or {}).get("name") or "")


def request_of(attributes: AdmissionAttributes, kind: Kind) -> Object:
    """All but `uid`, `object` and `oldObject`; `kind` is the one as which the write was matched."""
    document = document_of(attributes)
    # A subresource with a document of its own (a Scale, an Eviction) is of that kind in every version.
    own = not is_whole(attributes)
    found: Object = {
        "kind": _kind(document if own else kind.resource),
        "resource": _resource(kind.resource),
        "requestKind": _kind(document),
        "requestResource": _resource(attributes.kind.resource),
        "operation": attributes.operation,
        "userInfo": user_of(attributes.user),
        "dryRun": attributes.dry_run,
        "options": attributes.options or None,
    }
    if attributes.subresource:
        found["subResource"] = found["requestSubResource"] = attributes.subresource
    name = name_of(attributes)
    if name:
        found["name"] = name
    namespace = attributes.namespace
    if not namespace and _is_namespace(attributes):
        namespace = name
    if namespace:
        found["namespace"] = namespace
    return found


def _is_namespace(attributes: AdmissionAttributes) -> bool:
    resource = attributes.kind.resource
    return resource.plural == "namespaces" and not resource.group


def _kind(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def user_of(user: UserInfo) -> Object:
    found: Object = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found
