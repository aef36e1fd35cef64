"""Create, read, update, patch and delete through the whole chain."""

import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS
from sampan.apimachinery import errors
from sampan.apiserver.registry import codec
from sampan.apiserver.registry.writing import WritePath
from sampan.storage.store import StoreUnavailable


async def test_an_object_lives_from_create_to_delete():
    async with serving() as (_, client):
        created = await client.create(CONFIG_MAPS, config_map("c", a="1"))
        assert created["metadata"]["uid"] and created["metadata"]["creationTimestamp"]
        assert await client.get(CONFIG_MAPS, "c", "default") == created
        created["data"]["a"] = "2"
        updated = await client.update(CONFIG_MAPS, created)
        assert int(updated["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
        patched = await client.patch(CONFIG_MAPS, "c", {"data": {"a": None, "b": "3"}}, "default")
        assert patched["data"] == {"b": "3"}
        status = await client.delete(CONFIG_MAPS, "c", "default")
        assert status["status"] == "Success" and status["details"]["kind"] == "configmaps"
        with pytest.raises(errors.NotFound, match='configmaps "c" not found'):
            await client.get(CONFIG_MAPS, "c", "default")


async def test_a_second_object_of_the_same_name_is_refused():
    async with serving() as (_, client):
        await client.create(CONFIG_MAPS, config_map("c"))
        with pytest.raises(errors.AlreadyExists, match='configmaps "c" already exists'):
            await client.create(CONFIG_MAPS, config_map("c"))


async def test_generate_name_appends_five_characters():
    async with serving() as (_, client):
        names = set()
        for _ in range(5):
            document = {"metadata": {"generateName": "c-", "namespace": "default"}}
            names.add((await client.create(CONFIG_MAPS, document))["metadata"]["name"])
        assert len(names) == 5 and all(len(name) == 7 and name.startswith("c-") for name in names)


async def test_an_update_of_a_version_that_is_no_longer_current_conflicts():
    async with serving() as (_, client):
        first = await client.create(CONFIG_MAPS, config_map("c", a="1"))
        await client.patch(CONFIG_MAPS, "c", {"data": {"a": "2"}}, "default")
        with pytest.raises(errors.Conflict, match="the object has been modified"):
            await client.update(CONFIG_MAPS, first)


async def test_an_update_that_changes_nothing_writes_nothing():
    async with serving() as (server, client):
        first = await client.create(CONFIG_MAPS, config_map("c", a="1"))
        assert (await client.update(CONFIG_MAPS, first)) == first
        assert await server.hub.fresh() == int(first["metadata"]["resourceVersion"])


async def test_patches_of_three_kinds():
    async with serving() as (_, client):
        deployment = {
            "metadata": {"name": "d", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "i:1"}]},
            }},
        }
        created = await client.create(DEPLOYMENTS, deployment)
        assert created["metadata"]["generation"] == 1 and created["spec"]["replicas"] == 1
        strategic = {"spec": {"template": {"spec": {"containers": [{"name": "y", "image": "j:1"}]}}}}
        patched = await client.patch(DEPLOYMENTS, "d", strategic, "default", type="strategic")
        names = [container["name"] for container in patched["spec"]["template"]["spec"]["containers"]]
        assert sorted(names) == ["x", "y"] and patched["metadata"]["generation"] == 2
        operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
        patched = await client.patch(DEPLOYMENTS, "d", operations, "default", type="json")
        assert patched["spec"]["replicas"] == 3
        patched = await client.patch(DEPLOYMENTS, "d", {"spec": {"paused": True}}, "default", type="merge")
        assert patched["spec"]["paused"] is True and patched["metadata"]["generation"] == 4


async def test_a_status_update_leaves_the_spec_alone():
    async with serving() as (_, client):
        await client.create(PODS, pod("p"))
        changed = await client.get(PODS, "p", "default")
        changed["status"]["phase"] = "Running"
        changed["spec"]["nodeName"] = "elsewhere"
        updated = await client.update(PODS, changed, subresource="status")
        assert updated["status"]["phase"] == "Running" and "nodeName" not in updated["spec"]


async def test_a_dry_run_stores_nothing():
    async with serving() as (server, client):
        response = await call(
            server, "POST", "/api/v1/namespaces/default/configmaps?dryRun=All", config_map("c", a="1")
        )
        assert response.status == 201 and document(response)["metadata"]["uid"]
        with pytest.raises(errors.NotFound):
            await client.get(CONFIG_MAPS, "c", "default")


