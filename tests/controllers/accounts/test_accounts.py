"""ServiceAccounts' old-style token Secrets, and the ConfigMap with the root CA in every namespace."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from types import SimpleNamespace

import jwt
import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from sampan.apimachinery import errors
from sampan.apimachinery.object import name_of, uid_of
from sampan.client.informer import InformerFactory
from sampan.controllers.accounts import serviceaccount, serviceaccount_tokens
from sampan.controllers.accounts.serviceaccount_tokens import TYPE
from sampan.controllers.certificates import root_ca_publisher
from sampan.pki.service_account import SigningKey
from sampan.reconcile.controller import Controller
from sampan.reconcile.manager import Manager
from sampan.reconcile.plan import Delete, Update
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


@pytest.mark.parametrize(("known", "live", "uid", "kept"), [
    ("uid-robot", None, "uid-robot", True), ("uid-robot", None, "", True),
    (None, "uid-robot", "uid-robot", True),  # the copy is behind: the account is new
    ("uid-before", "uid-robot", "uid-robot", True),  # the copy shows the account that had the name before
    (None, None, "uid-robot", False), (None, None, "", False), ("uid-other", "uid-other", "uid-robot", False),
])
def test_a_token_secret_is_lost_only_when_the_server_says_that_its_account_is(
    make, tmp_path, known, live, uid, kept
) -> None:
    def account(uid: str | None) -> dict[str, object] | None:
        return {"metadata": {**make.meta("robot"), "uid": uid}} if uid else None

    class Copies:
        def __init__(self, found: object) -> None:
            self.found = found

        def get(self, name: str, namespace: str) -> object:
            return self.found

        def add_index(self, name: str, keys: object) -> None:
            pass

        def list(self, namespace: str) -> list[object]:
            return []

    class Server:
        async def get(self, resource: object, name: str, namespace: str) -> object:
            if (found := account(live)) is None:
                raise errors.NotFound("gone")
            return found

    SigningKey.ensure(tmp_path)
    annotations = {serviceaccount_tokens.NAME: "robot", **({serviceaccount_tokens.UID: uid} if uid else {})}
    secret = {"metadata": make.meta("s", annotations=annotations), "type": TYPE}
    informer = SimpleNamespace(lister=Copies(secret))
    wiring = SimpleNamespace(
        client=Server(), factory=SimpleNamespace(informer=lambda resource, field_selector: informer),
        follow=lambda informer, keys: None, watch=lambda resource, keys: Copies(account(known)),
    )
    issuer = serviceaccount_tokens.Issuer(tmp_path / "sa.key", b"CA")
    loop = serviceaccount_tokens.ServiceAccountTokens(wiring, issuer)  # type: ignore[arg-type]
    [step] = run(loop.reconcile("default/s")).steps
    assert isinstance(step, Update if kept else Delete)


@pytest.mark.parametrize(("phase", "there", "made"), [
    ("Active", False, True), ("Active", True, False), ("Terminating", False, False), ("Terminating", True, False),
])
def test_every_namespace_that_stays_has_a_default_account(make, phase, there, made) -> None:
    namespace = {"metadata": {"name": "n"}, "status": {"phase": phase}}
    steps = serviceaccount.plan(namespace, {"metadata": make.meta("default")} if there else None).steps
    assert [step.obj["metadata"] for step in steps] == ([{"name": "default", "namespace": "n"}] if made else [])


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


def test_a_default_account_that_is_deleted_comes_back_as_another() -> None:
    """TestServiceAccountAutoCreate"""

    async def scenario(lab: Lab) -> None:
        await lab.client.create(NAMESPACES, {"metadata": {"name": "n"}})

        async def found(other_than: str = "") -> bool:
            there = {name_of(one): uid_of(one) for one in (await lab.client.list(SERVICE_ACCOUNTS, "n"))["items"]}
            return there.get("default", other_than) != other_than

        await lab.until(found)
        first = uid_of(await lab.client.get(SERVICE_ACCOUNTS, "default", "n"))
        await lab.client.delete(SERVICE_ACCOUNTS, "default", "n")
        await lab.until(lambda: found(first))

    on_a_cluster(scenario, nodes=0)
