"""Quotas: counting, refusing, and two writes at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api.core.quota_scopes import in_scope
from sampan.api.resources import DEPLOYMENTS, PODS, RESOURCE_QUOTAS, SERVICES
from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.resource_quota import ResourceQuota
from sampan.apiserver.seams import AdmissionAttributes


class Patches:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def patch(self, resource: Resource, name: str, patch: Any, namespace: str, *, subresource: str) -> None:
        self.sent.append((name, patch["status"]["used"]))


def pod(name: str, cpu: str = "", phase: str = "Pending") -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return {
        "metadata": {"name": name, "namespace": "ns"}, "spec": {"containers": [{"name": "a", "resources": resources}]},
        "status": {"phase": phase},
    }


async def create(
    plugin: ResourceQuota, resource: Resource, obj: Any, dry_run: bool = False
) -> AdmissionAttributes:
    attributes = AdmissionAttributes(
        "CREATE", SimpleNamespace(resource=resource), resource, obj["metadata"]["name"], "ns",  # type: ignore[arg-type]
        UserInfo("jane"), obj, dry_run=dry_run,
    )
    if plugin.interested(attributes):
        await plugin.validate(attributes)
    return attributes


def quota(reader: Any, **hard: str) -> tuple[ResourceQuota, Patches]:
    limits = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    reader.put(RESOURCE_QUOTAS, {"metadata": {"name": "q", "namespace": "ns"}, "spec": {"hard": limits}})
    client = Patches()
    parts: Any = SimpleNamespace(reader=reader, client=client)
    return ResourceQuota(parts), client


async def test_a_namespace_without_quotas_is_free(reader: Any) -> None:
    parts: Any = SimpleNamespace(reader=reader)
    await create(ResourceQuota(parts), PODS, pod("p"))


async def test_the_last_place_goes_once_even_to_two_at_the_same_time(reader: Any) -> None:
    plugin, client = quota(reader, pods="2", count__deployments_apps="0")
    reader.put(PODS, pod("there"))
    reader.put(PODS, pod("done", phase="Succeeded"))
    await create(plugin, PODS, pod("dry"), dry_run=True)
    await create(plugin, PODS, pod("one"))
    assert client.sent == [("q", {"pods": "2"})]
    with pytest.raises(Forbidden) as refused:
        await create(plugin, PODS, pod("two"))
    assert refused.value.message == (
        'pods "two" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
    )
    with pytest.raises(Forbidden, match=r"exceeded quota: q, requested: count/deployments\.apps=1"):
        await create(plugin, DEPLOYMENTS, {"metadata": {"name": "d"}})
    await create(plugin, SERVICES, {"metadata": {"name": "s"}})


async def test_what_came_and_went_leaves_its_place_at_once(reader: Any) -> None:
    """A write holds its place until it is stored; from then on the cache says whether it is still there."""
    plugin, _ = quota(reader, pods="1")
    first = await create(plugin, PODS, pod("a"))
    with pytest.raises(Forbidden):
        await create(plugin, PODS, pod("b"))
    reader.put(PODS, pod("a"))
    first.settle()
    with pytest.raises(Forbidden):
        await create(plugin, PODS, pod("b"))
    reader.remove(PODS, "a", "ns")
    second = await create(plugin, PODS, pod("b"))
    second.settle()  # refused by a later plugin, so it never came
    await create(plugin, PODS, pod("c"))


async def test_compute_must_be_stated_and_adds_up(reader: Any) -> None:
    plugin, client = quota(reader, requests_cpu="1")
    with pytest.raises(Forbidden, match=r"failed quota: q: must specify requests\.cpu for: a"):
        await create(plugin, PODS, pod("p"))
    reader.put(PODS, pod("there", "600m"))
    with pytest.raises(Forbidden) as refused:
        await create(plugin, PODS, pod("p", "500m"))
    assert refused.value.message == (
        'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    await create(plugin, PODS, pod("p", "400m"))
    assert client.sent == [("q", {"requests.cpu": "1"})]


@pytest.mark.parametrize(("scopes", "counted"), [
    ([], True), (["BestEffort"], True), (["NotBestEffort"], False), (["NotTerminating"], True),
    (["Terminating"], False),
])
def test_scopes(scopes: list[str], counted: bool) -> None:
    assert in_scope({"spec": {"scopes": scopes}}, PODS, pod("p")) is counted
