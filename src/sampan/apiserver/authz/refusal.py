"""The words of a refusal, exactly as kube-apiserver says them."""

from __future__ import annotations

from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object
from sampan.apiserver.seams import Attributes


def full_resource(attributes: Attributes) -> str:
    """As RBAC rules write it: `pods`, `pods/exec`."""
    resource, subresource = attributes.resource, attributes.subresource
    return f"{resource}/{subresource}" if subresource else resource


def forbidden(attributes: Attributes, reason: str) -> Forbidden:
    """The 403 that kube-apiserver answers to a request that no authoriser allowed."""
    text = _refusal(attributes)
    for character, replacement in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, replacement)
    if reason:
        text = f"{text}: {reason}"
    if not attributes.is_resource:
        return Forbidden(f"forbidden: {text}", {})
    qualified = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    shown = f"{qualified} {quoted(attributes.name)}" if attributes.name else qualified
    details: Object = {"name": attributes.name} if attributes.name else {}
    if attributes.group:
        details["group"] = attributes.group
    details["kind"] = attributes.resource
    return Forbidden(f"{shown} is forbidden: {text}", details)


def _refusal(attributes: Attributes) -> str:
    user = quoted(attributes.user.name)
    if not attributes.is_resource:
        return f"User {user} cannot {attributes.verb} path {quoted(attributes.path)}"
    what = f"resource {quoted(full_resource(attributes))} in API group {quoted(attributes.group)}"
    where = f"in the namespace {quoted(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
    return f"User {user} cannot {attributes.verb} {what} {where}"
