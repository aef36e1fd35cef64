"""Devices that are tainted lose their users, unless these tolerate it (KEP-5055)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import DEVICE_TAINT_RULES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig
from sampan.controllers.devices.device_taint_eviction import plan_pod, plan_rule
from sampan.controllers.devices.device_taints import DeviceTaints, Eviction
from sampan.reconcile.plan import Delete, Patch, Verify

BROKEN = {"key": "example.com/broken", "effect": "NoExecute"}


def resource_slice(*devices: Object, generation: int = 1, name: str = "s") -> Object:
    pool = {"name": "pool", "generation": generation, "resourceSliceCount": 1}
    return {"metadata": {"name": name}, "spec": {"driver": "d", "pool": pool, "devices": list(devices)}}


def device(name: str, *taints: Object) -> Object:
    return {"name": name, **({"taints": list(taints)} if taints else {})}


def claim(*names: str, tolerations: tuple[Object, ...] = ()) -> Object:
    results = [
        {"request": "r", "driver": "d", "pool": "pool", "device": name, "tolerations": list(tolerations)}
        for name in names
    ]
    return {"metadata": {"name": "c"}, "status": {"allocation": {"devices": {"results": results}}}}


def rule(uid: str = "r", effect: str = "NoExecute", generation: int = 1, **selector: str) -> Object:
    taint = {"key": "k", "effect": effect, "timeAdded": "2026-01-02T03:04:05Z"}
    spec = {"taint": taint, "deviceSelector": selector}
    return {"metadata": {"name": uid, "uid": uid, "generation": generation}, "spec": spec}


def tolerating(seconds: int | None = None, **fields: Any) -> Object:
    found = {"operator": "Exists", **fields}
    return found if seconds is None else {**found, "tolerationSeconds": seconds}


@pytest.mark.parametrize(("taints", "tolerations", "after_s"), [
    ((), (), None),
    (({**BROKEN, "effect": "NoSchedule"},), (), None),
    (({**BROKEN, "effect": "None"},), (), None),
    (({**BROKEN, "effect": "Unknown"},), (), None),
    ((BROKEN,), (), 0),
    ((BROKEN,), (tolerating(),), None),
    ((BROKEN,), (tolerating(effect="NoSchedule"),), 0),
    ((BROKEN,), (tolerating(60, effect="NoExecute"),), 60),
    ((BROKEN,), (tolerating(60), tolerating(20)), 20),
    ((BROKEN,), (tolerating(60), tolerating()), None),
    ((BROKEN,), (tolerating(-5),), 0),
    ((BROKEN,), (tolerating(60, key="other"),), 0),
    ((BROKEN, {**BROKEN, "key": "second"}), (tolerating(60, key="second"),), 0),
    ((BROKEN, {**BROKEN, "key": "second"}), (tolerating(key="second"),), 0),
    ((BROKEN, {**BROKEN, "key": "second"}), (tolerating(60, key="second"), tolerating(30, key=BROKEN["key"])), 30),
    ((BROKEN,), (tolerating(20, key="other"), tolerating(60), tolerating(30)), 30),
    (({**BROKEN, "value": "v"},), (tolerating(60, operator="Equal", value="v"),), 60),
    (({**BROKEN, "value": "v"},), (tolerating(60, operator="Equal", value="w"),), 0),
    (({**BROKEN, "value": "v"},), (tolerating(60, operator="Like", value="v"),), 0),
])
def test_the_first_taint_that_is_not_answered_decides(make, taints, tolerations, after_s) -> None:
    added = [{**one, "timeAdded": make.now_text} for one in taints]
    found = DeviceTaints([resource_slice(device("a", *added), device("b"))], [])
    eviction = found.eviction([claim("b", "a", tolerations=tolerations)], make.now + timedelta(hours=1))
    assert (eviction and eviction.at) == (None if after_s is None else make.now + timedelta(seconds=after_s))


def test_only_the_newest_generation_of_a_pool_counts(make) -> None:
    old = resource_slice(device("a", BROKEN), generation=1, name="old")
    new = resource_slice(device("a"), generation=2, name="new")
    assert DeviceTaints([old, new], []).eviction([claim("a")], make.now) is None
    assert DeviceTaints([old], []).eviction([claim("a")], make.now) is not None


@pytest.mark.parametrize(("selector", "hit"), [
    ({"driver": "d"}, True), ({"driver": "d", "pool": "pool", "device": "a"}, True), ({}, True),
    ({"driver": "e"}, False), ({"driver": "d", "device": "b"}, False),
])
def test_rules_taint_the_devices_that_they_select_also_unpublished_ones(make, selector, hit) -> None:
    eviction = DeviceTaints([], [rule(**selector)]).eviction([claim("a")], make.now)
    assert eviction == (Eviction(make.now, frozenset({"r"})) if hit else None)


def test_a_rule_without_a_selector_means_nothing(make) -> None:
    silent = rule()
    del silent["spec"]["deviceSelector"]
    assert DeviceTaints([], [silent]).eviction([claim("a")], make.now) is None


def test_a_pod_whose_time_has_come_is_marked_and_deleted_and_one_that_may_stay_is_told(make) -> None:
    decided = plan_pod(make.pod("a"), Eviction(make.now), make.now)
    verify, mark, gone = decided.steps
    assert isinstance(verify, Verify) and verify.uid == "uid-a"  # whoever goes already is neither marked nor told
    assert isinstance(mark, Patch) and mark.patch["status"]["conditions"][0]["reason"] == "DeletionByDeviceTaintManager"
    assert isinstance(gone, Delete) and gone.uid == "uid-a"
    assert gone.deleted is not None and gone.deleted.message == "Marking for deletion" and not decided.notes
    marked = make.pod("b")
    marked["status"]["conditions"].append(mark.patch["status"]["conditions"][0])
    assert [type(step) for step in plan_pod(marked, Eviction(make.now), make.now).steps] == [Verify, Delete]
    assert plan_pod(make.pod("a"), Eviction(make.now + timedelta(seconds=9)), make.now).requeue_after_s == 9
    assert [note.message for note in plan_pod(make.pod("a"), None, make.now, waited=True).notes] == [
        "Cancelling deletion"]


@pytest.mark.parametrize(("effect", "pending", "evicted", "status", "reason", "message"), [
    ("NoExecute", 0, 0, "False", "NotStarted", ""),
    ("NoExecute", 1, 0, "True", "PodsPendingEviction", "1 pod needs to be evicted in 1 namespace."),
    ("NoExecute", 2, 1, "True", "PodsPendingEviction",
     "2 pods need to be evicted in 2 different namespaces. 1 pod evicted since starting the controller."),
    ("NoExecute", 0, 2, "False", "Completed", "2 pods evicted since starting the controller."),
    ("NoSchedule", 0, 0, "False", "OtherEffect", "Eviction only happens for the NoExecute effect."),
    ("None", 1, 0, "False", "NoEffect",
     "3 published devices selected. 1 allocated device selected. 1 pod would be evicted in 1 namespace if the effect "
     "was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."),
])
def test_a_rule_says_what_comes_of_it(make, effect, pending, evicted, status, reason, message) -> None:
    pods = [{"metadata": {"name": "p", "namespace": f"n{n}"}} for n in range(pending)]
    owner = rule(effect=effect)
    [update] = plan_rule(owner, pods, evicted, (3, 1), make.now).steps
    [found] = update.obj["status"]["conditions"]
    assert (found["type"], found["status"], found["reason"], found["message"]) == (
        "EvictionInProgress", status, reason, message)
    assert not plan_rule(update.obj, pods, evicted, (3, 1), make.now + timedelta(minutes=1)).steps


def test_a_status_is_written_every_ten_seconds_at_most_unless_the_rule_has_changed(make) -> None:
    owner, pods = rule(), [{"metadata": {"name": "p", "namespace": "n"}}]
    [first] = plan_rule(owner, pods, 0, (0, 1), make.now).steps
    soon = plan_rule(first.obj, [], 1, (0, 1), make.now + timedelta(seconds=4))
    assert not soon.steps and soon.requeue_after_s == 6
    for later in (timedelta(seconds=10), timedelta(seconds=-30)):  # the clock may have been put back
        assert plan_rule(first.obj, [], 1, (0, 1), make.now + later).steps
    changed = {**first.obj, "metadata": {**first.obj["metadata"], "generation": 2}}
    assert plan_rule(changed, [], 1, (0, 1), make.now + timedelta(seconds=4)).steps


def test_on_a_cluster_a_rule_drives_out_those_who_do_not_tolerate_it() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.client.create(RESOURCE_SLICES, {
            "apiVersion": RESOURCE_SLICES.api_version, "kind": "ResourceSlice", "metadata": {"name": "s"},
            "spec": {**resource_slice(device("a"), device("b"))["spec"], "allNodes": True, "driver": "d.example.com"},
        })
        for name, chosen, tolerations in (("hit", "a", ()), ("calm", "a", (tolerating(),)), ("other", "b", ())):
            spec = {"containers": [{"name": "c", "image": "x"}], "nodeName": "node-0",
                    "resourceClaims": [{"name": "r", "resourceClaimName": name}]}
            made = await lab.create(PODS, name, spec=spec)
            exactly = {"exactly": {"deviceClassName": "c"}}
            wanted = await lab.create(RESOURCE_CLAIMS, name, spec={"devices": {"requests": [{"name": "r", **exactly}]}})
            status = claim(chosen, tolerations=tolerations)["status"]
            status["allocation"]["devices"]["results"][0]["driver"] = "d.example.com"
            status["reservedFor"] = [{"resource": "pods", "name": name, "uid": made["metadata"]["uid"]}]
            await lab.client.update(RESOURCE_CLAIMS, {**wanted, "status": status}, subresource="status")

        await lab.client.create(DEVICE_TAINT_RULES, {
            "apiVersion": DEVICE_TAINT_RULES.api_version, "kind": "DeviceTaintRule", "metadata": {"name": "broken"},
            "spec": {"deviceSelector": {"driver": "d.example.com", "device": "a"}, "taint": BROKEN},
        })

        async def gone() -> bool:
            try:
                found = await lab.get(PODS, "hit")
            except errors.NotFound:
                return True
            return bool(found["metadata"].get("deletionTimestamp"))

        async def told() -> bool:
            found = await lab.client.get(DEVICE_TAINT_RULES, "broken")
            return [one["reason"] for one in dig(found, "status", "conditions", default=())] == ["Completed"]

        await lab.until(gone)
        await lab.until(told)
        assert {"calm", "other"} <= (await lab.pods()).keys()
        assert "DeviceTaintManagerEviction" in await lab.reasons("hit")

    on_a_cluster(scenario, nodes=1)
