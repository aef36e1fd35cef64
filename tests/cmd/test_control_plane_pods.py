"""The manifests of the control plane: what kubeadm's readers expect, and nothing more than each part needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.cmd import control_plane_pods, etcd, layout
from sampan.cmd.layout import ClusterLayout
from sampan.cri import installed_modules

IMAGES = control_plane_pods.Images("docker.io/library/sampan:1", "docker.io/library/etcd:3")
WITHOUT_ETCD = replace(IMAGES, etcd="")


def _cluster(store: layout.StoreKind = "etcd") -> ClusterLayout:
    return ClusterLayout("a", 6443, processes="static-pods", store=store)


def _writable(pod: dict[str, Any]) -> set[str]:
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    return {mount["name"] for mount in mounts if not mount.get("readOnly")}


def test_they_are_the_four_of_kubeadm_each_labelled_and_critical() -> None:
    pods = control_plane_pods.manifests(_cluster(), IMAGES)
    names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    assert list(pods) == [f"{name}.yaml" for name in names]
    for name, pod in zip(names, pods.values(), strict=True):
        assert pod["metadata"]["labels"] == {"component": name, "tier": "control-plane"}
        assert pod["spec"]["priorityClassName"] == "system-node-critical" and pod["spec"]["hostNetwork"]


@pytest.mark.parametrize(("store", "images"), [("etcd", IMAGES), ("sqlite", WITHOUT_ETCD)])
def test_up_waits_for_each_by_the_name_of_its_mirror(store, images) -> None:
    cluster = _cluster(store)
    pods = control_plane_pods.manifests(cluster, images).values()
    assert control_plane_pods.names(cluster) == {f"{pod['metadata']['name']}-a-1" for pod in pods}


def test_each_may_write_only_what_it_must() -> None:
    pods = control_plane_pods.manifests(_cluster(), IMAGES)
    assert {name: _writable(pod) for name, pod in pods.items()} == {
        "etcd.yaml": {"data"}, "kube-apiserver.yaml": {"health", "handover", "logs"},
        "kube-controller-manager.yaml": {"health"}, "kube-scheduler.yaml": {"health"},
    }


def test_etcd_sees_no_keys_but_its_own_and_is_probed_without_any() -> None:
    cluster = _cluster()
    pod = control_plane_pods.manifests(cluster, IMAGES)["etcd.yaml"]
    assert [one["hostPath"]["path"] for one in pod["spec"]["volumes"]] == [
        str(cluster.pki_dir / "etcd"), str(cluster.etcd_dir),
    ]
    get = pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]
    assert f"{get['host']}:{get['port']}" == etcd.METRICS_ADDRESS


def test_on_sqlite_there_is_no_etcd_and_the_api_server_writes_the_store() -> None:
    pods = control_plane_pods.manifests(_cluster("sqlite"), WITHOUT_ETCD)
    assert "etcd.yaml" not in pods
    assert _writable(pods["kube-apiserver.yaml"]) == {"health", "handover", "logs", "store"}
    assert [recipe["name"] for recipe in WITHOUT_ETCD.recipes().values()] == [
        "docker.io/library/sampan:1"
    ]


def test_etcds_image_is_looked_up_only_where_the_state_is_in_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plane_pods, "sampan_image", lambda: IMAGES.sampan)
    monkeypatch.setattr(control_plane_pods, "etcd_image", lambda: IMAGES.etcd)
    assert control_plane_pods.Images.of(_cluster("sqlite")) == WITHOUT_ETCD
    assert control_plane_pods.Images.of(_cluster("etcd")) == IMAGES


def test_a_manifest_that_says_the_same_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "STATE_ROOT", tmp_path)
    cluster = _cluster()
    control_plane_pods.write(cluster, IMAGES)
    files = {path.name: path for path in cluster.first_node.manifest_dir.iterdir()}
    assert {name: yaml.safe_load(path.read_text()) for name, path in files.items()} == (
        control_plane_pods.manifests(cluster, IMAGES)
    )
    before = {name: path.stat().st_ino for name, path in files.items()}
    control_plane_pods.write(cluster, replace(IMAGES, etcd="docker.io/library/etcd:4"))
    changed = {name for name, path in files.items() if path.stat().st_ino != before[name]}
    assert changed == {"etcd.yaml"}


def test_the_image_is_named_after_what_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    name = control_plane_pods.sampan_image()
    assert name == control_plane_pods.sampan_image()
    files = installed_modules.files_of(["sampan"])
    path = next(iter(files))
    other = files | {path: type(files[path])(b"# another\n")}
    monkeypatch.setattr(installed_modules, "files_of", lambda names: other)
    assert control_plane_pods.sampan_image() != name
