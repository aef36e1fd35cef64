"""Quotas: counting, refusing, and two writes at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api.core.quota_scopes import in_scope
from sampan.api.resources import DEPLOYMENTS, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.limited_resources import Limited
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
    return await write(plugin, resource, obj, dry_run=dry_run)


async def write(
    plugin: ResourceQuota, resource: Resource, obj: Any, old: Any = None, *, view: str = "", dry_run: bool = False
) -> AdmissionAttributes:
    """A creation or, with `old`, an update."""
    attributes = AdmissionAttributes(
        "CREATE" if old is None else "UPDATE", SimpleNamespace(resource=resource), resource,  # type: ignore[arg-type]
        obj["metadata"]["name"], "ns", UserInfo("jane"), obj, old, view, dry_run=dry_run,
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


async def test_a_place_is_held_though_its_holder_came_while_another_write_looked(
    reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a write saw settled may be gone when it goes on, and what is held since may lie at the same address."""
    plugin, _ = quota(reader, pods="40")
    for number in range(20):
        done = await create(plugin, PODS, pod(f"done-{number}"))
        reader.put(PODS, pod(f"done-{number}"))
        done.settle()
    del done
    looks, go_on, fresh = asyncio.Event(), asyncio.Event(), reader.fresh

    async def slowly(resource: Resource) -> None:
        looks.set()
        await go_on.wait()
        await fresh(resource)

    with monkeypatch.context() as patched:
        patched.setattr(reader, "fresh", slowly)
        late = asyncio.create_task(create(plugin, PODS, pod("late")))
        await looks.wait()
    for number in range(20):
        await create(plugin, PODS, pod(f"new-{number}"))
    go_on.set()
    with pytest.raises(Forbidden, match="used: pods=40, limited: pods=40"):
        await late


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


def guarded(reader: Any, *quotas: Any, limited: tuple[Limited, ...] = ()) -> ResourceQuota:
    for number, spec in enumerate(quotas):
        reader.put(RESOURCE_QUOTAS, {"metadata": {"name": f"q{number}", "namespace": "ns"}, "spec": spec})
    parts: Any = SimpleNamespace(reader=reader, client=Patches())
    return ResourceQuota(parts, limited)


