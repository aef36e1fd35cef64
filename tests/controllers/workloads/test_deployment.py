from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of
from sampan.controllers.workloads import deployment_scaling
from sampan.controllers.workloads.deployment import Observed, plan
from sampan.controllers.workloads.deployment_revisions import REVISION, REVISION_HISTORY
from sampan.controllers.workloads.deployment_scaling import Bounds, bounds_of
from sampan.controllers.workloads.pod_template import hash_of, same_template
from sampan.reconcile.plan import Create, Delete, End, Outcome, Update


class Played:
    """A Deployment whose plans are carried out on documents; its pods become ready when told to."""

    def __init__(self, make, **spec) -> None:
        self.make = make
        self.now = make.now
        self.deployment = make.deployment(**spec)
        self.sets: dict[str, Object] = {}
        self.events: list[str] = []
        self.old_pods: tuple[Object, ...] = ()

    def step(self) -> bool:
        """One reconcile; whether it did anything."""
        decided = plan(Observed(self.deployment, tuple(self.sets.values()), self.old_pods), self.now)
        self.events += [note.message for note in decided.notes]
        steps = [*decided.steps]
        for step in steps:
            self._write(step)
        if decided.finally_:
            for step in decided.finally_(Outcome(created=1)):
                self._write(step)
                steps.append(step)
        return bool(steps)

    def settle(self) -> None:
        for _ in range(200):
            if not self.step():
                return
        raise AssertionError("it does not settle")

    def ready(self) -> None:
        """Every set has the pods it should, all available."""
        for rs in self.sets.values():
            size = rs["spec"]["replicas"]
            counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), size)
            rs["status"] = {**counts, "observedGeneration": 99}

    def roll(self, image: str) -> None:
        self.deployment = copy.deepcopy(self.deployment)
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
        self.deployment["metadata"]["generation"] += 1

    def sizes(self) -> list[int]:
        return [rs["spec"]["replicas"] for rs in self.sets.values()]

    def condition(self, type: str) -> Object:
        return next(one for one in self.deployment["status"]["conditions"] if one["type"] == type)

    def finish(self) -> None:
        for _ in range(100):
            self.ready()
            if not self.step():
                return
        raise AssertionError("it does not finish")

    def _write(self, step) -> None:
        if isinstance(step, Create):
            created = copy.deepcopy(step.obj)
            created["metadata"]["uid"] = f"uid-{name_of(created)}"
            created["metadata"]["creationTimestamp"] = f"2026-01-02T03:0{len(self.sets)}:00Z"
            created["metadata"]["generation"] = 1
            created["status"] = {"replicas": 0}
            self.sets[name_of(created)] = created
            self._event(step.created)
        elif isinstance(step, Delete):
            del self.sets[step.name]
        elif isinstance(step, Update):
            if step.obj["kind"] == "Deployment":
                self.deployment = copy.deepcopy(step.obj)
            else:
                self.sets[name_of(step.obj)] = copy.deepcopy(step.obj)
            self._event(step.done)

    def _event(self, note) -> None:
        if note is not None:
            self.events.append(note.message)


def test_a_new_deployment_creates_its_replica_set_at_full_size(make) -> None:
    played = Played(make)
    played.step()
    [rs] = played.sets.values()
    digest = rs["metadata"]["labels"]["pod-template-hash"]
    assert name_of(rs) == f"web-{digest}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert rs["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": digest}
    assert rs["spec"]["replicas"] == 10
    assert rs["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "1", "deployment.kubernetes.io/desired-replicas": "10",
        "deployment.kubernetes.io/max-replicas": "13",
    }
    assert played.events == [f"Scaled up replica set {name_of(rs)} from 0 to 10"]
    assert played.deployment["metadata"]["annotations"][REVISION] == "1"
    assert played.condition("Progressing")["reason"] == "NewReplicaSetCreated"


def test_it_is_complete_when_all_pods_are_available(make) -> None:
    played = Played(make)
    played.settle()
    assert played.condition("Available")["status"] == "False"
    played.finish()
    assert played.deployment["status"] == {
        "observedGeneration": 1, "replicas": 10, "updatedReplicas": 10, "readyReplicas": 10, "availableReplicas": 10,
        "conditions": played.deployment["status"]["conditions"],
    }
    assert played.condition("Available")["reason"] == "MinimumReplicasAvailable"
    progressing = played.condition("Progressing")
    assert progressing["reason"] == "NewReplicaSetAvailable"
    assert progressing["message"] == f'ReplicaSet "{next(iter(played.sets))}" has successfully progressed.'


