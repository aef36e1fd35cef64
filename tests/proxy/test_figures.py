"""The proxy's figures under kube-proxy's names."""

from __future__ import annotations

import aiohttp

from sampan.proxy.figures import Figures, serving


async def test_figures_are_served_beside_the_mode(unused_port: int) -> None:
    figures = Figures()
    figures.changed("service", 2)
    figures.changed("endpoint", 3)
    figures.synced(0.003)
    figures.failed()
    figures.changed("service", 1)
    async with serving(figures, "127.0.0.1", unused_port), aiohttp.ClientSession() as session:
        async def get(path: str) -> str:
            async with session.get(f"http://127.0.0.1:{unused_port}{path}") as answer:
                return await answer.text()

        assert (await get("/proxyMode"), await get("/healthz")) == ("nftables", "ok")
        text = await get("/metrics")
    for line in (
        'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.002"} 0.0',
        'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004"} 1.0',
        "kubeproxy_sync_proxy_rules_duration_seconds_count 1.0",
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total 1.0",
        "kubeproxy_sync_proxy_rules_service_changes_total 3.0",
        "kubeproxy_sync_proxy_rules_service_changes_pending 1.0",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0.0",
    ):
        assert line in text, line
