"""Lists: order, pages, versions, selectors."""

from __future__ import annotations

from typing import Any, Final

from sampan.testing.check_api.endpoint import Check, Endpoint

OURS = "labelSelector=ours"


async def _make(api: Endpoint, count: int) -> None:
    for number in range(count):
        labels = {"ours": "yes", "parity": "odd" if number % 2 else "even"}
        await api.config_map(f"c{number}", labels=labels)


def _names(document: Any) -> list[str]:
    return [item["metadata"]["name"] for item in document["items"]]


async def a_list_has_a_version_and_is_in_order(api: Endpoint) -> None:
    await _make(api, 3)
    found = await api.ok("GET", f"configmaps?{OURS}")
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert _names(found) == ["c0", "c1", "c2"] and int(found["metadata"]["resourceVersion"]) > 0


async def pages_show_one_moment(api: Endpoint) -> None:
    await _make(api, 5)
    first = await api.ok("GET", f"configmaps?{OURS}&limit=2")
    await api.config_map("c9", labels={"ours": "yes"})
    second = await api.ok("GET", f"configmaps?{OURS}&limit=2&continue={first['metadata']['continue']}")
    third = await api.ok("GET", f"configmaps?{OURS}&limit=2&continue={second['metadata']['continue']}")
    assert _names(first) + _names(second) + _names(third) == ["c0", "c1", "c2", "c3", "c4"]
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1 and not third["metadata"].get("continue")


async def a_page_says_how_much_is_left(api: Endpoint) -> None:
    await _make(api, 4)
    total = len(_names(await api.ok("GET", "configmaps")))
    found = await api.ok("GET", "configmaps?limit=3")
    assert found["metadata"]["remainingItemCount"] == total - 3


async def a_made_up_token_is_a_bad_request(api: Endpoint) -> None:
    await api.refused("400 BadRequest", "GET", "configmaps?limit=1&continue=nonsense")


async def labels_select(api: Endpoint) -> None:
    await _make(api, 4)
    for selector, expected in {
        "parity=even": ["c0", "c2"], "parity!=even,ours": ["c1", "c3"], "parity in (odd,none)": ["c1", "c3"],
        "ours,parity notin (odd)": ["c0", "c2"], "!ours,parity": [], "ours=yes,parity": ["c0", "c1", "c2", "c3"],
    }.items():
        assert _names(await api.ok("GET", f"configmaps?labelSelector={selector}")) == expected, selector
    await api.refused("400 BadRequest", "GET", "configmaps?labelSelector=a in b")


async def fields_select(api: Endpoint) -> None:
    await _make(api, 3)
    assert _names(await api.ok("GET", "configmaps?fieldSelector=metadata.name=c1")) == ["c1"]
    assert _names(await api.ok("GET", f"configmaps?{OURS}&fieldSelector=metadata.name!=c1")) == ["c0", "c2"]
    status = await api.refused("400 BadRequest", "GET", "configmaps?fieldSelector=data.k=1")
    assert "data.k" in status["message"]


async def a_list_as_of_a_version_shows_the_past(api: Endpoint) -> None:
    await _make(api, 2)
    version = (await api.ok("GET", f"configmaps?{OURS}"))["metadata"]["resourceVersion"]
    await api.ok("DELETE", "configmaps/c0")
    exact = await api.ok("GET", f"configmaps?{OURS}&resourceVersion={version}&resourceVersionMatch=Exact")
    assert _names(exact) == ["c0", "c1"] and exact["metadata"]["resourceVersion"] == version
    newer = await api.ok("GET", f"configmaps?{OURS}&resourceVersion={version}&resourceVersionMatch=NotOlderThan")
    assert int(newer["metadata"]["resourceVersion"]) >= int(version)


async def how_a_version_matches_must_make_sense(api: Endpoint) -> None:
    await api.refused("422 Invalid", "GET", "configmaps?resourceVersionMatch=Exact")
    await api.refused("422 Invalid", "GET", "configmaps?resourceVersion=1&resourceVersionMatch=Sometimes")
    await api.refused("422 Invalid", "GET", "configmaps?resourceVersion=0&resourceVersionMatch=Exact")


async def a_write_is_in_the_next_list(api: Endpoint) -> None:
    for number in range(10):
        await api.config_map(f"c{number}", labels={"ours": "yes"})
        assert len(_names(await api.ok("GET", f"configmaps?{OURS}"))) == number + 1


async def all_namespaces_are_listed_together(api: Endpoint) -> None:
    await _make(api, 1)
    found = await api.ok("GET", "/api/v1/configmaps?fieldSelector=metadata.namespace=" + api.namespace)
    assert "c0" in _names(found)


CHECKS: Final[tuple[Check, ...]] = (
    a_list_has_a_version_and_is_in_order, pages_show_one_moment, a_page_says_how_much_is_left,
    a_made_up_token_is_a_bad_request, labels_select, fields_select, a_list_as_of_a_version_shows_the_past,
    how_a_version_matches_must_make_sense, a_write_is_in_the_next_list, all_namespaces_are_listed_together,
)
