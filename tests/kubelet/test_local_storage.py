"""Limits on what pods write to the node's disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.kubelet.world import World, pod, simulate

from sampan.kubelet.local_storage import StorageUsage, excess, is_limited, used_bytes

MIB = 1 << 20


def limited(**limits: str) -> dict[str, Any]:
    return {"name": limits.pop("name", "main"), "resources": {"limits": {"ephemeral-storage": limits["limit"]}}}


@pytest.mark.parametrize(("document", "containers", "volumes", "message"), [
    (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]), {}, {"v": 2 * MIB},
     'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
    (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]), {}, {"v": MIB}, ""),
    (pod(containers=[limited(limit="1Mi")]), {"main": 2 * MIB}, {},
     "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "),
    (pod(containers=[limited(limit="1Mi"), limited(name="other", limit="4Mi")]), {"main": 2 * MIB}, {},
     'Container main exceeded its local ephemeral storage limit "1Mi". '),
    (pod(containers=[limited(limit="1Mi")], volumes=[{"name": "v", "emptyDir": {}}]), {}, {"v": 2 * MIB},
     "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "),
    (pod(containers=[limited(limit="1Mi")], volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}]), {},
     {"v": 2 * MIB}, ""),
])
def test_what_exceeds_a_limit(
    document: dict[str, Any], containers: dict[str, int], volumes: dict[str, int], message: str
) -> None:
    assert is_limited(document)
    assert excess(document, StorageUsage(containers, volumes)) == message


def test_only_pods_with_limits_are_measured() -> None:
    assert not is_limited(pod(volumes=[{"name": "v", "emptyDir": {}}]))


def test_links_and_vanished_files_take_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 10000)
    (tmp_path / "link").symlink_to("/proc/kcore")
    assert 8192 <= used_bytes(tmp_path) <= 65536
    assert used_bytes(tmp_path / "none") == 0


def test_a_pod_that_fills_its_volume_is_evicted(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            mount = [{"name": "v", "mountPath": "/v"}]
            world.add(pod(containers=[{"name": "main", "volumeMounts": mount}],
                          volumes=[{"name": "v", "emptyDir": {"sizeLimit": "10Ki"}}]))
            await world.until(world.is_ready, 5)
            volume = tmp_path / "pods" / "uid-web" / "volumes" / "kubernetes.io~empty-dir" / "v"
            (volume / "file").write_bytes(b"x" * 100_000)
            await world.until(lambda: world.status()["phase"] == "Failed", 30)
            assert world.status()["reason"] == "Evicted"
            assert world.status()["message"] == 'Usage of EmptyDir volume "v" exceeds the limit "10Ki". '
            assert not world.condition("DisruptionTarget"), "it is its own doing"

    simulate(story)
