"""The bootstrap flow schemas and priority levels: what they say, and how they are kept."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.serving import serving

from sampan.api.resources import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from sampan.apimachinery.errors import NotFound
from sampan.apiserver.flowcontrol import bootstrap
from sampan.apiserver.flowcontrol.bootstrap import AUTOUPDATE, LEVELS, SCHEMAS, mended

# name: nominal shares, lendable percent, then queues, hand size and queue length where requests wait.
UPSTREAM_LEVELS = {
    "exempt": (0, 0, "Exempt"),
    "catch-all": (5, 0, "Reject"),
    "system": (30, 33, "Queue", 64, 6, 50),
    "node-high": (40, 25, "Queue", 64, 6, 50),
    "leader-election": (10, 0, "Queue", 16, 4, 50),
    "workload-high": (40, 50, "Queue", 128, 6, 50),
    "workload-low": (100, 90, "Queue", 128, 6, 50),
    "global-default": (20, 50, "Queue", 128, 6, 50),
}

# name: level, precedence, distinguisher, subjects, rules (verbs group resources; `urls` for paths).
ALL = ["* * * cluster", "* urls *"]
ANYBODY = ["system:unauthenticated", "system:authenticated"]
LEASES = "get,create,update coordination.k8s.io leases"
UPSTREAM_SCHEMAS: dict[str, tuple[str, int, str, list[str], list[str]]] = {
    "exempt": ("exempt", 1, "", ["system:masters"], ALL),
    "probes": ("exempt", 2, "", ANYBODY, ["get urls /healthz,/readyz,/livez"]),
    "system-leader-election": (
        "leader-election", 100, "ByUser",
        ["system:kube-controller-manager", "system:kube-scheduler", "kube-system/*"], [LEASES],
    ),
    "endpoint-controller": (
        "workload-high", 150, "ByUser",
        ["system:kube-controller-manager", "kube-system/endpoint-controller",
         "kube-system/endpointslicemirroring-controller"],
        ["get,create,update core endpoints"],
    ),
    "workload-leader-election": ("leader-election", 200, "ByUser", ["kube-system/*"], [LEASES]),
    "system-node-high": (
        "node-high", 400, "ByUser", ["system:nodes"],
        ["* core nodes,nodes/status cluster", "* coordination.k8s.io leases"],
    ),
    "system-nodes": ("system", 500, "ByUser", ["system:nodes"], ALL),
    "kube-controller-manager": ("workload-high", 800, "ByNamespace", ["system:kube-controller-manager"], ALL),
    "kube-scheduler": ("workload-high", 800, "ByNamespace", ["system:kube-scheduler"], ALL),
    "kube-system-service-accounts": ("workload-high", 900, "ByNamespace", ["kube-system/*"], ALL),
    "service-accounts": ("workload-low", 9000, "ByUser", ["system:serviceaccounts"], ALL),
    "global-default": ("global-default", 9900, "ByUser", ANYBODY, ALL),
    "catch-all": ("catch-all", 10000, "ByUser", ANYBODY, ALL),
}


def level_facts(spec: dict[str, Any]) -> tuple[Any, ...]:
    if spec["type"] == "Exempt":
        own = spec["exempt"]
        return own["nominalConcurrencyShares"], own["lendablePercent"], "Exempt"
    limited = spec["limited"]
    response = limited["limitResponse"]
    queuing = response.get("queuing", {})
    return (
        limited["nominalConcurrencyShares"], limited["lendablePercent"], response["type"],
        *(queuing[key] for key in ("queues", "handSize", "queueLengthLimit") if key in queuing),
    )


def subject(document: dict[str, Any]) -> str:
    if document["kind"] == "ServiceAccount":
        account = document["serviceAccount"]
        return f"{account['namespace']}/{account['name']}"
    return str(document[document["kind"].lower()]["name"])


def rule_facts(rules: dict[str, Any]) -> list[str]:
    found = []
    for rule in rules.get("resourceRules") or ():
        assert rule["namespaces"] == ["*"]
        words = [",".join(rule["verbs"]), rule["apiGroups"][0] or "core", ",".join(rule["resources"])]
        found.append(" ".join([*words, *(["cluster"] if rule.get("clusterScope") else [])]))
    return found + [
        f"{','.join(rule['verbs'])} urls {','.join(rule['nonResourceURLs'])}"
        for rule in rules.get("nonResourceRules") or ()
    ]


def test_the_levels_are_upstreams() -> None:
    assert {name: level_facts(spec) for name, spec in LEVELS.items()} == UPSTREAM_LEVELS


def test_the_schemas_are_upstreams() -> None:
    found = {}
    for name, spec in SCHEMAS.items():
        (rules,) = spec["rules"]
        found[name] = (
            spec["priorityLevelConfiguration"]["name"], spec["matchingPrecedence"],
            spec.get("distinguisherMethod", {}).get("type", ""), [subject(one) for one in rules["subjects"]],
            rule_facts(rules),
        )
    assert found == UPSTREAM_SCHEMAS


def stored(name: str, annotation: str | None, *, generation: int = 1, changed: bool = False) -> dict[str, Any]:
    resource, specs = (FLOW_SCHEMAS, SCHEMAS) if name in SCHEMAS else (PRIORITY_LEVEL_CONFIGURATIONS, LEVELS)
    (document,) = bootstrap.documents(resource, {name: specs[name]})
    if changed:
        document["spec"]["matchingPrecedence"] = 77
    document["metadata"] |= {
        "generation": generation, "annotations": {} if annotation is None else {AUTOUPDATE: annotation},
    }
    return document


@pytest.mark.parametrize(("name", "annotation", "generation", "changed", "wanted"), [
    ("probes", "true", 1, False, None),
    ("probes", "true", 2, True, ("true", 2)),
    ("probes", "false", 2, True, None),
    ("probes", "False", 2, True, None),
    ("probes", None, 1, True, ("true", 2)),  # nobody has changed it, so an older server wrote it
    ("probes", None, 2, True, ("false", 77)),
    ("probes", "perhaps", 2, True, ("false", 77)),
    ("probes", None, 1, False, ("true", 2)),
    ("catch-all", "false", 2, True, ("true", 10000)),  # mandatory
    ("catch-all", "false", 2, False, ("true", 10000)),
])
def test_who_decides_about_an_object(
    name: str, annotation: str | None, generation: int, changed: bool, wanted: tuple[str, int] | None
) -> None:
    present = stored(name, annotation, generation=generation, changed=changed)
    found = mended(stored(name, "true"), present)
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        assert (found["metadata"]["annotations"][AUTOUPDATE], found["spec"]["matchingPrecedence"]) == wanted


def test_the_shares_of_the_exempt_level_are_anybodys_to_choose() -> None:
    (wanted,) = bootstrap.documents(PRIORITY_LEVEL_CONFIGURATIONS, {"exempt": LEVELS["exempt"]})
    own = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 9, "lendablePercent": 50}}
    assert mended(wanted, {**wanted, "spec": own}) is None
    assert mended(wanted, {**wanted, "spec": {"type": "Exempt"}}) == wanted


async def test_objects_of_another_version_go_and_those_of_users_stay() -> None:
    async with serving(authorization=True) as (server, client):
        spec = SCHEMAS["global-default"]
        for name, annotations in (("old", {AUTOUPDATE: "true"}), ("kept", {AUTOUPDATE: "false"}), ("own", {})):
            document = {"metadata": {"name": name, "annotations": annotations}, "spec": spec}
            await client.create(FLOW_SCHEMAS, document)
        await client.delete(FLOW_SCHEMAS, "probes")
        await server.hub.fresh()
        await bootstrap.ensure(client)
        with pytest.raises(NotFound):
            await client.get(FLOW_SCHEMAS, "old")
        for name in ("kept", "own", "probes"):
            assert await client.get(FLOW_SCHEMAS, name)
