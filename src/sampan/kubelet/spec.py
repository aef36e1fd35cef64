"""Reading a pod's spec: its containers and what kind each is, policies, and small questions that many files ask.

Pure functions over the pod's document; nothing here looks at the runtime.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import orjson

from sampan.apimachinery.object import Object, annotations_of, dig, name_of, namespace_of, uid_of

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_MIRROR = "kubernetes.io/config.mirror"
CONFIG_SEEN = "kubernetes.io/config.seen"

DEFAULT_GRACE_PERIOD_S = 30


def containers(pod: Object) -> list[Object]:
    return pod["spec"].get("containers") or []


def init_containers(pod: Object) -> list[Object]:
    return pod["spec"].get("initContainers") or []


def ephemeral_containers(pod: Object) -> list[Object]:
    return pod["spec"].get("ephemeralContainers") or []


def all_containers(pod: Object) -> Iterator[Object]:
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def container_named(pod: Object, name: str) -> Object | None:
    return next((item for item in all_containers(pod) if item["name"] == name), None)


def field_path(pod: Object, container: Object) -> str:
    """Where a container stands in its pod, as events name it: `spec.containers{web}`."""
    for key in ("containers", "initContainers", "ephemeralContainers"):
        if any(item["name"] == container["name"] for item in pod["spec"].get(key) or []):
            return f"spec.{key}{{{container['name']}}}"
    return ""


def is_sidecar(container: Object) -> bool:
    """An init container that keeps running (restartPolicy Always). Ask only about init containers."""
    return container.get("restartPolicy") == "Always"


def sidecars(pod: Object) -> list[Object]:
    return [item for item in init_containers(pod) if is_sidecar(item)]


def restart_policy(pod: Object) -> str:
    return pod["spec"].get("restartPolicy") or "Always"


def should_restart(pod: Object, container: Object, exit_code: int) -> bool:
    """Whether a container that ended is started again; its own policy and rules come before the pod's."""
    for rule in container.get("restartPolicyRules") or []:
        values = dig(rule, "exitCodes", "values", default=[])
        is_in = dig(rule, "exitCodes", "operator", default="In") == "In"
        if (exit_code in values) == is_in:
            return bool(rule.get("action") == "Restart")
    policy = container.get("restartPolicy") or restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def uses_host_network(pod: Object) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def is_static(pod: Object) -> bool:
    """From a file on the node rather than from the API."""
    return annotations_of(pod).get(CONFIG_SOURCE, "api") == "file"


def is_mirror(pod: Object) -> bool:
    """The API's image of a static pod."""
    return CONFIG_MIRROR in annotations_of(pod)


def is_terminal(pod: Object) -> bool:
    """Its API status says that it has ended for good."""
    return dig(pod, "status", "phase", default="") in ("Succeeded", "Failed")


def grace_period_s(pod: Object) -> int:
    """How long it may take to end: what the deletion said, or the spec."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    if asked is not None:
        return int(asked)
    return int(pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_PERIOD_S))


def full_name(pod: Object) -> str:
    """As upstream prints it: `web_default(8f2…)`."""
    return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"


def container_hash(container: Object) -> str:
    """Changes when a running container must be replaced: with its name or image only, as upstream."""
    picked = orjson.dumps([container["name"], container.get("image", "")])
    return hashlib.sha256(picked).hexdigest()[:8]


def hostname_and_domain(pod: Object, cluster_domain: str) -> tuple[str, str]:
    """(hostname, domain) of the pod; the domain is empty without spec.subdomain."""
    spec = pod["spec"]
    override = spec.get("hostnameOverride")
    if override:
        return str(override), ""
    hostname = spec.get("hostname") or name_of(pod)[:63].rstrip("-.")
    subdomain = spec.get("subdomain")
    domain = f"{subdomain}.{namespace_of(pod)}.svc.{cluster_domain}" if subdomain else ""
    return hostname, domain
