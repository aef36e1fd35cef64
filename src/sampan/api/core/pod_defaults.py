"""The defaults of a pod's spec: containers, probes, volumes, and the spec itself.

`default_pod_spec` is what pods and pod templates share; `default_pod_only` is what upstream sets on pods alone.
Applying them twice changes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.core.resource_lists import canonicalise, canonicalise_requirements, requests_from_limits
from sampan.api.core.volume_defaults import default_downward_items, default_volume
from sampan.api.strategy import setdefault
from sampan.apimachinery.object import Object

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def containers_of(spec: Object) -> Iterable[Object]:
    """All containers of a pod spec: init, regular, ephemeral."""
    for key in CONTAINER_LISTS:
        yield from spec.get(key) or ()


def default_pod_spec(spec: Object) -> None:
    """What holds for pods and for templates."""
    setdefault_text(spec, "restartPolicy", "Always")
    setdefault_text(spec, "dnsPolicy", "ClusterFirst")
    setdefault(spec, "terminationGracePeriodSeconds", 30)
    setdefault_text(spec, "schedulerName", "default-scheduler")
    setdefault(spec, "securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers_of(spec):
        default_container(container)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    canonicalise(spec.get("overhead"))
    canonicalise_requirements(spec.get("resources"))


def default_pod_only(spec: Object) -> None:
    """What holds for pods and not for templates: service links, requests from limits, ports of the host's network."""
    setdefault(spec, "enableServiceLinks", True)
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or ():
            requests_from_limits(container.get("resources"))
            if spec.get("hostNetwork"):
                _use_host_ports(container)
    requests_from_limits(spec.get("resources"))


def _use_host_ports(container: Object) -> None:
    for port in container.get("ports") or ():
        if not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]


def setdefault_text(parent: Object, key: str, value: str) -> None:
    """As setdefault, where an empty text counts as missing too."""
    if not parent.get(key):
        parent[key] = value


def default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    setdefault_text(container, "terminationMessagePath", "/dev/termination-log")
    setdefault_text(container, "terminationMessagePolicy", "File")
    setdefault(container, "resources", {})
    for port in container.get("ports") or ():
        setdefault_text(port, "protocol", "TCP")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            _default_probe(container[key])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http_get(hook.get("httpGet"))
    for variable in container.get("env") or ():
        if variable.get("valueFrom"):
            _default_value_from(variable["valueFrom"])
    canonicalise_requirements(container.get("resources"))


def _default_value_from(source: Object) -> None:
    default_downward_items([source])
    file = source.get("fileKeyRef")
    if isinstance(file, dict):
        setdefault(file, "optional", False)


def _default_probe(probe: Object) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    _default_http_get(probe.get("httpGet"))
    grpc = probe.get("grpc")
    if isinstance(grpc, dict):
        setdefault(grpc, "service", "")


def _default_http_get(action: Object | None) -> None:
    if isinstance(action, dict):
        setdefault_text(action, "path", "/")
        setdefault_text(action, "scheme", "HTTP")


def pull_policy(image: str) -> str:
    """Always for `latest`, which moves; IfNotPresent for everything that names what it wants."""
    return "Always" if image_tag(image) == "latest" else "IfNotPresent"


def image_tag(image: str) -> str:
    """The tag of an image reference: `latest` when it has neither tag nor digest, empty when it has a digest only."""
    name, at, _ = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    if colon:
        return tag
    return "" if at or not image else "latest"
