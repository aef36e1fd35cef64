"""What the server says it serves."""

import gzip

import orjson
from tests.apiserver.serving import call, document, serving

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_a_resource_list_names_kinds_and_subresources():
    async with serving() as (server, _):
        found = document(await call(server, "GET", "/api/v1"))
        by_name = {item["name"]: item for item in found["resources"]}
        assert by_name["pods"]["shortNames"] == ["po"] and by_name["pods"]["namespaced"] is True
        assert by_name["pods/eviction"] == {
            "name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"],
        }


async def test_groups_and_their_preferred_versions():
    async with serving() as (server, _):
        groups = {group["name"]: group for group in document(await call(server, "GET", "/apis"))["groups"]}
        assert groups["autoscaling"]["preferredVersion"]["version"] == "v2"
        assert document(await call(server, "GET", "/apis/apps"))["kind"] == "APIGroup"


async def test_the_root_lists_every_path():
    async with serving(advertise_address="10.1.2.3") as (server, _):
        paths = document(await call(server, "GET", "/"))["paths"]
        assert {"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/version"} <= set(paths)
        assert paths == sorted(paths) and "" not in paths
        [address] = document(await call(server, "GET", "/api"))["serverAddressByClientCIDRs"]
        assert address["serverAddress"] == "10.1.2.3:6443"


async def test_a_resource_shows_by_a_hash_how_it_is_stored():
    """The values are those of every Kubernetes cluster."""
    async with serving() as (server, _):
        core = {one["name"]: one for one in document(await call(server, "GET", "/api/v1"))["resources"]}
        events = document(await call(server, "GET", "/apis/events.k8s.io/v1"))["resources"][0]
        assert core["pods"]["storageVersionHash"] == "xPOwRZ+Yhw8="
        assert core["events"]["storageVersionHash"] == events["storageVersionHash"] == "r2yiGXH7wu8="


async def test_aggregated_discovery_is_not_sent_twice():
    async with serving() as (server, _):
        first = await call(server, "GET", "/apis", headers={"accept": V2})
        assert document(first)["kind"] == "APIGroupDiscoveryList"
        again = await call(server, "GET", "/apis", headers={"accept": V2, "if-none-match": first.headers["etag"]})
        assert again.status == 304 and not again.body


async def test_an_openapi_document_is_found_by_its_hash():
    async with serving() as (server, _):
        index = document(await call(server, "GET", "/openapi/v3"))
        url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        response = await call(server, "GET", url, headers={"accept-encoding": "gzip"})
        schemas = orjson.loads(gzip.decompress(response.body))["components"]["schemas"]
        assert "io.k8s.api.apps.v1.Deployment" in schemas
        stale = await call(server, "GET", "/openapi/v3/apis/apps/v1?hash=0")
        assert stale.status == 301 and stale.headers["location"] == url


async def test_health_names_its_checks():
    async with serving() as (server, _):
        assert (await call(server, "GET", "/readyz")).body == b"ok"
        verbose = (await call(server, "GET", "/readyz?verbose")).body.decode()
        assert "[+]ping ok" in verbose and verbose.endswith("readyz check passed\n")
        assert (await call(server, "GET", "/livez/ping")).body == b"ok"
        figures = (await call(server, "GET", "/metrics/slis")).body.decode()
        assert 'kubernetes_healthchecks_total{name="ping",status="success",type="readyz"}' in figures
        assert 'kubernetes_healthcheck{name="etcd-readiness",type="readyz"} 1' in figures
        assert "kubernetes_build_info{" in (await call(server, "GET", "/metrics")).body.decode()
        assert document(await call(server, "GET", "/version"))["gitVersion"].startswith("v1.37")


async def test_clients_may_have_the_second_openapi_document_in_protobuf():
    asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    async with serving() as (server, _):
        answer = await call(server, "GET", "/openapi/v2", headers={"accept": asked})
        assert answer.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        assert answer.body.startswith(b"\n\x032.0")


async def test_the_server_says_what_it_is_and_how_it_was_told_to_run() -> None:
    async with serving(event_ttl_s=77.0) as (server, _):
        form = "application/json;v=v1beta1;g=config.k8s.io;as="
        status = document(await call(server, "GET", "/statusz", headers={"accept": f"{form}Statusz"}))
        assert status["metadata"] == {"name": "kube-apiserver"} and "/statusz" in status["paths"]
        flags = document(await call(server, "GET", "/flagz", headers={"accept": f"{form}Flagz"}))["flags"]
        assert flags["event-ttl-s"] == "77.0"
        assert (await call(server, "GET", "/flagz", headers={"accept": "application/json"})).status == 406
