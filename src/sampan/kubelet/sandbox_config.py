"""From a pod to what RunPodSandbox is told. Pure.

Also the labels and annotations by which the kubelet, once restarted, recognises its sandboxes and containers.
"""

from __future__ import annotations

from pathlib import Path

from sampan.apimachinery.object import Object, annotations_of, labels_of, name_of, namespace_of, uid_of
from sampan.cri.runtime import DNSConfig, PortMapping, SandboxConfig
from sampan.kubelet import security, spec, sysctls
from sampan.kubelet.errors import StartError

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

MAX_HOSTNAME = 64


def pod_labels(pod: Object) -> dict[str, str]:
    return {POD_NAME: name_of(pod), POD_NAMESPACE: namespace_of(pod), POD_UID: uid_of(pod)}


def log_directory(logs: Path, pod: Object) -> Path:
    """`NAMESPACE_NAME_UID` below the pods' log directory."""
    return logs / f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}"


def sandbox_hostname(pod: Object, cluster_domain: str) -> str:
    """Empty in the node's network. Raises StartError when an FQDN does not fit into a hostname."""
    if spec.uses_host_network(pod) and not pod["spec"].get("hostnameOverride"):
        return ""
    hostname, domain = spec.hostname_and_domain(pod, cluster_domain)
    if not pod["spec"].get("setHostnameAsFQDN") or not domain:
        return hostname
    fqdn = f"{hostname}.{domain}"
    if len(fqdn) > MAX_HOSTNAME:
        raise StartError(
            "CreatePodSandboxError",
            f"Failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long "
            f"({MAX_HOSTNAME} characters is the max, {len(fqdn)} characters requested)",
        )
    return fqdn


def port_mappings(pod: Object) -> tuple[PortMapping, ...]:
    """Host ports; a pod in the node's network needs none."""
    if spec.uses_host_network(pod):
        return ()
    return tuple(
        PortMapping(port.get("protocol") or "TCP", port["containerPort"], port["hostPort"], port.get("hostIP") or "")
        for container in [*spec.sidecars(pod), *spec.containers(pod)]
        for port in container.get("ports") or []
        if port.get("hostPort")
    )


def sandbox_config(pod: Object, attempt: int, *, logs: Path, dns: DNSConfig, cgroup: str, domain: str) -> SandboxConfig:
    """The sandbox of `pod`'s `attempt`. Raises StartError for what the runtime cannot do."""
    context = pod["spec"].get("securityContext") or {}
    if pod["spec"].get("hostUsers") is False:
        raise StartError("CreatePodSandboxError", "the runtime handler does not support user namespaces")
    return SandboxConfig(
        name=name_of(pod), namespace=namespace_of(pod), uid=uid_of(pod), attempt=attempt,
        hostname=sandbox_hostname(pod, domain), log_directory=str(log_directory(logs, pod)), dns=dns,
        port_mappings=port_mappings(pod), labels={**labels_of(pod), **pod_labels(pod)},
        annotations=dict(annotations_of(pod)), cgroup_parent=cgroup,
        sysctls={sysctls.normalized(item["name"]): item["value"] for item in context.get("sysctls") or []},
        namespaces=security.namespaces(pod), run_as_user=context.get("runAsUser"),
        run_as_group=context.get("runAsGroup") if context.get("runAsUser") is not None else None,
        supplemental_groups=security.supplemental_groups(pod),
        privileged=any(security.is_privileged(item) for item in spec.all_containers(pod)),
        seccomp=security.seccomp(pod),
    )
