"""Answers in protobuf, as client-go's typed clients ask for them: objects, lists, watches, errors."""

from __future__ import annotations

import struct

from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.apimachinery.protobuf import decode_object, wire

PROTOBUF = "application/vnd.kubernetes.protobuf"
ONLY = {"accept": PROTOBUF}
EITHER = {"accept": f"{PROTOBUF},application/json"}
MAPS = "/api/v1/namespaces/default/configmaps"


async def test_an_object_is_the_same_in_both_encodings():
    async with serving() as (server, _):
        created = await call(server, "POST", "/api/v1/namespaces/default/pods", pod("p", a="b"), headers=EITHER)
        assert created.status == 201 and created.headers["content-type"] == PROTOBUF
        in_json = document(await call(server, "GET", "/api/v1/namespaces/default/pods/p"))
        assert decode_object(created.body) == in_json
        got = await call(server, "GET", "/api/v1/namespaces/default/pods/p", headers=ONLY)
        assert got.headers["content-type"] == PROTOBUF and decode_object(got.body) == in_json
        patched = await call(
            server, "PATCH", "/api/v1/namespaces/default/pods/p", {"metadata": {"labels": {"c": "d"}}},
            headers={**ONLY, "content-type": "application/merge-patch+json"},
        )
        assert decode_object(patched.body)["metadata"]["labels"] == {"a": "b", "c": "d"}


async def test_a_list_is_joined_and_pages():
    async with serving() as (server, _):
        for name in ("a", "b", "c"):
            await call(server, "POST", MAPS, config_map(name, k=name))
        response = await call(server, "GET", f"{MAPS}?limit=2", headers=ONLY)
        first = decode_object(response.body)
        assert first["kind"] == "ConfigMapList"
        assert [item["data"] for item in first["items"]] == [{"k": "a"}, {"k": "b"}]
        assert first["metadata"]["continue"] and first["metadata"]["resourceVersion"]


async def test_a_watch_frames_events_by_their_length():
    async with serving() as (server, _):
        await call(server, "POST", MAPS, config_map("a"))
        response = await call(server, "GET", f"{MAPS}?watch=1&timeoutSeconds=9", headers=ONLY)
        assert response.headers["content-type"] == f"{PROTOBUF};stream=watch"
        frame = await anext(response.stream)
        await call(server, "PATCH", f"{MAPS}/a", {"data": {"k": "1"}}, headers={
            "content-type": "application/merge-patch+json"
        })
        events = unframed(frame + await anext(response.stream))
        await response.stream.aclose()
        assert [type for type, _ in events] == ["ADDED", "MODIFIED"]
        assert events[1][1]["data"] == {"k": "1"} and events[1][1]["kind"] == "ConfigMap"


async def test_a_watch_that_is_refused_says_so_in_its_stream():
    async with serving(watch_window_events=2) as (server, _):
        start = server.hub.revision
        for number in range(5):
            await call(server, "POST", MAPS, config_map(f"c{number}"))
        await server.hub.fresh()
        response = await call(server, "GET", f"{MAPS}?watch=1&resourceVersion={start}", headers=ONLY)
        ((type, status),) = unframed(await anext(response.stream))
        assert type == "ERROR" and status["code"] == 410 and status["reason"] == "Expired"


async def test_errors_and_deletions_are_statuses_in_protobuf():
    async with serving() as (server, _):
        absent = await call(server, "GET", f"{MAPS}/none", headers=EITHER)
        status = decode_object(absent.body)
        assert absent.status == 404 and status["kind"] == "Status" and status["code"] == 404
        assert status["details"] == {"name": "none", "kind": "configmaps"}
        await call(server, "POST", MAPS, config_map("a"))
        deleted = await call(server, "DELETE", f"{MAPS}/a", headers=ONLY)
        assert decode_object(deleted.body)["status"] == "Success"


async def test_scales_and_reviews_are_in_protobuf_too():
    async with serving() as (server, _):
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "m", "image": "i"}]}}
        await call(server, "POST", "/apis/apps/v1/namespaces/default/deployments", {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        })
        scale = await call(server, "GET", "/apis/apps/v1/namespaces/default/deployments/web/scale", headers=ONLY)
        assert decode_object(scale.body)["spec"] == {"replicas": 2}
        review = await call(server, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
        }, headers=ONLY)
        assert decode_object(review.body)["status"]["userInfo"]["username"] == "system:apiserver"


async def test_metadata_alone_is_in_protobuf():
    async with serving() as (server, _):
        await call(server, "POST", MAPS, config_map("a", k="1"))
        shown_as = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        response = await call(server, "GET", MAPS, headers={"accept": f"{PROTOBUF};{shown_as}"})
        found = decode_object(response.body)
        assert found["kind"] == "PartialObjectMetadataList"
        assert "a" in [item["metadata"]["name"] for item in found["items"]]


async def test_what_has_no_message_is_json_or_not_acceptable():
    async with serving() as (server, _):
        table = "as=Table;g=meta.k8s.io;v=v1"
        found = await call(server, "GET", MAPS, headers={"accept": f"{PROTOBUF};{table},application/json;{table}"})
        assert document(found)["kind"] == "Table"
        refused = await call(server, "GET", MAPS, headers={"accept": f"{PROTOBUF};{table}"})
        assert refused.status == 406


def unframed(data: bytes):
    """(type, object) of each event."""
    found = []
    while data:
        size, = struct.unpack(">I", data[:4])
        event = dict(wire.fields(data[4:4 + size]))
        raw = dict(wire.fields(event[2]))[1]
        found.append((event[1].decode(), decode_object(raw)))
        data = data[4 + size:]
    return found
