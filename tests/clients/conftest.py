"""One running cluster for all foreign clients, and a namespace of its own for each test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config
from tests.clients.waiting import eventually

PROGRAM = Path(__file__).with_name("cluster.py")


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An administrator's kubeconfig of a ready cluster."""
    standing = os.environ.get("SAMPAN_CLIENTS_KUBECONFIG")
    if standing:
        yield Path(standing)
        return
    directory = tmp_path_factory.mktemp("clients")
    log = directory / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=errors, text=True,
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", log.read_text()
        yield directory / "kubeconfig"
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()
        assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[client.ApiClient]:
    """The official client, connected."""
    with config.new_client_from_config(str(kubeconfig)) as connected:
        yield connected


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    """A fresh namespace in which pods may be created."""
    core = client.CoreV1Api(api)
    name = "n" + os.urandom(4).hex()
    core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: core.read_namespaced_service_account("default", name))
    yield name
    core.delete_namespace(name)


@pytest.fixture
def own_kubeconfig(kubeconfig: Path, namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig whose current context is the test's namespace."""
    document = yaml.safe_load(kubeconfig.read_text())
    for context in document["contexts"]:
        context["context"]["namespace"] = namespace
    found = tmp_path / "kubeconfig"
    found.write_text(yaml.safe_dump(document))
    found.chmod(0o600)
    return found
