"""Plugins that a server runs only when told to, and what others do on updates; through a whole API server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import (
    CONFIG_MAPS,
    CORE_EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    SERVICES,
)
from sampan.apimachinery.errors import Forbidden, Invalid, TooManyRequests
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.admission.event_rate_limit import EventRateLimit, Limit
from sampan.apiserver.admission.owner_references import OwnerReferencesPermissionEnforcement
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Decision, Verdict
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.storage.memory import MemoryStore


async def settled(client: Client) -> None:
    """A consistent read: the server's caches have caught up."""
    await client.list(CONFIG_MAPS, namespace="default")


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"port": 80}], **spec}}


async def test_what_is_off_by_default_is_off() -> None:
    async with serving() as (server, _):
        names = {plugin.name for plugin in server.admission.plugins}
    assert not names & {"AlwaysAdmit", "AlwaysDeny"}
    assert not names & {"AlwaysPullImages", "DenyServiceExternalIPs", "EventRateLimit", "ExtendedResourceToleration"}
    assert names >= {"MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy",
                     "ValidatingAdmissionWebhook"}


async def test_everything_is_admitted_or_denied() -> None:
    async with serving(enable_admission=("AlwaysAdmit",)) as (_, client):
        await client.create(PODS, pod("one"))
    store = MemoryStore()
    for enabled in ((), ("AlwaysDeny",)):  # what a new cluster needs would be denied, too
        server = APIServer(store, APIServerConfig(authorization=False, enable_admission=enabled))
        await server.start()
        try:
            made = await call(server, "POST", "/api/v1/namespaces/default/configmaps", config_map(f"a{len(enabled)}"))
            assert made.status == (403 if enabled else 201)
        finally:
            await server.stop()
    assert document(made)["message"] == 'configmaps "a1" is forbidden: admission control is denying all modifications'
    await store.close()


async def test_images_are_always_pulled() -> None:
    async with serving(enable_admission=("AlwaysPullImages",)) as (_, client):
        one = pod("one")
        one["spec"]["containers"][0]["imagePullPolicy"] = "Never"
        created = await client.create(PODS, one)
        assert created["spec"]["containers"][0]["imagePullPolicy"] == "Always"


async def test_external_ips_are_denied_but_those_that_are_there_may_stay() -> None:
    async with serving(enable_admission=("DenyServiceExternalIPs",)) as (_, client):
        with pytest.raises(Forbidden, match="Use of external IPs is denied by admission control"):
            await client.create(SERVICES, service("one", externalIPs=["192.0.2.1"]))
        await client.create(SERVICES, service("one"))


async def test_pods_tolerate_the_taint_of_the_devices_they_ask_for() -> None:
    async with serving(enable_admission=("ExtendedResourceToleration",)) as (_, client):
        one = pod("one")
        one["spec"]["containers"][0]["resources"] = {"limits": {"example.com/gpu": "1", "cpu": "1"}}
        tolerations = (await client.create(PODS, one))["spec"]["tolerations"]
        assert {"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in tolerations


async def test_events_are_limited_by_user() -> None:
    async with serving() as (server, _):
        kind = server.kind_of("", "v1", "events")
        assert kind is not None
        plugin = EventRateLimit((Limit("Namespace", 1000, 1000), Limit("User", 0.001, 2, kept=1)))

        def event(user: str) -> AdmissionAttributes:
            return AdmissionAttributes("CREATE", kind, CORE_EVENTS, "e", "default", UserInfo(user), {})

        assert plugin.interested(event("jane"))
        await plugin.validate(event("jane"))
        await plugin.validate(event("jane"))
        with pytest.raises(TooManyRequests, match=r"^limit reached on type User for key jane$"):
            await plugin.validate(event("jane"))
        await plugin.validate(event("joe"))
        await plugin.validate(event("jane"))  # forgotten, since only one bucket is kept


class Permissions:
    """What the plugin asks of the server: these (verb, resource, subresource) are allowed."""

    def __init__(self, kinds: Any, *allowed: tuple[str, str, str]) -> None:
        self.kinds = kinds
        self.allowed = allowed

    async def authorize(self, attributes: Attributes) -> Verdict:
        asked = (attributes.verb, attributes.resource, attributes.subresource)
        return Verdict(Decision.ALLOW if asked in self.allowed else Decision.NO_OPINION, "no rule")


async def test_who_sets_an_owner_could_delete_the_object_and_hold_up_the_owner() -> None:
    async with serving() as (server, _):
        kind, kinds = server.kind_of("", "v1", "pods"), server.kinds
    assert kind is not None
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "blockOwnerDeletion": True}
    owned = {"metadata": {"name": "one", "ownerReferences": [owner]}}

    async def write(*allowed: tuple[str, str, str], old: Any = None, new: Any = owned) -> None:
        parts: Any = Permissions(kinds, *allowed)
        plugin = OwnerReferencesPermissionEnforcement(parts)
        await plugin.validate(AdmissionAttributes("UPDATE", kind, PODS, "one", "default", UserInfo("jane"), new, old))

    with pytest.raises(Forbidden, match="cannot set an ownerRef on a resource you can't delete: no rule, <nil>"):
        await write()
    with pytest.raises(Forbidden, match="cannot set blockOwnerDeletion if an ownerReference refers to a resource you"):
        await write(("delete", "pods", ""))
    await write(("delete", "pods", ""), ("update", "replicasets", "finalizers"))
    await write(old=owned)
    unknown = {"metadata": {"name": "one", "ownerReferences": [{**owner, "kind": "Nothing"}]}}
    with pytest.raises(Forbidden, match="cannot find RESTMapping for APIVersion apps/v1 Kind Nothing"):
        await write(("delete", "pods", ""), new=unknown)


