"""What upstream's tests of sig-api-machinery ask of the server itself: version, health, discovery, tables, timeouts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.apiserver.serving import call, document, pod, serving

from sampan.api.resources import FLOW_SCHEMAS, POD_TEMPLATES, PODS, PRIORITY_LEVEL_CONFIGURATIONS
from sampan.apimachinery.http import Request
from sampan.apiserver.flowcontrol import fairness

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v=v2", "v=v2beta1")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
REQUIRED_CHECKS = {
    "ping", "log", "etcd", "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers", "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers", "poststarthook/crd-informer-synced",
    "poststarthook/bootstrap-controller", "poststarthook/start-system-namespaces-controller",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/start-cluster-authentication-info-controller", "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-registration-controller", "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller", "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion", "poststarthook/apiservice-openapi-controller",
}


async def test_the_version_is_two_numbers() -> None:
    async with serving() as (server, _):
        version = document(await call(server, "GET", "/version"))
        assert version["major"] == "1" and re.fullmatch(r"[0-9]+", version["minor"])
        assert version["gitVersion"].startswith(f"v{version['major']}.{version['minor']}.")


@pytest.mark.parametrize("endpoint", ["healthz", "livez", "readyz"])
async def test_health_names_the_checks_that_upstream_requires(endpoint: str) -> None:
    async with serving() as (server, _):
        lines = (await call(server, "GET", f"/{endpoint}?verbose=1")).body.decode().splitlines()
        required = REQUIRED_CHECKS | ({"informer-sync"} if endpoint == "readyz" else set())
        assert {f"[+]{name} ok" for name in required} <= set(lines)
        one = await call(server, "GET", f"/{endpoint}/poststarthook/bootstrap-controller")
        assert (one.status, one.body) == (200, b"ok")
        await server.stop()
        stopped = await call(server, "GET", f"/{endpoint}?verbose")
        assert stopped.status == 500 and b"[-]poststarthook/crd-informer-synced failed" in stopped.body


async def test_every_group_has_the_version_it_prefers_and_that_has_resources() -> None:
    async with serving() as (server, _):
        groups = document(await call(server, "GET", "/apis"))["groups"]
        assert len(groups) > 15
        for group in groups:
            assert group == {
                key: value for key, value in document(await call(server, "GET", f"/apis/{group['name']}")).items()
                if key not in ("kind", "apiVersion")
            }
            assert group["preferredVersion"] in group["versions"]
            for version in group["versions"]:
                assert version["groupVersion"] == f"{group['name']}/{version['version']}"
                found = document(await call(server, "GET", f"/apis/{version['groupVersion']}"))
                assert (found["kind"], found["groupVersion"]) == ("APIResourceList", version["groupVersion"])
                assert all(one["name"] and one["kind"] and one["verbs"] for one in found["resources"])
                assert found["resources"]


@pytest.mark.parametrize(("accept", "answered"), [
    (V2, "apidiscovery.k8s.io/v2"), (V2BETA1, "apidiscovery.k8s.io/v2beta1"),
    (f"{V2},{V2BETA1},application/json", "apidiscovery.k8s.io/v2"), (f"{V2BETA1},{V2}", "apidiscovery.k8s.io/v2beta1"),
    (V2.replace("v=v2", "v=v9"), None), ("application/json", None), ("", None),
])
async def test_discovery_is_aggregated_for_who_asks_for_it(accept: str, answered: str | None) -> None:
    async with serving() as (server, _):
        for path, kind in (("/api", "APIVersions"), ("/apis", "APIGroupList")):
            found = document(await call(server, "GET", path, headers={"accept": accept}))
            if answered is None:
                assert found["kind"] == kind
            else:
                assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", answered)


async def test_aggregated_discovery_says_what_the_lists_of_resources_say() -> None:
    async with serving() as (server, _):
        seen = set()
        for root in ("/api", "/apis"):
            for group in document(await call(server, "GET", root, headers={"accept": V2}))["items"]:
                name = group["metadata"].get("name", "")
                for version in group["versions"]:
                    path = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
                    plain = {one["name"]: one for one in document(await call(server, "GET", path))["resources"]}
                    assert version["freshness"] == "Current"
                    for resource in version["resources"]:
                        one = plain.pop(resource["resource"])
                        assert resource["responseKind"]["kind"] == one["kind"]
                        assert resource["scope"] == ("Namespaced" if one["namespaced"] else "Cluster")
                        assert sorted(resource["verbs"]) == sorted(one["verbs"])
                        for below in resource.get("subresources", ()):
                            other = plain.pop(f"{resource['resource']}/{below['subresource']}")
                            assert below["responseKind"]["kind"] == other["kind"]
                    assert all("/" in rest and rest.split("/")[0] not in plain for rest in plain), plain
                    seen.add(f"{name}/{version['version']}")
        assert {"/v1", "apps/v1", "apiregistration.k8s.io/v1", "admissionregistration.k8s.io/v1"} <= seen


async def test_pods_are_a_table_of_rows_with_their_metadata() -> None:
    async with serving() as (server, client):
        await client.create(PODS, pod("pod-1"))
        path = "/api/v1/namespaces/default/pods/pod-1"
        table = document(await call(server, "GET", path, headers={"accept": TABLE}))
        assert table["kind"] == "Table" and len(table["columnDefinitions"]) > 2
        assert table["columnDefinitions"][0]["name"] == "Name"
        [row] = table["rows"]
        assert row["cells"][0] == "pod-1" and len(row["cells"]) == len(table["columnDefinitions"])
        assert row["object"]["kind"] == "PartialObjectMetadata" and row["object"]["metadata"]["name"] == "pod-1"


async def test_pages_of_a_table_remain_with_what_is_left() -> None:
    async with serving() as (server, client):
        for number in range(20):
            await client.create(POD_TEMPLATES, {
                "kind": "PodTemplate", "apiVersion": "v1",
                "metadata": {"name": f"template-{number:04}", "namespace": "default"},
                "template": {"spec": {"containers": [{"name": "test", "image": "test2"}]}},
            })
        path, asked = "/api/v1/namespaces/default/podtemplates", {"accept": TABLE}
        first = document(await call(server, "GET", f"{path}?limit=2", headers=asked))
        assert [row["cells"][0] for row in first["rows"]] == ["template-0000", "template-0001"]
        assert first["metadata"]["remainingItemCount"] == 18
        rest = document(await call(server, "GET", f"{path}?continue={first['metadata']['continue']}", headers=asked))
        assert len(rest["rows"]) == 18 and rest["rows"][0]["cells"][0] == "template-0002"
        assert "continue" not in rest["metadata"] and "remainingItemCount" not in rest["metadata"]


REVIEWS: dict[str, tuple[str, dict[str, Any]]] = {
    "SelfSubjectAccessReview": ("authorization.k8s.io", {"nonResourceAttributes": {"path": "/", "verb": "get"}}),
    "SubjectAccessReview": ("authorization.k8s.io", {"user": "x", "nonResourceAttributes": {"path": "/"}}),
    "SelfSubjectRulesReview": ("authorization.k8s.io", {"namespace": "default"}),
    "TokenReview": ("authentication.k8s.io", {"token": "x"}), "SelfSubjectReview": ("authentication.k8s.io", {}),
}


@pytest.mark.parametrize("kind", list(REVIEWS))
async def test_what_is_never_stored_is_no_table(kind: str) -> None:
    group, spec = REVIEWS[kind]
    path = f"/apis/{group}/v1/{kind.lower()}s"
    body = {"kind": kind, "apiVersion": f"{group}/v1", "spec": spec}
    async with serving() as (server, _):
        refused = await call(server, "POST", path, body, headers={"accept": TABLE})
        assert (refused.status, document(refused)["reason"]) == (406, "NotAcceptable")
        for accept in (f"{TABLE},application/json", "*/*", ""):
            answer = await call(server, "POST", path, body, headers={"accept": accept})
            assert (answer.status, document(answer)["kind"]) == (201, kind)


async def test_reviews_are_decoded_as_objects_are() -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    async with serving() as (server, _):
        wrong = await call(server, "POST", path, {"spec": {"resourceAttributes": "x"}})
        assert wrong.status == 400 and "cannot unmarshal string" in document(wrong)["message"]
        unknown = {"spec": {"nonsense": 1, "resourceAttributes": {"verb": "get"}}}
        strict = await call(server, "POST", f"{path}?fieldValidation=Strict", unknown)
        assert strict.status == 400 and 'unknown field "spec.nonsense"' in document(strict)["message"]
        assert "nonsense" not in document(await call(server, "POST", path, unknown))["spec"]


@pytest.mark.parametrize(("timeout", "status"), [("invalid", 400), ("3m", 200), ("0s", 200), ("1s", 200), ("", 200)])
async def test_a_request_may_say_how_long_it_waits(timeout: str, status: int) -> None:
    async with serving() as (server, _):
        for path in ("/version", "/api/v1/namespaces/default/configmaps"):
            answer = await call(server, "GET", f"{path}?timeout={timeout}")
            assert answer.status == status
            if status == 400:
                words = 'invalid timeout specified in the request URL - time: invalid duration "invalid"'
                assert document(answer)["message"] == words


async def test_requests_are_classified_by_a_schema_and_level_of_ones_own(tmp_path: Path) -> None:
    """Its steady state is a condition and a metric; then answers bear the uids of both."""
    (tmp_path / "tokens.csv").write_text("noxu-token,noxu,1,devs\nfoo-token,foo,2,devs\n")
    async with serving(authorization=True, token_file=str(tmp_path / "tokens.csv")) as (server, client):
        level = await client.create(PRIORITY_LEVEL_CONFIGURATIONS, {
            "metadata": {"name": "e2e-testing-prioritylevel"}, "spec": {"type": "Limited", "limited": {
                "nominalConcurrencyShares": 4, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            }},
        })
        rule = {"subjects": [{"kind": "User", "user": {"name": "noxu"}}], "nonResourceRules": [
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]}
        schema = await client.create(FLOW_SCHEMAS, {"metadata": {"name": "e2e-testing-flowschema"}, "spec": {
            "matchingPrecedence": 1000, "priorityLevelConfiguration": {"name": "e2e-testing-prioritylevel"},
            "distinguisherMethod": {"type": "ByUser"}, "rules": [rule],
        }})
        await client.list(FLOW_SCHEMAS)
        text = (await call(server, "GET", "/metrics")).body.decode()
        found = re.search(
            r'apiserver_flowcontrol_nominal_limit_seats\{priority_level="e2e-testing-prioritylevel"\} ([0-9.]+)', text
        )
        assert found and float(found[1]) >= 1
        await fairness.mark_dangling(client, server.reader)
        [condition] = (await client.get(FLOW_SCHEMAS, "e2e-testing-flowschema"))["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("Dangling", "False")
        seen = {}
        for name in ("noxu", "foo"):
            answer = await server.handle(Request("GET", "/version", {}, {"authorization": f"Bearer {name}-token"}))
            seen[name] = (answer.headers["x-kubernetes-pf-flowschema-uid"],
                          answer.headers["x-kubernetes-pf-prioritylevel-uid"])
        assert seen["noxu"] == (schema["metadata"]["uid"], level["metadata"]["uid"])
        assert all(seen["foo"]) and seen["foo"] != seen["noxu"]
