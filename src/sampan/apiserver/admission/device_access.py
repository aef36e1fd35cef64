"""Who may say what about devices: administrative access, whose claims are bound, and which driver reports on a device.

A new request with `adminAccess`, or a grant of one, needs the label `resource.kubernetes.io/admin-access: "true"` on
the namespace. Whoever may write `resourceclaims/status` needs more rights, on subresources that are no endpoints:

    status.allocation, status.reservedFor   update resourceclaims/binding
    status.devices                          arbitrary-node:update resourceclaims/driver NAME, or associated-node:update
                                            for the account of a pod on the node that the claim is allocated on

and `patch` in place of `update` if that is how they write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import ClassVar, Final

from sampan.api.resources import NAMESPACES
from sampan.apimachinery import errors
from sampan.apimachinery.field import FieldError, Path, forbidden
from sampan.apimachinery.object import Object, dig, labels_of, name_of
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.authz import refusal
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Operation, ServerParts

ADMIN_LABEL: Final = "resource.kubernetes.io/admin-access"
_GROUP: Final = "resource.k8s.io"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_ACCOUNT: Final = "system:serviceaccount:"


class DeviceAccess(Plugin):
    name = "DeviceAccess"
    resources = frozenset({(_GROUP, "resourceclaims"), (_GROUP, "resourceclaimtemplates")})
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "status"})

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts

    async def validate(self, attributes: AdmissionAttributes) -> None:
        new, old = attributes.object or {}, attributes.old_object or {}
        found: list[FieldError] = []
        if attributes.subresource == "status":
            found += self._administrative(attributes, None if _granted(old) else _granted(new))
            found += [one async for one in self._binding(attributes, new.get("status") or {}, old.get("status") or {})]
            found += [one async for one in self._devices(attributes, new.get("status") or {}, old.get("status") or {})]
        elif attributes.operation == "CREATE":  # later nobody can change it
            found += self._administrative(attributes, _requested(new))
        if found:
            raise errors.invalid(attributes.kind.resource, name_of(new), found)

    def _administrative(self, attributes: AdmissionAttributes, path: Path | None) -> Iterator[FieldError]:
        namespace = self._parts.reader.get(NAMESPACES, attributes.namespace) or {}
        if path is not None and labels_of(namespace).get(ADMIN_LABEL) != "true":
            yield forbidden(path, "admin access to devices requires the "
                                  f"`{ADMIN_LABEL}: true` label on the containing namespace")

    async def _binding(self, attributes: AdmissionAttributes, new: Object, old: Object) -> AsyncIterator[FieldError]:
        if all((new.get(key) or None) == (old.get(key) or None) for key in ("allocation", "reservedFor")):
            return
        verb = _verb(attributes)
        if refused := await self._refusal(attributes, verb, "binding", "", ""):
            yield forbidden(Path("status"), "changing status.allocation or status.reservedFor requires "
                                            f'resource="resourceclaims/binding", verb="{verb}" permission: {refused}')

    async def _devices(self, attributes: AdmissionAttributes, new: Object, old: Object) -> AsyncIterator[FieldError]:
        verb = _verb(attributes)
        verbs = [f"arbitrary-node:{verb}"]
        if _is_on_node(attributes, _node_of(new)):
            verbs.insert(0, f"associated-node:{verb}")
        for driver in _changed_drivers(new, old):
            refusals = []
            for one in verbs:
                refused = await self._refusal(attributes, one, "driver", attributes.namespace, driver)
                if not refused:
                    break
                refusals.append(refused)
            else:
                needed = f'resource="resourceclaims/driver", verb="[{" ".join(verbs)}]"'
                why = f"changing status.devices requires {needed} permission: {refusals[0]}"
                yield forbidden(Path("status").child("devices"), why)

    async def _refusal(
        self, attributes: AdmissionAttributes, verb: str, subresource: str, namespace: str, name: str
    ) -> str:
        """Why the user may not; nothing if they may."""
        resource = attributes.kind.resource
        asked = Attributes(
            attributes.user, verb, group=resource.group, version=resource.version, resource=resource.plural,
            subresource=subresource, namespace=namespace, name=name,
        )
        verdict = await self._parts.authorize(asked)
        return "" if verdict.allowed else refusal.forbidden(asked, verdict.reason).message


def _verb(attributes: AdmissionAttributes) -> str:
    """`update` or `patch`, as the request was."""
    return (attributes.context.verb if attributes.context is not None else "") or "update"


def _requested(obj: Object) -> Path | None:
    """Which request of a claim or a template wants administrative access."""
    spec = obj.get("spec") or {}
    for position, request in enumerate(dig(spec.get("spec") or spec, "devices", "requests", default=())):
        if dig(request, "exactly", "adminAccess"):
            return Path("spec").child("devices", "requests").index(position).child("adminAccess")
    return None


def _granted(obj: Object) -> Path | None:
    for position, result in enumerate(dig(obj, "status", "allocation", "devices", "results", default=())):
        if result.get("adminAccess"):
            return Path("status").child("allocation", "devices", "results").index(position).child("adminAccess")
    return None


def _changed_drivers(new: Object, old: Object) -> list[str]:
    """Drivers with a device whose status appears, changes or goes."""
    def by_device(status: Object) -> dict[tuple[str, ...], Object]:
        keys = ("driver", "pool", "device", "shareID")
        return {tuple(str(one.get(key) or "") for key in keys): one for one in status.get("devices") or ()}

    before, after = by_device(old), by_device(new)
    return sorted({key[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)})


def _node_of(status: Object) -> str:
    """The one node that a claim is allocated on, if it is just one."""
    terms = dig(status, "allocation", "nodeSelector", "nodeSelectorTerms", default=())
    if len(terms) != 1 or terms[0].get("matchExpressions") or len(terms[0].get("matchFields") or ()) != 1:
        return ""
    field = terms[0]["matchFields"][0]
    is_name = field.get("key") == "metadata.name" and field.get("operator") == "In"
    return str(field["values"][0]) if is_name and len(field.get("values") or ()) == 1 else ""


def _is_on_node(attributes: AdmissionAttributes, node: str) -> bool:
    user = attributes.user
    return bool(node) and user.name.startswith(_ACCOUNT) and tuple(user.extra.get(_NODE_NAME, ())) == (node,)


def build(parts: ServerParts) -> DeviceAccess:
    return DeviceAccess(parts)
