"""MUTANTS: classic mistakes of controllers, client caches, schedulers, API servers and stores, each a line of text."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from sampan.sim.faults.kinds import ClockJump, Crash, Lossy, OlderServer, SlowStore, StaleWatch
from sampan.sim.faults.plan import FaultPlan

_spec = importlib.util.spec_from_file_location("sim_mutant", Path(__file__).with_name("mutant.py"))
assert _spec is not None and _spec.loader is not None
_module = sys.modules["sim_mutant"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
Mutant = _module.Mutant

SLOW_STORE = FaultPlan((SlowStore(0.0, 120.0, 0.5),))
SCHEDULER_IS_NOT_HEARD = FaultPlan((Lossy(0.0, 120.0, "scheduler", 0.5, 0.0),))
SCHEDULER_DIES = FaultPlan(tuple(Crash(at, 1.0, "scheduler", "before") for at in range(5, 115, 12)))
SCHEDULER_DIES_WITH_ITS_BINDING_UNDER_WAY = FaultPlan((
    SlowStore(0.0, 120.0, 3.0), *(Crash(at, 0.5, "scheduler", "inside") for at in range(5, 115, 8)),
))
NEW_NODES_ARE_NOT_SEEN = FaultPlan(tuple(
    StaleWatch(at, 30.0, "pod-garbage-collector-controller", "/nodes") for at in (1.0, 40.0, 80.0)
))
CLOCKS_JUMP = FaultPlan(tuple(ClockJump(15.0 + 30 * n, 12.0, 3600.0) for n in range(15)))


def to_an_older_server(how: str) -> FaultPlan:
    """One component after the other comes to a server that is behind what it has seen."""
    components = ("nodes", "replicaset-controller", "scheduler")
    return FaultPlan(tuple(
        OlderServer(10.0 + 40 * n, 35.0, component, n % 2, how) for n, component in enumerate(components)
    ))


MUTANTS = (
    # What every controller stands on
    Mutant("expectations are forgotten", "reconcile.expectations:Expectations.satisfied",
           "return key not in self._awaited", "return True", "deployments", 4, "heavy"),
    Mutant("a key that changes while it is worked on is lost", "reconcile.workqueue:Workqueue.done",
           "if key in self._dirty:", "if False:", "deployments"),
    Mutant("failed syncs are not retried", "reconcile.workqueue:Workqueue.add_rate_limited",
           "self.add_after(key, min(BASE_DELAY_S * 2**min(failures, 30), MAX_DELAY_S))", "pass", "webhooks"),
    Mutant("a reference with another uid", "controllers.ownership:reference_to",
           '"uid": uid_of(owner)', '"uid": uid_of(owner)[::-1]', "deployments"),
    # Client caches
    Mutant("what vanished during a broken watch stays in the copy", "client.informer:Informer.replace",
           "for key in gone:", "for key in ():", "deployments", 8, "heavy"),
    Mutant("deletions between list and watch are lost", "client.reflector:Reflector._watch",
           "resource_version=self._version", 'resource_version="0"', "deployments", 8, "heavy"),
    Mutant("an expired watch is not listed again", "client.reflector:Reflector.run",
           "listed, self._version_is_gone = False, True", "self._version_is_gone = True", "deployments", 4, "heavy"),
    Mutant("a first list of whatever the server has", "client.reflector:Reflector._list",
           "else self._version\n", 'else self._version or "0"\n', "servers", 3, plan=to_an_older_server("restarted")),
    Mutant("a list again that may be older than what was seen", "client.reflector:Reflector._list",
           '"" if self._version_is_gone', '"0" if self._version_is_gone', "servers", 3,
           plan=to_an_older_server("expired")),
    Mutant("deletions are not applied", "client.informer:Informer.apply",
           'if event.type == "DELETED":', "if False:", "deployments"),
    # ReplicaSets and Deployments
    Mutant("one pod too many", "controllers.workloads.replicaset:plan",
           "missing = wanted - len(active)", "missing = wanted - len(active) + 1", "deployments"),
    Mutant("observed before it was observed", "controllers.workloads.replicaset:status_of",
           'counts["observedGeneration"] = meta(owner).get("generation", 0)',
           'counts["observedGeneration"] = meta(owner).get("generation", 0) + 1', "deployments"),
    Mutant("surge off by one", "controllers.workloads.deployment_scaling:Bounds.most",
           "self.desired + self.surge", "self.desired + self.surge + 1", "deployments"),
    Mutant("availability off by one", "controllers.workloads.deployment_scaling:Bounds.fewest",
           "self.desired - self.unavailable", "self.desired - self.unavailable - 1", "deployments"),
    Mutant("recreation does not wait", "controllers.workloads.deployment:_recreate",
           "if not resizes and (any(map(pods_of, rollout.old)) or not all(map(is_finished, old_pods))):",
           "if False:", "deployments", 4),
    # StatefulSets and DaemonSets
    Mutant("order without readiness", "controllers.workloads.statefulset:_Work._healthy",
           "return _runs(pod) and", "return True or", "statefulsets"),
    Mutant("a set that goes on although one waits", "controllers.workloads.statefulset:_Work._make_and_mend",
           "if waits and self._ordered:\n            break", "if False:\n            break", "statefulsets"),
    Mutant("down from the wrong end", "controllers.workloads.statefulset:_Work.__init__",
           "reverse=True", "reverse=False", "statefulsets", 4),
    Mutant("a name is freed before its pod is gone", "controllers.workloads.statefulset:_Work._delete",
           "uid=uid_of(pod),", "uid=uid_of(pod), grace_period_s=0,", "statefulsets"),
    Mutant("claims are not made", "controllers.workloads.statefulset_identity:missing_claims",
           "if name in claims:", "if True:", "statefulsets"),
    Mutant("two daemons a node", "controllers.workloads.daemonset:_Work.tend",
           "if run and not pods:", "if run and len(pods) < 2:", "daemonsets"),
    # Jobs and CronJobs
    Mutant("a job counts twice", "controllers.jobs.job_tally:Counting.__init__",
           "sum(uid not in tracked for uid in uids)", "sum(2 * (uid not in tracked) for uid in uids)", "jobs"),
    Mutant("released before it is counted", "controllers.jobs.job:plan",
           "steps.append(Parallel(untracked))", "steps.insert(0, Parallel(untracked))", "jobs", 10, "heavy"),
    Mutant("parallelism off by one", "controllers.jobs.job:_manage",
           "len(tally.failed_indexes), parallelism)", "len(tally.failed_indexes), parallelism + 1)", "jobs"),
    Mutant("an index has two pods", "controllers.jobs.job:_open_indexes",
           "busy = tally.done_indexes | tally.failed_indexes | {index_of(pod) for pod in pods}",
           "busy = tally.done_indexes | tally.failed_indexes", "jobs"),
    Mutant("what is refused blocks what is counted", "controllers.jobs.job:plan",
           "Plan((*steps, *creations)", "Plan((*creations, *steps)", "namespaces", 16, "heavy"),
    Mutant("Forbid starts another", "controllers.jobs.cronjob:_serve",
           'if policy == "Forbid" and running:', "if False:", "cronjobs", 3, "light", 6.0),
    # Garbage, namespaces, protection
    Mutant("an owner is known by its name", "controllers.objects.garbage_collector:GarbageCollector._state",
           "if found is None or uid_of(found) != owner.uid:", "if found is None:", "garbage", 8),
    Mutant("living owners count as gone", "controllers.objects.garbage_collector:GarbageCollector._state",
           "return State.WAITING if waits else State.SOLID", "return State.GONE", "garbage"),
    Mutant("an owner that the graph does not show counts as gone",
           "controllers.objects.garbage_collector:GarbageCollector._state",
           "found = await self._live(where, owner.name, namespace)",
           "found = None if self._is_unseen(owner.uid) else await self._live(where, owner.name, namespace)", "garbage",
           4, "heavy"),
    Mutant("a slice that is there is right", "controllers.services.endpointslice:_differs",
           "return (", "return False and (", "deployments"),
    Mutant("the foreground does not wait", "controllers.objects.garbage_collector:_finish_foreground",
           "if blocking:", "if False:", "garbage", 4),
    Mutant("a namespace goes with its contents", "controllers.objects.namespace:plan",
           "if not remains:", "if True:", "namespaces"),
    Mutant("a claim goes while it is used", "controllers.volumes.volume_protection:is_used",
           "return ", "return False and ", "volumes", 4),
    # Budgets, quotas, autoscalers, leaders
    Mutant("a budget counts who is going", "controllers.workloads.disruption:_status",
           "is_ready(pod) and not is_being_deleted(pod) and name_of(pod) not in disrupted for pod in pods",
           "is_ready(pod) for pod in pods", "budgets", 24, minutes=3.0),
    Mutant("an eviction spends nothing", "apiserver.handlers.eviction:_check_and_take",
           'status["disruptionsAllowed"] = allowed - 1', 'status["disruptionsAllowed"] = allowed', "budgets", 8),
    Mutant("one eviction too many", "apiserver.handlers.eviction:_check_and_take",
           'status.get("disruptionsAllowed", 0)', 'status.get("disruptionsAllowed", 0) + 1', "budgets", 6),
    Mutant("the quota is not asked again", "apiserver.admission.resource_quota:ResourceQuota._checked",
           "used = self._used(quota, resource, attributes.namespace)", "used = {}", "quotas"),
    Mutant("the autoscaler knows no bounds", "controllers.autoscaling.hpa_behavior:_paced",
           'int(hpa["spec"]["maxReplicas"])', 'int(hpa["spec"]["maxReplicas"]) + 9', "autoscaling", 4, "light", 5.0),
    Mutant("a lease without a look at its holder", "client.leader_election:LeaderElector._take",
           "if holder and holder != self._identity and now < self._seen_at + duration:", "if False:", "leaders"),
    Mutant("a leader that does not step down", "client.leader_election:LeaderElector.run",
           "await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)",
           "await asyncio.wait((working,), return_when=asyncio.FIRST_COMPLETED)", "leaders", 8, "heavy"),
    # API server and store
    Mutant("finalizers are skipped", "apiserver.registry.deletion:decide",
           "if finalizers or holds_contents(kind, obj):", "if False:", "volumes"),
    Mutant("compare-and-swap that only swaps", "storage.memory:MemoryStore._expect",
           "if current.mod_revision != expected:", "if False:", "deployments", 4, plan=SLOW_STORE),
    Mutant("an update ignores the version that was seen", "apiserver.registry.writing:WritePath._check_identity",
           'if version and version != "0" and version != before["resourceVersion"]:', "if False:", "servers", 3,
           "heavy"),
    Mutant("the most recent is what the cache has", "apiserver.registry.reading:ReadPath._list",
           "revision = await self._hub.fresh()", "revision = self._hub.revision", "servers", 3,
           plan=to_an_older_server("restarted")),
    Mutant("a node port is given away by two servers", "apiserver.registry.service_addresses:ServiceAddresses.secure",
           "if self._claims is not None and", "if False and", "servers", 6, "heavy", 4.0),
    Mutant("a claimed port is not looked up again", "apiserver.registry.port_claims:PortClaims.claim",
           "await self._hub.fresh()", "pass", "servers", 6, "heavy", 4.0),
    Mutant("a pod is bound again", "api.core.pod_binding:binding_conflict",
           "if node:", "if False:", "scheduling", 6, plan=SCHEDULER_DIES_WITH_ITS_BINDING_UNDER_WAY),
    Mutant("a watch begins before what the server remembers", "apiserver.registry.watch_cache:WatchCache.watch",
           "if after < self._window_start:", "if False:", "deployments", 8, "heavy"),
    Mutant("things are made in namespaces that are not there",
           "apiserver.admission.namespace_lifecycle:NamespaceLifecycle.admit",
           "if namespace is None:", "if namespace is None:\n        return\n    if namespace is None:", "namespaces",
           4),
    # Scheduler
    Mutant("assumed pods are forgotten", "scheduler.snapshot:Snapshot.assume",
           "self._place(pod.on(node_name), assumed=True)", "return", "scheduling", 4),
    Mutant("an assumption is never taken back", "scheduler.snapshot:Snapshot.forget",
           "self._unplace(pod.key)", "pass", "scheduling", 6, plan=SCHEDULER_IS_NOT_HEARD),
    Mutant("nodes are never full", "scheduler.snapshot:Snapshot.put_pod",
           "placed = self._placed.get(pod.key)", "return None", "scheduling", 4, plan=SCHEDULER_DIES),
    # Preemption and gangs
    Mutant("an equal is pushed out", "scheduler.plugins.preemption_candidates:Candidates._lower",
           "if other.signature.priority < limit:", "if other.signature.priority <= limit:", "preemption"),
    Mutant("who may not push does", "scheduler.plugins.default_preemption:DefaultPreemption.post_filter",
           "if not pod.signature.preempts:", "if False:", "preemption"),
    Mutant("nobody is spared", "scheduler.plugins.preemption_candidates:Candidates._by_arithmetic",
           "if slots >= len(unit.pods) and min(left, default=0) >= 0:", "if False:", "preemption"),
    Mutant("the room that is made is kept for nobody", "scheduler.scheduler:Scheduler._refuse",
           "if result.nominated_node:", "if False:", "preemption"),
    Mutant("a room is told, and not kept", "scheduler.framework.row_cache:RowCache._judge_crowded",
           "if status is not None:", "if False:", "preemption"),
    Mutant("budgets do not count when pods are preempted", "scheduler.plugins.preemption_units:exceeding",
           "exceeded = exceeded or allowed <= 0", "exceeded = False", "preemption", 6),
    Mutant("a victim is not told why", "scheduler.plugins.default_preemption:_delete",
           'await client.patch(PODS, victim.name, status, victim.namespace, type="strategic", subresource="status")',
           "pass", "preemption"),
    Mutant("two schedulers at work", "scheduler.kube_scheduler:KubeScheduler._lead",
           "if not election.leader_elect:", "if True:", "gangs"),
    Mutant("as much of a gang as there is room for", "scheduler.gang_cycle:Outcome.enough",
           "return len(self.placed) >= self.needed", "return bool(self.placed)", "gangs"),
    Mutant("those of a gang that run do not count", "scheduler.gang_cycle:GangCycle._needed",
           "self.gang.min_count - len(self.running)", "self.gang.min_count", "gangs"),
    Mutant("a gang in two zones", "scheduler.gang_cycle:GangCycle._domains", "if not key:", "if True:", "gangs"),
    Mutant("room for only some of a gang", "scheduler.gang_preemption:find_room",
           "if not outcome.enough:", "if not outcome.placed:", "gangs"),
    Mutant("a gang pushes out its equals", "scheduler.gang_preemption:_units",
           "if priority >= limit:", "if priority > limit:", "gangs"),
    Mutant("some of those who only go together", "scheduler.gang_preemption:_units",
           "if key := groups.disrupted_together(pod):", 'if key := "":', "gangs", 8),
    # Autoscalers
    Mutant("no window before pods are taken", "controllers.autoscaling.hpa_behavior:_stabilised",
           "min(max(current, min(up)), max(down))", "min(max(current, min(up)), down[-1])", "autoscaling"),
    Mutant("no window before pods are added", "controllers.autoscaling.hpa_behavior:_stabilised",
           "min(max(current, min(up)), max(down))", "min(max(current, up[-1]), max(down))", "autoscaling"),
    Mutant("each step is allowed as much as a period", "controllers.autoscaling.hpa_behavior:_proposal",
           "start = current - sum(change for at, change in changes if at > since)", "start = current", "autoscaling"),
    Mutant("the more generous of policies where the stricter is asked for",
           "controllers.autoscaling.hpa_behavior:_pace",
           "max(proposals) if furthest == (sign > 0) else min(proposals)",
           "max(proposals) if sign > 0 else min(proposals)", "autoscaling"),
    Mutant("pods without a number are idle", "controllers.autoscaling.hpa_replicas:_replicas",
           "assumed |= busy", "assumed |= dict.fromkeys(busy, 0)", "autoscaling", 6,
           minutes=8.0),
    Mutant("pods without a number are as busy as the others", "controllers.autoscaling.hpa_replicas:_replicas",
           "assumed |= dict.fromkeys(groups.missing, 0)",
           "assumed |= dict.fromkeys(groups.missing, max(values.values()))", "autoscaling"),
    Mutant("a window ends when the clock is set", "controllers.autoscaling.horizontal_pod_autoscaler:_steady_now",
           "datetime.fromtimestamp(effects.monotonic(), UTC)", "effects.now()", "autoscaling", plan=CLOCKS_JUMP),
    # Sets with claims and partitions
    Mutant("OnDelete rolls", "controllers.workloads.statefulset:_Work.decide",
           'if dig(self.owner, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate":',
           "if True:", "ordinals"),
    Mutant("the partition is rolled, too", "controllers.workloads.statefulset:_Work._roll",
           "if ordinal < first or in_the_way >= limit:", "if in_the_way >= limit:", "ordinals"),
    Mutant("what is made below the partition is new", "controllers.workloads.statefulset:Revisions.for_new_pod",
           "if ordinal < identity.start_ordinal(owner) + partition:", "if False:", "ordinals"),
    Mutant("claims go with whoever has them", "controllers.workloads.statefulset_identity:_owner_of_claim",
           'return owner if policy.get("whenDeleted") == "Delete" else None', "return pod", "ordinals"),
    Mutant("claims stay when a set shrinks", "controllers.workloads.statefulset_identity:_owner_of_claim",
           'if scaled_down and policy.get("whenScaled") == "Delete":', "if False:", "ordinals", 5, minutes=3.0),
    Mutant("a set begins at zero", "controllers.workloads.statefulset_identity:start_ordinal",
           "return int(", "return 0 * int(", "ordinals"),
    # Devices
    Mutant("a device that is about to be given is free", "scheduler.devices.claims:Claims._all",
           "yield from self._pending.values()", "yield from ()", "devices"),
    Mutant("the last share is all that is consumed", "scheduler.devices.claims:Claims.taken",
           "consumed.setdefault(device, Counter()).update(amounts)", "consumed[device] = Counter(amounts)", "devices"),
    Mutant("bound before its claims are its own", "scheduler.plugins.dynamic_resources:DynamicResources.pre_bind",
           "if _is_reserved(claim, pod):", "if True:", "devices"),
    Mutant("devices are taken from who runs", "controllers.devices.resource_claim:_runs",
           "if pod is None or is_finished(pod):", "if True:", "devices"),
    Mutant("devices are kept for who is gone", "controllers.devices.resource_claim:plan_claim",
           'if one.get("resource") != "pods" or _runs(users.pods.get(one.get("uid", "")))', "if True", "devices"),
    Mutant("claims stay when their pods have ended", "controllers.devices.resource_claim:plan_claim",
           "if is_replaced or not _runs(users.owner):", "if is_replaced:", "devices"),
    # What is left over, and for how long
    Mutant("a node that is not in the copy is gone", "controllers.nodes.pod_gc:_reason",
           "if node in observed.gone:", "if node and node not in observed.nodes:", "daemonsets",
           plan=NEW_NODES_ARE_NOT_SEEN),
    Mutant("a job that has ended goes at once", "controllers.jobs.ttl_after_finished:plan",
           "if ends_at > now:", "if False:", "jobs"),
    Mutant("a job that has ended stays", "controllers.jobs.ttl_after_finished:expires_at",
           "if ttl_s is None:", "if True:", "jobs"),
    # Endpoints, budgets, quotas, volumes, daemons, nodes
    Mutant("who is going is sent to", "controllers.services.endpointslice:endpoint_of",
           "(serving and not terminating)", "serving", "deployments"),
    Mutant("who is going is not said to be", "controllers.services.endpointslice:endpoint_of",
           '"terminating": terminating', '"terminating": False', "deployments"),
    Mutant("evictions that were granted are forgotten", "controllers.workloads.disruption:_status",
           "is_ready(pod) and not is_being_deleted(pod) and name_of(pod) not in disrupted for pod in pods",
           "is_ready(pod) and not is_being_deleted(pod) for pod in pods", "budgets", 24, minutes=3.0),
    Mutant("a recount counts one of each", "controllers.objects.resourcequota:plan",
           "used[name] = plus(used.get(name), amount)", "used[name] = amount", "quotas"),
    Mutant("a recount of what was there before", "controllers.objects.resourcequota:plan",
           'if status.get("hard") == hard and status.get("used") is not None and known == counted:',
           'if status.get("used") is not None:', "quotas"),
    Mutant("a volume of somebody else", "api.core.volume_matching:matches",
           'if dig(volume, "spec", "claimRef") is not None:', "if False:", "volumes"),
    Mutant("a daemon set forgets what it expects", "reconcile.expectations:Expectations.satisfied",
           "return key not in self._awaited", "return True", "daemonsets", 8, "heavy"),
    Mutant("a node does not say that a pod has ended", "sim.stages:_completed",
           '"phase": "Failed" if code else "Succeeded"', '"phase": "Running"', "jobs"),
)
