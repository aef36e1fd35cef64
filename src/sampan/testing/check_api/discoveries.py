"""Discovery, OpenAPI, health, version, and who one is."""

from __future__ import annotations

from typing import Final

from sampan.testing.check_api.endpoint import Check, Endpoint

AGGREGATED = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}


async def the_core_is_discovered(api: Endpoint) -> None:
    versions = await api.ok("GET", "/api")
    assert versions["kind"] == "APIVersions" and "v1" in versions["versions"]
    resources = {one["name"]: one for one in (await api.ok("GET", "/api/v1"))["resources"]}
    assert resources["configmaps"]["shortNames"] == ["cm"] and resources["configmaps"]["namespaced"] is True
    assert {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} == set(
        resources["configmaps"]["verbs"]
    )
    assert {"pods/status", "pods/log", "pods/eviction", "namespaces/finalize"} <= set(resources)


async def groups_are_discovered(api: Endpoint) -> None:
    groups = {group["name"]: group for group in (await api.ok("GET", "/apis"))["groups"]}
    assert groups["apps"]["preferredVersion"]["groupVersion"] == "apps/v1"
    assert {"batch", "rbac.authorization.k8s.io", "coordination.k8s.io", "policy"} <= set(groups)
    resources = {one["name"] for one in (await api.ok("GET", "/apis/apps/v1"))["resources"]}
    assert {"deployments", "deployments/scale", "deployments/status"} <= resources


async def everything_is_discovered_at_once(api: Endpoint) -> None:
    for path in ("/api", "/apis"):
        found = await api.ok("GET", path, None, AGGREGATED)
        assert found["kind"] == "APIGroupDiscoveryList" and found["items"], path


async def open_api_describes_the_kinds(api: Endpoint) -> None:
    index = (await api.ok("GET", "/openapi/v3"))["paths"]
    url = index["apis/apps/v1"]["serverRelativeURL"]
    document = await api.ok("GET", url)
    assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]
    older = await api.ok("GET", "/openapi/v2")
    assert older["swagger"] == "2.0" and "io.k8s.api.core.v1.Pod" in older["definitions"]


async def it_says_that_it_is_well(api: Endpoint) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        answer = await api.call("GET", path)
        assert (answer.code, answer.body) == (200, b"ok"), path


async def it_says_its_version(api: Endpoint) -> None:
    found = await api.ok("GET", "/version")
    assert found["major"] == "1" and found["gitVersion"].startswith(f"v1.{found['minor'].rstrip('+')}")


async def one_is_told_who_one_is_and_what_one_may(api: Endpoint) -> None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    found = await api.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    assert found["status"]["userInfo"]["username"]
    attributes = {"verb": "create", "resource": "configmaps", "namespace": api.namespace}
    review = {"spec": {"resourceAttributes": attributes}}
    found = await api.ok("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert found["status"]["allowed"] is True


async def what_is_no_path_is_not_found(api: Endpoint) -> None:
    await api.refused("404 NotFound", "GET", "nonsenses")
    await api.refused("405 MethodNotAllowed", "POST", "configmaps/a", {"metadata": {"name": "a"}})


CHECKS: Final[tuple[Check, ...]] = (
    the_core_is_discovered, groups_are_discovered, everything_is_discovered_at_once, open_api_describes_the_kinds,
    it_says_that_it_is_well, it_says_its_version, one_is_told_who_one_is_and_what_one_may, what_is_no_path_is_not_found,
)
