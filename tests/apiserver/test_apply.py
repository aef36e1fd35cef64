"""Server-side apply through the whole chain."""

import pytest
from tests.apiserver.serving import call, config_map, document, serving

from sampan.api.resources import CONFIG_MAPS, JOBS, PODS, SERVICES
from sampan.apimachinery import errors


async def apply(client, manager, *, force=False, **data):
    body = config_map("c", **data)
    return await client.patch(
        CONFIG_MAPS, "c", body, "default", type="apply", field_manager=manager, force=force
    )


async def test_apply_creates_and_then_changes_nothing():
    async with serving() as (_, client):
        first = await apply(client, "alice", a="1")
        assert first["metadata"]["managedFields"][0]["manager"] == "alice"
        assert await apply(client, "alice", a="1") == first


async def test_a_field_given_up_disappears():
    async with serving() as (_, client):
        await apply(client, "alice", a="1", b="2")
        assert (await apply(client, "alice", a="1"))["data"] == {"a": "1"}


async def test_managers_conflict_unless_forced():
    async with serving() as (_, client):
        await apply(client, "alice", a="1")
        with pytest.raises(errors.Conflict, match="conflict with \"alice\""):
            await apply(client, "bob", a="2")
        assert (await apply(client, "bob", force=True, a="2"))["data"] == {"a": "2"}


async def test_an_ordinary_update_takes_ownership():
    async with serving() as (_, client):
        await apply(client, "alice", a="1")
        await client.patch(CONFIG_MAPS, "c", {"data": {"a": "2"}}, "default")
        with pytest.raises(errors.Conflict, match="conflict with \"test\""):
            await apply(client, "alice", a="1")


async def test_what_admission_and_allocation_add_belongs_to_nobody():
    async with serving() as (_, client):
        pod = await client.create(PODS, {
            "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        }, "default")
        [entry] = pod["metadata"]["managedFields"]
        owned = entry["fieldsV1"]["f:spec"]
        assert pod["spec"]["tolerations"] and "f:tolerations" not in owned and "f:dnsPolicy" in owned
        service = await client.create(SERVICES, {
            "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]},
        }, "default")
        [entry] = service["metadata"]["managedFields"]
        assert service["spec"]["clusterIP"] and "f:clusterIP" not in entry["fieldsV1"]["f:spec"]


async def test_a_job_with_a_generated_name_selects_its_own_pods():
    async with serving() as (_, client):
        job = await client.create(JOBS, {"metadata": {"generateName": "j-"}, "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
        }}}}, "default")
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert labels["batch.kubernetes.io/job-name"] == job["metadata"]["name"]
        uid = job["metadata"]["uid"]
        assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


async def test_apply_needs_a_manager():
    async with serving() as (server, _):
        response = await call(
            server, "PATCH", "/api/v1/namespaces/default/configmaps/c", config_map("c"),
            headers={"content-type": "application/apply-patch+yaml"},
        )
        assert response.status == 422
        assert "fieldManager: Required value: is required for apply patch" in document(response)["message"]