async def quota(client: Client, **hard: str) -> None:
    limits = {key.replace("_", "."): value for key, value in hard.items()}
    await client.create(RESOURCE_QUOTAS, {
        "kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": limits},
    })
    await settled(client)


async def test_a_service_that_grows_is_counted() -> None:
    async with serving() as (_, client):
        await client.create(SERVICES, service("one", type="NodePort"))
        await client.create(SERVICES, service("two"))
        await quota(client, services_nodeports="1", services="2")
        with pytest.raises(Forbidden) as refusal:
            await client.patch(SERVICES, "two", {"spec": {"type": "NodePort"}}, "default")
        assert refusal.value.message == (
            'services "two" is forbidden: exceeded quota: q, requested: services.nodeports=1, '
            "used: services.nodeports=1, limited: services.nodeports=1"
        )
        await client.patch(SERVICES, "two", {"metadata": {"labels": {"a": "b"}}}, "default")


def claim(size: str) -> dict[str, Any]:
    return {
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


async def test_limits_hold_for_claims() -> None:
    async with serving() as (_, client):
        await client.create(LIMIT_RANGES, {
            "kind": "LimitRange", "apiVersion": "v1", "metadata": {"name": "sizes", "namespace": "default"},
            "spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}}]},
        })
        await settled(client)
        with pytest.raises(Forbidden, match="maximum storage usage per PersistentVolumeClaim is 2Gi"):
            await client.create(PERSISTENT_VOLUME_CLAIMS, claim("3Gi"))
        await client.create(PERSISTENT_VOLUME_CLAIMS, claim("1Gi"))


SECURE = "pod-security.kubernetes.io/"


async def labelled(client: Client, **labels: str) -> None:
    found = {SECURE + key.replace("_", "-"): value for key, value in labels.items()}
    await client.patch(NAMESPACES, "default", {"metadata": {"labels": found}})
    await settled(client)


async def test_labels_of_pod_security_must_make_sense() -> None:
    async with serving() as (_, client):
        with pytest.raises(Invalid, match=r"must be one of privileged, baseline, restricted"):
            await labelled(client, enforce="strict")
        with pytest.raises(Invalid, match=r'must be "latest" or "v1.x"'):
            await labelled(client, enforce_version="1.30")
        await labelled(client, enforce="baseline", enforce_version="v1.30")
        bad = pod("bad")
        bad["spec"]["hostNetwork"] = True
        with pytest.raises(Forbidden, match=r'violates PodSecurity "baseline:v1.30": host namespaces'):
            await client.create(PODS, bad)


async def test_who_tightens_a_namespace_hears_of_the_pods_in_it() -> None:
    async with serving() as (server, client):
        for name in ("a", "b"):
            one = pod(name)
            one["spec"]["hostNetwork"] = True
            await client.create(PODS, one)
        await client.create(PODS, pod("fine"))
        patch = {"metadata": {"labels": {SECURE + "enforce": "baseline"}}}
        headers = {"content-type": "application/merge-patch+json"}
        answer = await call(server, "PATCH", "/api/v1/namespaces/default", patch, headers=headers)
        assert answer.status == 200, answer.body
        assert answer.headers["warning"] == (
            '299 - "existing pods in namespace \\"default\\" violate the new PodSecurity enforce level '
            '\\"baseline:latest\\"", 299 - "a (and 1 other pod): host namespaces"'
        )
        await settled(client)
        await client.patch(PODS, "a", {"metadata": {"labels": {"still": "runs"}}}, "default")
        image = {"spec": {"containers": [{"name": "main", "image": "other"}]}}
        with pytest.raises(Forbidden, match="violates PodSecurity"):
            await client.patch(PODS, "a", image, "default")
