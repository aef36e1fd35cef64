"""ResourceClaim (dynamic resource allocation): claims are made for pods, kept for their users, and freed after them.

Observed: pods that have `spec.resourceClaims`, claims, claim templates. Desired: a claim for each pod that names a
template, and reservations that are those of pods that run or will. Pods that name a template get a claim of their own
(see `resource_claim_pods.py`). A pod that has a node without having passed the scheduler is entered into
`status.reservedFor` of its allocated claims, as the scheduler would have done. Entries of pods that are gone or have
finished are taken out; with the last one the allocation is given back and then the finalizer
`resource.kubernetes.io/delete-protection` removed. That finalizer is also the first thing that the scheduler writes of
a new allocation, so it is removed only right after the allocation was given back, or when the claim is being deleted.
A claim made for a pod that will not run (any more) is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.api.resources import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from sampan.apimachinery import errors
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    key_of,
    meta,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from sampan.controllers.devices import resource_claim_pods
from sampan.controllers.devices.resource_claim_pods import Claims, names_of, owning_pod
from sampan.controllers.pods import index_by_owner, is_finished, owned
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Reading, Tally
from sampan.reconcile.plan import NOTHING, Create, Delete, Plan, Step, Update, Write

PROTECTION = "resource.kubernetes.io/delete-protection"
OF_ALLOCATION = ("allocation", "devices", "reservedFor")
MOST_USERS = 256
POD = "pod:"


@dataclass(frozen=True, slots=True)
class Users:
    """Pods that a claim has to do with: those that it is reserved for and that are there, by uid, and the one (of
    whatever uid) that has the name of the pod that it was made for."""

    pods: Mapping[str, Object] = field(default_factory=dict)
    owner: Object | None = None


def plan_claim(claim: Object, users: Users, *, freed: bool = False) -> Plan:
    """The next step of a claim. `freed`: the last thing that was done about it was to give its devices back."""
    reserved = list(dig(claim, "status", "reservedFor", default=()))
    valid = [one for one in reserved if one.get("resource") != "pods" or _runs(users.pods.get(one.get("uid", "")))]
    finalizers = meta(claim).get("finalizers") or []
    is_ours, has_devices = PROTECTION in finalizers, dig(claim, "status", "allocation") is not None
    if len(valid) < len(reserved) and valid:
        return Plan((_with_status(claim, {**claim["status"], "reservedFor": valid}),))
    if valid:
        return NOTHING
    if reserved or (has_devices and is_ours and is_being_deleted(claim)):
        dropped = OF_ALLOCATION if is_ours else ("reservedFor",)
        return Plan((_with_status(claim, {k: v for k, v in claim["status"].items() if k not in dropped}),))
    steps: list[Step] = []
    if is_ours and not has_devices and (freed or is_being_deleted(claim)):
        kept = [one for one in finalizers if one != PROTECTION]
        steps.append(Update(RESOURCE_CLAIMS, {**claim, "metadata": {**meta(claim), "finalizers": kept}}))
    if users.owner is not None and not is_being_deleted(claim):
        is_replaced = uid_of(users.owner) != owning_pod(claim)[1]
        if is_replaced or not _runs(users.owner):
            steps.append(Delete(RESOURCE_CLAIMS, name_of(claim), namespace_of(claim), uid=uid_of(claim)))
    return Plan(tuple(steps))


def _with_status(claim: Object, status: Object) -> Update:
    return Update(RESOURCE_CLAIMS, {**claim, "status": status}, subresource="status")


def gives_back(decided: Plan, claim: Object) -> bool:
    """Whether a plan takes the allocation of the claim away."""
    if dig(claim, "status", "allocation") is None:
        return False
    return any(
        isinstance(step, Update) and step.subresource == "status" and "allocation" not in step.obj["status"]
        for step in decided.steps
    )


def _runs(pod: Object | None) -> bool:
    """Whether the pod still needs what it has: one without a node that is being deleted will never run."""
    if pod is None or is_finished(pod):
        return False
    return not (is_being_deleted(pod) and not dig(pod, "spec", "nodeName"))


def reservation(pod: Object, claim: Object) -> Update | None:
    """Enter a pod that has a node into an allocated claim; None if it is there, or the claim cannot be used."""
    reserved = list(dig(claim, "status", "reservedFor", default=()))
    if dig(claim, "status", "allocation") is None or any(one.get("uid") == uid_of(pod) for one in reserved):
        return None
    owner = owning_pod(claim)[1]
    if len(reserved) >= MOST_USERS or (owner and owner != uid_of(pod)):
        return None
    entry = {"resource": "pods", "name": name_of(pod), "uid": uid_of(pod)}
    return _with_status(claim, {**claim["status"], "reservedFor": [*reserved, entry]})


def has_admin_access(claim: Object) -> bool:
    requests = dig(claim, "spec", "devices", "requests", default=())
    return any(dig(one, "exactly", "adminAccess") for one in requests)


def _flag(value: bool) -> str:
    return "true" if value else "false"


class ResourceClaimReconciler:
    """Keys are claims, and `pod:` with a pod's key."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._claims = wiring.read(RESOURCE_CLAIMS)
        index_by_owner(self._claims)
        self._pods = wiring.watch(PODS, self._keys_of_pod)
        self._pods.add_index("claim", lambda pod: [f"{namespace_of(pod)}/{name}" for name in names_of(pod)])
        self._templates = wiring.watch(RESOURCE_CLAIM_TEMPLATES, self._waiting)
        wiring.watch(RESOURCE_CLAIMS, self._keys_of_claim)
        self._freed: set[str] = set()
        self._creations = Tally(
            "resourceclaim_controller_creates_total", "Number of ResourceClaims creation requests, categorized by "
            "creation status and admin access", ("status", "admin_access"),
        )
        wiring.measure(self._creations, Reading(
            "resourceclaim_controller_resource_claims", "Number of ResourceClaims, categorized by allocation status, "
            "admin access, and source", ("allocated", "admin_access", "source"), self._present,
        ))
        wiring.observe(self._count)

    def _count(self, write: Write, error: errors.APIError | None) -> None:
        if isinstance(write, Create):
            self._creations.add("success" if error is None else "failure", _flag(has_admin_access(write.obj)))

    def _present(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for claim in self._claims.list():
            source = "resource_claim_template" if resource_claim_pods.ENTRY in annotations_of(claim) else ""
            is_allocated = dig(claim, "status", "allocation") is not None
            key = (_flag(is_allocated), _flag(has_admin_access(claim)), source)
            found[key] = found.get(key, 0.0) + 1.0
        return found

    async def reconcile(self, key: str) -> Plan:
        if key.startswith(POD):
            pod = self._pods.get_by_key(key.removeprefix(POD))
            return self._of_pod(pod) if pod is not None else NOTHING
        claim = self._claims.get_by_key(key)
        if claim is None:
            self._freed.discard(key)
            return NOTHING
        decided = plan_claim(claim, await self._users(claim), freed=key in self._freed)
        self._freed.discard(key)
        if gives_back(decided, claim):
            self._freed.add(key)
        return decided

    def _of_pod(self, pod: Object) -> Plan:
        if is_being_deleted(pod) or is_finished(pod):
            return NOTHING
        namespace = namespace_of(pod)
        decided = resource_claim_pods.plan(pod, Claims(
            lambda name: self._claims.get(name, namespace), lambda name: self._templates.get(name, namespace),
            sorted(owned(self._claims, pod), key=key_of),
        ))
        if decided or not dig(pod, "spec", "nodeName"):
            return decided
        found = [claim for name in names_of(pod) if (claim := self._claims.get(name, namespace)) is not None]
        return Plan(tuple(step for claim in found if (step := reservation(pod, claim)) is not None))

    async def _users(self, claim: Object) -> Users:
        """That a user is gone is asked of the server: its devices are then given away."""
        namespace = namespace_of(claim)
        found: dict[str, Object] = {}
        for one in dig(claim, "status", "reservedFor", default=()):
            name, uid = one.get("name", ""), one.get("uid", "")
            pod = self._pods.get(name, namespace)
            if pod is None:
                try:
                    pod = await self._client.get(PODS, name, namespace)
                except errors.NotFound:
                    continue
            if uid_of(pod) == uid:
                found[uid] = pod
        owner, _ = owning_pod(claim)
        return Users(found, self._pods.get(owner, namespace) if owner else None)

    def _keys_of_claim(self, claim: Object) -> list[str]:
        users = [f"{POD}{key_of(pod)}" for pod in self._pods.by_index("claim", key_of(claim))]
        name, _ = owning_pod(claim)
        owner = [f"{POD}{namespace_of(claim)}/{name}"] if name else []
        return [key_of(claim), *sorted({*users, *owner})]

    def _waiting(self, template: Object) -> list[str]:
        return sorted(
            f"{POD}{key_of(pod)}" for pod in self._pods.list(namespace_of(template))
            if any(
                one.get("resourceClaimTemplateName") == name_of(template)
                for one in resource_claim_pods.entries_of(pod)
            )
        )

    def _keys_of_pod(self, pod: Object) -> list[str]:
        """Itself and its claims. One that was made for it twice, for whoever made it first never learned of it, is not
        named by the pod, and goes with it all the same."""
        if not resource_claim_pods.entries_of(pod):
            return []
        namespace, _ = split_key(key_of(pod))
        named = {f"{namespace}/{name}" for name in names_of(pod)}
        return [f"{POD}{key_of(pod)}", *sorted(named | {key_of(claim) for claim in owned(self._claims, pod)})]