def in_ns(name: str, spec: Any, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", "resourceVersion": "1"}, "spec": spec, **more}


def service(name: str, kind: str = "ClusterIP", ports: int = 1) -> dict[str, Any]:
    return in_ns(name, {"type": kind, "ports": [{"port": number} for number in range(ports)]})


async def refused(plugin: ResourceQuota, resource: Resource, obj: Any, old: Any = None, view: str = "") -> str:
    """Why a write is refused; "" if it is not."""
    try:
        await write(plugin, resource, obj, old, view=view)
    except Forbidden as error:
        return error.message.partition(" is forbidden: ")[2]
    return ""


NODE_PORTS = {"hard": {"services.nodeports": "2", "services.loadbalancers": "1"}}


@pytest.mark.parametrize(("old", "new", "why"), [
    (service("a"), service("a", "NodePort"), ""), (service("a"), service("a", "NodePort", 2), ""),
    (service("a"), service("a", "NodePort", 3), "exceeded quota: q0, requested: services.nodeports=3"),
    (service("a", "NodePort", 2), service("a", "NodePort", 3), "exceeded quota: q0, requested: services.nodeports=1"),
    (service("a", "NodePort", 2), service("a", "LoadBalancer", 2), ""),
    (service("a", "NodePort", 3), service("a", "NodePort", 3), ""), (service("a", "NodePort", 4), service("a"), ""),
])
async def test_a_service_that_changes_needs_what_it_uses_more(reader: Any, old: Any, new: Any, why: str) -> None:
    plugin = guarded(reader, NODE_PORTS)
    reader.put(SERVICES, old)
    assert (await refused(plugin, SERVICES, new, old)).startswith(why) and bool(why) == bool(
        await refused(guarded(reader, NODE_PORTS), SERVICES, new, old)
    )


async def test_the_last_of_what_two_updates_ask_for_goes_once(reader: Any) -> None:
    plugin = guarded(reader, NODE_PORTS)
    for name in ("a", "b"):
        reader.put(SERVICES, service(name))
    first = await write(plugin, SERVICES, service("a", "NodePort", 2), service("a"))
    assert await refused(plugin, SERVICES, service("b", "NodePort"), service("b"))
    assert not await refused(plugin, SERVICES, service("a", "NodePort"), service("a")), "its own does not count"
    first.settle()
    assert not await refused(plugin, SERVICES, service("b", "NodePort"), service("b")), "it came to nothing"


async def test_an_update_that_is_stored_counts_once(reader: Any) -> None:
    plugin = guarded(reader, NODE_PORTS)
    reader.put(SERVICES, service("a"))
    reader.put(SERVICES, service("b"))
    await write(plugin, SERVICES, service("a", "NodePort"), service("a"))
    stored = service("a", "NodePort")
    stored["metadata"]["resourceVersion"] = "2"
    reader.put(SERVICES, stored)
    assert not await refused(plugin, SERVICES, service("b", "NodePort"), service("b"))


def claim(size: str, **spec: Any) -> dict[str, Any]:
    return in_ns("data", {"resources": {"requests": {"storage": size}}, **spec})


def of_class(operator: str, *values: str) -> dict[str, Any]:
    scope = {"scopeName": "VolumeAttributesClass", "operator": operator, "values": list(values)}
    return {"hard": {"requests.storage": "5Gi"}, "scopeSelector": {"matchExpressions": [scope]}}


@pytest.mark.parametrize(("quota", "old", "new", "asked"), [
    ({"hard": {"requests.storage": "5Gi"}}, claim("4Gi"), claim("6Gi"), "requests.storage=2Gi"),
    ({"hard": {"requests.storage": "5Gi"}}, claim("4Gi"), claim("5Gi"), ""),
    ({"hard": {"requests.storage": "5Gi"}}, claim("9Gi"), claim("9Gi", volumeAttributesClassName="gold"), ""),
    (of_class("In", "gold"), claim("9Gi"), claim("9Gi", volumeAttributesClassName="gold"), "requests.storage=9Gi"),
    (of_class("In", "gold"), claim("5Gi"), claim("5Gi", volumeAttributesClassName="gold"), ""),
    (of_class("In", "gold"), claim("9Gi"), claim("9Gi", volumeAttributesClassName="tin"), ""),
    (of_class("In", "gold"), claim("4Gi", volumeAttributesClassName="gold"),
     claim("6Gi", volumeAttributesClassName="gold"), "requests.storage=2Gi"),
])
async def test_a_claim_that_comes_into_a_scope_is_new_to_its_quota(
    reader: Any, quota: Any, old: Any, new: Any, asked: str
) -> None:
    plugin = guarded(reader, quota)
    reader.put(PERSISTENT_VOLUME_CLAIMS, old)
    why = await refused(plugin, PERSISTENT_VOLUME_CLAIMS, new, old)
    assert why.startswith(f"exceeded quota: q0, requested: {asked}") if asked else not why


def limited_pod(deadline: int | None = None, cpu: str = "1") -> dict[str, Any]:
    found = pod("p", cpu)
    if deadline is not None:
        found["spec"]["activeDeadlineSeconds"] = deadline
    return found


@pytest.mark.parametrize(("scope", "old", "new", "counted"), [
    ("Terminating", limited_pod(), limited_pod(5), True), ("Terminating", limited_pod(6), limited_pod(5), False),
    ("NotTerminating", limited_pod(), limited_pod(5), False), ("Terminating", limited_pod(), limited_pod(), False),
])
async def test_a_pod_that_gets_a_deadline_is_counted_by_another_quota(
    reader: Any, scope: str, old: Any, new: Any, counted: bool
) -> None:
    plugin = guarded(reader, {"hard": {"pods": "0"}, "scopes": [scope]})
    reader.put(PODS, old)
    assert bool(await refused(plugin, PODS, new, old)) is counted


async def test_a_pod_is_resized_within_its_quota(reader: Any) -> None:
    plugin = guarded(reader, {"hard": {"requests.cpu": "3"}})
    reader.put(PODS, limited_pod())
    assert not await refused(plugin, PODS, limited_pod(cpu="3"), limited_pod(), "resize")
    why = await refused(plugin, PODS, limited_pod(cpu="3500m"), limited_pod(), "resize")
    assert why == "exceeded quota: q0, requested: requests.cpu=2500m, used: requests.cpu=1, limited: requests.cpu=3"
    assert not await refused(plugin, PODS, limited_pod(cpu="9"), limited_pod(), "status")


async def test_the_tightest_of_several_quotas_decides_and_others_do_not_matter(reader: Any) -> None:
    plugin = guarded(reader, {"hard": {"pods": "5"}}, {"hard": {"pods": "1"}}, {"hard": {"services": "0", "cpu": "9"}})
    await create(plugin, PODS, pod("a", "1"))
    why = await refused(plugin, PODS, pod("b", "1"))
    assert why == "exceeded quota: q1, requested: pods=1, used: pods=1, limited: pods=1"


BEST = {"scopeName": "BestEffort", "operator": "Exists"}
ANY_CLASS = {"scopeName": "PriorityClass", "operator": "Exists"}


def classes(*names: str) -> dict[str, Any]:
    return {"scopeName": "PriorityClass", "operator": "In", "values": list(names)}


def selecting(*scopes: Any, **hard: str) -> dict[str, Any]:
    return {"hard": hard, "scopeSelector": {"matchExpressions": list(scopes)}}


def of_pods(*scopes: Any, contains: tuple[str, ...] = ()) -> Limited:
    return Limited("", "pods", contains, scopes)


def important(name: str, cpu: str = "3") -> dict[str, Any]:
    found = pod("p", cpu)
    found["spec"]["priorityClassName"] = name
    return found


CLUSTER, BOTH = classes("cluster-services"), (of_pods(BEST), of_pods(classes("cluster-services")))
NEEDS = "insufficient quota to match these scopes: "


@pytest.mark.parametrize(("limited", "obj", "quotas", "why"), [
    ((of_pods(ANY_CLASS),), important("fake"), [selecting(ANY_CLASS)], ""),
    ((of_pods(ANY_CLASS, contains=("requests.cpu",)),), important("fake"), [selecting(ANY_CLASS)],
     "insufficient quota to consume: requests.cpu"),
    ((of_pods(ANY_CLASS),), important("fake"), [], NEEDS + "[{PriorityClass Exists []}]"),
    ((of_pods(BEST),), important("fake", ""), [], NEEDS + "[{BestEffort Exists []}]"),
    ((of_pods(BEST),), important("fake", ""), [{"hard": {"pods": "5"}, "scopes": ["BestEffort"]}], ""),
    (BOTH, important("fake"), [], ""), (BOTH, important("fake", ""), [], NEEDS + "[{BestEffort Exists []}]"),
    (BOTH, important("cluster-services"), [], NEEDS + "[{PriorityClass In [cluster-services]}]"),
    (BOTH, important("cluster-services", ""), [],
     NEEDS + "[{BestEffort Exists []} {PriorityClass In [cluster-services]}]"),
    (BOTH, important("cluster-services", ""), [{"hard": {"pods": "5"}, "scopes": ["BestEffort"]}],
     NEEDS + "[{PriorityClass In [cluster-services]}]"),
    (BOTH, important("cluster-services", ""), [selecting(CLUSTER)], NEEDS + "[{BestEffort Exists []}]"),
    (BOTH, important("cluster-services", ""),
     [selecting(CLUSTER), {"hard": {"pods": "5"}, "scopes": ["BestEffort"]}], ""),
    ((), important("fake"), [], ""),
    ((of_pods(ANY_CLASS),), important("fake"), [selecting(ANY_CLASS, cpu="2")],
     "exceeded quota: q0, requested: cpu=3, used: cpu=0, limited: cpu=2"),
    ((of_pods(CLUSTER),), important("fake"), [selecting(CLUSTER)], ""),
    ((of_pods(classes("other", "cluster-services")),), important("cluster-services"), [selecting(CLUSTER)], ""),
    ((of_pods(classes("other", "cluster-services")),), important("cluster-services"), [selecting(classes("other"))],
     NEEDS + "[{PriorityClass In [other cluster-services]}]"),
    ((of_pods(classes("other", "cluster-services")),), important("other"), [selecting(classes("other"))], ""),
    ((of_pods(classes("other", "cluster-services")),), important("cluster-services"), [selecting(ANY_CLASS)], ""),
    ((of_pods(contains=("cpu",)),), pod("p", "3"), [{"hard": {"memory": "10Gi"}}], "failed quota: q0: must specify"),
    ((of_pods(contains=("cpu",)),), pod("p", "3"), [], "insufficient quota to consume: cpu,requests.cpu"),
    ((of_pods(contains=("requests.cpu",)),), pod("p", "3"), [{"hard": {"requests.cpu": "9"}}, {"hard": {"pods": "9"}}],
     ""),
    ((of_pods(contains=("requests.cpu",)),), pod("p"), [], ""),
    ((Limited("", "services", ("services",), ()),), pod("p", "3"), [], ""),
])
async def test_what_may_be_used_only_with_a_quota(
    reader: Any, limited: tuple[Limited, ...], obj: Any, quotas: list[Any], why: str
) -> None:
    found = await refused(guarded(reader, *quotas, limited=limited), PODS, obj)
    assert found.startswith(why) if why else not found


@pytest.mark.parametrize(("old", "new", "why"), [
    (service("a", "LoadBalancer"), service("a", "LoadBalancer"), ""),
    (service("a", "NodePort"), service("a", "LoadBalancer", 0),
     "insufficient quota to consume: services.loadbalancers"),
    (service("a", "LoadBalancer", 0), service("a", "NodePort"), ""),
])
async def test_only_who_uses_more_needs_a_quota(reader: Any, old: Any, new: Any, why: str) -> None:
    limited = (Limited("", "services", ("services.loadbalancers",), ()),)
    assert await refused(guarded(reader, limited=limited), SERVICES, new, old) == why
