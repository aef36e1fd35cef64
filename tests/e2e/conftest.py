"""One cluster for all tests of this folder that do not destroy theirs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.kubectl import MANIFESTS, Kubectl, eventually, sampan, up

NAME = "e2e"
STANDING = os.environ.get("SAMPAN_E2E_CLUSTER", "")
"""A cluster that is up already, with the images loaded: for whoever writes these tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The name of a ready cluster with the test images loaded."""
    if STANDING:
        yield STANDING
        return
    sampan("down", "--name", NAME)
    up(NAME)
    for recipe in ("nginx-1.7.9", "nginx-1.9.1", "busybox", "curl"):
        sampan("image", "build", "--name", NAME, str(MANIFESTS / f"{recipe}.yaml"))
    yield NAME
    if not os.environ.get("SAMPAN_KEEP"):
        sampan("down", "--name", NAME)


def _binaries() -> list[str]:
    beside = Path(sys.executable).with_name("kubectl")
    found = [str(beside)] if beside.exists() else []
    installed = shutil.which("kubectl", path="/usr/bin:/usr/local/bin")
    return [*found, *([installed] if installed else [])]


@pytest.fixture(scope="session")
def binary() -> str:
    """The newest kubectl here."""
    return _binaries()[0]


@pytest.fixture(params=_binaries(), ids=lambda path: "system" if path.startswith("/usr") else "pinned")
def every_binary(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kubectl(cluster: str, binary: str, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace of the shared cluster."""
    yield from _in_fresh_namespace(cluster, binary, request)


@pytest.fixture
def each_kubectl(cluster: str, every_binary: str, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """The same, for each kubectl on the machine."""
    yield from _in_fresh_namespace(cluster, every_binary, request)


def _in_fresh_namespace(cluster: str, binary: str, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    config = Path(sampan("kubeconfig", "path", "--name", cluster).strip())
    admin = Kubectl(binary, config)
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")[:50].strip("-")
    name = f"{name}-{os.urandom(2).hex()}"
    admin("create", "namespace", name)
    # What controllers add to it, and pods need: without the one they are refused, without the other they start late.
    eventually(lambda: admin("get", "-n", name, "serviceaccount/default", "configmap/kube-root-ca.crt"))
    yield Kubectl(binary, config, name)
    admin("delete", "namespace", name, "--wait=false")
