"""What upstream's tests ask of events, ConfigMaps, Secrets, RuntimeClasses, certificate requests and access reviews."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.test_pod_certificates import issued, request
from tests.apiserver.lifecycle.samples import ALL, sample
from tests.apiserver.serving import call, config_map, document, pod, serving
from tests.apiserver.test_access import RBAC, TOKENS, ask

from sampan.api.resources import CONFIG_MAPS, CORE_EVENTS, EVENTS, PODS, RUNTIME_CLASSES, SECRETS
from sampan.apimachinery.errors import Forbidden, Invalid
from sampan.apiserver.server import APIServer
from sampan.pki.authority import CertificateAuthority

MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
TIME = "2017-09-19T13:49:16.000000Z"


def event(name: str, label: str = "testevent-constant") -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "default", "labels": {label: "true"}},
        "regarding": {"namespace": "default"}, "eventTime": TIME, "note": f"This is {name}", "action": "Do",
        "reason": "Test", "type": "Normal", "reportingController": "test-controller", "reportingInstance": "test-node",
    }


def settled(obj: Any) -> Any:
    """Without what the control plane writes."""
    metadata = {key: obj["metadata"][key] for key in obj["metadata"] if key not in ("resourceVersion", "managedFields")}
    return {**obj, "metadata": metadata}


async def test_an_event_of_the_new_group_is_selected_patched_updated_and_deleted() -> None:
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    async with serving() as (server, client):
        assert (await call(server, "POST", path, event("event-test"))).status == 201
        for namespace in (None, "default"):
            listed = await client.list(EVENTS, namespace, label_selector="testevent-constant=true")
            assert [one["metadata"]["name"] for one in listed["items"]] == ["event-test"]
        for resource, chosen in ((CORE_EVENTS, "source"), (EVENTS, "reportingController"),
                                 (CORE_EVENTS, "reportingComponent")):
            found = await client.list(resource, "default", field_selector=f"{chosen}=test-controller")
            assert len(found["items"]) == 1, chosen
        before = await client.get(EVENTS, "event-test", "default")
        patch = {"note": "This is a test event - patched"}
        assert (await call(server, "PATCH", f"{path}/event-test", patch, headers=STRATEGIC)).status == 200
        after = await client.get(EVENTS, "event-test", "default")
        assert settled(after) == {**settled(before), **patch}
        series = {"count": 100, "lastObservedTime": TIME}
        await client.update(EVENTS, {**after, "series": series})
        assert settled(await client.get(EVENTS, "event-test", "default")) == {**settled(after), "series": series}
        await client.delete(EVENTS, "event-test", "default")
        assert (await client.list(EVENTS, label_selector="testevent-constant=true"))["items"] == []
        for number in range(3):
            await call(server, "POST", path, event(f"test-event-{number}", "testevent-set"))
        assert (await call(server, "DELETE", f"{path}?labelSelector=testevent-set=true")).status == 200
        assert (await client.list(CORE_EVENTS, "default", label_selector="testevent-set=true"))["items"] == []


async def test_an_event_of_the_core_group_has_series_too() -> None:
    async with serving() as (server, client):
        made = await client.create(CORE_EVENTS, {
            "metadata": {"name": "e", "namespace": "default", "labels": {"testevent-constant": "true"}},
            "message": "This is a test event", "reason": "Test", "type": "Normal", "count": 1,
            "involvedObject": {"namespace": "default"},
        })
        found = await client.list(CORE_EVENTS, label_selector="testevent-constant=true")
        assert [one["metadata"]["name"] for one in found["items"]] == ["e"]
        body = {"message": "This is a test event - patched"}
        path = "/api/v1/namespaces/default/events/e"
        patched = document(await call(server, "PATCH", path, body, headers=STRATEGIC))
        assert patched["message"] == body["message"] and patched["metadata"]["uid"] == made["metadata"]["uid"]
        patched["series"] = {"count": 100, "lastObservedTime": "2014-01-11T01:02:03.000000Z"}
        updated = await client.update(CORE_EVENTS, patched)
        assert updated["series"] == patched["series"]


async def test_a_config_map_needs_keys_and_may_never_change_again() -> None:
    async with serving() as (_, client):
        with pytest.raises(Invalid, match="a valid config key must consist of"):
            await client.create(CONFIG_MAPS, {**config_map("a"), "data": {"": "value-1"}})
        made = await client.create(CONFIG_MAPS, {**config_map("a", mutable="1"), "immutable": True})
        for change in ({"data": {"mutable": "2"}}, {"immutable": False}, {"binaryData": {"x": "eA=="}}):
            with pytest.raises((Forbidden, Invalid), match="field is immutable when `immutable` is set"):
                await client.update(CONFIG_MAPS, {**made, **change})
        labelled = {**made, "metadata": {**made["metadata"], "labels": {"label1": "value1"}}}
        assert (await client.update(CONFIG_MAPS, labelled))["metadata"]["labels"] == {"label1": "value1"}
        await client.delete(CONFIG_MAPS, "a", "default")
        both = {**config_map("b", key="1"), "binaryData": {"key": "eA=="}}
        with pytest.raises(Invalid, match="key"):
            await client.create(CONFIG_MAPS, both)


async def test_a_secret_needs_keys_is_patched_and_may_never_change_again() -> None:
    async with serving() as (server, client):
        secret = {"metadata": {"name": "a", "namespace": "default", "labels": {"testsecret-constant": "true"}}}
        with pytest.raises(Invalid, match="a valid config key must consist of"):
            await client.create(SECRETS, {**secret, "data": {"": "dmFsdWU="}})
        await client.create(SECRETS, {**secret, "stringData": {"key": "value"}})
        listed = await client.list(SECRETS, label_selector="testsecret-constant=true")
        assert listed["items"][0]["data"] == {"key": base64.b64encode(b"value").decode()}
        value = base64.b64encode(b"value1").decode()
        body = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": value}}
        path = "/api/v1/namespaces/default/secrets"
        patched = document(await call(server, "PATCH", f"{path}/a", body, headers=STRATEGIC))
        assert patched["data"] == {"key": value} and patched["type"] == "Opaque"
        fixed = await client.update(SECRETS, {**patched, "immutable": True})
        with pytest.raises((Forbidden, Invalid), match="field is immutable when `immutable` is set"):
            await client.update(SECRETS, {**fixed, "data": {"key": "eA=="}})
        assert (await call(server, "DELETE", f"{path}?labelSelector=testsecret=true")).status == 200
        assert (await client.list(SECRETS, "default", label_selector="testsecret-constant=true"))["items"] == []


async def test_a_runtime_class_must_exist_and_brings_its_overhead() -> None:
    async with serving() as (_, client):
        asks = pod("asks")
        asks["spec"]["runtimeClassName"] = "nonexistent"
        with pytest.raises(Forbidden, match='RuntimeClass "nonexistent" not found'):
            await client.create(PODS, asks)
        overhead = {"podFixed": {"cpu": "10m", "memory": "1Mi"}}
        scheduling = {"nodeSelector": {"kind": "special"}, "tolerations": [{"key": "special", "operator": "Exists"}]}
        await client.create(RUNTIME_CLASSES, {
            "metadata": {"name": "heavy"}, "handler": "runc", "overhead": overhead, "scheduling": scheduling,
        })
        asks["spec"]["runtimeClassName"] = "heavy"
        made = await client.create(PODS, asks)
        assert made["spec"]["overhead"] == overhead["podFixed"]
        assert made["spec"]["nodeSelector"] == {"kind": "special"}
        assert scheduling["tolerations"][0] in made["spec"]["tolerations"]  # type: ignore[index]
        asks["metadata"]["name"], asks["spec"]["nodeSelector"] = "conflicts", {"kind": "other"}
        with pytest.raises(Forbidden, match="conflict"):
            await client.create(PODS, asks)


async def test_a_certificate_request_is_approved_and_its_status_written_apart() -> None:
    kind = next(one for one in ALL if one.resource.kind == "CertificateSigningRequest")
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    async with serving() as (server, _):
        resources = document(await call(server, "GET", "/apis/certificates.k8s.io/v1"))["resources"]
        names = {one["name"] for one in resources}
        assert {f"certificatesigningrequests{end}" for end in ("", "/approval", "/status")} <= names
        made = document(await call(server, "POST", path, sample(kind)))
        one = f"{path}/{made['metadata']['name']}"
        body = {"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {"conditions": [
            {"type": "ApprovalPatch", "status": "True", "reason": "ApprovalPatch"},
        ]}}
        patched = document(await call(server, "PATCH", f"{one}/approval", body, headers=MERGE))
        assert patched["status"]["conditions"][0]["type"] == "ApprovalPatch"
        assert patched["metadata"]["annotations"]["patchedapproval"] == "true"
        patched["status"]["conditions"].append({"type": "Approved", "status": "True", "reason": "E2E", "message": "m"})
        approved = document(await call(server, "PUT", f"{one}/approval", patched))
        assert [one["type"] for one in approved["status"]["conditions"]] == ["ApprovalPatch", "Approved"]
        for wrong, words in (
            (b"nothing", "must contain at least one CERTIFICATE PEM block"),
            (b"-----BEGIN X-----\nMA==\n-----END X-----\n", "only CERTIFICATE PEM blocks are allowed"),
            (b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n", "that is none"),
        ):
            body = {"status": {"certificate": base64.b64encode(wrong).decode()}}
            refused = await call(server, "PATCH", f"{one}/status", body, headers=MERGE)
            assert refused.status == 422 and words in document(refused)["message"]
        certificate = base64.b64encode(CertificateAuthority.create("e2e").certificate_pem).decode()
        body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"certificate": certificate}}
        signed = document(await call(server, "PATCH", f"{one}/status", body, headers=MERGE))
        assert signed["status"]["certificate"] == certificate
        other = {"status": {"certificate": base64.b64encode(CertificateAuthority.create("x").certificate_pem).decode()}}
        refused = await call(server, "PATCH", f"{one}/status", other, headers=MERGE)
        assert "updates may not modify existing certificate content" in document(refused)["message"]
        removed = {**approved, "status": {"conditions": []}}
        removed["metadata"] = {**removed["metadata"], "resourceVersion": ""}
        assert (await call(server, "PUT", f"{one}/approval", removed)).status == 422


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[APIServer]:
    (tmp_path / "tokens.csv").write_text(TOKENS)
    async with serving(authorization=True, token_file=str(tmp_path / "tokens.csv")) as (server, _):
        yield server


async def test_reviews_say_of_an_account_what_happens_when_one_acts_as_it(guarded: APIServer) -> None:
    """SubjectReview API operations, and those of SelfSubjectReview."""
    server, name = guarded, "system:serviceaccount:default:e2e"
    await ask(server, "root", "POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "e2e"}})
    attributes = {"verb": "list", "resource": "configmaps", "namespace": "default", "version": "v1"}

    async def agrees() -> bool:
        status, _ = await ask(server, "root", "GET", "/api/v1/namespaces/default/configmaps", Impersonate_User=name)
        answers = [status == 200]
        spec = {"user": name, "resourceAttributes": attributes}
        for path, metadata in (
            ("subjectaccessreviews", {}), ("namespaces/default/localsubjectaccessreviews", {"namespace": "default"}),
        ):
            body = {"metadata": metadata, "spec": spec}
            code, review = await ask(server, "root", "POST", f"/apis/authorization.k8s.io/v1/{path}", body)
            assert code == 201
            answers.append(review["status"]["allowed"])
        assert len(set(answers)) == 1
        return answers[0]

    assert not await agrees()
    await ask(server, "root", "POST", f"{RBAC}/namespaces/default/rolebindings", {
        "metadata": {"name": "e2e"}, "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view",
        }, "subjects": [{"kind": "ServiceAccount", "name": "e2e", "namespace": "default"}],
    })
    assert await agrees()
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    acting = {"Impersonate_User": "jane-doe", "Impersonate_Group": "system:masters"}
    code, review = await ask(server, "root", "POST", path, {}, **acting)
    assert code == 201 and review["status"]["userInfo"]["username"] == "jane-doe"
    assert set(review["status"]["userInfo"]["groups"]) >= {"system:masters", "system:authenticated"}


@pytest.mark.parametrize("media", ["apply-patch+yaml", "strategic-merge-patch+json", "merge-patch+json",
                                   "json-patch+json"])
async def test_a_pod_certificate_request_is_answered_by_any_patch_of_its_status(media: str) -> None:
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest"}
    path = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests"
    answer = issued()
    body: Any = {**kind, "metadata": {"name": "r"}, "status": answer}
    if media == "json-patch+json":
        body = [{"op": "add", "path": f"/status/{key}", "value": value} for key, value in answer.items()]
    async with serving() as (server, _):
        asked = {**request(), **kind, "metadata": {"name": "r"}}
        assert (await call(server, "POST", path, asked)).status == 201
        headers = {"content-type": f"application/{media}"}
        patched = await call(server, "PATCH", f"{path}/r/status?fieldManager=signer", body, headers=headers)
        assert patched.status == 200
        read = document(await call(server, "GET", f"{path}/r"))
        assert read["status"]["certificateChain"] == answer["certificateChain"]
        assert [one["type"] for one in read["status"]["conditions"]] == ["Issued"]
