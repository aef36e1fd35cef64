"""Evictions, as upstream's unit and integration tests of them ask."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.serving import call, document, pod, serving

from sampan.api.resources import POD_DISRUPTION_BUDGETS, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.apiserver.handlers import eviction
from sampan.client.client import Client

URL = "/api/v1/namespaces/default/pods/a/eviction"
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "default"}}


async def a_pod(client: Client, phase: str = "Running", ready: bool = True, held: bool = True) -> Object:
    """A pod `a` on a node; `held` by a finalizer, so that what became of it can be seen."""
    made = pod("a", app="x")
    made["spec"]["nodeName"] = "n"
    if held:
        made["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(PODS, made)
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"status": {"phase": phase, "conditions": conditions}}
    return await client.patch(PODS, "a", status, "default", subresource="status")


async def a_budget(client: Client, spec: Object | None = None, **status: Any) -> None:
    await client.create(POD_DISRUPTION_BUDGETS, {
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}} | (spec or {}),
    })
    counts = {
        "observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 1,
    }
    await client.patch(POD_DISRUPTION_BUDGETS, "x", {"status": counts | status}, "default", subresource="status")


async def target(client: Client) -> Object | None:
    found = (await client.get(PODS, "a", "default"))["status"]["conditions"]
    return next((one for one in found if one["type"] == "DisruptionTarget"), None)


NEITHER = "The disruption budget x needs 0 healthy pods and has 0 currently"
ALWAYS, IF_HEALTHY = {"unhealthyPodEvictionPolicy": "AlwaysAllow"}, {"unhealthyPodEvictionPolicy": "IfHealthyBudget"}


@pytest.mark.parametrize(("phase", "ready", "spec", "status", "refused"), [
    ("Running", False, {}, {}, NEITHER), ("Running", False, IF_HEALTHY, {}, NEITHER),
    ("Running", False, ALWAYS, {}, ""), ("Running", True, ALWAYS, {}, NEITHER),
    ("Running", True, {"selector": {}}, {}, NEITHER),  # which selects all
    ("Pending", False, {}, {}, ""), ("Succeeded", False, {}, {}, ""), ("Failed", False, {}, {}, ""),
    ("Running", True, {}, {"disruptionsAllowed": 1}, ""),
    ("Running", True, {"selector": {"matchLabels": {"app": "y"}}}, {}, ""),
    ("Running", False, {}, {"currentHealthy": 2, "desiredHealthy": 2}, ""),
    ("Running", True, {}, {"currentHealthy": 2, "desiredHealthy": 2},
     "The disruption budget x needs 2 healthy pods and has 2 currently"),
    ("Running", True, {}, {"currentHealthy": 3, "desiredHealthy": 2},
     "The disruption budget x does not allow evicting pods currently"),
    ("Running", True, {}, {"observedGeneration": 0, "disruptionsAllowed": 1},
     "The disruption budget x is still being processed by the server."),
])
async def test_whom_a_budget_guards(phase, ready, spec, status, refused) -> None:
    async with serving() as (server, client):
        await a_pod(client, phase, ready)
        await a_budget(client, spec, **status)
        answer = await call(server, "POST", URL, EVICTION)
        assert answer.status == (429 if refused else 201)
        if refused:
            assert document(answer)["details"]["causes"] == [{"reason": "DisruptionBudget", "message": refused}]
        assert bool(await target(client)) is not bool(refused)


@pytest.mark.parametrize(("preconditions", "error"), [
    ({}, ""), ({"uid": "uid"}, ""), ({"resourceVersion": "resourceVersion"}, ""),
    ({"uid": "uid", "resourceVersion": "resourceVersion"}, ""),
    ({"uid": "other"}, "The object might have been deleted and then recreated"),
    ({"resourceVersion": "other"}, "The object might have been modified"),
])
@pytest.mark.parametrize("phase", ["Running", "Pending", "Succeeded"])
async def test_an_eviction_is_of_the_pod_that_is_meant(phase, preconditions, error) -> None:
    async with serving() as (server, client):
        metadata = (await a_pod(client, phase))["metadata"]
        wanted = {key: metadata.get(value, "1") for key, value in preconditions.items()}
        answer = await call(server, "POST", URL, EVICTION | {"deleteOptions": {"preconditions": wanted}})
        assert answer.status == (409 if error else 201)
        assert error in document(answer).get("message", "")
        assert bool(await target(client)) is not bool(error), "who is not meant is not told"


@pytest.mark.parametrize("allowed", [1, 3])
async def test_a_budget_that_is_spent_says_so(allowed) -> None:
    async with serving() as (server, client):
        await a_pod(client)
        condition = {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": "",
                     "lastTransitionTime": "2026-01-02T03:04:05Z"}
        await a_budget(client, disruptionsAllowed=allowed, conditions=[condition])
        assert (await call(server, "POST", URL, EVICTION)).status == 201
        status = (await client.get(POD_DISRUPTION_BUDGETS, "x", "default"))["status"]
        [found] = status["conditions"]
        assert status["disruptionsAllowed"] == allowed - 1 and "a" in status["disruptedPods"]
        assert (found["status"], found["reason"]) == (
            ("True", "SufficientPods") if allowed > 1 else ("False", "InsufficientPods"))


async def test_too_many_evictions_that_are_not_confirmed_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(eviction, "_MOST_DISRUPTED", 0)
    async with serving() as (server, client):
        await a_pod(client)
        await a_budget(client, disruptionsAllowed=2, disruptedPods={"b": "2026-01-02T03:04:05Z"})
        answer = await call(server, "POST", URL, EVICTION)
        assert answer.status == 403 and "DisruptedPods map too big" in document(answer)["message"]


@pytest.mark.parametrize("query", ["", "?dryRun=All"])
@pytest.mark.parametrize("options", [{}, {"dryRun": ["All"]}])
async def test_a_trial_changes_nothing(query, options) -> None:
    async with serving() as (server, client):
        await a_pod(client)
        await a_budget(client, disruptionsAllowed=1)
        is_trial = bool(query or options)
        assert (await call(server, "POST", URL + query, EVICTION | {"deleteOptions": options})).status == 201
        left = (await client.get(POD_DISRUPTION_BUDGETS, "x", "default"))["status"]["disruptionsAllowed"]
        assert left == (1 if is_trial else 0) and bool(await target(client)) is not is_trial


@pytest.mark.parametrize(("becomes", "spec", "status", "code"), [
    ({"reason": "touched"}, {}, {}, 201),  # still waits for a node
    ({"phase": "Running"}, {}, {}, 429), ({"phase": "Running"}, {}, {"disruptionsAllowed": 1}, 201),
])
async def test_a_pod_that_changes_under_way_is_looked_at_again(monkeypatch, becomes, spec, status, code) -> None:
    async with serving() as (server, client):
        await a_pod(client, "Pending")
        await a_budget(client, spec, **status)
        await interfere(monkeypatch, client, becomes)
        assert (await call(server, "POST", URL, EVICTION)).status == code
        assert bool(await target(client)) is (code == 201)


async def test_who_was_not_ready_and_changes_under_way_is_left_to_the_next_try(monkeypatch) -> None:
    async with serving() as (server, client):
        await a_pod(client, ready=False)
        await a_budget(client, ALWAYS)
        await interfere(monkeypatch, client, {"conditions": [{"type": "Ready", "status": "True"}]})
        answer = await call(server, "POST", URL, EVICTION)
        [cause] = document(answer)["details"]["causes"]
        assert answer.status == 429 and "is still being processed" in cause["message"]
        assert not await target(client)


async def interfere(monkeypatch, client: Client, status: Object) -> None:
    """Just before the pod is marked the first time, its status changes."""
    check, tried = eviction._Eviction._delete, []

    async def late(self: Any, pod: Object, *, only_so: bool) -> None:
        if not tried:
            tried.append(pod)
            await client.patch(PODS, "a", {"status": status}, "default", subresource="status")
        await check(self, pod, only_so=only_so)

    monkeypatch.setattr(eviction._Eviction, "_delete", late)


@pytest.mark.parametrize(("change", "code"), [
    ({}, 201), ({"apiVersion": None, "kind": None}, 201), ({"apiVersion": "policy/v1beta1"}, 201),
    ({"apiVersion": "policy/v2"}, 400), ({"metadata": {"name": "b"}}, 400),
])
async def test_which_documents_are_evictions(change, code) -> None:
    async with serving() as (server, client):
        await a_pod(client)
        body = {key: value for key, value in (EVICTION | change).items() if value is not None}
        answer = await call(server, "POST", URL, body)
        assert answer.status == code
        if code == 201:
            assert (document(answer)["kind"], document(answer)["apiVersion"]) == ("Status", "v1")
        elif "apiVersion" in change:
            assert "policy/v2" in document(answer)["message"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_an_eviction_is_only_created(method) -> None:
    async with serving() as (server, client):
        await a_pod(client)
        assert (await call(server, method, URL, EVICTION)).status == 405


async def test_one_allowance_is_spent_once_by_many_at_once() -> None:
    import asyncio

    async with serving() as (server, client):
        await a_pod(client)
        await a_budget(client, disruptionsAllowed=1)
        answers = await asyncio.gather(*(call(server, "POST", URL, EVICTION) for _ in range(10)))
        assert {answer.status for answer in answers} <= {201, 429}
        assert (await client.get(POD_DISRUPTION_BUDGETS, "x", "default"))["status"]["disruptionsAllowed"] == 0


async def test_who_is_not_there_is_not_found() -> None:
    async with serving() as (server, client):
        assert (await call(server, "POST", URL, EVICTION)).status == 404
        with pytest.raises(errors.NotFound):
            await client.get(PODS, "a", "default")
