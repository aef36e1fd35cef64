"""StatefulSets, their pods and revisions, and what the loop decides on them."""

from __future__ import annotations

from sampan.api.resources import PODS, STATEFUL_SETS
from sampan.apimachinery.object import Object, name_of
from sampan.controllers.workloads.revision_history import HASH_LABEL, history_of
from sampan.controllers.workloads.statefulset import Observed, plan
from sampan.reconcile.plan import Create, Delete


def stateful_set(make, **spec) -> Object:
    defaults = {
        "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": make.template(), "serviceName": "web",
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    }
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": make.meta("web"), "spec": {**defaults, **spec},
        "status": {},
    }


def revisions(owner: Object) -> tuple[Object, ...]:
    """The revision of the set's present template, as the server would have it."""
    [creation] = history_of(owner, STATEFUL_SETS, []).steps
    revision = creation.obj
    revision["metadata"]["uid"] = "uid-" + name_of(revision)
    return (revision,)


def members(make, owner: Object, *numbers: int, ready: bool = True, revision: str = "", **more) -> list[Object]:
    labels = {"app": "web", HASH_LABEL: revision or name_of(revisions(owner)[0])}
    found = []
    for number in numbers:
        own = {"statefulset.kubernetes.io/pod-name": f"web-{number}", "apps.kubernetes.io/pod-index": str(number)}
        found.append(make.pod(f"web-{number}", owner, ready=ready, labels={**labels, **own}, **more))
    return found


def decided(owner: Object, pods: list[Object], make, claims: dict | None = None, known: tuple = ()):
    return plan(Observed(owner, tuple(pods), claims or {}, known or revisions(owner)), make.now)


def created(writes: list) -> list[str]:
    return [name_of(write.obj) for write in writes if isinstance(write, Create) and write.resource == PODS]


def deleted(writes: list) -> list[str]:
    return [write.name for write in writes if isinstance(write, Delete)]


def rolled(make, owner: Object, pods: list[Object]) -> list[str]:
    found: list[str] = []
    for step in decided(owner, pods, make, known=(revisions(owner)[0],)).steps:
        found += [step.name] if isinstance(step, Delete) else []
    return found
