"""ServiceAccounts' old-style token Secrets, and the ConfigMap with the root CA in every namespace."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import jwt
import pytest

from sampan.api.resources import SECRETS, SERVICE_ACCOUNTS
from sampan.client.informer import InformerFactory
from sampan.controllers.accounts import serviceaccount_tokens
from sampan.controllers.accounts.serviceaccount_tokens import TYPE
from sampan.controllers.certificates import root_ca_publisher
from sampan.pki.service_account import SigningKey
from sampan.reconcile.controller import Controller
from sampan.reconcile.manager import Manager
from sampan.reconcile.plan import Delete
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def test_a_token_secret_is_filled_and_goes_with_its_account(make, tmp_path) -> None:
    key = SigningKey.ensure(tmp_path)
    issuer = serviceaccount_tokens.Issuer(tmp_path / "sa.key", b"CA")
    account = {"metadata": make.meta("robot")}
    annotations = {serviceaccount_tokens.NAME: "robot"}
    secret = {"metadata": make.meta("s", annotations=annotations), "type": TYPE}
    [update] = serviceaccount_tokens.plan(secret, account, issuer).steps
    data = {name: base64.b64decode(text).decode() for name, text in update.obj["data"].items()}
    assert (data["ca.crt"], data["namespace"]) == ("CA", "default")
    claims = jwt.decode(data["token"], key.public_pem.decode(), ["ES256"])
    assert claims["sub"] == "system:serviceaccount:default:robot" and "exp" not in claims
    assert not serviceaccount_tokens.plan(update.obj, account, issuer).steps
    for gone in (None, {"metadata": {**make.meta("robot"), "uid": "another"}}):
        [deletion] = serviceaccount_tokens.plan(update.obj, gone, issuer).steps
        assert isinstance(deletion, Delete)


@pytest.mark.parametrize(("data", "changed"), [
    ({}, {"ca.crt", "namespace", "token"}), ({"token": "t"}, {"ca.crt", "namespace"}),
    ({"token": "t", "ca.crt": "CA"}, {"namespace"}), ({"token": "t", "ca.crt": "old", "namespace": "n"}, {"ca.crt"}),
    ({"token": "t", "ca.crt": "CA", "namespace": "custom"}, set()),
    ({"token": "t", "ca.crt": "CA", "namespace": "n", "other": "x"}, set()),
])
@pytest.mark.parametrize("uid", [None, "uid-robot"])
def test_only_what_a_token_secret_lacks_is_written(make, tmp_path, data, changed, uid) -> None:
    SigningKey.ensure(tmp_path)
    issuer = serviceaccount_tokens.Issuer(tmp_path / "sa.key", b"CA")
    annotations = {serviceaccount_tokens.NAME: "robot", **({serviceaccount_tokens.UID: uid} if uid else {})}
    before = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    secret = {"metadata": make.meta("s", annotations=annotations), "type": TYPE, "data": before}
    steps = serviceaccount_tokens.plan(secret, {"metadata": make.meta("robot")}, issuer).steps
    after = steps[0].obj["data"] if steps else before
    assert {name for name in after if after[name] != before.get(name)} == changed
    if steps:
        assert steps[0].obj["metadata"]["annotations"][serviceaccount_tokens.UID] == "uid-robot"


def test_an_account_forgets_a_token_secret_that_is_gone(make) -> None:
    fields = {"secrets": [{"name": "a"}, {"name": "b"}], "automountServiceAccountToken": False}
    account = {"metadata": make.meta("robot"), **fields}
    [update] = serviceaccount_tokens.forget(account, "a").steps
    assert update.obj["secrets"] == [{"name": "b"}] and update.obj["automountServiceAccountToken"] is False
    [update] = serviceaccount_tokens.forget(update.obj, "b").steps
    assert "secrets" not in update.obj


@pytest.mark.parametrize(("data", "annotations", "written"), [
    ({"ca.crt": "CA"}, {"kubernetes.io/description": "x"}, False), ({"ca.crt": "CA"}, {}, True),
    ({"ca.crt": "CA", "more": "x"}, {"kubernetes.io/description": "x"}, True),
    ({"ca.crt": "old"}, {"kubernetes.io/description": "x", "mine": "y"}, True), (None, {}, True),
])
def test_the_root_ca_is_put_right_and_others_annotations_stay(make, data, annotations, written) -> None:
    namespace = {"metadata": {"name": "n"}, "status": {"phase": "Active"}}
    found = {"metadata": make.meta("kube-root-ca.crt", annotations=annotations), "data": data}
    steps = root_ca_publisher.plan(namespace, found, "CA").steps
    assert len(steps) == written
    for step in steps:
        assert step.obj["data"] == {"ca.crt": "CA"}
        assert step.obj["metadata"]["annotations"] == {
            **annotations, "kubernetes.io/description": root_ca_publisher.DESCRIPTION
        }
    going = {**namespace, "status": {"phase": "Terminating"}}
    assert not root_ca_publisher.plan(going, None, "CA") and root_ca_publisher.plan(namespace, None, "CA").steps


def test_a_token_secret_that_goes_is_forgotten_on_a_cluster(tmp_path: Path) -> None:
    SigningKey.ensure(tmp_path)
    issuer = serviceaccount_tokens.Issuer(tmp_path / "sa.key", b"CA")

    async def scenario() -> None:
        async with SimCluster(4, 1) as cluster:
            client, factory = cluster.client, InformerFactory(cluster.client)
            tokens = Controller(
                "tokens", lambda wiring: serviceaccount_tokens.ServiceAccountTokens(wiring, issuer), client, factory
            )
            running = asyncio.ensure_future(Manager(factory, [tokens]).run())
            metadata = {"name": "robot", "namespace": "default"}
            await client.create(SERVICE_ACCOUNTS, {"metadata": metadata, "secrets": [{"name": "s"}, {"name": "t"}]})
            secret = {"metadata": {"name": "s", "annotations": {serviceaccount_tokens.NAME: "robot"}}, "type": TYPE}
            await client.create(SECRETS, secret, "default")

            async def filled() -> bool:
                return "token" in (await client.get(SECRETS, "s", "default")).get("data", {})

            async def forgotten() -> bool:
                return (await client.get(SERVICE_ACCOUNTS, "robot", "default"))["secrets"] == [{"name": "t"}]

            await cluster.until(filled)
            await client.delete(SECRETS, "s", "default")
            await cluster.until(forgotten)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(scenario())
