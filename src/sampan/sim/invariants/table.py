"""INVARIANTS: every one, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sampan.sim.invariants import (
    autoscaling,
    devices,
    gangs,
    jobs,
    nodes,
    objects,
    pods,
    policies,
    preemption,
    replicas,
    services,
    sets,
)
from sampan.sim.observer import Invariant

INVARIANTS: Final[Sequence[Callable[[], Invariant]]] = (
    pods.Disturbances,
    objects.Identity,
    objects.Finalizers,
    objects.Generations,
    objects.Intent,
    objects.Owners,
    objects.Namespaces,
    objects.Garbage,
    objects.Ledgers,
    pods.PodLifecycle,
    pods.PodRemoval,
    pods.PodGarbage,
    pods.NodeCapacity,
    nodes.Silence,
    nodes.Evacuations,
    nodes.TaintEvictions,
    replicas.ReplicaCount,
    replicas.RolloutSize,
    replicas.RolloutAvailability,
    sets.StatefulSetOrder,
    sets.DaemonPerNode,
    sets.ClaimsOfSets,
    jobs.JobCounts,
    jobs.JobPods,
    jobs.CronJobConcurrency,
    jobs.JobLifetimes,
    policies.Quotas,
    policies.Budgets,
    autoscaling.Autoscalers,
    policies.Leadership,
    policies.VolumeBinding,
    services.ServiceAddresses,
    services.Endpoints,
    preemption.Victims,
    preemption.Spared,
    preemption.KeptRooms,
    gangs.Gangs,
    gangs.WholeGroups,
    devices.Allocations,
    devices.Reservations,
)


def make() -> list[Invariant]:
    """A fresh set: some remember."""
    return [invariant() for invariant in INVARIANTS]
