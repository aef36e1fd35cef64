"""When is a local cluster truly ready? Each condition is asked for the way a user would notice that it fails.

The API server answers /readyz, every node is Ready, the default ServiceAccount exists (no pod is admitted without it),
a scheduler runs, cluster DNS resolves `kubernetes.default` at the Service's own address, from the first node, and
metrics.k8s.io can be asked, so that discovery is complete and `kubectl top` works from the first moment on. Where the
control plane is static pods, these are Ready too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan.addons.metrics.documents import GROUP, VERSION
from sampan.api.resources import API_SERVICES, NODES, PODS, SERVICE_ACCOUNTS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import dig, name_of
from sampan.client.client import Client
from sampan.cmd import control_plane_pods
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.process import ask_health
from sampan.machines import namespace

_DNS_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Condition:
    """`holds` answers now; `doing` is what to tell a person meanwhile."""

    name: str
    doing: str
    holds: Callable[[], Awaitable[bool]]


def conditions(cluster: ClusterLayout, client: Client) -> tuple[Condition, ...]:
    """All conditions, in the order in which they usually come true."""

    async def server_answers() -> bool:
        return (await client.raw("GET", "/readyz")).status == 200

    async def nodes_ready() -> bool:
        nodes = (await client.list(NODES))["items"]
        ready = {name_of(node) for node in nodes if _has(node, "Ready")}
        return ready >= {node.name for node in cluster.nodes}

    async def account_exists() -> bool:
        return bool(await client.get(SERVICE_ACCOUNTS, "default", "default"))

    async def scheduler_runs() -> bool:
        process = "control-plane" if cluster.processes == "combined" else "scheduler"
        health = await ask_health(cluster.health_socket(process))
        return bool(dig(health, "parts", "scheduler", "state") == "running")

    async def dns_answers() -> bool:
        return await asyncio.to_thread(_resolves, cluster)

    async def metrics_available() -> bool:
        return _has(await client.get(API_SERVICES, f"{VERSION}.{GROUP}"), "Available")

    async def control_plane_pods_ready() -> bool:
        pods = (await client.list(PODS, control_plane_pods.NAMESPACE))["items"]
        return {name_of(pod) for pod in pods if _has(pod, "Ready")} >= control_plane_pods.names(cluster)

    everywhere = (
        Condition("API server", "starting the control plane", server_answers),
        Condition("nodes", "waiting for the node to be Ready", nodes_ready),
        Condition("default ServiceAccount", "waiting for the controllers", account_exists),
        Condition("scheduler", "waiting for the scheduler", scheduler_runs),
        Condition("cluster DNS", "waiting for cluster DNS", dns_answers),
        Condition("metrics API", "waiting for the metrics API", metrics_available),
    )
    if cluster.processes != "static-pods":
        return everywhere
    doing = "waiting for the control plane's pods to be Ready"
    return (*everywhere, Condition("control plane pods", doing, control_plane_pods_ready))


async def holds(condition: Condition) -> bool:
    """Whether it holds now; an API error means no."""
    try:
        return await condition.holds()
    except APIError:
        return False


def _has(obj: dict[str, object], condition: str) -> bool:
    found = dig(obj, "status", "conditions", default=[])
    return any(c.get("type") == condition and c.get("status") == "True" for c in found)


def _resolves(cluster: ClusterLayout) -> bool:
    import dns.exception
    import dns.message
    import dns.query

    question = dns.message.make_query(f"kubernetes.default.svc.{cluster.domain}.", "A")
    try:
        answer = namespace.call_in(
            cluster.first_node.namespace, lambda: dns.query.udp(question, cluster.dns_address, timeout=_DNS_TIMEOUT_S)
        )
    except (dns.exception.DNSException, OSError):
        return False
    return any(cluster.kubernetes_address in str(record) for rrset in answer.answer for record in rrset)