async def test_unknown_fields_are_refused_warned_of_or_ignored():
    async with serving() as (server, _):
        body = {**config_map("c"), "date": {}}
        target = "/api/v1/namespaces/default/configmaps?dryRun=All&fieldValidation="
        strict = await call(server, "POST", target + "Strict", body)
        assert strict.status == 400 and 'unknown field "date"' in document(strict)["message"]
        warned = await call(server, "POST", target + "Warn", body)
        assert warned.status == 201 and warned.headers["warning"] == '299 - "unknown field \\"date\\""'
        ignored = await call(server, "POST", target + "Ignore", body)
        assert ignored.status == 201 and "warning" not in ignored.headers


async def test_a_namespace_goes_when_its_finalizers_are_gone():
    async with serving() as (_, client):
        await client.create(NAMESPACES, {"metadata": {"name": "n"}})
        going = await client.delete(NAMESPACES, "n")
        assert going["status"]["phase"] == "Terminating" and going["metadata"]["deletionTimestamp"]
        going["spec"]["finalizers"] = []
        await client.update(NAMESPACES, going, subresource="finalize")
        with pytest.raises(errors.NotFound):
            await client.get(NAMESPACES, "n")


async def test_what_does_not_exist_and_what_is_not_allowed():
    async with serving() as (server, _):
        missing = await call(server, "GET", "/apis/example.com/v1/things")
        assert missing.status == 404 and document(missing)["message"] == (
            "the server could not find the requested resource"
        )
        refused = await call(server, "PUT", "/api/v1/namespaces/default/configmaps")
        assert refused.status == 405


async def test_the_name_in_the_body_must_be_that_of_the_url():
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c"))
        response = await call(server, "PUT", "/api/v1/namespaces/default/configmaps/c", config_map("other"))
        assert response.status == 400 and "does not match the name on the URL" in document(response)["message"]


async def test_empty_maps_are_not_stored():
    async with serving() as (_, client):
        body = config_map("c")
        body["metadata"] |= {"annotations": {}, "labels": {}, "finalizers": []}
        created = await client.create(CONFIG_MAPS, body)
        assert not {"annotations", "labels", "finalizers"} & created["metadata"].keys()


async def test_nothing_hides_below_a_subresource():
    async with serving() as (server, client):
        await client.create(PODS, pod("p"))
        for target in ("pods/p/status/x", "pods/p/log/x", "pods/p/binding/x"):
            assert (await call(server, "GET", f"/api/v1/namespaces/default/{target}")).status == 404


async def test_ten_thousand_unknown_fields_are_warned_of_briefly():
    async with serving() as (server, _):
        body = config_map("c") | {f"{number}" + "x" * 30: 1 for number in range(10_000)}
        response = await call(server, "POST", "/api/v1/namespaces/default/configmaps", body)
        assert response.status == 201
        warning = response.headers["warning"]
        assert warning.startswith('299 - "unknown field') and len(warning) < 8192
        long = config_map("d") | {"y" * 100_000: 1}
        response = await call(server, "POST", "/api/v1/namespaces/default/configmaps", long)
        assert 256 < len(response.headers["warning"]) < 300


async def test_a_store_that_cannot_write_is_503_and_can_still_be_read(monkeypatch):
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("c"))

        async def full(key, value):
            raise StoreUnavailable("database or disk is full")

        monkeypatch.setattr(server.backend.writes._store, "create", full)
        response = await call(server, "POST", "/api/v1/namespaces/default/configmaps", config_map("d"))
        assert response.status == 503 and document(response)["reason"] == "ServiceUnavailable"
        assert "disk is full" in document(response)["message"]
        assert (await client.get(CONFIG_MAPS, "c", "default"))["metadata"]["name"] == "c"


async def test_the_first_address_of_a_pod_stands_in_both_fields():
    async with serving() as (_, client):
        await client.create(PODS, pod("p"))
        one = await client.patch(PODS, "p", {"status": {"podIP": "10.0.0.9"}}, "default", subresource="status")
        assert one["status"]["podIPs"] == [{"ip": "10.0.0.9"}]
        two = {"status": {"podIP": None, "podIPs": [{"ip": "10.0.0.8"}]}}
        assert (await client.patch(PODS, "p", two, "default", subresource="status"))["status"]["podIP"] == "10.0.0.8"


