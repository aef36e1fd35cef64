"""A cluster that grows while pods are placed: what is kept per row and per domain grows with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WEB = {"app": "web"}


def node(world: Any, number: int) -> None:
    labels = {"zone": f"z{number % 3}", "pool": "x" if number % 2 else "y"}
    world.node(f"n{number:03}", labels=labels)


def wanted(**more: Any) -> dict[str, Any]:
    constraint = {
        "topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": WEB},
    }
    return {"labels": WEB, "nodeSelector": {"pool": "x"}, "topologySpreadConstraints": [constraint], **more}


def near() -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": WEB}, "topologyKey": "kubernetes.io/hostname"}
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return {"affinity": {"podAffinity": rule}}


def test_what_was_kept_before_the_cluster_grew_agrees_with_one_that_was_always_large(
    make_world: Callable[[], Any]
) -> None:
    grown, large = make_world(), make_world()
    for number in range(300):
        node(large, number)
    for number in range(10):
        node(grown, number)
    assert grown.possible(**wanted()) == {"n001", "n003", "n005", "n007", "n009"}
    assert grown.possible(**near()) == set()
    for number in range(10, 300):
        node(grown, number)
        if number % 7 == 0:  # placed before anybody asks about the new rows
            for world in (grown, large):
                world.run(f"n{number:03}", name=f"p{number}", labels=WEB)
    assert grown.possible(**wanted()) == large.possible(**wanted()) != set()
    assert grown.possible(**near()) == large.possible(**near()) == {f"n{n:03}" for n in range(14, 300, 7)}
    for number in range(0, 300, 2):
        grown.snapshot.remove_node(f"n{number:03}")
        large.snapshot.remove_node(f"n{number:03}")
    for number in range(300, 420):  # into the rows that are free again
        node(grown, number)
        node(large, number)
    assert grown.possible(**wanted()) == large.possible(**wanted())
    fresh = make_world()
    for number in [*range(1, 300, 2), *range(300, 420)]:
        node(fresh, number)
        if number < 300 and number % 7 == 0 and number >= 10:
            fresh.run(f"n{number:03}", name=f"p{number}", labels=WEB)
    assert grown.possible(**wanted()) == fresh.possible(**wanted())
    assert grown.why(cpu="100") == fresh.why(cpu="100") == "0/270 nodes are available: 270 Insufficient cpu."
