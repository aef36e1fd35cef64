"""JWTs of an outside issuer: keys by discovery, audiences, mappings and rules, also in CEL."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.apiserver.https_server import Running, answer, running

from sampan import effects
from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.authn.anonymous import ANONYMOUS, Anonymous
from sampan.apiserver.authn.oidc import issuer_keys
from sampan.apiserver.authn.oidc.configuration import parse
from sampan.apiserver.authn.oidc.tokens import OIDCTokens
from sampan.apiserver.authn.token_keys import signing_key, verifying_keys
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.pki.service_account import SigningKey

EVERY_MAPPING: dict[str, Any] = {"username": {"claim": "sub", "prefix": "ext:"}}


class Issuer:
    """Signs tokens; its keys may rotate."""

    def __init__(self) -> None:
        self.keys = [SigningKey.create()]
        self.asked: list[str] = []
        self.at: Running | None = None

    @property
    def url(self) -> str:
        assert self.at is not None
        return self.at.url + "/realm"

    async def handle(self, request: Request) -> Response:
        self.asked.append(request.path)
        if request.path == "/realm/.well-known/openid-configuration":
            return answer({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        if request.path == "/realm/keys":
            return answer({"keys": [verifying_keys(key.public_pem)[0].jwk() for key in self.keys]})
        return Response(404)

    def token(self, key: SigningKey | None = None, **claims: Any) -> str:
        now = int(effects.now().timestamp())
        known = {"iss": self.url, "sub": "jane", "aud": "sampan", "exp": now + 600, **claims}
        key = key or self.keys[0]
        return jwt.encode(known, signing_key(key.private_pem), "ES256", headers={"kid": key.key_id})


@contextlib.asynccontextmanager
async def issuing(directory: Path) -> AsyncIterator[Issuer]:
    issuer = Issuer()
    async with running(directory, issuer.handle) as at:
        issuer.at = at
        yield issuer


def configuration(issuer: Issuer, mappings: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    assert issuer.at is not None
    entry = {
        "issuer": {"url": issuer.url, "certificateAuthority": issuer.at.authority, "audiences": ["sampan"]},
        "claimMappings": mappings or EVERY_MAPPING, **more,
    }
    return {"kind": "AuthenticationConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "jwt": [entry]}


def authenticator(issuer: Issuer, document: dict[str, Any]) -> OIDCTokens:
    assert issuer.at is not None
    file = issuer.at.directory / "authentication.json"
    file.write_text(json.dumps(document))
    return OIDCTokens(WatchedFile(str(file), parse))


async def who(tokens: OIDCTokens, token: str) -> UserInfo | None:
    return await tokens.authenticate_token(token, RequestContext(Request("GET", "/")))


async def test_a_signed_token_is_a_user(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        mappings = {**EVERY_MAPPING, "groups": {"claim": "roles", "prefix": "ext:"}, "uid": {"claim": "id"}}
        tokens = authenticator(issuer, configuration(issuer, mappings))
        token = issuer.token(roles=["dev", "ops"], id="42", jti="t1")
        user = await who(tokens, token)
        assert user is not None
        assert (user.name, user.groups, user.uid) == ("ext:jane", ("ext:dev", "ext:ops"), "42")
        assert user.extra == {"authentication.kubernetes.io/credential-id": ("JTI=t1",)}
        assert await who(tokens, token) == user
        assert issuer.asked == ["/realm/.well-known/openid-configuration", "/realm/keys"]
        assert await who(tokens, jwt.encode({"iss": "https://other"}, "k" * 32)) is None


async def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        tokens = authenticator(issuer, configuration(issuer))
        now = int(effects.now().timestamp())
        wrong = [
            issuer.token(aud="other"), issuer.token(exp=now - 1), issuer.token(nbf=now + 4000), issuer.token(sub=7),
            issuer.token(sub=""), issuer.token(SigningKey.create()), issuer.token() [:-4] + "AAAA",
            jwt.encode({"iss": issuer.url, "sub": "jane", "aud": "sampan", "exp": now + 600}, "", "none"),
            jwt.encode({"iss": issuer.url, "sub": "jane", "aud": "sampan", "exp": now + 600},
                       verifying_keys(issuer.keys[0].public_pem)[0].key_id * 2, "HS256"),
        ]
        for token in wrong:
            with pytest.raises(Unauthorized):
                await who(tokens, token)


async def test_a_new_key_is_looked_for_when_a_token_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "RETRY_S", 0.0)
    async with issuing(tmp_path) as issuer:
        tokens = authenticator(issuer, configuration(issuer))
        assert await who(tokens, issuer.token())
        issuer.keys.insert(0, SigningKey.create())
        assert await who(tokens, issuer.token())
        assert issuer.asked.count("/realm/keys") == 2


async def test_expressions_map_and_judge(tmp_path: Path) -> None:
    async with issuing(tmp_path) as issuer:
        document = configuration(issuer, {
            "username": {"expression": "claims.sub + '@' + claims.team"},
            "groups": {"expression": "claims.?roles.orValue([])"},
            "extra": [{"key": "example.com/tier", "valueExpression": "claims.tier"}],
        }, claimValidationRules=[
            {"claim": "hd", "requiredValue": "example.com"},
            {"expression": "claims.exp - claims.iat <= 86400", "message": "too long"},
        ], userValidationRules=[{"expression": "!user.username.startsWith('system:')", "message": "reserved"}])
        tokens = authenticator(issuer, document)
        now = int(effects.now().timestamp())
        good = {"iat": now, "hd": "example.com", "team": "x", "tier": ["gold"]}
        user = await who(tokens, issuer.token(**good))
        assert user is not None
        assert (user.name, user.groups, user.extra) == ("jane@x", (), {"example.com/tier": ("gold",)})
        for change in ({"hd": "other.com"}, {"iat": now - 90000}, {"sub": "system:admin"}, {"team": None}):
            with pytest.raises(Unauthorized):
                await who(tokens, issuer.token(**{**good, **change}))


@pytest.mark.parametrize(("change", "field"), [
    ({"issuer": {"url": "http://a", "audiences": ["x"]}}, r"jwt\[0\].issuer.url"),
    ({"issuer": {"url": "https://a", "audiences": []}}, "audiences"),
    ({"issuer": {"url": "https://a", "audiences": ["x", "y"]}}, "audienceMatchPolicy"),
    ({"claimMappings": {"username": {"claim": "sub"}}}, "prefix"), ({"claimMappings": {}}, "username"),
    ({"claimMappings": {"username": {"expression": "claims.("}}}, "username.expression"),
    ({"claimValidationRules": [{"expression": "'text'"}]}, r"claimValidationRules\[0\]"),
])
def test_a_wrong_configuration_names_the_field(change: dict[str, Any], field: str) -> None:
    entry = {"issuer": {"url": "https://a", "audiences": ["x"]}, "claimMappings": EVERY_MAPPING, **change}
    document = {
        "kind": "AuthenticationConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "jwt": [entry],
    }
    with pytest.raises(ValueError, match=field):
        parse(json.dumps(document).encode())


async def test_anonymous_may_be_confined_to_paths(tmp_path: Path) -> None:
    file = tmp_path / "authentication.yaml"
    file.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
        "anonymous: {enabled: true, conditions: [{path: /livez}]}\n"
    )
    anonymous = Anonymous(True, WatchedFile(str(file), parse))
    assert await anonymous.authenticate(RequestContext(Request("GET", "/livez"))) is ANONYMOUS
    assert await anonymous.authenticate(RequestContext(Request("GET", "/api"))) is None
