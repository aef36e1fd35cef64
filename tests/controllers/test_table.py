from __future__ import annotations

from pathlib import Path

import pytest

from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.names import ALIASES, FORMER_NOT_RUN, NOT_RUN, QUEUES, WITH_BOOTSTRAP, queue_of
from sampan.controllers.table import CONTROLLERS, selected


def names(controllers: str, **config) -> list[str]:
    config = {"root_ca": b"x", "signing_cert": Path("ca.crt"), "signing_key": Path("ca.key"),
              "service_account_key": Path("sa.key"), **config}
    return [loop.name for loop in selected(ControllerManagerConfig(controllers, **config))]


def test_all_are_on_by_default_in_the_tables_order() -> None:
    assert ControllerManagerConfig().controllers == WITH_BOOTSTRAP
    assert names(WITH_BOOTSTRAP) == [loop.name for loop in CONTROLLERS]


def test_a_star_leaves_out_what_upstream_leaves_out() -> None:
    left_out = set(names(WITH_BOOTSTRAP)) - set(names("*"))
    assert left_out == {"bootstrap-signer-controller", "token-cleaner-controller"}
    assert "token-cleaner-controller" in names("*,tokencleaner")


def test_the_first_word_about_a_loop_counts() -> None:
    assert "job-controller" not in names("*,-job,job-controller")
    assert "job-controller" in names("job,-job")
    assert "job-controller" not in names("-job,*")
    assert names("") == []


def test_names_of_upstream_that_nothing_here_has_are_no_mistake() -> None:
    assert names("*,-selinux-warning-controller,-service") == names("*")
    assert names("storage-version-gc") == []
    assert not NOT_RUN.keys() & {loop.name for loop in CONTROLLERS} and set(FORMER_NOT_RUN.values()) <= NOT_RUN.keys()


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
