"""QoS classes, cgroup figures, OOM scores, and the cgroup tree on v1 and v2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.kubelet.world import pod

from sampan.kubelet import resources
from sampan.kubelet.cgroups import Cgroups, weight_of


def container(name: str = "c", requests: dict[str, str] | None = None, **limits: str) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requests or {}, "limits": limits}}


@pytest.mark.parametrize(
    ("containers", "qos"),
    [
        ([container()], "BestEffort"),
        ([container(cpu="1", memory="1Gi")], "Guaranteed"),
        ([container(requests={"cpu": "1", "memory": "1Gi"}, cpu="1000m", memory="1024Mi")], "Guaranteed"),
        ([container(requests={"cpu": "500m", "memory": "1Gi"}, cpu="1", memory="1Gi")], "Burstable"),
        ([container(cpu="1")], "Burstable"),
        ([container(cpu="1", memory="1Gi"), container("d")], "Burstable"),
    ],
)
def test_the_class_of_service(containers: list[dict[str, Any]], qos: str) -> None:
    assert resources.qos_class(pod(containers=containers)) == qos


def test_the_chance_of_being_killed_first() -> None:
    gib = 2**30
    small = container(requests={"memory": "1Gi"})
    assert resources.oom_score_adj(pod(containers=[container()]), container(), 8 * gib) == 1000
    guaranteed = container(cpu="1", memory="1Gi")
    assert resources.oom_score_adj(pod(containers=[guaranteed]), guaranteed, 8 * gib) == -997
    assert resources.oom_score_adj(pod(containers=[small]), small, 8 * gib) == 875
    critical = pod(containers=[container()], priorityClassName="system-node-critical")
    assert resources.oom_score_adj(critical, container(), 8 * gib) == -997


def test_limits_of_a_container_and_of_its_pod() -> None:
    first = container(requests={"cpu": "100m"}, cpu="500m", memory="64Mi")
    made = resources.container_resources(pod(containers=[first]), first, 2**33)
    assert (made.cpu_shares, made.cpu_quota_us, made.cpu_period_us) == (102, 50_000, 100_000)
    assert made.memory_limit_bytes == 64 * 2**20
    both = pod(containers=[first, container("d", cpu="1", memory="1Gi")])
    limits = resources.pod_limits(both)
    assert limits.cpu_quota_us == 150_000 and limits.memory_limit_bytes == (64 + 1024) * 2**20
    assert resources.pod_limits(pod(containers=[first, container("d")])).memory_limit_bytes == 0
    with_overhead = pod(containers=[first], overhead={"memory": "1Mi"})
    alone = resources.pod_limits(pod(containers=[first])).memory_limit_bytes
    assert resources.pod_limits(with_overhead).memory_limit_bytes == alone + 2**20
    unlimited = pod(containers=[container("d")], overhead={"memory": "1Mi"})
    assert resources.pod_limits(unlimited).memory_limit_bytes == 0


def test_a_pod_takes_the_larger_of_its_containers_and_each_init_step() -> None:
    made = pod(
        containers=[container(requests={"cpu": "100m"}), container("d", requests={"cpu": "200m"})],
        initContainers=[
            {**container("side", requests={"cpu": "50m"}), "restartPolicy": "Always"},
            container("big", requests={"cpu": "1"}),
        ],
        overhead={"cpu": "10m"},
    )
    assert resources.pod_requests(made)["cpu"].milli_value == 1060


def test_cgroups_of_version_1(tmp_path: Path) -> None:
    for controller in ("cpu", "memory", "pids"):
        (tmp_path / controller).mkdir()
    cgroups = Cgroups("/x/kubepods", mount=tmp_path)
    cgroups.prepare()
    made = pod(containers=[container(requests={"cpu": "100m"}, cpu="1", memory="1Gi")])
    assert cgroups.ensure_pod(made) == "/x/kubepods/burstable/poduid-web"
    directory = tmp_path / "cpu/x/kubepods/burstable/poduid-web"
    assert (directory / "cpu.shares").read_text() == "102"
    assert (directory / "cpu.cfs_quota_us").read_text() == "100000"
    memory = tmp_path / "memory/x/kubepods/burstable/poduid-web/memory.limit_in_bytes"
    assert memory.read_text() == str(2**30)
    assert cgroups.pod_uids() == {"uid-web"}


def test_the_burstable_class_gets_what_its_pods_request(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    cgroups = Cgroups("/x/kubepods", mount=tmp_path)
    cgroups.prepare()
    some = pod(containers=[container(requests={"cpu": "500m"})])
    cgroups.balance([some, some, pod(containers=[container()]), pod(containers=[container(cpu="4", memory="1Gi")])])
    assert (tmp_path / "cpu/x/kubepods/burstable/cpu.shares").read_text() == "1024"
    assert (tmp_path / "cpu/x/kubepods/besteffort/cpu.shares").read_text() == "2"


def test_cgroups_of_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    cgroups = Cgroups("/x/kubepods", mount=tmp_path)
    made = pod(containers=[container(cpu="2", memory="1Gi")])
    assert cgroups.ensure_pod(made) == "/x/kubepods/poduid-web"
    directory = tmp_path / "x/kubepods/poduid-web"
    assert (directory / "cpu.max").read_text() == "200000 100000"
    assert (directory / "memory.max").read_text() == str(2**30)
    assert (directory / "cpu.weight").read_text() == str(weight_of(2048))
    assert (tmp_path / "x/cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_shares_become_weights() -> None:
    assert (weight_of(2), weight_of(1024), weight_of(262144)) == (1, 39, 10000)