@pytest.mark.parametrize(("surge", "unavailable", "steps"), [
    ("25%", "25%", [[10, 3], [5, 3], [5, 8], [0, 8], [0, 10]]),
    (1, 0, None), (0, 1, None), ("100%", 0, None), (0, "100%", None), (3, 2, None),
])
def test_a_rolling_update_never_leaves_its_bounds(make, surge, unavailable, steps) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    played = Played(make, strategy=strategy)
    played.settle()
    played.finish()
    bounds = bounds_of(played.deployment)
    played.roll("web:2")
    seen: list[list[int]] = []
    for _ in range(100):
        played.ready()
        available = sum(rs["status"]["availableReplicas"] for rs in played.sets.values())
        assert available >= bounds.fewest
        if not played.step():
            break
        assert sum(played.sizes()) <= bounds.most
        if not seen or seen[-1] != played.sizes():
            seen.append(played.sizes())
    assert played.sizes() == [0, 10]
    if steps:
        assert seen == steps


def test_pods_that_a_shrinking_set_still_reports_are_not_counted_on(make) -> None:
    def rs(name: str, size: int, available: int) -> Object:
        return {
            "metadata": {"name": name, "uid": name, "annotations": {}, "creationTimestamp": "2026-01-02T03:00:00Z"},
            "spec": {"replicas": size}, "status": {"replicas": available, "availableReplicas": available},
        }

    deployment = make.deployment(replicas=4)
    deployment["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}
    old = rs("old", 2, available=3)  # told to go from 3 to 2, and its status does not show it yet
    [resize] = deployment_scaling.shrink_old(deployment, rs("new", 4, available=2), [old])
    assert resize.size == 1, "3 of 4 have to stay available"


def test_broken_pods_stop_a_rollout_and_the_deadline_is_told(make) -> None:
    played = Played(make)
    played.settle()
    played.finish()
    played.roll("web:broken")
    played.settle()
    for rs in played.sets.values():
        rs["status"]["replicas"] = rs["spec"]["replicas"]
    played.settle()
    old, new = played.sets.values()
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (8, 5)
    assert played.condition("Progressing")["status"] == "True"
    played.now += timedelta(seconds=602)
    played.settle()
    assert played.condition("Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert played.condition("Progressing")["status"] == "False"
    assert played.condition("Available")["status"] == "True"


def test_the_deadline_is_looked_at_in_time(make) -> None:
    played = Played(make)
    played.settle()
    decided = plan(Observed(played.deployment, tuple(played.sets.values())), make.now)
    assert decided.requeue_after_s == 601


def test_going_back_to_an_old_template_uses_its_replica_set_again(make) -> None:
    played = Played(make)
    played.settle()
    played.finish()
    first = next(iter(played.sets))
    played.roll("web:2")
    played.finish()
    played.roll("web:1")
    played.finish()
    assert len(played.sets) == 2
    assert played.sets[first]["spec"]["replicas"] == 10
    assert played.sets[first]["metadata"]["annotations"][REVISION] == "3"
    assert played.sets[first]["metadata"]["annotations"][REVISION_HISTORY] == "1"
    assert played.deployment["metadata"]["annotations"][REVISION] == "3"


def test_scaling_while_rolling_is_proportional(make) -> None:
    """The example of the Deployment's documentation: maxSurge 3, maxUnavailable 2, from 10 to 15."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    played = Played(make, strategy=strategy)
    played.settle()
    played.finish()
    played.roll("web:2")
    for _ in range(3):
        played.step()
    assert played.sizes() == [8, 5]
    played.deployment["spec"]["replicas"] = 15
    played.step()
    assert played.sizes() == [11, 7]


def test_scaling_down_to_zero_empties_every_set(make) -> None:
    played = Played(make)
    played.settle()
    played.finish()
    played.roll("web:2")
    for _ in range(3):
        played.step()
    played.deployment["spec"]["replicas"] = 0
    played.settle()
    assert played.sizes() == [0, 0]


def test_a_paused_deployment_scales_but_does_not_roll(make) -> None:
    played = Played(make)
    played.settle()
    played.finish()
    played.deployment["spec"]["paused"] = True
    played.roll("web:2")
    played.deployment["spec"]["replicas"] = 4
    played.settle()
    assert played.sizes() == [4]
    assert played.condition("Progressing")["reason"] == "DeploymentPaused"
    assert played.condition("Progressing")["status"] == "Unknown"
    played.deployment["spec"]["paused"] = False
    played.finish()
    assert played.sizes() == [0, 4]


def test_recreate_waits_for_the_end_of_old_pods(make) -> None:
    played = Played(make, strategy={"type": "Recreate"}, replicas=2)
    played.settle()
    played.finish()
    played.roll("web:2")
    played.step()
    assert played.sizes() == [0]
    played.ready()
    played.old_pods = (make.pod("still-there", deletionTimestamp=make.now_text),)
    played.settle()
    assert played.sizes() == [0]
    played.old_pods = ()
    played.finish()
    assert played.sizes() == [0, 2]


def test_history_beyond_its_limit_is_deleted_oldest_first(make) -> None:
    played = Played(make, revisionHistoryLimit=1)
    played.settle()
    for image in ("web:2", "web:3", "web:4"):
        played.finish()
        played.roll(image)
    played.finish()
    assert sorted(int(rs["metadata"]["annotations"][REVISION]) for rs in played.sets.values()) == [3, 4]


def test_a_taken_name_raises_the_collision_count(make) -> None:
    deployment = make.deployment()
    [create] = plan(Observed(deployment, ()), make.now).steps
    other = {**create.obj, "metadata": {**create.obj["metadata"], "ownerReferences": []}}
    update, end = create.on_exists(other)
    assert update.obj["status"]["collisionCount"] == 1 and isinstance(end, End)
    [again] = plan(Observed(update.obj, ()), make.now).steps
    assert name_of(again.obj) != name_of(create.obj)
    assert create.on_exists(create.obj) == (End(),)


def test_a_refused_replica_set_is_told(make) -> None:
    decided = plan(Observed(make.deployment(), ()), make.now)
    error = errors.Forbidden("exceeded quota")
    [update] = decided.finally_(Outcome(error=error, failed=decided.steps[0]))
    [progressing] = [one for one in update.obj["status"]["conditions"] if one["type"] == "Progressing"]
    assert (progressing["status"], progressing["reason"]) == ("False", "ReplicaSetCreateError")
    assert decided.finally_(Outcome(error=errors.Conflict("x"), failed=None)) == ()


def test_a_replica_failure_is_passed_on(make) -> None:
    played = Played(make)
    played.settle()
    [rs] = played.sets.values()
    rs["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    ]
    played.settle()
    assert played.condition("ReplicaFailure")["message"] == "quota"
    rs = next(iter(played.sets.values()))
    del rs["status"]["conditions"]
    played.settle()
    assert not [one for one in played.deployment["status"]["conditions"] if one["type"] == "ReplicaFailure"]


def test_an_empty_selector_is_refused(make) -> None:
    [note] = plan(Observed(make.deployment(selector={}), ()), make.now).notes
    assert note.reason == "SelectingAll"


@pytest.mark.parametrize(("replicas", "surge", "unavailable", "bounds"), [
    (10, "25%", "25%", Bounds(10, 3, 2)), (1, "25%", "25%", Bounds(1, 1, 0)), (10, 0, 0, Bounds(10, 0, 1)),
    (3, 5, 5, Bounds(3, 5, 3)), (0, "25%", "25%", Bounds(0, 0, 0)),
])
def test_percentages_round_as_documented(make, replicas, surge, unavailable, bounds) -> None:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    deployment = make.deployment(replicas=replicas, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    assert bounds_of(deployment) == bounds


def test_the_hash_is_stable_and_safe(make) -> None:
    template = make.template()
    assert hash_of(template) == hash_of(copy.deepcopy(template)) == "5d98bb5557"
    assert hash_of(template) != hash_of(template, 1)
    assert set(hash_of(make.template("x"))) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_templates_are_the_same_but_for_the_hash_and_emptiness(make) -> None:
    a, b = make.template(), make.template(app="web", **{"pod-template-hash": "x"})
    b["metadata"]["annotations"] = {}
    b["metadata"]["creationTimestamp"] = None
    assert same_template(a, b)
    assert not same_template(a, make.template("web:2"))
    with_volume = make.template()
    with_volume["spec"]["volumes"] = [{"name": "x", "emptyDir": {}}]
    other_volume = make.template()
    other_volume["spec"]["volumes"] = [{"name": "x", "hostPath": {}}]
    assert not same_template(with_volume, other_volume)


def test_scaling_needs_no_rollout(make) -> None:
    played = Played(make)
    played.settle()
    assert not deployment_scaling.needs_scaling(played.deployment, played.sets.values())
    played.deployment["spec"]["replicas"] = 5
    assert deployment_scaling.needs_scaling(played.deployment, played.sets.values())
