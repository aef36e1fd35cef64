"""What `up` refuses before it touches anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sampan.cli.operations import OperationError, UpOptions
from sampan.cmd import layout, local_cluster
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.local_cluster import LocalClusters
from sampan.controllers.names import WITH_BOOTSTRAP


@pytest.fixture(autouse=True)
def _roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "STATE_ROOT", tmp_path / "state")
    monkeypatch.setattr(layout, "RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr(LocalClusters, "_check_machine", lambda self: None)

    def prepared(cluster: ClusterLayout) -> None:
        raise AssertionError("nothing may be touched")

    monkeypatch.setattr(local_cluster, "_prepare", prepared)


async def refusal(options: UpOptions) -> str:
    with pytest.raises(OperationError) as refused:
        await LocalClusters().up(options, lambda text: None)
    return str(refused.value)


async def test_a_cluster_keeps_the_shape_it_was_made_with_unless_it_grows() -> None:
    ClusterLayout("t-shape", 1, 2, "separate").save()
    assert await refusal(UpOptions("t-shape", nodes=1)) == "t-shape has 2 nodes, and nodes are not taken away"
    assert await refusal(UpOptions("t-shape", store="etcd")) == "t-shape keeps its state in sqlite"
    assert await refusal(UpOptions("t-shape", controllers="*,-job")) == f"t-shape runs the controllers {WITH_BOOTSTRAP}"
    refused = await refusal(UpOptions("t-shape", controller_manager_args=("concurrent-job-syncs=9",)))
    assert refused == "t-shape has a controller manager with no other flags"
    assert await refusal(UpOptions("t-shape", processes="combined")) == "t-shape runs with separate processes"


async def test_a_cluster_whose_port_is_taken_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ClusterLayout("t-port", port).save()
        assert "is taken by another program" in await refusal(UpOptions("t-port"))


async def test_a_controller_that_does_not_exist_is_refused() -> None:
    refused = await refusal(UpOptions("t-loops", controllers="*,-nonsense"))
    assert refused == "'nonsense' is not in the list of known controllers"


@pytest.mark.parametrize(("word", "complaint"), [
    ("concurrent-job-syncs=0", "argument --concurrent-job-syncs: '0' must be at least 1"),
    ("--node-monitor-grace-period=20", 'argument --node-monitor-grace-period: time: missing unit in duration "20"'),
    ("cluster-cidr=10.0.0.0/8", "unrecognized arguments: --cluster-cidr=10.0.0.0/8"),
])
async def test_a_flag_of_the_controller_manager_that_makes_no_sense_is_refused(word: str, complaint: str) -> None:
    refused = await refusal(UpOptions("t-flags", controller_manager_args=(word,)))
    assert refused == f"--controller-manager-arg: {complaint}"


def test_flags_of_the_controller_manager_are_kept_with_the_cluster() -> None:
    flags = ("--node-monitor-grace-period=20s", "--concurrent-job-syncs=9")
    ClusterLayout("t-kept", 7000, controller_manager_args=flags).save()
    loaded = layout.load("t-kept")
    assert loaded is not None and loaded.controller_manager_args == flags


async def test_every_command_refuses_what_is_no_cluster_name() -> None:
    assert '"../etc" is no cluster name' in await refusal(UpOptions("../etc"))
    for ask in (LocalClusters().status, LocalClusters().images):
        with pytest.raises(OperationError, match="is no cluster name"):
            await ask("../etc")
