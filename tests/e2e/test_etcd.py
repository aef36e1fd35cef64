"""A cluster whose state is in etcd: as any other, and etcd may be killed under it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.kubectl import MANIFESTS, Kubectl, eventually, kill, sampan, up

NAME = "on-etcd"
STATE = Path("/var/lib/sampan") / NAME


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    sampan("down", "--name", NAME)
    up(NAME, "--store", "etcd")
    sampan("image", "build", "--name", NAME, str(MANIFESTS / "nginx-1.7.9.yaml"))
    config = Path(sampan("kubeconfig", "path", "--name", NAME).strip())
    yield Kubectl(str(Path(os.sys.executable).with_name("kubectl")), config)
    sampan("down", "--name", NAME)
    assert not STATE.exists()


def _etcd_pid() -> int:
    processes = json.loads(sampan("status", "--name", NAME, "-o", "json"))["processes"]
    return next(process["pid"] for process in processes if process["name"] == "etcd")


def test_everything_is_kept_in_etcd_and_survives_its_death(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", str(MANIFESTS / "primer-deployment.yaml"))
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    before = kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    pid = _etcd_pid()
    kill(pid)
    kubectl("create", "configmap", "written-meanwhile", "--from-literal=a=b")
    eventually(lambda: _etcd_pid() not in (0, pid), what="another etcd")
    assert kubectl("get", "configmap", "written-meanwhile", "-o", "jsonpath={.data.a}") == "b"
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}") == before
    kubectl("scale", "deployment/nginx-deployment", "--replicas=3")
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    assert not list((STATE / "store").iterdir()), "sqlite holds nothing"


def test_strangers_do_not_read_it(kubectl: Kubectl) -> None:
    command = ["nsenter", f"--net=/run/netns/sampan-{NAME}-{NAME}-1", "curl", "-sk", "https://172.30.0.11:2379/v3/kv/range"]
    answer = subprocess.run([*command, "-d", '{"key": "AA==", "range_end": "AA=="}'], capture_output=True, text=True)
    assert answer.returncode != 0, answer.stdout
