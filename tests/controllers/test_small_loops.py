"""Loops that are too small for a file of tests each."""

from __future__ import annotations

import base64
import warnings
from datetime import timedelta

import jwt
import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import CLUSTER_ROLES, CONFIG_MAPS, SERVICE_CIDRS, STORAGE_VERSION_MIGRATIONS
from sampan.apimachinery.object import Object, name_of
from sampan.controllers.accounts import clusterrole_aggregation
from sampan.controllers.certificates import (
    bootstrap_signer,
    bootstrap_token_cleaner,
    pod_certificate_cleaner,
    trust_bundle_publisher,
)
from sampan.controllers.nodes import node_ttl
from sampan.controllers.objects import storage_version_migrator
from sampan.controllers.objects import validating_admission_policy_status as policy_status
from sampan.controllers.services import service_cidr
from sampan.controllers.volumes.volume_protection import attributes_classes_of
from sampan.reconcile.plan import Create, Delete, Patch, Update
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def role(make, name: str, *rules: Object, **labels: str) -> Object:
    return {"metadata": make.meta(name, labels=labels), "rules": list(rules)}


def test_a_role_collects_the_rules_of_those_its_selectors_match(make) -> None:
    read, write = {"verbs": ["get"]}, {"verbs": ["update"]}
    selector = {"matchLabels": {"to": "edit"}}
    edit = {**role(make, "edit", to="edit"), "aggregationRule": {"clusterRoleSelectors": [selector]}}
    others = [role(make, "b", write, read, to="edit"), role(make, "a", read, to="edit"), role(make, "c", {"verbs": []})]
    [patch] = clusterrole_aggregation.plan(edit, [*others, edit]).steps
    assert isinstance(patch, Patch) and patch.type == "apply"
    assert patch.patch.keys() == {"apiVersion", "kind", "metadata", "rules"}
    assert patch.patch["rules"] == [read, write]
    settled = {**edit, "rules": patch.patch["rules"]}
    assert not clusterrole_aggregation.plan(settled, [*others, settled])
    assert not clusterrole_aggregation.plan(others[0], others)
    going = {**edit, "metadata": {**edit["metadata"], "deletionTimestamp": make.now_text}}
    assert not clusterrole_aggregation.plan(going, [*others, going])


HAMMER = [{"verbs": ["hammer"], "resources": [what]} for what in ("nails", "wedges")]
CHISEL, SAW = [{"verbs": ["chisel"], "resources": ["mortises"]}], [{"verbs": ["saw"], "resources": ["boards"]}]


@pytest.mark.parametrize(("others", "selected", "before", "after"), [
    ({"hammer": ("bar", HAMMER)}, ["bar"], SAW, HAMMER),  # what nobody has any more goes
    ({"hammer": ("other", HAMMER)}, ["bar"], HAMMER, []),
    ({"hammer": ("bar", HAMMER), "chisel": ("bar", CHISEL), "saw": ("other", SAW)}, ["bar"], [], [*CHISEL, *HAMMER]),
    ({"hammer": ("bar", HAMMER), "chisel": ("bar", CHISEL), "saw": ("other", SAW)}, ["bar", "other"], [],
     [*CHISEL, *HAMMER, *SAW]),
    ({"hammer": ("bar", HAMMER), "chisel": ("bar", CHISEL), "saw": ("bar", SAW), "other-saw": ("other", SAW)},
     ["bar", "other"], [], [*CHISEL, *HAMMER, *SAW]),
    ({"saws": ("bar", [*SAW, *CHISEL, *SAW])}, ["bar"], [], [*SAW, *CHISEL]),
    ({"hammer": ("bar", HAMMER)}, ["bar"], HAMMER, None),
])
def test_rules_stand_in_the_order_of_selectors_and_names_each_once(make, others, selected, before, after) -> None:
    """`others`: each role's label and rules; `after`: None where nothing is to be written."""
    chosen = [{"matchLabels": {"foo": value}} for value in selected]
    combined = {**role(make, "combined", *before), "aggregationRule": {"clusterRoleSelectors": chosen}}
    rest = [role(make, name, *rules, foo=label) for name, (label, rules) in others.items()]
    steps = clusterrole_aggregation.plan(combined, [*rest, combined]).steps
    assert [step.patch["rules"] for step in steps] == ([] if after is None else [after])


