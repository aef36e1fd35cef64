"""ClusterRole aggregation, mirrored EndpointSlices, and the removal of tokens whose time is over."""

from __future__ import annotations

import base64
from datetime import timedelta

import jwt

from sampan.apimachinery.object import Object, labels_of, name_of
from sampan.controllers import (
    bootstrap_token_cleaner,
    clusterrole_aggregation,
    endpointslice_mirroring,
    serviceaccount_tokens,
)
from sampan.controllers.legacy_token_cleaner import INVALID_SINCE, LAST_USED, TYPE, generated, mounted, plan_token
from sampan.pki.service_account import SigningKey
from sampan.reconcile.plan import Create, Delete, Patch, Update


def role(make, name: str, *rules: Object, **labels: str) -> Object:
    return {"metadata": make.meta(name, labels=labels), "rules": list(rules)}


def test_a_role_collects_the_rules_of_those_its_selectors_match(make) -> None:
    read, write = {"verbs": ["get"]}, {"verbs": ["update"]}
    selector = {"matchLabels": {"to": "edit"}}
    edit = {**role(make, "edit", to="edit"), "aggregationRule": {"clusterRoleSelectors": [selector]}}
    others = [role(make, "b", write, read, to="edit"), role(make, "a", read, to="edit"), role(make, "c", {"verbs": []})]
    [update] = clusterrole_aggregation.plan(edit, [*others, edit]).steps
    assert update.obj["rules"] == [read, write]
    assert not clusterrole_aggregation.plan(update.obj, [*others, update.obj])
    assert not clusterrole_aggregation.plan(others[0], others)


def endpoints(make, **metadata) -> Object:
    subsets = [{
        "addresses": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "10.1.0.2"}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }]
    return {"metadata": make.meta("db", **metadata), "subsets": subsets}


def test_endpoints_without_a_selector_are_mirrored_by_family(make) -> None:
    service = make.service("db", selector=None)
    creations = endpointslice_mirroring.plan(endpoints(make), service, []).steps
    shown = [(one.obj["addressType"], [(e["addresses"][0], e["conditions"]["ready"]) for e in one.obj["endpoints"]])
             for one in creations if isinstance(one, Create)]
    assert shown == [("IPv4", [("10.1.0.1", True), ("10.1.0.2", False)]), ("IPv6", [("fd00::1", True)])]
    assert labels_of(creations[0].obj)["endpointslice.kubernetes.io/managed-by"] == endpointslice_mirroring.MANAGER
    slices = [{**one.obj, "metadata": {**one.obj["metadata"], "name": f"db-{n}"}} for n, one in enumerate(creations)]
    assert not endpointslice_mirroring.plan(endpoints(make), service, slices)
    changed = endpoints(make)
    changed["subsets"][0]["addresses"] = [{"ip": "10.1.0.9"}]
    update, deletion = endpointslice_mirroring.plan(changed, service, slices).steps
    assert isinstance(update, Update) and update.obj["endpoints"][0]["addresses"] == ["10.1.0.9"]
    assert isinstance(deletion, Delete) and deletion.name == "db-1"


def test_what_asks_not_to_be_mirrored_is_not(make) -> None:
    slices = [{"metadata": make.meta("db-1")}]
    skipped = endpoints(make, labels={"endpointslice.kubernetes.io/skip-mirror": "true"})
    for found, service in (
        (skipped, make.service("db", selector=None)), (endpoints(make), make.service("db")), (endpoints(make), None),
        (None, make.service("db", selector=None)),
    ):
        assert [name_of({"metadata": {"name": step.name}}) for step in
                endpointslice_mirroring.plan(found, service, slices).steps] == ["db-1"]


def test_a_bootstrap_token_goes_when_it_expires(make) -> None:
    def token(text: str) -> Object:
        return {"metadata": make.meta("t"), "data": {"expiration": base64.b64encode(text.encode()).decode()}}

    assert bootstrap_token_cleaner.plan(token("2026-01-02T03:05:05Z"), make.now).requeue_after_s == 60
    assert bootstrap_token_cleaner.plan(token("2026-01-02T03:00:00Z"), make.now).steps
    assert bootstrap_token_cleaner.plan(token("nonsense"), make.now).steps
    assert not bootstrap_token_cleaner.plan({"metadata": make.meta("t"), "data": {}}, make.now)


def test_an_unused_generated_token_is_marked_and_a_year_later_deleted(make) -> None:
    year = timedelta(days=366)

    def token(**labels: str) -> Object:
        metadata = make.meta("t", labels=labels, annotations={"kubernetes.io/service-account.name": "sa"})
        return {"metadata": {**metadata, "creationTimestamp": "2020-01-01T00:00:00Z"}, "type": TYPE}

    long_ago = make.now - year
    [mark] = plan_token(token(), long_ago, make.now)
    assert isinstance(mark, Patch) and mark.patch["metadata"]["labels"] == {INVALID_SINCE: "2026-01-02"}
    assert not plan_token(token(**{LAST_USED: "2025-12-01"}), long_ago, make.now)
    assert not plan_token(token(**{INVALID_SINCE: "2026-01-02"}), long_ago, make.now)
    [deletion] = plan_token(token(**{INVALID_SINCE: "2026-01-02"}), long_ago, make.now + year)
    assert isinstance(deletion, Delete)
    account = {"metadata": make.meta("sa"), "secrets": [{"name": "t"}]}
    assert generated([token()], [account]) and not generated([token()], [])
    pod = make.pod("p")
    pod["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "t"}}]
    assert mounted([pod]) == {"default/t"}


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
    assert not serviceaccount_tokens.plan(update.obj, account, issuer)
    for gone in (None, {"metadata": {**make.meta("robot"), "uid": "another"}}):
        [deletion] = serviceaccount_tokens.plan(update.obj, gone, issuer).steps
        assert isinstance(deletion, Delete)
