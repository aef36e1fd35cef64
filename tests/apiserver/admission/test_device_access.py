"""Whose requests for administrative access count, and who may write which part of a claim's status."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api.resources import NAMESPACES, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from sampan.apimachinery.errors import Invalid
from sampan.apimachinery.http import Request, UserInfo
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.device_access import DeviceAccess
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Decision, Verdict

NODE_NAME = "authentication.kubernetes.io/node-name"
DRIVER = UserInfo("system:serviceaccount:kube-system:driver", extra={NODE_NAME: ("n1",)})
ON_N1 = {"nodeSelector": {"nodeSelectorTerms": [
    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}
ANYWHERE = {"nodeSelector": {"nodeSelectorTerms": [
    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}


def device(driver: str, **more: Any) -> dict[str, Any]:
    return {"driver": driver, "pool": "p", "device": "d", **more}


class Asked:
    """The plugin, and what it asked the authorisers: `verb resource/subresource namespace/name`."""

    def __init__(self, reader: Any, *allowed: str) -> None:
        self.asked: list[str] = []

        async def authorize(attributes: Attributes) -> Verdict:
            where = f"{attributes.namespace}/{attributes.name}"
            question = f"{attributes.verb} {attributes.resource}/{attributes.subresource} {where}"
            self.asked.append(question)
            return Verdict(Decision.ALLOW if question in allowed else Decision.NO_OPINION)

        self.plugin = DeviceAccess(SimpleNamespace(reader=reader, authorize=authorize))  # type: ignore[arg-type]

    async def status(self, new: Any, old: Any = None, user: UserInfo = DRIVER, verb: str = "update") -> str:
        """The complaint about a changed status, or nothing."""
        context = RequestContext(Request("PUT", "/"))
        context.verb = verb
        return await self._write(RESOURCE_CLAIMS, {"status": new}, {"status": old or {}}, user, context)

    async def create(self, resource: Resource, spec: Any) -> str:
        return await self._write(resource, {"spec": spec}, None, DRIVER, None)

    async def _write(self, resource: Resource, new: Any, old: Any, user: UserInfo, context: Any) -> str:
        for one in filter(None, (new, old)):
            one["metadata"] = {"name": "claim", "namespace": "ns"}
        attributes = AdmissionAttributes(
            "CREATE" if old is None else "UPDATE", SimpleNamespace(resource=resource), resource, "claim",  # type: ignore[arg-type]
            "ns", user, new, old, "" if old is None else "status", context=context,
        )
        assert self.plugin.interested(attributes)
        try:
            await self.plugin.validate(attributes)
        except Invalid as refused:
            return refused.message
        return ""


BIND = "update resourceclaims/binding /"


@pytest.mark.parametrize("changed", [{"allocation": ON_N1}, {"reservedFor": [{"name": "pod"}]}])
async def test_allocation_and_reservation_take_the_right_to_bind(reader: Any, changed: dict[str, Any]) -> None:
    refusing, allowing = Asked(reader), Asked(reader, BIND)
    assert await refusing.status(changed) == (
        'ResourceClaim.resource.k8s.io "claim" is invalid: status: Forbidden: changing status.allocation or '
        'status.reservedFor requires resource="resourceclaims/binding", verb="update" permission: '
        'resourceclaims.resource.k8s.io is forbidden: User "system:serviceaccount:kube-system:driver" cannot update '
        'resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope'
    )
    assert await allowing.status(changed) == ""
    assert "verb=\"patch\"" in await allowing.status(changed, verb="patch")
    assert await refusing.status({}, changed) != ""
    assert await refusing.status(changed, changed) == ""
    assert refusing.asked == [BIND, BIND]


async def test_a_driver_on_the_claims_node_needs_less(reader: Any) -> None:
    old = {"allocation": ON_N1}
    new = {"allocation": ON_N1, "devices": [device("x.example")]}
    near, far = (f"{one}-node:update resourceclaims/driver ns/x.example" for one in ("associated", "arbitrary"))
    for allowed in (near, far):
        assert await Asked(reader, allowed).status(new, old) == ""
    refusing = Asked(reader)
    assert await refusing.status(new, old) == (
        'ResourceClaim.resource.k8s.io "claim" is invalid: status.devices: Forbidden: changing status.devices requires '
        'resource="resourceclaims/driver", verb="[associated-node:update arbitrary-node:update]" permission: '
        'resourceclaims.resource.k8s.io "x.example" is forbidden: User "system:serviceaccount:kube-system:driver" '
        'cannot associated-node:update resource "resourceclaims/driver" in API group "resource.k8s.io" in the '
        'namespace "ns"'
    )
    assert refusing.asked == [near, far]


@pytest.mark.parametrize(("user", "allocation"), [
    (UserInfo("system:serviceaccount:kube-system:driver", extra={NODE_NAME: ("n2",)}), ON_N1),
    (UserInfo("system:serviceaccount:kube-system:driver", extra={NODE_NAME: ("n1", "n2")}), ON_N1),
    (UserInfo("system:serviceaccount:kube-system:driver"), ON_N1),
    (UserInfo("jane", extra={NODE_NAME: ("n1",)}), ON_N1),
    (DRIVER, ANYWHERE),
    (DRIVER, None),
])
async def test_everybody_else_needs_the_right_for_any_node(reader: Any, user: UserInfo, allocation: Any) -> None:
    old = {"allocation": allocation}
    new = {"allocation": allocation, "devices": [device("x.example")]}
    asked = Asked(reader)
    assert 'verb="[arbitrary-node:update]"' in await asked.status(new, old, user)
    assert asked.asked == ["arbitrary-node:update resourceclaims/driver ns/x.example"]


@pytest.mark.parametrize(("new", "old", "drivers"), [
    ([device("a")], [device("a")], []),
    ([device("b"), device("a")], [device("a"), device("b")], []),
    ([device("a", conditions=[{}])], [device("a")], ["a"]),
    ([], [device("b"), device("a")], ["a", "b"]),
    ([device("a", shareID="1")], [device("a", shareID="2")], ["a"]),
])
async def test_each_driver_whose_devices_change_is_asked_about(
    reader: Any, new: Any, old: Any, drivers: list[str],
) -> None:
    asked = Asked(reader)
    await asked.status({"devices": new}, {"devices": old})
    assert asked.asked == [f"arbitrary-node:update resourceclaims/driver ns/{driver}" for driver in drivers]


async def test_administrative_access_is_for_namespaces_with_the_label(reader: Any) -> None:
    plain = {"devices": {"requests": [{"name": "a", "exactly": {}}]}}
    wanting = {"devices": {"requests": [{"name": "a", "firstAvailable": []},
                                        {"name": "b", "exactly": {"adminAccess": True}}]}}
    granted = {"allocation": {"devices": {"results": [{"adminAccess": True}]}}}
    asked = Asked(reader, BIND)
    words = (
        "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing "
        "namespace"
    )
    for value in (None, "false"):
        reader.put(NAMESPACES, {"metadata": {"name": "ns", "labels": {
            "resource.kubernetes.io/admin-access": value} if value else {}}})
        assert await asked.create(RESOURCE_CLAIMS, plain) == ""
        refused = await asked.create(RESOURCE_CLAIMS, wanting)
        assert refused.endswith(f"spec.devices.requests[1].adminAccess: Forbidden: {words}")
        assert words in await asked.create(RESOURCE_CLAIM_TEMPLATES, {"spec": wanting})
        refused = await asked.status(granted)
        assert refused.endswith(f"status.allocation.devices.results[0].adminAccess: Forbidden: {words}")
        assert await asked.status(granted, granted) == ""
    reader.put(NAMESPACES, {"metadata": {"name": "ns", "labels": {"resource.kubernetes.io/admin-access": "true"}}})
    assert await asked.create(RESOURCE_CLAIMS, wanting) == ""
    assert await asked.create(RESOURCE_CLAIM_TEMPLATES, {"spec": wanting}) == ""
    assert await asked.status(granted) == ""
