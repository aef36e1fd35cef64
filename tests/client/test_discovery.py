"""Discovery: the aggregated form and the plain one say the same, and what failed is told apart."""

from __future__ import annotations

import orjson
import pytest

from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.discovery import Discoverer, discover

DEPLOYMENT = {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["delete", "list", "watch"]}
SCALE = {"name": "deployments/scale", "kind": "Scale", "namespaced": True, "verbs": ["get"]}
POD = {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["delete", "list", "watch"]}
BINDING = {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]}


def version(name: str, *resources: Object, stale: bool = False) -> Object:
    return {
        "version": name, "freshness": "Stale" if stale else "Current", "resources": [
            {"resource": one["name"], "responseKind": {"kind": one["kind"]}, "verbs": one["verbs"],
             "scope": "Namespaced" if one["namespaced"] else "Cluster"}
            for one in resources if "/" not in one["name"]
        ],
    }


def aggregated(**groups: list[Object]) -> Object:
    items = [
        {"metadata": {"name": "" if name == "core" else name}, "versions": found} for name, found in groups.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "items": items}


def group(name: str, *versions: str, preferred: str) -> Object:
    return {
        "name": name, "versions": [{"groupVersion": f"{name}/{one}"} for one in versions],
        "preferredVersion": {"groupVersion": f"{name}/{preferred}"},
    }


AGGREGATED = {
    "/api": aggregated(core=[version("v1", POD, BINDING)]),
    "/apis": aggregated(apps=[version("v1", DEPLOYMENT), version("v1beta1", DEPLOYMENT)],
                        metrics=[version("v1", stale=True)]),
}
PLAIN = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "groups": [
        group("apps", "v1beta1", "v1", preferred="v1"), group("metrics", "v1", preferred="v1"),
    ]},
    "/api/v1": {"resources": [POD, BINDING]},
    "/apis/apps/v1": {"resources": [DEPLOYMENT, SCALE]},
    "/apis/apps/v1beta1": {"resources": [DEPLOYMENT]},
}


class Answers:
    """A server that knows these documents, and is not available for anything else."""

    def __init__(self, documents: dict[str, Object]) -> None:
        self._documents = documents

    async def request(self, request: Request) -> Response:
        document = self._documents.get(request.path)
        if document is None:
            status = {"kind": "Status", "reason": "ServiceUnavailable", "code": 503, "message": "no answer"}
            return Response(503, {"content-type": "application/json"}, orjson.dumps(status))
        return Response(200, {"content-type": "application/json"}, orjson.dumps(document))

    async def close(self) -> None:
        return


@pytest.mark.parametrize(("documents", "failure"), [
    (AGGREGATED, "stale GroupVersion discovery: metrics/v1"), (PLAIN, "no answer"),
])
async def test_what_is_found_and_what_failed(documents: dict[str, Object], failure: str) -> None:
    found = await discover(Client(Answers(documents)))
    assert [one.qualified for one in found.with_verbs("delete", "list", "watch")] == ["pods", "deployments.apps"]
    assert found.failed == {"metrics/v1": failure}
    assert found.of_kind("apps/v1beta9", "Deployment") == found.serving("apps/v1", "Deployment")
    old = found.serving("apps/v1beta1", "Deployment")
    assert old is not None and old.api_version == "apps/v1beta1"
    assert found.serving("apps/v1beta2", "Deployment") is None is found.serving("v1", "Deployment")


async def test_no_answer_at_all_is_an_error() -> None:
    with pytest.raises(APIError):
        await discover(Client(Answers({})))


@pytest.mark.parametrize(("documents", "same"), [(AGGREGATED, True), (PLAIN, False)])
async def test_what_says_the_same_again_is_not_read_again(documents: dict[str, Object], same: bool) -> None:
    said = dict(documents)
    discoverer = Discoverer(Client(Answers(said)))
    first = await discoverer.discover()
    again = await discoverer.discover()
    assert (again is first) is same and again == first  # the plain form names the versions, not what is in them
    said |= {"/api": aggregated(core=[version("v1", BINDING)]), "/api/v1": {"resources": [BINDING]}}
    assert [one.qualified for one in (await discoverer.discover()).with_verbs("create")] == ["bindings"]
    assert [one.qualified for one in (await discoverer.discover()).with_verbs("delete")] == ["deployments.apps"]
