"""Who asks: certificates, tokens, ServiceAccounts, front proxies, nobody."""

from __future__ import annotations

import base64
import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest

from sampan import effects
from sampan.api.resources import PODS, SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery.errors import BadRequest, Forbidden, Invalid, Unauthorized
from sampan.apimachinery.http import Request, UserInfo
from sampan.apiserver.authn.bearer import token_of
from sampan.apiserver.authn.impersonation import impersonate
from sampan.apiserver.authn.issuer_discovery import IssuerDiscovery
from sampan.apiserver.authn.table import AUTHENTICATORS, authenticate
from sampan.apiserver.authn.token_file import parse
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.token_request import create_token
from sampan.apiserver.seams import Attributes, Decision, Verdict
from sampan.pki.authority import CertificateAuthority, client
from sampan.pki.service_account import SigningKey

ACCOUNT = {"metadata": {"name": "bot", "namespace": "ns", "uid": "u1"}}
POD = {
    "metadata": {"name": "web", "namespace": "ns", "uid": "p1"}, "spec": {"serviceAccountName": "bot"},
}
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass
class Parts:
    config: APIServerConfig
    reader: Any
    client: Any = None
    allowed: set[tuple[str, str]] = field(default_factory=set)
    admitted: list[Any] = field(default_factory=list)

    async def authorize(self, attributes: Attributes) -> Verdict:
        found = (attributes.resource, attributes.name) in self.allowed
        return Verdict(Decision.ALLOW if found else Decision.NO_OPINION)

    def kind_of(self, group: str, version: str, plural: str) -> Any:
        return object()

    async def admit(self, attributes: Any) -> None:
        self.admitted.append(attributes)


@pytest.fixture
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("t-authn")


@pytest.fixture
def parts(tmp_path: Path, reader: Any, authority: CertificateAuthority) -> Parts:
    SigningKey.ensure(tmp_path)
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    (tmp_path / "proxy.crt").write_bytes(CertificateAuthority.create("t-proxy").certificate_pem)
    (tmp_path / "tokens.csv").write_text('s3cret,jane,1,"devs,ops"\n')
    reader.put(SERVICE_ACCOUNTS, ACCOUNT)
    reader.put(PODS, POD)
    return Parts(APIServerConfig(
        client_ca_file=str(tmp_path / "ca.crt"), token_file=str(tmp_path / "tokens.csv"),
        requestheader_client_ca_file=str(tmp_path / "proxy.crt"),
        service_account_key_files=(str(tmp_path / "sa.pub"),),
        service_account_signing_key_file=str(tmp_path / "sa.key"),
    ), reader)


async def who(parts: Parts, audiences: tuple[str, ...] = (), der: bytes | None = None, **headers: str) -> Any:
    authenticators = [found for build in AUTHENTICATORS if (found := build(parts)) is not None]  # type: ignore[arg-type]
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    ctx = RequestContext(Request("GET", "/", headers=sent, peer_certificate=der), audiences=audiences)
    return await authenticate(authenticators, ctx)


async def token_for(parts: Parts, **spec: Any) -> str:
    request = Request("POST", "/", headers={"content-type": "application/json"}, body=_json({"spec": spec}))
    ctx = RequestContext(request, name="bot", namespace="ns", user=UserInfo("jane"))
    response = await create_token(ctx, parts)  # type: ignore[arg-type]
    assert response.status == 201
    import orjson

    return str(orjson.loads(response.body)["status"]["token"])


def _json(document: Any) -> bytes:
    import orjson

    return orjson.dumps(document)


async def test_nobody_is_anonymous_and_wrong_credentials_are_refused(parts: Parts) -> None:
    assert await who(parts) == UserInfo("system:anonymous", groups=("system:unauthenticated",))
    with pytest.raises(Unauthorized):
        await who(parts, authorization="Bearer wrong")


async def test_a_client_certificate_names_user_and_groups(parts: Parts, authority: CertificateAuthority) -> None:
    der = authority.issue(client("jane", "devs", "ops")).certificate.public_bytes(_der())
    user = await who(parts, der=der)
    assert (user.name, user.groups) == ("jane", ("devs", "ops", "system:authenticated"))


