"""Attach/detach, case by case as upstream's tests of its reconciler, its two worlds, its recovery and its figures.

What is decided is asked of the pure plan; stories are played by the control loop on a cluster without kubelets and
drivers, where the test is both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import (
    CORE_EVENTS,
    CSI_DRIVERS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from sampan.api.resources import VOLUME_ATTACHMENTS as ATTACHMENTS
from sampan.apimachinery.object import Object, dig, name_of, uid_of
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.manager import ControllerManager
from sampan.controllers.volumes.attach_detach import MANAGED, Observed, forced, plan
from sampan.controllers.volumes.attachments import (
    attachment_name,
    claim_names,
    elsewhere,
    is_bound,
    is_settled,
    multi_attach_error,
    needs_volumes,
    unique_name,
)
from sampan.reconcile.plan import Create, Delete
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run

DRIVER = "disk.example.com"
LOOPS = "persistentvolume-attach-detach-controller,serviceaccount-controller"


def volume(name: str = "pv", *modes: str, handle: str = "", driver: str = DRIVER) -> Object:
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "csi": {"driver": driver, "volumeHandle": handle or name}, "accessModes": list(modes) or ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    }}


def attachment(node: str, of: Object | None = None, *, going: bool = False, **status: Any) -> Object:
    of = of or volume()
    name = attachment_name(of, node)
    deleted = {"deletionTimestamp": "2026-01-02T03:04:05Z"} if going else {}
    return {
        "metadata": {"name": name, "uid": f"uid-{node}", **deleted},
        "spec": {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": name_of(of)}},
        "status": {"attached": True, **status},
    }


ATTACHED, WAITING = {"attached": True}, {"attached": False}
FAILED = {"attached": False, "attachError": {"message": "no such disk"}}
STUCK = {"attached": True, "detachError": {"message": "busy"}}


# who may have it


@pytest.mark.parametrize(("modes", "is_shared"), [
    (["ReadWriteOnce"], False), (["ReadWriteOncePod"], False), (["ReadWriteMany"], True), (["ReadOnlyMany"], True),
    (["ReadWriteOnce", "ReadOnlyMany"], True), ([], True),
])
def test_which_volumes_several_nodes_may_have(modes, is_shared) -> None:
    found = volume()
    found["spec"]["accessModes"] = modes
    assert bool(elsewhere(found, "n1", [attachment("n2")], {})) is not is_shared
    assert elsewhere(found, "n2", [attachment("n2")], {}) == []


def test_two_persistent_volumes_may_be_one_volume() -> None:
    one, same, other = volume("one", handle="h"), volume("same", handle="h"), volume("other")
    volumes = {name_of(found): found for found in (one, same, other)}
    assert unique_name(one) == unique_name(same) == f"kubernetes.io/csi/{DRIVER}^h"
    assert elsewhere(one, "n1", [attachment("n2", same), attachment("n2", other)], volumes) == [attachment("n2", same)]


@pytest.mark.parametrize(("others", "why"), [
    ([], "already exclusively attached to one node and can't be attached to another"),
    ([("ns1", "pod2")], "already used by pod(s) pod2"),
    ([("ns2", "pod2")], "already used by 1 pod(s) in different namespaces"),
    ([("ns2", "pod2"), ("ns1", "pod3")], "already used by pod(s) pod3 and 1 pod(s) in different namespaces"),
    ([("ns1", "pod2"), ("ns1", "pod3")], "already used by pod(s) pod2, pod3"),
])
def test_what_a_pod_that_waits_for_a_volume_is_told(make, others, why) -> None:
    def pod(namespace: str, name: str) -> Object:
        found: Object = make.pod(name)
        found["metadata"]["namespace"] = namespace
        return found

    note = multi_attach_error(volume(), pod("ns1", "pod1"), [pod(*one) for one in others])
    assert (note.type, note.reason) == ("Warning", "FailedAttachVolume")
    assert note.message == f'Multi-Attach error for volume "pv" Volume is {why}'


@pytest.mark.parametrize(("other", "is_told"), [
    (attachment("n2", **ATTACHED), True), (attachment("n2", **FAILED), True), (attachment("n2", **WAITING), False),
    (attachment("n2", going=True, **ATTACHED), False), (attachment("n2", going=True, **STUCK), True),
], ids=["attached", "failed", "being attached", "being detached", "cannot be detached"])
def test_nobody_is_told_while_the_driver_is_at_work_and_everybody_once(make, other, is_told) -> None:
    pod = make.pod("db")
    observed = Observed(make.node(), [(volume(), pod)], [other])
    decided = plan(observed)
    assert not decided.steps and decided.requeue_after_s
    assert is_settled(other) is is_told and len(decided.notes) == is_told
    again = Observed(make.node(), [(volume(), pod)], [other], told={(uid_of(pod), "pv")})
    assert not plan(again).notes and plan(again).requeue_after_s


# what is attached, and what is not any more


def unused(make, ready: str = "True", mounted: bool = True, **more: Any) -> Observed:
    """A node whose only attachment nobody uses."""
    node = make.node(ready=ready)
    node["status"]["volumesInUse"] = [unique_name(volume())] if mounted else []
    if more.pop("out", False):
        effect = more.pop("effect", "NoExecute")
        node["spec"]["taints"] = [{"key": "node.kubernetes.io/out-of-service", "effect": effect}]
    waited = {attachment_name(volume(), "n1"): more.pop("waited_s", 0.0)}
    return Observed(node, [], [attachment("n1")], {"pv": volume()}, unused_s=waited, **more)


@pytest.mark.parametrize(("what", "is_detached", "why"), [
    ({"mounted": False}, True, ""), ({}, False, ""), ({"waited_s": 9999.0}, False, "timeout"),
    ({"ready": "False", "waited_s": 300.0}, False, ""), ({"ready": "False", "waited_s": 361.0}, True, "timeout"),
    ({"ready": "Unknown", "waited_s": 361.0}, True, "timeout"),
    ({"ready": "Unknown", "waited_s": 9999.0, "force_after_s": float("inf")}, False, ""),
    ({"ready": "Unknown", "waited_s": 9999.0, "force_after_s": float("inf"), "out": True}, True, "out-of-service"),
    ({"ready": "Unknown", "out": True}, True, "out-of-service"), ({"out": True}, True, "out-of-service"),
    ({"out": True, "effect": "NoSchedule"}, True, "out-of-service"),
    ({"out": True, "waited_s": 361.0}, True, "timeout"),
    ({"mounted": False, "out": True}, True, "out-of-service"), ({"mounted": False, "waited_s": 361.0}, True, "timeout"),
], ids=[
    "unmounted", "mounted", "mounted for long", "not ready", "not ready for long", "silent for long", "no force",
    "no force but out of service", "out of service", "out of service and ready", "whatever the effect",
    "for long and out of service", "unmounted and out of service", "unmounted late",
])
def test_when_a_volume_that_nobody_uses_is_detached_and_why(make, what, is_detached, why) -> None:
    observed = unused(make, **what)
    decided = plan(observed)
    assert any(isinstance(step, Delete) for step in decided.steps) is is_detached
    assert bool(decided.requeue_after_s) is not is_detached
    assert forced(observed, attachment("n1")) == why


def test_a_volume_is_taken_from_a_node_that_is_gone_without_telling_it(make) -> None:
    gone = {"metadata": {"name": "n1"}, "status": {"volumesInUse": []}}
    decided = plan(Observed(gone, [], [attachment("n1")], {"pv": volume()}, is_gone=True))
    assert [type(step) for step in decided.steps] == [Delete]
    gone["status"]["volumesInUse"] = [unique_name(volume())]
    waits = Observed(gone, [], [attachment("n1")], {"pv": volume()}, is_gone=True)
    assert not plan(waits).steps and plan(waits).requeue_after_s
    late = {attachment_name(volume(), "n1"): 361.0}
    assert plan(Observed(gone, [], [attachment("n1")], {"pv": volume()}, unused_s=late, is_gone=True)).steps
    assert not plan(Observed(gone, [(volume(), make.pod("db"))], [], {"pv": volume()}, is_gone=True)).steps


def test_what_is_on_its_way_out_is_not_told_as_attached_and_is_attached_anew_when_it_is_gone(make) -> None:
    used = [(volume(), make.pod("db"))]
    going = plan(Observed(make.node(), used, [attachment("n1", going=True)], {"pv": volume()}))
    assert not going.steps and not going.notes
    [create] = plan(Observed(make.node(), used, [], {"pv": volume()})).steps
    assert isinstance(create, Create)


def test_what_a_node_lists_without_an_attachment_is_taken_out(make) -> None:
    node = make.node()
    others = [{"name": "kubernetes.io/fc/x", "devicePath": "/dev/x"}]
    node["status"]["volumesAttached"] = [*others, {"name": unique_name(volume()), "devicePath": ""}]
    [patch] = plan(Observed(node, [], [])).steps
    assert patch.patch["status"]["volumesAttached"] == others


# what a pod needs


def statuses(*states: str) -> list[Object]:
    return [{"state": {state: {}} if state == "none" else {state: {"x": 1}}} for state in states]


@pytest.mark.parametrize(("phase", "going", "states", "needs"), [
    ("Running", False, ["running"], True), ("Pending", False, [], True), ("Succeeded", False, ["terminated"], False),
    ("Failed", False, ["terminated"], False), ("Running", False, ["terminated"], True),
    ("Running", True, ["running", "terminated"], True), ("Running", True, ["terminated", "waiting"], False),
    ("Running", True, ["none"], True), ("Pending", True, [], False),
])
def test_until_when_a_pod_needs_its_volumes(make, phase, going, states, needs) -> None:
    pod = make.pod("db", phase=phase, **({"deletionTimestamp": make.now_text} if going else {}))
    pod["status"]["containerStatuses"] = statuses(*states)
    assert needs_volumes(pod) is needs


def test_which_claims_a_pods_volumes_are(make) -> None:
    pod = make.pod("db")
    pod["spec"]["volumes"] = [
        {"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "b", "emptyDir": {}},
        {"name": "c", "ephemeral": {"volumeClaimTemplate": {}}}, {"name": "d", "csi": {"driver": DRIVER}},
    ]
    assert list(claim_names(pod)) == [("data", False), ("db-c", True)]


@pytest.mark.parametrize(("phase", "reference", "bound"), [
    ("Bound", {"uid": "u"}, True), ("Pending", {"uid": "u"}, False), ("Lost", {"uid": "u"}, False),
    ("Bound", {"uid": "other"}, False), ("Bound", {}, False), ("Bound", None, False),
])
def test_a_claim_and_its_volume_must_agree(phase, reference, bound) -> None:
    found = volume()
    if reference is not None:
        found["spec"]["claimRef"] = reference
    assert is_bound({"metadata": {"uid": "u"}, "status": {"phase": phase}}, found) is bound


# stories


class Site:
    """Nodes, bound claims and pods; the test is kubelet and driver."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    async def node(self, name: str, **status: Any) -> None:
        await self.lab.client.create(NODES, {"metadata": {"name": name, "annotations": {MANAGED: "true"}}})
        await self.report(name, conditions=[{"type": "Ready", "status": "True"}], **status)

    async def report(self, name: str, **status: Any) -> None:
        await self.lab.client.patch(NODES, name, {"status": status}, type="merge", subresource="status")

    async def claim(self, name: str, *modes: str, **more: Any) -> None:
        spec = {"accessModes": list(modes) or ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": f"pv-{name}", "storageClassName": ""}
        claim = await self.lab.create(PERSISTENT_VOLUME_CLAIMS, name, spec=spec)
        made = volume(f"pv-{name}", *modes, **more)
        made["spec"]["claimRef"] = {"namespace": "default", "name": name, "uid": uid_of(claim)}
        await self.lab.client.create(PERSISTENT_VOLUMES, made)
        await self.lab.patch(PERSISTENT_VOLUME_CLAIMS, name, "status", status={"phase": "Bound"})

    async def pod(self, name: str, node: str, claim: str = "data") -> None:
        await self.lab.create(PODS, name, spec={
            "containers": [{"name": "c", "image": "i"}], "nodeName": node, "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}],
        })

    async def attached(self) -> list[tuple[str, bool]]:
        """Which nodes have something, and whether the driver is done."""
        found = (await self.lab.client.list(ATTACHMENTS))["items"]
        return sorted((one["spec"]["nodeName"], bool(dig(one, "status", "attached"))) for one in found)

    async def until_attached(self, *wanted: tuple[str, bool], within_s: float = 60.0) -> None:
        async def check() -> bool:
            return await self.attached() == sorted(wanted)

        await self.lab.until(check, within_s=within_s, what=f"attached: {wanted}")

    async def drive(self) -> None:
        """The driver attaches all that is to be attached."""
        for one in (await self.lab.client.list(ATTACHMENTS))["items"]:
            await self.lab.client.patch(ATTACHMENTS, name_of(one), {"status": {"attached": True}}, subresource="status")

    async def complaints(self) -> list[tuple[str, str, int]]:
        return sorted(
            (one["involvedObject"]["name"], one["message"].partition(" Volume ")[2], one.get("count", 1))
            for one in await self.lab.list(CORE_EVENTS) if "Multi-Attach" in one["message"]
        )


def story(scenario: Callable[[Site], Coroutine[Any, Any, None]]) -> None:
    on_a_cluster(lambda lab: scenario(Site(lab)), nodes=0, controllers=LOOPS)


def test_a_volume_for_one_node_moves_when_it_is_let_go_and_one_for_many_is_everywhere() -> None:
    async def scenario(site: Site) -> None:
        for name in ("a", "b", "c"):
            await site.node(name)
        await asyncio.sleep(2)
        await site.claim("data")
        await site.pod("first", "a")
        await site.until_attached(("a", False))
        await site.pod("second", "b")
        await asyncio.sleep(10)
        assert await site.complaints() == []  # the driver is at work
        await site.drive()
        await site.pod("third", "c")
        await asyncio.sleep(60)
        assert await site.complaints() == [
            ("second", "is already used by pod(s) first", 1), ("third", "is already used by pod(s) first", 1),
        ]
        await site.lab.client.delete(PODS, "third", "default")
        await site.lab.client.delete(PODS, "first", "default")
        await site.until_attached(("b", False))
        await site.claim("shared", "ReadWriteMany")
        for node in ("a", "b", "c"):
            await site.pod(f"on-{node}", node, "shared")
        await site.until_attached(("a", False), ("b", False), ("b", False), ("c", False))

    story(scenario)


def test_what_a_deleted_node_had_mounted_is_let_go_after_six_minutes_and_the_rest_at_once() -> None:
    async def scenario(site: Site) -> None:
        await site.node("a")
        await site.node("b")
        await asyncio.sleep(2)
        for claim in ("data", "other"):
            await site.claim(claim)
            await site.pod(f"uses-{claim}", "a", claim)
        await site.until_attached(("a", False), ("a", False))
        await site.drive()
        await site.report("a", volumesInUse=[unique_name(volume("pv-data"))])
        await asyncio.sleep(5)
        await site.lab.client.delete(NODES, "a")
        for claim in ("data", "other"):
            await site.lab.client.delete(PODS, f"uses-{claim}", "default")
        await site.until_attached(("a", True))
        await asyncio.sleep(300)
        assert await site.attached() == [("a", True)]
        await site.until_attached(within_s=120)
        await site.pod("next", "b")
        await site.until_attached(("b", False))

    story(scenario)


def test_after_a_restart_what_nobody_uses_is_detached_whatever_its_status_and_lists_are_put_right() -> None:
    async def scenario(site: Site) -> None:
        await site.node("a", volumesAttached=[{"name": f"kubernetes.io/csi/{DRIVER}^lost", "devicePath": ""}])
        for name in ("one", "two"):
            await site.claim(name)
            await site.lab.client.create(ATTACHMENTS, {
                "metadata": {"name": attachment_name(volume(f"pv-{name}"), "a" if name == "one" else "never-seen")},
                "spec": {"attacher": DRIVER, "nodeName": "a" if name == "one" else "never-seen",
                         "source": {"persistentVolumeName": f"pv-{name}"}},
            })
        await site.until_attached(("never-seen", False))

        async def is_empty() -> bool:
            return not dig(await site.lab.client.get(NODES, "a"), "status", "volumesAttached")

        await site.lab.until(is_empty)
        await site.until_attached(within_s=400)

    story(scenario)


def test_nothing_is_attached_for_claims_that_are_not_bound_nodes_that_do_it_themselves_and_drivers_without() -> None:
    async def scenario(site: Site) -> None:
        await site.lab.client.create(NODES, {"metadata": {"name": "own"}})
        await site.node("a")
        await asyncio.sleep(2)
        await site.claim("data")
        await site.claim("late")
        await site.lab.patch(PERSISTENT_VOLUME_CLAIMS, "late", "status", status={"phase": "Pending"})
        await site.claim("files", driver="file.example.com")
        await site.lab.client.create(CSI_DRIVERS, {
            "metadata": {"name": "file.example.com"}, "spec": {"attachRequired": False},
        })
        await site.pod("left-alone", "own")
        await site.pod("waits", "a", "late")
        await site.pod("needs-none", "a", "files")
        await asyncio.sleep(30)
        assert await site.attached() == []
        await site.lab.patch(PERSISTENT_VOLUME_CLAIMS, "late", "status", status={"phase": "Bound"})
        await site.until_attached(("a", False))

    story(scenario)


def test_figures_of_volumes_in_use_in_both_worlds_and_of_force() -> None:
    async def scenario(site: Site) -> None:
        config = ControllerManagerConfig(controllers="persistentvolume-attach-detach-controller")
        manager = ControllerManager(site.lab.cluster.client_of("system:masters", "system:masters"), config)
        running = asyncio.ensure_future(manager.run())
        registry = CollectorRegistry()
        registry.register(manager)
        plugin = f"kubernetes.io/csi:{DRIVER}"

        def figures() -> tuple[float, ...]:
            def value(name: str, **labels: str) -> float:
                return registry.get_sample_value(name, labels) or 0.0

            total = "attachdetach_controller_total_volumes"
            return (
                value("storage_count_attachable_volumes_in_use", node="a", volume_plugin=plugin),
                value(total, plugin_name=plugin, state="desired_state_of_world"),
                value(total, plugin_name=plugin, state="actual_state_of_world"),
                value("attachdetach_controller_forced_detaches", reason="out-of-service"),
            )

        async def until(*wanted: float) -> None:
            async def check() -> bool:
                return figures() == wanted

            await site.lab.until(check, within_s=60.0, what=f"{wanted}, at last {figures()}")

        await site.node("a")
        await asyncio.sleep(2)
        await site.claim("data")
        await site.pod("first", "a")
        await site.pod("second", "a")
        await until(2.0, 1.0, 1.0, 0.0)
        taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
        await site.lab.client.patch(NODES, "a", {"spec": {"taints": [taint]}}, type="merge")
        for name in ("first", "second"):
            await site.lab.client.delete(PODS, name, "default")
        await until(0.0, 0.0, 0.0, 1.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    on_a_cluster(lambda lab: scenario(Site(lab)), nodes=0, controllers="serviceaccount-controller")


def test_what_only_the_volume_the_node_or_the_pods_state_says_counts_too() -> None:
    async def scenario(site: Site) -> None:
        stale = [{"name": f"kubernetes.io/csi/{DRIVER}^lost", "devicePath": ""}]
        await site.node("a", volumesAttached=stale)

        async def is_empty() -> bool:
            return not dig(await site.lab.client.get(NODES, "a"), "status", "volumesAttached")

        await site.lab.until(is_empty)
        await site.claim("data")
        claim = await site.lab.get(PERSISTENT_VOLUME_CLAIMS, "data")
        reference = {"namespace": "default", "name": "data", "uid": uid_of(claim)}
        change = {"spec": {"claimRef": {**reference, "uid": "another"}}}
        await site.lab.client.patch(PERSISTENT_VOLUMES, "pv-data", change, type="merge")
        await site.pod("db", "a")
        await asyncio.sleep(30)
        assert await site.attached() == []
        await site.lab.client.patch(PERSISTENT_VOLUMES, "pv-data", {"spec": {"claimRef": reference}}, type="merge")
        await site.until_attached(("a", False))
        await site.lab.patch(PODS, "db", metadata={"finalizers": ["example.com/held"]})
        await site.lab.client.delete(PODS, "db", "default")
        await site.until_attached()
        assert (await site.lab.get(PODS, "db"))["metadata"]["deletionTimestamp"]

    story(scenario)


def test_a_claim_that_is_not_the_pods_own_is_not_attached_for_its_ephemeral_volume() -> None:
    async def scenario(site: Site) -> None:
        await site.node("a")
        await asyncio.sleep(2)
        await site.claim("db-v")
        template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
        await site.lab.create(PODS, "db", spec={
            "containers": [{"name": "c", "image": "i"}], "nodeName": "a",
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}],
        })
        await asyncio.sleep(30)
        assert await site.attached() == []

    story(scenario)


@pytest.mark.parametrize("is_disabled", [False, True])
def test_whether_force_is_used_is_configured(is_disabled) -> None:
    async def play() -> None:
        controllers = ControllerManagerConfig(controllers=LOOPS, disable_force_detach_on_timeout=is_disabled)
        async with SimCluster(21, config=SimConfig((), controllers=controllers)) as cluster:
            site = Site(Lab(cluster))
            await site.node("a")
            await asyncio.sleep(2)
            await site.claim("data")
            await site.pod("db", "a")
            await site.until_attached(("a", False))
            await site.report(
                "a", conditions=[{"type": "Ready", "status": "Unknown"}],
                volumesInUse=[unique_name(volume("pv-data"))],
            )
            await asyncio.sleep(5)
            await site.lab.client.delete(PODS, "db", "default")
            await asyncio.sleep(400)
            assert await site.attached() == ([("a", False)] if is_disabled else [])

    run(play())