def test_aggregated_rules_are_the_loops_own_and_the_rest_of_the_role_is_not() -> None:
    """Also where somebody else wrote the rules before."""

    async def scenario(lab: Lab) -> None:
        selector = {"matchLabels": {"to": "both"}}
        rules = [{"apiGroups": [""], "resources": [name], "verbs": ["get"]} for name in ("pods", "secrets")]
        for number, one in enumerate(rules):
            metadata = {"name": f"part-{number}", "labels": {"to": "both"}}
            await lab.client.create(CLUSTER_ROLES, {"metadata": metadata, "rules": [one]})
        await lab.client.create(CLUSTER_ROLES, {
            "metadata": {"name": "both", "labels": {"mine": "x"}}, "rules": [{**rules[0], "verbs": ["list"]}],
            "aggregationRule": {"clusterRoleSelectors": [selector]},
        })

        async def collected() -> bool:
            return (await lab.client.get(CLUSTER_ROLES, "both"))["rules"] == rules

        await lab.until(collected)
        found = await lab.client.get(CLUSTER_ROLES, "both")
        assert found["aggregationRule"] == {"clusterRoleSelectors": [selector]}
        assert found["metadata"]["labels"] == {"mine": "x"}
        [applied] = [one for one in found["metadata"]["managedFields"] if one["operation"] == "Apply"]
        assert applied["fieldsV1"] == {"f:rules": {}}
        await lab.client.delete(CLUSTER_ROLES, "part-1")
        rules.pop()
        await lab.until(collected)

    on_a_cluster(scenario)


def test_a_bootstrap_token_goes_when_it_expires(make) -> None:
    def token(text: str) -> Object:
        return {"metadata": make.meta("t"), "data": {"expiration": base64.b64encode(text.encode()).decode()}}

    assert bootstrap_token_cleaner.plan(token("2026-01-02T03:05:05Z"), make.now).requeue_after_s == 60
    assert bootstrap_token_cleaner.plan(token("2026-01-02T03:00:00Z"), make.now).steps
    assert bootstrap_token_cleaner.plan(token("nonsense"), make.now).steps
    assert not bootstrap_token_cleaner.plan({"metadata": make.meta("t"), "data": {}}, make.now)


def test_the_ttl_of_secrets_grows_with_the_cluster_and_shrinks_later(make) -> None:
    assert [node_ttl.step_for(count, 0) for count in (1, 100, 101, 3000)] == [0, 0, 1, 4]
    assert (node_ttl.step_for(95, 1), node_ttl.step_for(89, 1)) == (1, 0)
    [patch] = node_ttl.plan(make.node(), 15).steps
    assert patch.patch["metadata"]["annotations"] == {"node.alpha.kubernetes.io/ttl": "15"}
    node = make.node()
    node["metadata"]["annotations"] = {"node.alpha.kubernetes.io/ttl": "0"}
    assert not node_ttl.plan(node, 0)


@pytest.mark.parametrize(("before", "after", "known", "written"), [
    (0, 1, 0, 0), (99, 100, 0, 0), (100, 101, 0, 15), (101, 100, 1, 15), (91, 90, 1, 15), (91, 92, 1, 15),
    (90, 89, 1, 0), (500, 501, 1, 30), (450, 449, 2, 15),
])
def test_the_time_changes_with_a_node_that_comes_or_goes_beyond_the_step(before, after, known, written) -> None:
    assert node_ttl.step_for(before, known) == known
    assert node_ttl.STEPS[node_ttl.step_for(after, known)].ttl_s == written


