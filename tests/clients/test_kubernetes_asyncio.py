"""kubernetes-asyncio: lists, watches that go on, patches, the dynamic client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.dynamic import DynamicClient
from tests.meanwhile import meanwhile


@pytest.fixture
async def connected(kubeconfig: Path) -> AsyncIterator[client.ApiClient]:
    async with await config.new_client_from_config(str(kubeconfig)) as found:
        yield found


async def test_objects_are_written_and_read(connected, namespace):
    core = client.CoreV1Api(connected)
    await core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}, "data": {"k": "1"}})
    patched = await core.patch_namespaced_config_map(
        "a", namespace, {"data": {"k": None, "l": "2"}}, _content_type="application/merge-patch+json"
    )
    assert patched.data == {"l": "2"}
    applied = await core.patch_namespaced_config_map(
        "a", namespace, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"m": "3"}}, field_manager="me",
        _content_type="application/apply-patch+yaml",
    )
    assert applied.data == {"l": "2", "m": "3"}
    await core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as gone:
        await core.read_namespaced_config_map("a", namespace)
    assert gone.value.status == 404


async def test_a_watch_sees_each_change_in_order(connected, namespace):
    core = client.CoreV1Api(connected)
    listed = await core.list_namespaced_pod(namespace)
    seen: list[str] = []

    async def look() -> None:
        async with watch.Watch().stream(
            core.list_namespaced_pod, namespace, resource_version=listed.metadata.resource_version, timeout_seconds=200
        ) as stream:
            async for event in stream:
                phase = event["object"].status.phase
                if not seen or seen[-1] != (event["type"], phase):
                    seen.append((event["type"], phase))
                if event["type"] == "DELETED":
                    return

    container = {"name": "main", "image": "busybox"}
    annotations = {"sim.sampan/run-seconds": "0.2"}
    async with meanwhile(look()) as looking, asyncio.timeout(90):
        await core.create_namespaced_pod(namespace, {
            "metadata": {"name": "p", "annotations": annotations},
            "spec": {"containers": [container], "restartPolicy": "Never"},
        })
        while ("MODIFIED", "Succeeded") not in seen:
            await asyncio.sleep(0.02)
        await core.delete_namespaced_pod("p", namespace, grace_period_seconds=0)
        await looking
    assert seen == [
        ("ADDED", "Pending"), ("MODIFIED", "Pending"), ("MODIFIED", "Running"), ("MODIFIED", "Succeeded"),
        ("DELETED", "Succeeded"),
    ]


async def test_the_dynamic_client_finds_kinds(connected, namespace):
    dynamic = await DynamicClient(connected)
    jobs = await dynamic.resources.get(api_version="batch/v1", kind="Job")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}}
    await jobs.create(namespace=namespace, body={
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"template": template, "completions": 2, "parallelism": 2},
    })
    async with asyncio.timeout(90):
        while (found := await jobs.get(name="j", namespace=namespace)).status.succeeded != 2:
            await asyncio.sleep(0.05)
    assert "Complete" in {condition.type for condition in found.status.conditions}