async def test_a_certificate_of_the_front_proxys_authority_is_no_users(parts: Parts) -> None:
    """The listener trusts both authorities; a proxy's certificate for CN=system:masters must not be a user."""
    other = CertificateAuthority.create("other")
    der = other.issue(client("root", "system:masters")).certificate.public_bytes(_der())
    assert (await who(parts, der=der)).name == "system:anonymous"


async def test_an_expired_certificate_on_an_open_connection(parts: Parts, authority: CertificateAuthority) -> None:
    lifetime = datetime.timedelta(minutes=5)
    der = authority.issue(client("jane"), lifetime).certificate.public_bytes(_der())
    with effects.use(_Later(datetime.timedelta(hours=1))), pytest.raises(Unauthorized):
        await who(parts, der=der)


async def test_headers_count_only_from_the_proxy(parts: Parts, tmp_path: Path) -> None:
    proxy = CertificateAuthority.create("t-proxy")
    (tmp_path / "proxy.crt").write_bytes(proxy.certificate_pem)
    der = proxy.issue(client("front-proxy-client")).certificate.public_bytes(_der())
    headers = {"x_remote_user": "jane", "x_remote_group": "devs\nops", "x_remote_extra_scope": "a"}
    user = await who(parts, der=der, **headers)
    assert (user.name, user.groups[:2], user.extra) == ("jane", ("devs", "ops"), {"scope": ("a",)})
    assert (await who(parts, **headers)).name == "system:anonymous"


async def test_static_tokens(parts: Parts) -> None:
    user = await who(parts, authorization="Bearer s3cret")
    assert (user.name, user.uid, user.groups) == ("jane", "1", ("devs", "ops", "system:authenticated"))
    with pytest.raises(Unauthorized):
        await who(parts, ("elsewhere",), authorization="Bearer s3cret")
    with pytest.raises(ValueError, match="line 1"):
        parse(b"only,two")


async def test_bootstrap_tokens(parts: Parts) -> None:
    data = {
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers",
    }
    secret = {
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
    parts.reader.put(SECRETS, secret)
    user = await who(parts, authorization="Bearer abcdef.0123456789abcdef")
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:workers", "system:authenticated")
    with pytest.raises(Unauthorized):
        await who(parts, authorization="Bearer abcdef.0123456789abcdee")
    secret["data"]["expiration"] = base64.b64encode(b"2020-01-01T00:00:00Z").decode()
    with pytest.raises(Unauthorized):
        await who(parts, authorization="Bearer abcdef.0123456789abcdef")


async def test_a_service_account_token(parts: Parts) -> None:
    token = await token_for(parts)
    user = await who(parts, authorization=f"Bearer {token}")
    assert (user.name, user.uid) == ("system:serviceaccount:ns:bot", "u1")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, [ISSUER], "system:serviceaccount:ns:bot")
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["kubernetes.io"] == {"namespace": "ns", "serviceaccount": {"name": "bot", "uid": "u1"}}


