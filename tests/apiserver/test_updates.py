"""Updates by PUT: which kinds they create, and which they replace only for who knows what is there."""

from __future__ import annotations

import pytest
from tests.apiserver.extensions.definitions import crontab, establish
from tests.apiserver.lifecycle.samples import ALL, sample
from tests.apiserver.serving import call, document, serving

from sampan.api.kind import Kind

CREATED = {"endpoints", "events", "leases", "limitranges", "roles", "rolebindings", "clusterroles",
           "clusterrolebindings", "runtimeclasses", "services"}
NEED_VERSION = {
    "apiservices", "clustertrustbundles", "csidrivers", "csinodes", "csistoragecapacities",
    "customresourcedefinitions", "leases", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations", "podcertificaterequests", "poddisruptionbudgets", "runtimeclasses",
    "storageversionmigrations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations", "volumeattachments",
}
STORED = [kind for kind in ALL if kind.storage_resource is None]


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource.qualified)
async def test_some_kinds_are_created_by_an_update_and_some_are_never_replaced_blindly(kind: Kind) -> None:
    plural = kind.resource.plural
    async with serving() as (server, _):
        collection, body = kind.resource.path("default" if kind.resource.namespaced else None), sample(kind)
        path = f"{collection}/{body['metadata']['name']}"
        first = await call(server, "PUT", path, body)
        assert first.status == (201 if plural in CREATED else 404), first.body
        if plural not in CREATED:
            assert (await call(server, "POST", collection, body)).status == 201
        body = document(await call(server, "GET", path))
        del body["metadata"]["resourceVersion"]
        again = await call(server, "PUT", path, body)
        if plural not in NEED_VERSION:
            assert again.status == 200, again.body
            return
        assert again.status == 422 and document(again)["message"] == (
            f'{kind.resource.qualified} "{body["metadata"]["name"]}" is invalid: '
            "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        )


async def test_custom_resources_are_never_replaced_blindly() -> None:
    async with serving() as (server, client):
        await establish(client)
        path = "/apis/stable.example.com/v1/namespaces/default/crontabs"
        assert (await call(server, "PUT", f"{path}/a", crontab())).status == 404
        made = document(await call(server, "POST", path, crontab()))
        assert (await call(server, "PUT", f"{path}/a", crontab())).status == 422
        assert (await call(server, "PUT", f"{path}/a", made)).status == 200


async def test_a_certificate_request_stays_as_it_was_asked() -> None:
    async with serving() as (server, _):
        kind = next(one for one in ALL if one.resource.plural == "certificatesigningrequests")
        path = kind.resource.path()
        made = document(await call(server, "POST", path, sample(kind)))
        wanted = {**made, "spec": {**made["spec"], "signerName": "example.com/other", "username": "system:admin"}}
        updated = await call(server, "PUT", f"{path}/sample-a", wanted)
        assert updated.status == 200 and document(updated)["spec"] == made["spec"]


async def test_a_decision_on_a_certificate_request_says_since_when() -> None:
    async with serving() as (server, _):
        kind = next(one for one in ALL if one.resource.plural == "certificatesigningrequests")
        path = kind.resource.path()
        made = document(await call(server, "POST", path, sample(kind)))
        made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "ByMe"}]}
        approved = document(await call(server, "PUT", f"{path}/sample-a/approval", made))
        [condition] = approved["status"]["conditions"]
        assert condition["lastUpdateTime"] and condition["lastTransitionTime"]
        again = document(await call(server, "PUT", f"{path}/sample-a/approval", approved))
        assert again["status"]["conditions"] == [condition]
