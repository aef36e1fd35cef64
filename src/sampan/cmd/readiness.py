"""When is a local cluster truly ready? Each condition is asked for the way a user would notice that it fails.

The API server answers /readyz, every node is Ready, the default ServiceAccount exists (no pod is admitted without it),
a scheduler runs, and cluster DNS resolves `kubernetes.default` at the Service's own address, from the first node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan.api.resources import NODES, SERVICE_ACCOUNTS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import dig, name_of
from sampan.client.client import Client
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
        ready = {name_of(node) for node in nodes if _is_ready(node)}
        return ready >= {node.name for node in cluster.nodes}

    async def account_exists() -> bool:
        return bool(await client.get(SERVICE_ACCOUNTS, "default", "default"))

    async def scheduler_runs() -> bool:
        process = "control-plane" if cluster.processes == "combined" else "scheduler"
        health = await ask_health(cluster.health_socket(process))
        return bool(dig(health, "parts", "scheduler", "state") == "running")

    async def dns_answers() -> bool:
        return await asyncio.to_thread(_resolves, cluster)

    return (
        Condition("API server", "starting the control plane", server_answers),
        Condition("nodes", "waiting for the node to be Ready", nodes_ready),
        Condition("default ServiceAccount", "waiting for the controllers", account_exists),
        Condition("scheduler", "waiting for the scheduler", scheduler_runs),
        Condition("cluster DNS", "waiting for cluster DNS", dns_answers),
    )


async def holds(condition: Condition) -> bool:
    """Whether it holds now; an API error means no."""
    try:
        return await condition.holds()
    except APIError:
        return False


def _is_ready(node: dict[str, object]) -> bool:
    conditions_of_node = dig(node, "status", "conditions", default=[])
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions_of_node)


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
