"""`serviceaccounts/NAME/token` and what TokenReviews say of the outcome, on a whole server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.apiserver.serving import call, document, serving

from sampan import effects
from sampan.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery.object import Object
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.pki.service_account import SigningKey

API = "api"
LONGEST_S = 7200
CREDENTIAL = "authentication.kubernetes.io/credential-id"


class Cluster:
    """A server with the account `bot` in the namespace default."""

    def __init__(self, server: APIServer, client: Client) -> None:
        self.server, self.client = server, client

    async def ask(self, body: Object, name: str = "bot") -> tuple[int, Any, list[str]]:
        """(status, document, warnings) of a TokenRequest."""
        answer = await call(self.server, "POST", f"/api/v1/namespaces/default/serviceaccounts/{name}/token", body)
        warnings = [text for key, text in answer.headers.items() if key.lower() == "warning"]
        return answer.status, document(answer), warnings

    async def token(self, **spec: Any) -> Any:
        """The answer to a TokenRequest that succeeds."""
        status, found, warnings = await self.ask({"spec": spec})
        assert (status, warnings) == (201, []), found
        return found

    async def review(self, token: str, *audiences: str) -> Any:
        """The status of a TokenReview."""
        body = {"spec": {"token": token, **({"audiences": list(audiences)} if audiences else {})}}
        return document(await call(self.server, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body))["status"]

    async def holds(self, token: str) -> bool:
        await self.server.hub.fresh()
        return bool((await self.review(token)).get("authenticated"))

    async def pod(self, name: str = "web", account: str = "bot", node: str = "") -> Object:
        spec: Object = {"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]}
        if node:
            spec["nodeName"] = node
        return await self.client.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})

    async def remove(self, resource: Any, name: str, namespace: str | None = "default") -> None:
        await self.client.delete(resource, name, namespace, grace_period_s=0)
        await self.server.hub.fresh()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    SigningKey.ensure(tmp_path)
    async with serving(
        authorization=True, service_account_signing_key_file=str(tmp_path / "sa.key"),
        service_account_key_files=(str(tmp_path / "sa.pub"),), service_account_issuer="https://issuer.example.com",
        api_audiences=(API,), service_account_max_expiration_s=LONGEST_S,
    ) as (server, client):
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "bot", "namespace": "default"}})
        yield Cluster(server, client)


def payload(answer: Any) -> Any:
    return jwt.decode(answer["status"]["token"], options={"verify_signature": False})


def bound(kind: str, name: str, uid: str = "") -> Object:
    return {"kind": kind, "apiVersion": "v1", "name": name, **({"uid": uid} if uid else {})}


@contextlib.contextmanager
def later(seconds: float) -> Any:
    class Later(effects.SystemSource):
        def now(self) -> datetime:
            return super().now() + timedelta(seconds=seconds)

    with effects.use(Later()):
        yield


async def test_a_token_of_an_account_alone(cluster: Cluster) -> None:
    account = await cluster.client.get(SERVICE_ACCOUNTS, "bot", "default")
    answer = await cluster.token(audiences=[API])
    metadata = answer["metadata"]
    assert (metadata["name"], metadata["namespace"], metadata["uid"]) == ("bot", "default", account["metadata"]["uid"])
    assert metadata["creationTimestamp"]
    claims = payload(answer)
    assert (claims["sub"], claims["aud"]) == ("system:serviceaccount:default:bot", [API])
    assert claims["kubernetes.io"] == {
        "namespace": "default", "serviceaccount": {"name": "bot", "uid": account["metadata"]["uid"]},
    }
    status = await cluster.review(answer["status"]["token"])
    assert status["audiences"] == [API]
    user = status["user"]
    assert (user["username"], user["uid"]) == ("system:serviceaccount:default:bot", account["metadata"]["uid"])
    accounts = "system:serviceaccounts"
    assert sorted(user["groups"]) == ["system:authenticated", accounts, f"{accounts}:default"]
    assert user["extra"] == {CREDENTIAL: [f"JTI={claims['jti']}"]}
    await cluster.remove(SERVICE_ACCOUNTS, "bot")
    assert not await cluster.holds(answer["status"]["token"])


@pytest.mark.parametrize(("metadata", "status", "message"), [
    ({"name": "other"}, 422,
     'TokenRequest.authentication.k8s.io "bot" is invalid: metadata.name: Invalid value: "other": must match the '
     "service account name if specified"),
    ({"namespace": "other"}, 400,
     "the namespace of the provided object does not match the namespace sent on the request"),
    ({"uid": "wrong"}, 409, 'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "bot": the UID in the '
                            "token request (wrong) does not match the UID of the service account (UID)"),
])
async def test_a_request_about_another_account(
    cluster: Cluster, metadata: Object, status: int, message: str
) -> None:
    uid = (await cluster.client.get(SERVICE_ACCOUNTS, "bot", "default"))["metadata"]["uid"]
    found, answer, _ = await cluster.ask({"metadata": metadata, "spec": {}})
    assert (found, answer["message"]) == (status, message.replace("UID)", f"{uid})"))
    assert (await cluster.ask({"metadata": {"uid": uid}, "spec": {}}))[0] == 201


async def test_no_token_of_an_account_that_is_not_there(cluster: Cluster) -> None:
    status, answer, _ = await cluster.ask({"spec": {}}, "nobody")
    assert (status, answer["message"]) == (404, 'serviceaccounts "nobody" not found')


@pytest.mark.parametrize("kind", ["Pod", "Secret", "Node"])
async def test_a_token_bound_to_an_object_ends_with_it(cluster: Cluster, kind: str) -> None:
    resource, namespace = {"Pod": (PODS, "default"), "Secret": (SECRETS, "default"), "Node": (NODES, None)}[kind]

    async def make() -> str:
        if kind == "Pod":
            return str((await cluster.pod("x"))["metadata"]["uid"])
        metadata = {"name": "x", **({"namespace": namespace} if namespace else {})}
        return str((await cluster.client.create(resource, {"metadata": metadata}))["metadata"]["uid"])

    status, answer, _ = await cluster.ask({"spec": {"boundObjectRef": bound(kind, "x")}})
    assert (status, answer["message"]) == (404, f'{kind.lower()}s "x" not found')
    uid = await make()
    status, answer, _ = await cluster.ask({"spec": {"boundObjectRef": bound(kind, "x", "wrong")}})
    assert (status, answer["message"]) == (
        409, f'Operation cannot be fulfilled on {kind} "x": the UID in the bound object reference (wrong) does not '
             "match the UID in record. The object might have been deleted and then recreated",
    )
    await cluster.token(boundObjectRef=bound(kind, "x", uid))
    answer = await cluster.token(boundObjectRef=bound(kind, "x"))
    claims = payload(answer)["kubernetes.io"]
    assert claims[kind.lower()] == {"name": "x", "uid": uid}
    assert {"pod", "secret", "node"} & set(claims) == {kind.lower()}
    token = answer["status"]["token"]
    extra = (await cluster.review(token))["user"]["extra"]
    extra.pop(CREDENTIAL)
    prefix = f"authentication.kubernetes.io/{kind.lower()}"
    assert extra == ({} if kind == "Secret" else {f"{prefix}-name": ["x"], f"{prefix}-uid": [uid]})
    await cluster.remove(resource, "x", namespace)
    assert not await cluster.holds(token)
    await make()
    assert not await cluster.holds(token), "the name came back, the object did not"


@pytest.mark.parametrize("exists", [True, False])
async def test_a_pods_token_names_its_node(cluster: Cluster, exists: bool) -> None:
    wanted = {"name": "n1"}
    if exists:
        wanted["uid"] = (await cluster.client.create(NODES, {"metadata": {"name": "n1"}}))["metadata"]["uid"]
    await cluster.pod(node="n1")
    await cluster.server.hub.fresh()
    answer = await cluster.token(boundObjectRef=bound("Pod", "web"))
    assert payload(answer)["kubernetes.io"]["node"] == wanted
    extra = (await cluster.review(answer["status"]["token"]))["user"]["extra"]
    shown = {key.rpartition("-")[2]: value for key, value in extra.items() if "/node-" in key}
    assert shown == {key: [value] for key, value in wanted.items()}


async def test_a_token_is_not_bound_to_a_pod_of_another_account_nor_to_other_kinds(cluster: Cluster) -> None:
    await cluster.pod(account="other")
    status, answer, _ = await cluster.ask({"spec": {"boundObjectRef": bound("Pod", "web")}})
    assert (status, answer["message"]) == (
        400, 'cannot bind token for serviceaccount "bot" to pod running with different serviceaccount name.',
    )
    reference = {"kind": "Deployment", "apiVersion": "apps/v1", "name": "d"}
    status, answer, _ = await cluster.ask({"spec": {"boundObjectRef": reference}})
    assert (status, answer["message"]) == (400, "cannot bind token to object of type apps/v1, Kind=Deployment")


async def test_audiences(cluster: Cluster) -> None:
    assert payload(await cluster.token())["aud"] == [API]
    elsewhere = (await cluster.token(audiences=["vault"]))["status"]["token"]
    assert not await cluster.holds(elsewhere)
    assert (await cluster.review(elsewhere, "vault", "other"))["audiences"] == ["vault"]
    assert not (await cluster.review(elsewhere, "other")).get("authenticated")


async def test_a_token_ends_at_its_time(cluster: Cluster) -> None:
    token = (await cluster.token(expirationSeconds=600))["status"]["token"]
    with later(590):
        assert await cluster.holds(token)
    with later(700):
        assert not await cluster.holds(token)


async def test_a_longer_life_than_allowed_is_shortened(cluster: Cluster) -> None:
    status, answer, warnings = await cluster.ask({"spec": {"expirationSeconds": LONGEST_S + 600}})
    assert status == 201 and answer["spec"]["expirationSeconds"] == LONGEST_S
    assert warnings == [f'299 - "requested expiration of {LONGEST_S + 600} seconds shortened to {LONGEST_S} seconds"']
    claims = payload(answer)
    assert claims["exp"] - claims["iat"] == LONGEST_S
    within = payload(await cluster.token(expirationSeconds=LONGEST_S - 600))
    assert within["exp"] - within["iat"] == LONGEST_S - 600


@pytest.mark.parametrize(("audiences", "extended"), [([API], True), (["vault", API], False)])
async def test_a_pods_automatic_token_lives_longer_with_this_server_only(
    cluster: Cluster, audiences: list[str], extended: bool
) -> None:
    await cluster.pod()
    answer = await cluster.token(audiences=audiences, expirationSeconds=3607, boundObjectRef=bound("Pod", "web"))
    claims = payload(answer)
    assert claims["exp"] - claims["iat"] == (365 * 24 * 3600 if extended else 3607)
    assert claims["kubernetes.io"].get("warnafter") == (claims["iat"] + 3607 if extended else None)
    ends = datetime.fromisoformat(answer["status"]["expirationTimestamp"]).timestamp()
    assert abs(ends - claims["iat"] - 3607) <= 1
    assert answer["spec"]["expirationSeconds"] == 3607


async def test_the_published_keys_verify_a_token(cluster: Cluster) -> None:
    token = (await cluster.token())["status"]["token"]
    published = await call(cluster.server, "GET", "/.well-known/openid-configuration")
    assert published.headers["content-type"] == "application/json"
    assert published.headers["cache-control"] == "public, max-age=3600"
    about = document(published)
    assert about["issuer"] == "https://issuer.example.com" and about["jwks_uri"].endswith("/openid/v1/jwks")
    keys = await call(cluster.server, "GET", "/openid/v1/jwks")
    assert keys.headers["content-type"] == "application/jwk-set+json"
    assert keys.headers["cache-control"] == "public, max-age=3600"
    (key,) = jwt.PyJWKSet.from_dict(document(keys)).keys
    claims = jwt.decode(token, key, audience=API, issuer=about["issuer"], algorithms=["ES256"])
    assert claims["sub"] == "system:serviceaccount:default:bot"