@pytest.mark.parametrize(("annotations", "ttl_s", "patched"), [
    (None, 0, True), (None, 15, True), ({}, 10, True), ({"a": "b"}, 10, True), ({node_ttl.ANNOTATION: "0"}, 60, True),
    ({node_ttl.ANNOTATION: "60", "a": "b"}, 30, True), ({node_ttl.ANNOTATION: "60", "a": "b"}, 60, False),
])
def test_a_node_is_told_its_time_unless_it_knows(make, annotations, ttl_s, patched) -> None:
    node = make.node()
    if annotations is not None:
        node["metadata"]["annotations"] = annotations
    steps = node_ttl.plan(node, ttl_s).steps
    assert [step.patch["metadata"]["annotations"] for step in steps] == [{node_ttl.ANNOTATION: str(ttl_s)}] * patched


def signing(make, name: str, **data: str) -> Object:
    fields = {"token-id": name, "token-secret": "f395accd246ae52d", "usage-bootstrap-signing": "true", **data}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in fields.items()}
    return {"metadata": make.meta(f"bootstrap-token-{name}"), "data": encoded}


def test_cluster_info_is_signed_by_every_token_that_may(make) -> None:
    tokens = [
        signing(make, "07401b"), signing(make, "expire", expiration="2026-01-02T03:04:05Z"),
        signing(make, "nosign", **{"usage-bootstrap-signing": "false"}),
    ]
    info = {"metadata": make.meta("cluster-info"), "data": {"kubeconfig": "content", "jws-kubeconfig-gone": "x..y"}}
    [update] = bootstrap_signer.plan(info, tokens, make.now).steps
    assert update.obj["data"].keys() == {"kubeconfig", "jws-kubeconfig-07401b"}
    header, _, mac = update.obj["data"]["jws-kubeconfig-07401b"].split(".")
    body = base64.urlsafe_b64encode(b"content").decode().rstrip("=")
    with warnings.catch_warnings():  # a bootstrap token's secret is as short as upstream makes it
        warnings.simplefilter("ignore")
        whole = jwt.api_jws.PyJWS().decode(f"{header}.{body}.{mac}", b"f395accd246ae52d", algorithms=["HS256"])
    assert whole == b"content" and jwt.get_unverified_header(f"{header}.{body}.{mac}")["kid"] == "07401b"
    assert not bootstrap_signer.plan(update.obj, tokens, make.now)


def test_a_signature_is_the_one_that_kubeadm_expects(make) -> None:
    token = signing(make, "abc123", **{"token-secret": "tokenSecret"})
    true = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiYzEyMyJ9..QSxpUG7Q542CirTI2ECPSZjvBOJURUW5a7XqFpNI958"
    for before, written in ((None, True), ("old", True), (true, False)):
        known = {} if before is None else {"jws-kubeconfig-abc123": before}
        info = {"metadata": make.meta("cluster-info"), "data": {"kubeconfig": "payload", **known}}
        steps = bootstrap_signer.plan(info, [token], make.now).steps
        assert [step.obj["data"]["jws-kubeconfig-abc123"] for step in steps] == [true] * written


@pytest.mark.parametrize(("data", "signs"), [
    ({}, True), ({"expiration": ""}, True), ({"expiration": "2026-01-02T04:04:05Z"}, True),
    ({"expiration": "2026-01-02T02:04:05Z"}, False), ({"expiration": "garbage"}, False),
    ({"usage-bootstrap-signing": ""}, False), ({"usage-bootstrap-signing": "yes"}, False), ({"token-id": ""}, False),
    ({"token-id": "def456"}, False), ({"token-secret": ""}, False),
])
def test_which_tokens_sign(make, data, signs) -> None:
    found = bootstrap_signer.signing_token(signing(make, "abc123", **data), make.now)
    assert found == (("abc123", "f395accd246ae52d") if signs else None)
    named_wrongly = {**signing(make, "abc123", **data), "metadata": make.meta("abc123")}
    assert bootstrap_signer.signing_token(named_wrongly, make.now) is None


def cidr(make, name: str, text: str, **metadata) -> Object:
    return {"metadata": make.meta(name, **metadata), "spec": {"cidrs": [text]}}