async def test_a_token_bound_to_a_pod_dies_with_it(parts: Parts) -> None:
    token = await token_for(parts, boundObjectRef={"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "p1"})
    user = await who(parts, authorization=f"Bearer {token}")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
    parts.reader.put(PODS, {**POD, "metadata": {**POD["metadata"], "uid": "p2"}})
    with pytest.raises(Unauthorized):
        await who(parts, authorization=f"Bearer {token}")


async def test_a_token_dies_with_its_account_even_if_the_name_comes_back(parts: Parts) -> None:
    token = await token_for(parts)
    authenticators = [found for build in AUTHENTICATORS if (found := build(parts)) is not None]  # type: ignore[arg-type]
    ctx = RequestContext(Request("GET", "/", headers={"authorization": f"Bearer {token}"}))
    assert await authenticate(authenticators, ctx) is not None
    parts.reader.put(SERVICE_ACCOUNTS, {"metadata": {**ACCOUNT["metadata"], "uid": "u2"}})
    ctx.audiences = ()
    with pytest.raises(Unauthorized):
        await authenticate(authenticators, ctx)


async def test_tokens_expire_and_are_for_their_audience(parts: Parts) -> None:
    token = await token_for(parts, expirationSeconds=600, audiences=["vault"])
    with pytest.raises(Unauthorized):
        await who(parts, authorization=f"Bearer {token}")
    assert (await who(parts, ("vault",), authorization=f"Bearer {token}")).name == "system:serviceaccount:ns:bot"
    with effects.use(_Later(datetime.timedelta(seconds=601))), pytest.raises(Unauthorized):
        await who(parts, ("vault",), authorization=f"Bearer {token}")


async def test_forged_tokens(parts: Parts, tmp_path: Path) -> None:
    token = await token_for(parts)
    claims = jwt.decode(token, options={"verify_signature": False})
    public = (tmp_path / "sa.pub").read_bytes()
    stranger = SigningKey.create()
    unsigned = jwt.encode(claims, None, algorithm="none")
    foreign = jwt.encode(claims, stranger.private_pem, algorithm="ES256")
    import hashlib
    import hmac

    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    body = token.split(".")[1].encode()
    confused = b".".join((head, body, base64.urlsafe_b64encode(
        hmac.new(public, head + b"." + body, hashlib.sha256).digest()
    ).rstrip(b"="))).decode()
    for forged in (unsigned, foreign, confused, token[:-4] + "AAAA", token + "x"):
        with pytest.raises(Unauthorized):
            await who(parts, authorization=f"Bearer {forged}")


@pytest.mark.parametrize(("spec", "error", "message"), [
    ({"expirationSeconds": 599}, Invalid, "may not specify a duration less than 10 minutes"),
    ({"expirationSeconds": 2**32 + 1}, Invalid, "may not specify a duration larger than 2"),
    ({"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}, BadRequest,
     "cannot bind token to object of type"),
])
async def test_token_requests_that_make_no_sense(parts: Parts, spec: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        await token_for(parts, **spec)


async def test_a_pods_automatic_token_outlives_its_hour_but_says_so(parts: Parts) -> None:
    token = await token_for(
        parts, expirationSeconds=3607, boundObjectRef={"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "p1"}
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607


async def test_the_published_keys_verify_our_tokens(parts: Parts) -> None:
    import orjson

    token = await token_for(parts)
    discovery = IssuerDiscovery(parts)  # type: ignore[arg-type]
    configuration = orjson.loads(discovery.handle("/.well-known/openid-configuration").body)
    assert configuration["issuer"] == ISSUER
    (key,) = orjson.loads(discovery.handle("/openid/v1/jwks").body)["keys"]
    assert key["kid"] == jwt.get_unverified_header(token)["kid"]
    assert jwt.decode(token, jwt.PyJWK(key).key, algorithms=["ES256"], audience=ISSUER)["sub"].endswith(":bot")


def test_browsers_bring_their_token_as_a_sub_protocol() -> None:
    encoded = base64.urlsafe_b64encode(b"s3cret").rstrip(b"=").decode()
    headers = {
        "upgrade": "websocket",
        "sec-websocket-protocol": f"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}",
    }
    assert token_of(RequestContext(Request("GET", "/", headers=headers))) == "s3cret"


async def test_impersonation_needs_a_right_for_each_part(parts: Parts) -> None:
    headers = {"Impersonate-User": "bob", "Impersonate-Group": "devs\nsystem:masters"}
    ctx = RequestContext(Request("GET", "/", headers=_Headers(headers)), user=UserInfo("jane"))
    parts.allowed |= {("users", "bob"), ("groups", "devs")}
    with pytest.raises(Forbidden, match="cannot impersonate-on:user-info: path"):
        await impersonate(ctx, parts)  # type: ignore[arg-type]
    parts.allowed.add(("groups", "system:masters"))
    await impersonate(ctx, parts)  # type: ignore[arg-type]
    assert ctx.user == UserInfo("bob", groups=("devs", "system:masters", "system:authenticated"))
    assert ctx.impersonator == UserInfo("jane")
    alone = RequestContext(Request("GET", "/", headers=_Headers({"Impersonate-Group": "x"})), user=UserInfo("jane"))
    with pytest.raises(BadRequest) as refused:
        await impersonate(alone, parts)  # type: ignore[arg-type]
    assert refused.value.message == (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"x"}, Extra:map[string][]string(nil)} without '
        "impersonating a user name"
    )


def _Headers(headers: dict[str, str]) -> Any:  # noqa: N802 - makes a multi-dict, as the listener does
    from multidict import CIMultiDict

    return CIMultiDict(headers)


def _der() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


class _Later(effects.SystemSource):
    def __init__(self, shift: datetime.timedelta) -> None:
        super().__init__()
        self._shift = shift

    def now(self) -> datetime.datetime:
        return super().now() + self._shift
