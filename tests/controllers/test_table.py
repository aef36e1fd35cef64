from __future__ import annotations

from pathlib import Path

import pytest

from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.names import ALIASES, QUEUES, queue_of
from sampan.controllers.table import CONTROLLERS, selected


def names(controllers: str, **config) -> list[str]:
    config = {"root_ca": b"x", "signing_cert": Path("ca.crt"), "signing_key": Path("ca.key"),
              "service_account_key": Path("sa.key"), **config}
    return [loop.name for loop in selected(ControllerManagerConfig(controllers, **config))]


def test_all_are_on_by_default_in_the_tables_order() -> None:
    assert names("*") == [loop.name for loop in CONTROLLERS]


def test_names_are_unique_and_upstreams() -> None:
    found = [loop.name for loop in CONTROLLERS]
    assert len(set(found)) == len(found)
    assert all(name.endswith("-controller") for name in found)


def test_some_can_be_switched_off_and_on_with_and_without_their_ending() -> None:
    assert "deployment-controller" not in names("*,-deployment")
    assert names("deployment,replicaset-controller") == ["deployment-controller", "replicaset-controller"]


def test_what_is_not_configured_is_off() -> None:
    assert "node-ipam-controller" not in names("*", allocate_node_cidrs=False)
    assert "certificatesigningrequest-signing-controller" not in names("*", signing_key=None)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'nonsense' is not in the list of known controllers"):
        names("*,-nonsense")


def test_former_names_still_mean_the_same() -> None:
    assert names("podgc,csrsigning") == [
        "certificatesigningrequest-signing-controller", "pod-garbage-collector-controller",
    ]
    assert "garbage-collector-controller" not in names("*,-garbagecollector")
    known = {loop.name for loop in CONTROLLERS}
    assert set(ALIASES.values()) <= known and QUEUES.keys() <= known


def test_every_queue_has_a_name_of_its_own_in_metrics() -> None:
    found = [queue_of(loop.name) for loop in CONTROLLERS]
    assert len(set(found)) == len(found) and {"deployment", "replicaset", "endpoint_slice"} <= set(found)
