"""Tokens that another program judges, and ServiceAccount tokens that live in Secrets."""

from __future__ import annotations

import base64
import contextlib
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from tests.apiserver.https_server import answer, running

from sampan import effects
from sampan.api.resources import SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import Request, Response
from sampan.apiserver import remote_review
from sampan.apiserver.authn.legacy_service_account import LegacyTokens
from sampan.apiserver.authn.token_keys import signing_key
from sampan.apiserver.authn.webhook_token import WebhookTokens
from sampan.apiserver.context import RequestContext
from sampan.apiserver.remote_review import RemoteReview
from sampan.pki.service_account import SigningKey


def context(*audiences: str) -> RequestContext:
    return RequestContext(Request("GET", "/"), audiences=audiences)


async def test_a_webhook_says_whose_token_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_review, "FIRST_PAUSE_S", 0.0)
    seen: list[Any] = []
    failures = [503, 429]

    async def judge(request: Request) -> Response:
        if failures:
            return Response(failures.pop())
        seen.append((request.path, orjson.loads(request.body)))
        token = seen[-1][1]["spec"]["token"]
        user = {"username": "jane", "uid": "1", "groups": ["devs"], "extra": {"k": ["v"]}}
        status = {"authenticated": True, "user": user} if token == "good" else {"authenticated": False}
        return answer({"kind": "TokenReview", "status": status})

    async with running(tmp_path, judge) as server:
        tokens = WebhookTokens(RemoteReview(server.kubeconfig("/judge")), ("api",), 60.0)
        ctx = context()
        for _ in range(2):
            user = await tokens.authenticate_token("good", ctx)
        assert user is not None
        assert (user.name, user.uid, user.groups, user.extra) == ("jane", "1", ("devs",), {"k": ("v",)})
        assert ctx.audiences == ("api",)
        for _ in range(2):
            assert await tokens.authenticate_token("bad", context()) is None
    spec = {"token": "good", "audiences": ["api"]}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    assert seen[0] == ("/judge", review)
    assert len(seen) == 2, "answers are remembered"


async def test_a_webhook_that_fails_does_not_stand_in_the_way(tmp_path: Path) -> None:
    async def broken(request: Request) -> Response:
        return Response(400)

    async with running(tmp_path, broken) as server:
        tokens = WebhookTokens(RemoteReview(server.kubeconfig()), ("api",), 60.0)
        assert await tokens.authenticate_token("good", context()) is None


class Account:
    """An account with a token Secret."""

    def __init__(self, directory: Path, reader: Any) -> None:
        self.key = SigningKey.ensure(directory)
        self.reader = reader
        self.patches: list[tuple[str, str | None, Any]] = []
        self.tokens = LegacyTokens(reader, (str(directory / "sa.pub"),), self)  # type: ignore[arg-type]
        self.account()

    def account(self, *secrets: str) -> None:
        listed = [{"name": name} for name in secrets]
        metadata = {"name": "bot", "namespace": "ns", "uid": "u1"}
        self.reader.put(SERVICE_ACCOUNTS, {"metadata": metadata, "secrets": listed})

    async def patch(self, resource: Any, name: str, change: Any, namespace: str | None = None) -> None:
        """As the client's."""
        self.patches.append((name, namespace, change))

    def token(self, key: SigningKey | None = None, uid: str = "u1") -> str:
        prefix = "kubernetes.io/serviceaccount/"
        claims = {
            "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:ns:bot", f"{prefix}namespace": "ns",
            f"{prefix}secret.name": "bot-token", f"{prefix}service-account.name": "bot",
            f"{prefix}service-account.uid": uid,
        }
        return jwt.encode(claims, signing_key((key or self.key).private_pem), "ES256")

    def keep(self, token: str, **labels: str) -> None:
        self.reader.put(SECRETS, {
            "metadata": {"name": "bot-token", "namespace": "ns", "uid": "s1", "labels": labels},
            "type": "kubernetes.io/service-account-token",
            "data": {"token": base64.b64encode(token.encode()).decode()},
        })


async def test_a_token_from_a_secret_is_its_account(tmp_path: Path, reader: Any) -> None:
    account = Account(tmp_path, reader)
    token = account.token()
    account.keep(token)
    user = await account.tokens.authenticate_token(token, context())
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:ns:bot", "u1")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns")


async def test_a_token_that_its_secret_does_not_bear_out_is_refused(tmp_path: Path, reader: Any) -> None:
    account = Account(tmp_path, reader)
    token = account.token()
    with pytest.raises(Unauthorized):
        await account.tokens.authenticate_token(token, context())
    account.keep(account.token())  # another signature: ECDSA never repeats
    with pytest.raises(Unauthorized):
        await account.tokens.authenticate_token(token, context())
    account.keep(token, **{"kubernetes.io/legacy-token-invalid-since": "2026-01-01"})
    with pytest.raises(Unauthorized):
        await account.tokens.authenticate_token(token, context())
    for forged in (account.token(SigningKey.create()), account.token(uid="u2")):
        account.keep(forged)
        with pytest.raises(Unauthorized):
            await account.tokens.authenticate_token(forged, context())


TODAY = "2026-03-01"
_LABEL = "kubernetes.io/legacy-token-"


class Noon(effects.SystemSource):
    def now(self) -> datetime:
        return datetime.fromisoformat(f"{TODAY}T12:00:00+00:00")


async def used(account: Account, **labels: str) -> tuple[Any, list[Any]]:
    """The context of a request with its token, and what was written about its Secret."""
    token = account.token()
    account.keep(token, **labels)
    ctx = context()
    account.patches.clear()
    with effects.use(Noon()), contextlib.suppress(Unauthorized):
        await account.tokens.authenticate_token(token, ctx)
    return ctx, [change["metadata"]["labels"] for _, _, change in account.patches]


async def test_the_day_of_a_tokens_last_use_is_kept(tmp_path: Path, reader: Any) -> None:
    account = Account(tmp_path, reader)
    ctx, written = await used(account)
    assert written == [{f"{_LABEL}last-used": TODAY}]
    assert account.patches[0][:2] == ("bot-token", "ns") and account.patches[0][2]["metadata"]["uid"] == "s1"
    assert ctx.audit_annotations == {"authentication.k8s.io/legacy-token-manual-secret": "bot-token"}
    assert ctx.warnings == []
    for noted, wanted in ((TODAY, 0), ("2026-03-02", 0), ("2026-02-28", 1)):
        assert len((await used(account, **{f"{_LABEL}last-used": noted}))[1]) == wanted


async def test_whoever_uses_a_generated_token_is_warned(tmp_path: Path, reader: Any) -> None:
    account = Account(tmp_path, reader)
    account.account("bot-token")
    ctx, _ = await used(account)
    assert ctx.audit_annotations == {"authentication.k8s.io/legacy-token-autogenerated-secret": "bot-token"}
    assert ctx.warnings == [
        "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated "
        "secret-based tokens."
    ]


async def test_the_use_of_a_token_that_was_marked_invalid_is_kept_too(tmp_path: Path, reader: Any) -> None:
    account = Account(tmp_path, reader)
    ctx, written = await used(account, **{f"{_LABEL}invalid-since": "2026-01-01"})
    assert written == [{f"{_LABEL}last-used": TODAY}]
    assert ctx.audit_annotations == {"authentication.k8s.io/legacy-token-invalidated": "bot-token/ns"}
