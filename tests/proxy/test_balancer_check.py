"""A load balancer learns which nodes have endpoints."""

from __future__ import annotations

from typing import Any

import aiohttp

from sampan.proxy.balancer_check import BalancerChecks, local_endpoints, ports_of


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n"},
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000, **spec}}


def test_only_balanced_services_with_policy_local_have_a_port() -> None:
    assert ports_of([service("a")]) == {31000: "n/a"}
    for other in ({"type": "NodePort"}, {"externalTrafficPolicy": "Cluster"}, {"healthCheckNodePort": 0}):
        assert ports_of([service("a", **other)]) == {}


def test_ready_endpoints_of_this_node_are_counted_once() -> None:
    def endpoint(address: str, node: str, **conditions: bool) -> dict[str, Any]:
        return {"addresses": [address], "nodeName": node, "conditions": conditions}

    piece = {"endpoints": [endpoint("1", "here"), endpoint("1", "here"), endpoint("2", "there"),
                           endpoint("3", "here", ready=False)]}
    assert local_endpoints([piece], "here") == 1


async def test_the_port_answers_while_the_service_has_it(unused_port: int) -> None:
    counts = {"n/a": 2}
    checks = BalancerChecks("127.0.0.1", lambda key: counts[key], lambda: True)
    url = f"http://127.0.0.1:{unused_port}/healthz"
    async with aiohttp.ClientSession() as session:
        try:
            await checks.update({unused_port: "n/a"})
            async with session.get(url) as response:
                assert response.status == 200
                assert await response.json() == {
                    "service": {"namespace": "n", "name": "a"}, "localEndpoints": 2, "serviceProxyHealthy": True}
            counts["n/a"] = 0
            async with session.get(url) as response:
                assert response.status == 503
        finally:
            await checks.close()
        try:
            async with session.get(url):
                raise AssertionError("the port is still open")
        except aiohttp.ClientConnectionError:
            pass


async def test_a_port_that_is_taken_does_not_stop_the_others(unused_port: int) -> None:
    first, second = (BalancerChecks("127.0.0.1", lambda _: 1, lambda: True) for _ in range(2))
    try:
        await first.update({unused_port: "n/a"})
        await second.update({unused_port: "n/b"})
    finally:
        await first.close()
        await second.close()
