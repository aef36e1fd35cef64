"""The controller of docs/concepts/controllers.md, run against a real cluster with nothing but a kubeconfig."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.kubectl import Kubectl, eventually

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "controllers.md"
RUNNER = """
import asyncio, pathlib, re, sys
from sampan.client.client import Client
from sampan.client.transport import HTTPTransport

page, kubeconfig = map(pathlib.Path, sys.argv[1:])
example = {}
for block in re.findall(r"```python\\n(.*?)```", page.read_text(), re.DOTALL):
    exec(block, example)
asyncio.run(example["run"](Client(HTTPTransport.from_kubeconfig(kubeconfig))))
"""


@pytest.fixture
def greeter(kubectl: Kubectl) -> Iterator[None]:
    """The example in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", RUNNER, str(PAGE), str(kubectl.kubeconfig)])
    yield
    assert process.poll() is None, "it still runs"
    process.terminate()
    process.wait()


def test_the_documented_controller_greets_on_a_real_cluster(kubectl: Kubectl, greeter: None) -> None:
    namespace = str(kubectl.namespace)

    def greeting() -> str:
        return kubectl("get", "configmap", "hello", "-o", "jsonpath={.data.name}")

    kubectl("label", "namespace", namespace, "greet=anna")
    eventually(lambda: greeting() == "anna")
    kubectl("delete", "configmap", "hello")
    eventually(lambda: greeting() == "anna", what="it comes back")
    kubectl("label", "namespace", namespace, "greet=berta", "--overwrite")
    eventually(lambda: greeting() == "berta")
    kubectl("label", "namespace", namespace, "greet-")
    eventually(lambda: "hello" not in kubectl("get", "configmaps", "-o", "name"))
