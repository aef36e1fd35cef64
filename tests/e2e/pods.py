"""Short manifests of pods that run busybox, and questions to ask of them."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.kubectl import Kubectl, eventually

FOREVER = "sleep 3600"
CURL = "curl:1"
"""An image with curl; busybox's own wget, linked statically, cannot look names up."""


def container(script: str = FOREVER, name: str = "main", **fields: Any) -> dict[str, Any]:
    """A container that runs a shell script; a script that ends in `sleep` becomes that process."""
    return {"name": name, "image": "busybox:1", "command": ["sh", "-c", script]} | fields


def pod(
    name: str, *containers: dict[str, Any] | str, metadata: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A pod that ends at once when it is deleted. Containers that are given as a script are called `main`."""
    listed = [container(one) if isinstance(one, str) else one for one in containers or (FOREVER,)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}} | (metadata or {}),
        "spec": {"terminationGracePeriodSeconds": 1, "containers": listed} | spec,
    }


def once(name: str, *containers: dict[str, Any] | str, **spec: Any) -> dict[str, Any]:
    """A pod that runs to its end and stays."""
    return pod(name, *containers, restartPolicy="Never", **spec)


def apply(kubectl: Kubectl, *objects: dict[str, Any]) -> None:
    """Apply objects in one call, in this order."""
    kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def get(kubectl: Kubectl, name: str) -> Any:
    return kubectl.json("get", "pod", name)


def statuses(shown: dict[str, Any], kind: str = "containerStatuses") -> dict[str, Any]:
    """A pod's container statuses by name."""
    return {status["name"]: status for status in shown["status"].get(kind, [])}


def condition(shown: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((one for one in shown["status"].get("conditions", []) if one["type"] == kind), {})


def ended(kubectl: Kubectl, name: str) -> Any:
    """The pod once it is Succeeded or Failed."""

    def done() -> Any:
        shown = get(kubectl, name)
        return shown if shown["status"].get("phase") in ("Succeeded", "Failed") else None

    return eventually(done, what=f"the end of pod {name}")


def output(kubectl: Kubectl, name: str, *arguments: str) -> str:
    """What a pod printed until its end, which must be a good one."""
    shown = ended(kubectl, name)
    printed = kubectl("logs", name, *arguments)
    assert shown["status"]["phase"] == "Succeeded", (printed, shown["status"])
    return printed


def ready(kubectl: Kubectl, *names: str) -> None:
    kubectl("wait", "--for=condition=Ready", "--timeout=140s", *(f"pod/{name}" for name in names))


def events(kubectl: Kubectl, name: str) -> dict[str, str]:
    """Reason → newest message of the events about an object."""
    found = kubectl.json("get", "events", f"--field-selector=involvedObject.name={name}")["items"]
    return {event["reason"]: event["message"] for event in sorted(found, key=_last_seen)}


def _last_seen(event: dict[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