async def test_writes_that_share_parts_with_the_stored_object_leave_it_as_it_was(monkeypatch):
    store_update = WritePath._store_update
    seen = []

    async def checked(path, request, new, old, revision, **how):
        found = await path._store.get(path._key(request))
        assert old == codec.decode_stored(found.value, revision)
        assert new["metadata"] is not old["metadata"]
        seen.append(request.shares)
        return await store_update(path, request, new, old, revision, **how)

    monkeypatch.setattr(WritePath, "_store_update", checked)
    async with serving() as (_, client):
        await client.create(PODS, pod("p"))
        binding = {"metadata": {"name": "p", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n"}}
        await client.create(PODS, binding, "default", name="p", subresource="binding")
        status = {
            "podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 0}],
        }
        seen.clear()
        for number, kind in enumerate(("strategic", "merge", "strategic", "merge")):
            status["conditions"][0]["status"] = ("True", "False")[number % 2]
            await client.patch(PODS, "p", {
                "metadata": {"annotations": {"n": str(number)}}, "status": status,
            }, "default", type=kind, subresource="status")
        stored = await client.get(PODS, "p", "default")
        assert stored["spec"]["nodeName"] == "n" and stored["metadata"]["annotations"] == {"a": "b", "n": "3"}
    assert seen == [True] * 4


async def test_a_new_object_has_no_version_yet():
    async with serving() as (server, _):
        body = config_map("c")
        body["metadata"]["resourceVersion"] = "7"
        answer = await call(server, "POST", "/api/v1/namespaces/default/configmaps", body)
        assert answer.status == 400
        assert document(answer)["message"] == "resourceVersion should not be set on objects to be created"


async def test_selectors_of_devices_must_compile():
    async with serving() as (server, _):
        path = "/apis/resource.k8s.io/v1/deviceclasses"
        for text, code in (("device.driver == 'gpu.example.com'", 201), ("device.driver ==", 422), ("1", 422)):
            body = {"metadata": {"name": f"c{len(text)}"}, "spec": {"selectors": [{"cel": {"expression": text}}]}}
            answer = await call(server, "POST", path, body)
            assert answer.status == code, answer.body
        assert "spec.selectors[0].cel.expression: Invalid value" in document(answer)["message"]
        claim = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "gpu", "selectors": [{"cel": {"expression": "device."}}]}},
        ]}}}
        answer = await call(server, "POST", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims", claim)
        assert "spec.devices.requests[0].exactly.selectors[0].cel.expression" in document(answer)["message"]


async def test_managed_fields_are_cleared_by_an_empty_entry():
    async with serving() as (server, _):
        path = "/api/v1/namespaces/default/configmaps"
        for name, media, patch in (
            ("a", "merge-patch", {"metadata": {"managedFields": [{}]}}),
            ("b", "json-patch", [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]),
            ("c", "merge-patch", {"metadata": {"managedFields": []}}),
        ):
            await call(server, "POST", path, config_map(name, k="v"))
            headers = {"content-type": f"application/{media}+json"}
            cleared = document(await call(server, "PATCH", f"{path}/{name}", patch, headers=headers))
            assert "managedFields" not in cleared["metadata"]


async def test_one_priority_class_is_the_default():
    async with serving() as (server, _):
        path = "/apis/scheduling.k8s.io/v1/priorityclasses"
        for name, code in (("a", 201), ("b", 403)):
            body = {"metadata": {"name": name}, "value": 1, "globalDefault": True}
            answer = await call(server, "POST", path, body)
            assert answer.status == code
        assert "PriorityClass a is already marked as default" in document(answer)["message"]


async def test_only_load_balancers_have_their_addresses():
    async with serving() as (server, _):
        path, merge = "/api/v1/namespaces/default/services", {"content-type": "application/merge-patch+json"}
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}
        for type, code in (("LoadBalancer", 200), ("ClusterIP", 422)):
            body = {"metadata": {"name": type.lower()}, "spec": {"type": type, "ports": [{"port": 80}]}}
            assert (await call(server, "POST", path, body)).status == 201
            answer = await call(server, "PATCH", f"{path}/{type.lower()}/status", status, headers=merge)
            assert answer.status == code, answer.body
