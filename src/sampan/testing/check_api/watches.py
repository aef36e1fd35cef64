"""Watches: from where they begin, what they tell, how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from sampan.client.client import lines
from sampan.testing.check_api.endpoint import DEADLINE_S, MERGE, Check, Endpoint
from sampan.testing.check_api.views import TABLE


async def _events(
    api: Endpoint, query: str, count: int, headers: Mapping[str, str] | None = None
) -> list[Any]:
    """The first events of a watch of ConfigMaps."""
    response = await api.open("GET", f"configmaps?watch=true&{query}", headers=headers)
    assert response.status == 200, response.status
    found: list[Any] = []
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(lines(response)) as stream:
        async for line in stream:
            found.append(orjson.loads(line))
            if len(found) == count:
                break
    return found


async def _version(api: Endpoint) -> str:
    return str((await api.ok("GET", "configmaps"))["metadata"]["resourceVersion"])


def _told(events: list[Any]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


async def a_watch_goes_on_from_a_list_without_a_gap(api: Endpoint) -> None:
    version = await _version(api)
    await api.config_map("a", {"k": "1"}, labels={"ours": "yes"})
    await api.ok("PATCH", "configmaps/a", {"data": {"k": "2"}}, MERGE)
    await api.ok("DELETE", "configmaps/a")
    seen = await _events(api, f"labelSelector=ours&resourceVersion={version}&timeoutSeconds=10", 3)
    assert _told(seen) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(set(versions)) and versions[0] > int(version)
    assert seen[2]["object"]["data"] == {"k": "2"}


async def a_watch_without_a_version_begins_with_what_is_there(api: Endpoint) -> None:
    await api.config_map("a", labels={"ours": "yes"})
    await api.config_map("b", labels={"ours": "yes"})
    seen = await _events(api, "labelSelector=ours&timeoutSeconds=10", 2)
    assert sorted(_told(seen)) == [("ADDED", "a"), ("ADDED", "b")]


async def a_change_into_and_out_of_a_selection_is_told_as_such(api: Endpoint) -> None:
    await api.config_map("a")
    version = await _version(api)
    for color in ("blue", "green"):
        await api.ok("PATCH", "configmaps/a", {"metadata": {"labels": {"color": color}}}, MERGE)
    seen = await _events(api, f"labelSelector=color=blue&resourceVersion={version}&timeoutSeconds=10", 2)
    assert _told(seen) == [("ADDED", "a"), ("DELETED", "a")]


async def one_object_is_watched_by_its_name(api: Endpoint) -> None:
    version = await _version(api)
    await api.config_map("a")
    await api.config_map("b")
    seen = await _events(api, f"fieldSelector=metadata.name=b&resourceVersion={version}&timeoutSeconds=10", 1)
    assert _told(seen) == [("ADDED", "b")]


async def a_streamed_list_ends_with_a_bookmark(api: Endpoint) -> None:
    await api.config_map("a", labels={"ours": "yes"})
    options = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=10"
    seen = await _events(api, f"labelSelector=ours&{options}", 2)
    assert [event["type"] for event in seen] == ["ADDED", "BOOKMARK"]
    assert seen[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await api.refused("422 Invalid", "GET", "configmaps?watch=true&sendInitialEvents=true&timeoutSeconds=1")


async def a_streamed_list_is_no_table(api: Endpoint) -> None:
    options = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    await api.refused("406 NotAcceptable", "GET", f"configmaps?{options}", headers=TABLE)


async def only_the_first_table_of_a_watch_has_columns(api: Endpoint) -> None:
    version = await _version(api)
    for name in ("a", "b"):
        await api.config_map(name, labels={"ours": "yes"})
    query = f"labelSelector=ours&resourceVersion={version}&timeoutSeconds=10"
    seen = await _events(api, query, 2, TABLE)
    assert [event["object"]["rows"][0]["cells"][0] for event in seen] == ["a", "b"]
    assert [bool(event["object"].get("columnDefinitions")) for event in seen] == [True, False]


async def a_watch_ends_when_its_time_is_over(api: Endpoint) -> None:
    version = await _version(api)
    assert await _events(api, f"labelSelector=none&resourceVersion={version}&timeoutSeconds=1", 1) == []


async def a_version_that_makes_no_sense_is_refused(api: Endpoint) -> None:
    answer = await api.call("GET", "configmaps?watch=true&resourceVersion=abc&timeoutSeconds=1")
    status = answer.document if answer.code != 200 else orjson.loads(answer.body)["object"]
    assert status["code"] == 400


CHECKS: Final[tuple[Check, ...]] = (
    a_watch_goes_on_from_a_list_without_a_gap, a_watch_without_a_version_begins_with_what_is_there,
    a_change_into_and_out_of_a_selection_is_told_as_such, one_object_is_watched_by_its_name,
    a_streamed_list_ends_with_a_bookmark, a_streamed_list_is_no_table, only_the_first_table_of_a_watch_has_columns,
    a_watch_ends_when_its_time_is_over,
    a_version_that_makes_no_sense_is_refused,
)
