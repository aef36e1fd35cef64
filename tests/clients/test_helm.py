"""helm 4 with a chart of our own: install, upgrade, rollback, test, uninstall, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client import ApiException
from tests.clients import helm as helm_binary
from tests.clients.waiting import eventually

CHART = Path(__file__).with_name("chart")
Helm = Callable[..., str]


@pytest.fixture
def helm(own_kubeconfig: Path, tmp_path: Path) -> Helm:
    """Calls helm in the test's namespace; gives what it prints."""
    environment = {
        **os.environ, "KUBECONFIG": str(own_kubeconfig), "HELM_CACHE_HOME": str(tmp_path / "cache"),
        "HELM_CONFIG_HOME": str(tmp_path / "config"), "HELM_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path),
    }

    def call(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(helm_binary.binary()), *arguments], env=environment, text=True, capture_output=True, timeout=150,
            check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    return call


def released(helm: Helm, *arguments: str) -> Any:
    """A command's answer as JSON."""
    text = helm(*arguments, "-o", "json")
    return json.loads(text[text.index("{") if "{" in text else text.index("["):])


def test_a_release_is_installed_upgraded_rolled_back_tested_and_removed(helm, api, namespace):
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    first = released(helm, "install", "guest", str(CHART), "--wait", "--timeout", "120s")
    assert first["info"]["status"] == "deployed" and first["version"] == 1
    assert apps.read_namespaced_deployment("guest", namespace).status.ready_replicas == 2
    settings = core.read_namespaced_config_map("guest-config", namespace)
    assert settings.data == {"message": "hello", "revision": "1", "nodes": "3", "budgets": "true"}

    second = released(
        helm, "upgrade", "guest", str(CHART), "--set", "replicas=3,message=bye", "--wait", "--timeout", "120s"
    )
    assert second["version"] == 2
    assert apps.read_namespaced_deployment("guest", namespace).status.ready_replicas == 3
    assert core.read_namespaced_config_map("guest-config", namespace).data["message"] == "bye"
    assert not client.BatchV1Api(api).list_namespaced_job(namespace).items, "the hook's Job is gone once it succeeded"

    assert "Succeeded" in helm("test", "guest", "--timeout", "120s")
    assert core.read_namespaced_pod("guest-answers", namespace).status.phase == "Succeeded"

    assert "Rollback was a success" in helm("rollback", "guest", "1", "--wait", "--timeout", "120s")
    assert core.read_namespaced_config_map("guest-config", namespace).data["message"] == "hello"
    eventually(lambda: apps.read_namespaced_deployment("guest", namespace).status.replicas == 2)
    history = json.loads(helm("history", "guest", "-o", "json"))
    assert [(entry["revision"], entry["status"]) for entry in history] == [
        (1, "superseded"), (2, "superseded"), (3, "deployed")
    ]

    helm("uninstall", "guest", "--wait", "--timeout", "120s")
    with pytest.raises(ApiException) as gone:
        apps.read_namespaced_deployment("guest", namespace)
    assert gone.value.status == 404
    assert json.loads(helm("list", "-o", "json")) == []
    assert not [found for found in core.list_namespaced_secret(namespace).items if found.type.startswith("helm.sh")]


def test_what_the_server_refuses_is_said_and_undone(helm, api, namespace):
    said = helm("install", "bad", str(CHART), "--set", "replicas=-1", "--rollback-on-failure", code=1)
    assert "must be greater than or equal to 0" in said
    assert not client.CoreV1Api(api).list_namespaced_service(namespace).items


def test_a_release_that_is_tried_on_the_server_stores_nothing(helm, api, namespace):
    shown = helm("install", "tried", str(CHART), "--dry-run=server")
    assert 'nodes: "3"' in shown, "lookup asks the server"
    assert not client.AppsV1Api(api).list_namespaced_deployment(namespace).items


def test_helm_leaves_alone_what_it_did_not_make(helm, api, namespace):
    client.CoreV1Api(api).create_namespaced_service_account(namespace, {"metadata": {"name": "guest"}})
    assert "invalid ownership metadata" in helm("install", "guest", str(CHART), code=1)
