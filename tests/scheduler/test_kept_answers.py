"""What is kept from decision to decision agrees with a snapshot that was made a moment ago, also where room is made."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from sampan.scheduler.cycle import fits, verdicts
from sampan.scheduler.framework.candidates import Candidates
from sampan.scheduler.pod_info import parse

KEYS = ("zone", "rack", "kubernetes.io/hostname")


class History:
    """Nodes, pods and nominations as they are, and a world that was told of each change."""

    def __init__(self, make_world: Callable[[], Any], seed: int) -> None:
        self._rng = random.Random(seed)
        self._make_world = make_world
        self.world = make_world()
        self._nodes: dict[str, dict[str, Any]] = {}
        self._pods: dict[str, tuple[str, dict[str, Any]]] = {}
        self._nominated: dict[str, tuple[str, dict[str, Any]]] = {}
        self._number = 0

    def anew(self) -> Any:
        """Another world, told only of how things are."""
        world = self._make_world()
        for name, node in self._nodes.items():
            world.node(name, **node)
        for name, (node_name, pod) in self._pods.items():
            world.run(node_name, name=name, **pod)
        for name, (node_name, pod) in self._nominated.items():
            world.snapshot.nominate(parse(world.pod(name=name, **pod)), node_name)
        return world

    def step(self) -> None:
        """Something happens."""
        what = self._rng.random()
        if what < 0.25 or not self._nodes:
            for _ in range(self._rng.randint(1, 12)):
                self._put_node(f"n{self._next():04}")
        elif what < 0.32:
            self._put_node(self._some(self._nodes))
        elif what < 0.38:
            name = self._some(self._nodes)
            del self._nodes[name]
            self.world.snapshot.remove_node(name)
        elif what < 0.75:
            name, node_name, pod = f"p{self._next()}", self._some(self._nodes), self.pod()
            self.world.run(node_name, name=name, **pod)
            self._pods[name] = node_name, pod
        elif what < 0.85 and self._pods:
            name = self._some(self._pods)
            self.world.snapshot.remove_pod(f"default/{name}")
            del self._pods[name]
        elif what < 0.95:
            name, node_name, pod = f"v{self._next()}", self._some(self._nodes), self.pod()
            self.world.snapshot.nominate(parse(self.world.pod(name=name, **pod)), node_name)
            self._nominated[name] = node_name, pod
        elif self._nominated:
            name = self._some(self._nominated)
            self.world.snapshot.withdraw_nomination(f"default/{name}")
            del self._nominated[name]

    def pod(self) -> dict[str, Any]:
        """A pod that wants this and that."""
        rng = self._rng
        spec: dict[str, Any] = {"priority": rng.choice((0, 0, 5)), "labels": {"app": rng.choice("abc")}}
        spec |= {"cpu": rng.choice(("", "100m", "1", "2")), "memory": rng.choice(("", "1Gi"))}
        affinity = {kind: self._terms() for kind in ("podAffinity", "podAntiAffinity") if rng.random() < 0.4}
        if affinity:
            spec["affinity"] = affinity
        if rng.random() < 0.3:
            spec["topologySpreadConstraints"] = [{
                "topologyKey": rng.choice(KEYS), "maxSkew": rng.randint(1, 3), "labelSelector": self._selector(),
                "whenUnsatisfiable": rng.choice(("DoNotSchedule", "ScheduleAnyway")), "nodeTaintsPolicy": "Honor",
            }]
        if rng.random() < 0.2:
            spec["nodeSelector"] = {"zone": rng.choice(("z0", "z1"))}
        if rng.random() < 0.2:
            spec["tolerations"] = [{"operator": "Exists"}]
        return spec

    def _terms(self) -> dict[str, Any]:
        term = {"labelSelector": self._selector(), "topologyKey": self._rng.choice(KEYS)}
        if self._rng.random() < 0.5:
            return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        wish = {"weight": self._rng.randint(1, 100), "podAffinityTerm": term}
        return {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}

    def _selector(self) -> dict[str, Any]:
        return {"matchLabels": {"app": self._rng.choice("abc")}}

    def _put_node(self, name: str) -> None:
        rng = self._rng
        labels = {"zone": f"z{rng.randint(0, 3)}"} | ({"rack": f"r{rng.randint(0, 9)}"} if rng.random() < 0.6 else {})
        taints = [{"key": "k", "value": rng.choice("uv"), "effect": "NoSchedule"}] if rng.random() < 0.2 else []
        self._nodes[name] = {"labels": labels, "taints": taints, "cpu": rng.choice(("2", "4", "8"))}
        self.world.node(name, **self._nodes[name])

    def _some(self, known: dict[str, Any]) -> str:
        return self._rng.choice(sorted(known))

    def _next(self) -> int:
        self._number += 1
        return self._number


def judged(world: Any, pod: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Why each node is refused, and the scores of the others."""
    info = parse(world.pod("probe", **pod))
    refused = verdicts(world.framework, world.snapshot, info)
    fitting = [node for node in world.snapshot.nodes() if node.name not in refused]
    state: dict[str, Any] = {}
    _, cache = world.framework.pre_filter(state, info)
    for node in world.snapshot.nodes():  # one by one the filters say the same as all at once
        status = fits(world.framework, world.snapshot, state, info, node)
        assert (status is None) is (node.name not in refused)
        assert status == refused.get(node.name) or node.name in world.snapshot.nominated
    rows = world.snapshot.table.rows_of(frozenset(node.name for node in fitting))
    scores = world.framework.score(state, info, cache, rows).tolist() if len(rows) else []
    names = [node.name for node in Candidates(world.snapshot.table, rows)]
    return dict(refused), dict(zip(names, scores, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_kept_answers_are_those_of_a_fresh_start(make_world: Callable[[], Any], seed: int) -> None:
    history = History(make_world, seed)
    probes = [history.pod() for _ in range(6)]
    for number in range(60):
        history.step()
        if number % 4 == 0:
            fresh = history.anew()
            for probe in probes[number % 2::2]:
                assert judged(history.world, probe) == judged(fresh, probe)
