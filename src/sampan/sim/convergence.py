"""What is true of a cluster that has come to rest: everything is as its spec asks, and every status says so.

`problems` names what is not so yet, each in one sentence; none means converged. Objects that cannot come to rest by
design (a pod that no node can hold) are named by a scenario's `unsettled` label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sampan import effects
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, labels_of, meta, namespace_of, uid_of
from sampan.apimachinery.selectors import from_labels
from sampan.sim.invariants import nodes as node_invariants
from sampan.sim.invariants.jobs import is_over, lives_until_s
from sampan.sim.invariants.pods import NODES, amount
from sampan.sim.invariants.policies import BUDGETS, quota_usage, selects
from sampan.sim.invariants.replicas import size
from sampan.sim.world import (
    PODS,
    GroupResource,
    World,
    controller_uid,
    is_active,
    is_finished,
    is_ready,
    node_of,
    phase_of,
    title,
)

UNSETTLED: Final = "sim.sampan/unsettled"
"""A label: this object need not come to rest."""
LATE_S: Final = 30.0
SETTLING_KINDS: Final = frozenset({
    PODS, NODES, ("apps", "deployments"), ("apps", "replicasets"), ("apps", "statefulsets"), ("apps", "daemonsets"),
    ("batch", "jobs"), ("batch", "cronjobs"), ("core", "persistentvolumeclaims"), ("core", "persistentvolumes"),
    ("core", "namespaces"), ("core", "configmaps"), ("core", "services"), ("discovery.k8s.io", "endpointslices"),
    ("policy", "poddisruptionbudgets"), ("core", "resourcequotas"), ("core", "replicationcontrollers"),
})


def problems(world: World, unsettled: Sequence[str] = ()) -> Iterator[str]:
    """Everything that is not at rest, but for the resources that need not be."""
    for resource in sorted(SETTLING_KINDS):
        if resource[1] in unsettled:
            continue
        for obj in world.objects[resource].values():
            if UNSETTLED in labels_of(obj):
                continue
            if is_being_deleted(obj):
                yield f"{title(obj)} is still being deleted, held by {meta(obj).get('finalizers')}"
                continue
            yield from _orphaned(world, obj)
            check = CHECKS.get(resource)
            if check is not None:
                for problem in check(world, obj):
                    yield f"{title(obj)} {problem}"


def _orphaned(world: World, obj: Object) -> Iterator[str]:
    """All owners are gone, and it is not."""
    references = meta(obj).get("ownerReferences") or []
    if not references:
        return
    owners = [world.known.get(str(one.get("uid"))) for one in references]
    if all(one is None or one.gone_at_s is not None for one in owners):
        yield f"{title(obj)} has outlived its owners"


def _differing(obj: Object, **wanted: Any) -> Iterator[str]:
    status = obj.get("status") or {}
    for field, value in wanted.items():
        if (status.get(field) or 0) != value:
            yield f"says {field} {status.get(field) or 0}, it is {value}"


def _observed(obj: Object) -> Iterator[str]:
    if dig(obj, "status", "observedGeneration") != meta(obj).get("generation"):
        yield f"is at generation {meta(obj).get('generation')}, observed {dig(obj, 'status', 'observedGeneration')}"


def _pod(world: World, pod: Object) -> Iterator[str]:
    if is_finished(pod):
        return
    if not node_of(pod):
        yield "is not bound"
    elif not is_ready(pod):
        yield f"is {phase_of(pod)} on {node_of(pod)}, not ready"


def _pods_of(world: World, owner: Object) -> list[Object]:
    return [pod for pod in world.pods_of[uid_of(owner)].values() if not is_finished(pod)]


def _deployment(world: World, obj: Object) -> Iterator[str]:
    yield from _observed(obj)
    wanted = size(obj)
    if dig(obj, "spec", "paused"):
        return
    fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    yield from _differing(obj, **dict.fromkeys(fields, wanted))
    sets = [one for one in world.all("apps", "replicasets") if controller_uid(one) == uid_of(obj)]
    if sum(map(size, sets)) != wanted:
        yield f"has ReplicaSets for {sum(map(size, sets))} pods, not {wanted}"
    template = dig(obj, "spec", "template", "spec", "containers")
    for one in sets:
        if size(one) and dig(one, "spec", "template", "spec", "containers") != template:
            yield f"still runs {title(one)}"


def _replicas(world: World, obj: Object) -> Iterator[str]:
    yield from _observed(obj)
    pods, wanted = _pods_of(world, obj), size(obj)
    if len(pods) != wanted:
        yield f"has {len(pods)} pods, not {wanted}"
    ready = sum(1 for pod in pods if is_ready(pod))
    yield from _differing(obj, replicas=wanted, readyReplicas=ready)


def _stateful_set(world: World, obj: Object) -> Iterator[str]:
    yield from _observed(obj)
    wanted, start = size(obj), dig(obj, "spec", "ordinals", "start", default=0)
    names = sorted(str(meta(pod).get("name")) for pod in _pods_of(world, obj))
    if names != sorted(f"{meta(obj)['name']}-{n}" for n in range(start, start + wanted)):
        yield f"has pods {names}, not {wanted} from {start}"
    yield from _differing(obj, replicas=wanted, readyReplicas=wanted)
    yield from _claims_beyond(world, obj, range(start, start + wanted))
    partition = dig(obj, "spec", "updateStrategy", "rollingUpdate", "partition", default=0)
    if dig(obj, "spec", "updateStrategy", "type") == "OnDelete" or partition:
        return
    images = {dig(pod, "spec", "containers", 0, "image") for pod in _pods_of(world, obj)}
    if images - {dig(obj, "spec", "template", "spec", "containers", 0, "image")}:
        yield f"still runs {sorted(images)}"
    if wanted and dig(obj, "status", "currentRevision") != dig(obj, "status", "updateRevision"):
        yield "has not made its update revision the current one"


def _claims_beyond(world: World, obj: Object, ordinals: range) -> Iterator[str]:
    """Claims of ordinals that are not to be, where they have always been to go with their pods and those were there."""
    if world.lately(uid_of(obj), "when scaled", 0.0) != ["Delete"]:
        return
    born_at_s = world.known[uid_of(obj)].born_at_s
    kept = {f"{meta(obj)['name']}-{ordinal}" for ordinal in ordinals}
    kept |= set(world.lately(uid_of(obj), "gone before", 0.0))
    for template in dig(obj, "spec", "volumeClaimTemplates", default=[]):
        prefix = f"{template['metadata']['name']}-"
        for claim in world.all("core", "persistentvolumeclaims"):
            name = str(meta(claim)["name"])
            its_set = name.removeprefix(prefix).rpartition("-")[0]
            its_own = name.startswith(prefix) and its_set == meta(obj)["name"]
            if its_own and name.removeprefix(prefix) not in kept and world.known[uid_of(claim)].born_at_s > born_at_s:
                yield f"still has claim {name}"


def _daemon_set(world: World, obj: Object) -> Iterator[str]:
    yield from _observed(obj)
    selector = dig(obj, "spec", "template", "spec", "nodeSelector", default={})
    nodes = [
        key for key, node in world.objects[("core", "nodes")].items() if from_labels(selector).matches(labels_of(node))
    ]
    places = sorted(node_of(pod) for pod in _pods_of(world, obj))
    if places != sorted(nodes):
        missing, extra = sorted(set(nodes) - set(places)), sorted(set(places) - set(nodes))
        yield f"has {len(places)} pods for {len(nodes)} nodes (missing {missing}, too many {extra})"
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    yield from _differing(obj, **dict.fromkeys(fields, len(nodes)))


def _job(world: World, obj: Object) -> Iterator[str]:
    active = [pod for pod in _pods_of(world, obj) if is_active(pod)]
    if dig(obj, "spec", "suspend"):
        if active:
            yield f"is suspended with {len(active)} pods"
        return
    if not is_over(obj):
        yield f"has not finished: {obj.get('status')}"
    elif active:
        yield f"is finished, and {len(active)} pods are not"
    ends_at = lives_until_s(obj)
    if ends_at is not None and ends_at + LATE_S < effects.now().timestamp():
        yield "has been there for longer than it may after its end"


def _claim(world: World, obj: Object) -> Iterator[str]:
    if dig(obj, "status", "phase") != "Bound":
        yield f"is {dig(obj, 'status', 'phase')}"
        return
    volume = world.get(("core", "persistentvolumes"), dig(obj, "spec", "volumeName", default=""))
    if volume is None or dig(volume, "spec", "claimRef", "uid") != uid_of(obj):
        yield f"is bound to {dig(obj, 'spec', 'volumeName')}, which is not bound to it"


def _budget(world: World, obj: Object) -> Iterator[str]:
    yield from _observed(obj)
    pods = [pod for pod in world.pods_in[namespace_of(obj)].values() if selects(obj, pod) and not is_finished(pod)]
    healthy = sum(1 for pod in pods if is_ready(pod))
    yield from _differing(obj, currentHealthy=healthy)


def _service(world: World, obj: Object) -> Iterator[str]:
    selector = dig(obj, "spec", "selector")
    if not selector:
        return
    matcher = from_labels(selector)
    pods = world.pods_in[namespace_of(obj)].values()
    wanted = {
        str(dig(pod, "status", "podIP")) for pod in pods
        if matcher.matches(labels_of(pod)) and is_active(pod) and is_ready(pod)
    }
    found: set[str] = set()
    for one in world.all("discovery.k8s.io", "endpointslices"):
        owned = labels_of(one).get("kubernetes.io/service-name") == meta(obj)["name"]
        if owned and namespace_of(one) == namespace_of(obj):
            for endpoint in one.get("endpoints") or []:
                if dig(endpoint, "conditions", "ready"):
                    found |= set(endpoint.get("addresses") or [])
    if found != wanted:
        yield f"sends to {sorted(found)}, ready are {sorted(wanted)}"
    endpoints = world.get(("core", "endpoints"), key_of(obj))
    subsets = dig(endpoints, "subsets", default=[])
    listed = {address["ip"] for subset in subsets for address in subset.get("addresses") or []}
    if listed != wanted:
        yield f"has Endpoints {sorted(listed)}, ready are {sorted(wanted)}"


def _quota(world: World, obj: Object) -> Iterator[str]:
    hard = dig(obj, "spec", "hard", default={})
    for what in hard:
        used = quota_usage(world, namespace_of(obj), what)
        said = dig(obj, "status", "used", what, default="0")
        if used is not None and amount(said) != used:
            yield f"says {said} {what} are used, {used / 1e9:g} are"


CHECKS: Final[dict[GroupResource, Callable[[World, Object], Iterator[str]]]] = {
    PODS: _pod,
    NODES: lambda world, node: node_invariants.unsettled(node),
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replicas,
    ("core", "replicationcontrollers"): _replicas,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("batch", "jobs"): _job,
    ("core", "persistentvolumeclaims"): _claim,
    BUDGETS: _budget,
    ("core", "services"): _service,
    ("core", "resourcequotas"): _quota,
}