def test_a_service_range_is_ready_and_stays_while_addresses_need_it(make) -> None:
    fresh = cidr(make, "more", "10.98.0.0/16")
    [update] = service_cidr.plan(fresh, [], [], make.now).steps
    assert update.obj["metadata"]["finalizers"] == [service_cidr.FINALIZER]
    [update] = service_cidr.plan(update.obj, [], [], make.now).steps
    assert update.obj["status"]["conditions"][0]["status"] == "True"
    assert not service_cidr.plan(update.obj, [], [], make.now)
    going = cidr(make, "more", "10.98.0.0/16", deletionTimestamp=make.now_text, finalizers=[service_cidr.FINALIZER])
    address = "10.98.0.7"
    [held] = service_cidr.plan(going, [], [address], make.now).steps
    assert held.obj["status"]["conditions"][0]["reason"] == "Terminating"
    for others, addresses in (([], []), ([cidr(make, "wide", "10.96.0.0/12")], [address])):
        assert service_cidr.plan(going, others, addresses, make.now).requeue_after_s == 10
        [free] = service_cidr.plan(going, others, addresses, make.now + timedelta(seconds=10)).steps
        assert free.obj["metadata"]["finalizers"] == []


@pytest.mark.parametrize(("others", "addresses", "held"), [
    ([], [], False), ([], ["192.168.0.24"], True), ([], ["192.168.1.24"], False), ([], ["192.168.0.0"], False),
    ([], ["192.168.0.255"], False), ([], ["2001:db2::1"], True), ([], ["2001:db2::"], False),
    ([], ["2001:db2::ffff:ffff:ffff:ffff"], True), (["192.168.0.0/24"], ["192.168.0.23"], False),
    (["192.168.0.0/26"], ["192.168.0.23"], False), (["192.168.0.0/28"], ["192.168.0.23"], True),
    (["192.168.0.0/16"], ["192.168.0.23"], False), (["192.168.255.0/26"], ["192.168.0.1"], True),
    (["2001:db2::/48"], ["2001:db2::1"], False), (["2001:db2:a:b::/64"], ["2001:db2::1"], True),
    (["192.168.0.0/26"], ["192.168.0.63"], True),
])
def test_which_addresses_hold_a_service_range(make, others, addresses, held) -> None:
    ended = {"deletionTimestamp": make.now_text, "finalizers": [service_cidr.FINALIZER]}
    going = {"metadata": make.meta("r", **ended), "spec": {"cidrs": ["192.168.0.0/24", "2001:db2::/64"]}}
    rest = [cidr(make, f"other-{number}", text) for number, text in enumerate(others)]
    [update] = service_cidr.plan(going, rest, addresses, make.now + timedelta(seconds=11)).steps
    assert (update.subresource == "status") == held
    if held:
        [condition] = update.obj["status"]["conditions"]
        assert (condition["status"], condition["reason"]) == ("False", "Terminating")
        assert condition["message"].startswith("There are still IPAddresses referencing the ServiceCIDR")


def test_pod_certificate_requests_go_after_a_quarter_of_an_hour(make) -> None:
    asked = {"metadata": make.meta("a")}
    assert pod_certificate_cleaner.plan(asked, make.now).requeue_after_s == 655
    [delete] = pod_certificate_cleaner.plan(asked, make.now + timedelta(minutes=11)).steps
    assert isinstance(delete, Delete)


@pytest.mark.parametrize("status", [{}, {"conditions": [{"type": "Denied", "status": "True", "reason": "Foo"}]}])
@pytest.mark.parametrize(("created", "goes"), [("2026-01-02T02:49:06Z", False), ("2026-01-02T02:49:04Z", True)])
def test_a_pod_certificate_request_goes_by_its_age_whether_answered_or_not(make, status, created, goes) -> None:
    asked = {"metadata": make.meta("a", creationTimestamp=created), "status": status}
    found = pod_certificate_cleaner.plan(asked, make.now)
    assert [type(step) for step in found.steps] == [Delete] * goes
    assert found.requeue_after_s == (None if goes else 1)


