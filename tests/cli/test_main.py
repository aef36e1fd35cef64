"""What a person types, and what they are told. Clusters are made up here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.cli import main
from sampan.cli.operations import ClusterStatus, OperationError, UpOptions

Run = Callable[..., tuple[int, str, str]]


class Clusters:
    """Notes what is asked of it; answers with a cluster that is ready."""

    def __init__(self) -> None:
        self.ups: list[UpOptions] = []
        self.error: Exception | None = None

    async def up(self, options: UpOptions, progress: Any) -> ClusterStatus:
        self.ups.append(options)
        if self.error is not None:
            raise self.error
        return ClusterStatus(options.name, "https://127.0.0.1:1", "/k", True, (), ())

    def names(self) -> list[str]:
        return ["other"]

    async def status(self, name: str) -> ClusterStatus | None:
        return None

    def kubeconfig(self, name: str) -> Path:
        raise PermissionError(13, "Permission denied", "/var/lib/sampan/x")


@pytest.fixture
def clusters() -> Clusters:
    return Clusters()


@pytest.fixture
def run(clusters: Clusters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def sampan(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["sampan", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.run(clusters)  # type: ignore[arg-type]
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return sampan


def test_without_arguments_it_shows_what_it_can_do(run: Run) -> None:
    _, out, err = run()
    assert "Create the cluster" in out + err


@pytest.mark.parametrize(("arguments", "wait_s"), [
    ((), 120.0), (("--wait",), 120.0), (("--wait", "--name", "x"), 120.0), (("--wait=5s",), 5.0),
    (("--wait", "1m30s"), 90.0), (("--wait=0",), 0.0),
])
def test_wait_takes_a_duration_or_none(run: Run, clusters: Clusters, arguments: tuple[str, ...], wait_s: float) -> None:
    code, _, _ = run("up", *arguments)
    assert code == 0 and clusters.ups[0].wait_s == wait_s


def test_what_is_not_said_is_left_as_the_cluster_is(run: Run, clusters: Clusters) -> None:
    run("up")
    run("up", "--separate", "--nodes", "3")
    run("up", "--static-pods")
    assert [(up.nodes, up.processes) for up in clusters.ups] == [(None, None), (3, "separate"), (None, "static-pods")]


def test_a_control_plane_runs_in_one_way_only(run: Run, clusters: Clusters) -> None:
    code, _, err = run("up", "--static-pods", "--combined")
    assert code == 2 and "neither --separate nor --combined" in err and not clusters.ups


def test_json_is_one_document(run: Run) -> None:
    code, out, err = run("up", "-o", "json")
    assert code == 0 and json.loads(out)["ready"] is True and err == ""


def test_other_formats_are_refused(run: Run, clusters: Clusters) -> None:
    code, _, err = run("up", "-o", "yaml")
    assert code == 2 and "yaml" in err and not clusters.ups


def test_errors_come_with_a_hint(run: Run, clusters: Clusters) -> None:
    clusters.error = OperationError("no", "do this")
    assert run("up") == (1, "", "sampan: no\n  do this\n")
    assert run("status") == (1, "", "sampan: there is no cluster sampan\n  clusters here: other\n")


def test_what_only_root_may_read_says_so(run: Run) -> None:
    code, _, err = run("kubeconfig", "get", "--name", "x")
    assert code == 1
    assert err == "sampan: /var/lib/sampan/x: permission denied\n  sudo sampan kubeconfig get --name x\n"
