"""kubeconfig files: written safely, merged and taken out again."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sampan.pki import kubeconfig
from sampan.pki.cluster import ClusterPKI
from sampan.pki.kubeconfig import Document, KubeconfigError

THEIRS: Document = {
    "apiVersion": "v1", "kind": "Config", "preferences": {"colors": True}, "x-unknown": {"kept": [1, 2]},
    "clusters": [{"name": "work", "cluster": {"server": "https://work.example:6443"}}],
    "users": [{"name": "jane", "user": {"exec": {"command": "login", "interactiveMode": "Never"}}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "jane", "namespace": "team"}}],
    "current-context": "work",
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Document:
    pki = ClusterPKI.ensure(tmp_path_factory.mktemp("pki"))
    return pki.kubeconfig("admin", "https://127.0.0.1:6443", "sampan")


def test_merge_then_remove_gives_back_what_was_there(tmp_path: Path, ours: Document) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(THEIRS))
    kubeconfig.merge(path, ours)
    merged = kubeconfig.read(path)
    assert merged["current-context"] == "sampan"
    assert [c["name"] for c in merged["contexts"]] == ["work", "sampan"]
    assert merged["x-unknown"] == THEIRS["x-unknown"]
    assert kubeconfig.remove(path, "sampan")
    assert kubeconfig.read(path) == THEIRS
    assert not kubeconfig.remove(path, "sampan")


def test_merging_twice_still_remembers_the_context_before(tmp_path: Path, ours: Document) -> None:
    once = kubeconfig.merged(THEIRS, ours)
    assert kubeconfig.merged(once, ours) == once
    assert kubeconfig.removed(once, "sampan")["current-context"] == "work"


def test_a_context_chosen_by_hand_stays_current_on_remove(ours: Document) -> None:
    config = {**kubeconfig.merged(THEIRS, ours), "current-context": "work"}
    assert kubeconfig.removed(config, "sampan")["current-context"] == "work"


def test_a_new_file_is_private_and_kubectl_reads_it(tmp_path: Path, ours: Document) -> None:
    path = tmp_path / "home" / ".kube" / "config"
    kubeconfig.merge(path, ours, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = subprocess.run(
        [Path(sys.executable).with_name("kubectl"), "--kubeconfig", path, "config", "current-context"],
        capture_output=True, text=True, check=True,
    )
    assert shown.stdout.strip() == "sampan"


def test_under_sudo_the_file_and_its_new_directories_belong_to_the_person(tmp_path: Path, ours: Document) -> None:
    path = tmp_path / ".kube" / "config"
    if kubeconfig.invoking_user({"SUDO_UID": "1234", "SUDO_GID": "1235"}) is None:
        return  # only root can give files away
    kubeconfig.merge(path, ours, {"SUDO_UID": "1234", "SUDO_GID": "1235"})
    assert {(p.stat().st_uid, p.stat().st_gid) for p in (path, path.parent)} == {(1234, 1235)}
    kubeconfig.merge(path, ours, {})
    assert path.stat().st_uid == 1234, "an existing file keeps its owner"


def test_a_file_that_is_written_again_keeps_its_owner(tmp_path: Path, ours: Document) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path = tmp_path / "config"
    kubeconfig.write(path, ours, {"SUDO_UID": "1234", "SUDO_GID": "1235"})
    kubeconfig.rewrite(path, ours, {"SUDO_UID": "4321"})
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (1234, 1235, 0o600)
    kubeconfig.rewrite(tmp_path / "new", ours, {"SUDO_UID": "4321", "SUDO_GID": "4321"})
    assert (tmp_path / "new").stat().st_uid == 4321


def test_a_symbolic_link_stays_one(tmp_path: Path, ours: Document) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text(yaml.safe_dump(THEIRS))
    link.symlink_to(real)
    kubeconfig.merge(link, ours)
    assert link.is_symlink()
    assert kubeconfig.read(real)["current-context"] == "sampan"


@pytest.mark.parametrize("content", ["{not: [yaml", "- a list", "clusters: {}x"])
def test_a_file_that_is_no_kubeconfig_is_refused_and_left_alone(tmp_path: Path, ours: Document, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(KubeconfigError, match="config"):
        kubeconfig.merge(path, ours)
    assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_kubectl_has_locked_is_left_alone(tmp_path: Path, ours: Document) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(THEIRS))
    (tmp_path / "config.lock").touch()
    with pytest.raises(KubeconfigError, match="locked"):
        kubeconfig.merge(path, ours)
    assert kubeconfig.read(path) == THEIRS