def test_a_new_ca_makes_a_new_bundle_and_the_old_one_goes(make) -> None:
    [create] = trust_bundle_publisher.plan([], "one").steps
    assert create.obj["metadata"]["name"].startswith("kubernetes.io:kube-apiserver-serving:")
    stored = {**create.obj, "metadata": {**create.obj["metadata"], "uid": "u"}}
    assert not trust_bundle_publisher.plan([stored], "one")
    create, delete = trust_bundle_publisher.plan([stored], "two").steps
    assert isinstance(create, Create) and delete.uid == "u"
    [update] = trust_bundle_publisher.plan([{**stored, "spec": {}}], "one").steps
    assert isinstance(update, Update)


def test_an_attributes_class_is_used_by_what_names_it_now_or_soon() -> None:
    claim = {
        "spec": {"volumeAttributesClassName": "gold"},
        "status": {
            "currentVolumeAttributesClassName": "silver",
            "modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold"},
        },
    }
    assert attributes_classes_of(claim) == ["gold", "silver"]


def test_a_migration_writes_every_object_again_and_says_so() -> None:
    async def scenario() -> None:
        async with SimCluster(seed=4) as cluster:
            client = cluster.client
            for number in range(3):
                await client.create(CONFIG_MAPS, {
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": f"c{number}", "namespace": "default"}, "data": {"a": "b"},
                })
            for name, plural in (("good", "configmaps"), ("bad", "nonsense")):
                await client.create(STORAGE_VERSION_MIGRATIONS, {
                    "apiVersion": STORAGE_VERSION_MIGRATIONS.api_version, "kind": STORAGE_VERSION_MIGRATIONS.kind,
                    "metadata": {"name": name}, "spec": {"resource": {"group": "", "resource": plural}},
                })

            async def over() -> bool:
                found = (await client.list(STORAGE_VERSION_MIGRATIONS))["items"]
                return all(storage_version_migrator.is_over(one) for one in found)

            await cluster.until(over, within_s=120)
            good = await client.get(STORAGE_VERSION_MIGRATIONS, "good")
            shown = {one["type"]: one["status"] for one in good["status"]["conditions"]}
            assert shown == {"Running": "False", "Succeeded": "True"} and good["status"]["resourceVersion"]
            bad = await client.get(STORAGE_VERSION_MIGRATIONS, "bad")
            shown = {one["type"]: one["status"] for one in bad["status"]["conditions"]}
            assert shown == {"Running": "False", "Failed": "True"}

    run(scenario())


def test_each_generation_of_a_policy_is_checked_once_and_its_warnings_written(make) -> None:
    policy = {"metadata": make.meta("p", generation=2), "status": {"observedGeneration": 1}}
    assert not policy_status.is_seen(policy)
    warning = {"fieldRef": "spec.validations[0].expression", "warning": "no"}
    [update] = policy_status.plan(policy, [warning]).steps
    assert update.obj["status"] == {"observedGeneration": 2, "typeChecking": {"expressionWarnings": [warning]}}
    assert policy_status.is_seen(update.obj)
    [update] = policy_status.plan(policy, []).steps
    assert update.obj["status"]["typeChecking"] == {}


def test_the_clusters_own_service_range_stays_while_the_kubernetes_service_has_its_address() -> None:
    async def scenario(lab: Lab) -> None:
        async def ready() -> bool:
            found = (await lab.client.get(SERVICE_CIDRS, "kubernetes"))["status"].get("conditions") or [{}]
            return found[0].get("status") == "True"

        await lab.until(ready)
        await lab.client.delete(SERVICE_CIDRS, "kubernetes")

        async def held() -> bool:
            found = (await lab.client.get(SERVICE_CIDRS, "kubernetes"))["status"]["conditions"]
            return found[0]["reason"] == "Terminating"

        await lab.until(held)
        await lab.client.create(SERVICE_CIDRS, {
            "apiVersion": SERVICE_CIDRS.api_version, "kind": SERVICE_CIDRS.kind, "metadata": {"name": "wide"},
            "spec": {"cidrs": ["10.96.0.0/12"]},
        })

        async def gone() -> bool:
            return "kubernetes" not in map(name_of, (await lab.client.list(SERVICE_CIDRS))["items"])

        await lab.until(gone)

    on_a_cluster(scenario, nodes=1)
