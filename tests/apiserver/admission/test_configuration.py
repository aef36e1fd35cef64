"""AdmissionConfiguration: what the plugins do with what they are told, through a whole API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver.https_server import answer, running
from tests.apiserver.serving import call, document, pod, serving

from sampan.api.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS, RESOURCE_QUOTAS, SECRETS
from sampan.apimachinery.errors import Forbidden, NotFound
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.admission import event_rate_limit
from sampan.apiserver.admission.pod_toleration_restriction import covers, merged
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.storage.memory import MemoryStore

POD_SECURITY = "pod-security.admission.config.k8s.io/v1"


def written(directory: Path, **plugins: Any) -> str:
    """The path of a configuration of these plugins."""
    file = directory / "admission.yaml"
    file.write_text(yaml.safe_dump({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{"name": name, **({"path": given} if isinstance(given, str) else {"configuration": given})}
                    for name, given in plugins.items()],
    }))
    return str(file)


def configured(directory: Path, *enabled: str, **plugins: Any) -> Any:
    return serving(admission_config_file=written(directory, **plugins), enable_admission=enabled)


def security(**given: Any) -> dict[str, Any]:
    return {"apiVersion": POD_SECURITY, "kind": "PodSecurityConfiguration", **given}


def on_the_host(name: str, **spec: Any) -> dict[str, Any]:
    one = pod(name)
    one["spec"] |= {"hostNetwork": True, **spec}
    return one


def namespace(name: str, annotations: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    named = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
    return {"kind": "Namespace", "apiVersion": "v1",
            "metadata": {"name": name, "labels": named, "annotations": annotations or {}}}


async def test_pod_security_has_defaults_and_exemptions(tmp_path: Path) -> None:
    (tmp_path / "security.yaml").write_text(yaml.safe_dump(security(
        defaults={"enforce": "baseline", "warn": "restricted", "warn-version": "v1.20"},
        exemptions={"namespaces": ["free"], "usernames": ["jane"], "runtimeClasses": ["virtual"]},
    )))
    async with configured(tmp_path, PodSecurity="security.yaml") as (server, client):
        with pytest.raises(Forbidden, match='violates PodSecurity "baseline:latest": host namespaces'):
            await client.create(PODS, on_the_host("a"))
        response = await call(server, "POST", "/api/v1/namespaces/default/pods", pod("plain"))
        assert response.status == 201 and 'PodSecurity \\"restricted:v1.20\\"' in response.headers["warning"]
        await client.create(NAMESPACES, namespace("open", enforce="privileged"))
        await client.create(PODS, {**on_the_host("a"), "metadata": {"name": "a", "namespace": "open"}})
        await client.create(NAMESPACES, namespace("free"))
        await client.create(PODS, {**on_the_host("a"), "metadata": {"name": "a", "namespace": "free"}})
        jane = Client(server.transport(UserInfo("jane", groups=("system:masters",))))
        await jane.create(PODS, on_the_host("b"))
        patch = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        response = await call(
            server, "PATCH", "/api/v1/namespaces/free", patch, headers={"content-type": "application/merge-patch+json"}
        )
        assert response.headers["warning"] == (
            '299 - "namespace \\"free\\" is exempt from Pod Security, and the policy (enforce=restricted:latest) will '
            'be ignored"'
        )


@pytest.mark.parametrize(("plugin", "given", "words"), [
    ("PodSecurity", security(defaults={"enforce": "low"}),
     'defaults.enforce: Invalid value: "low": must be one of privileged, baseline, restricted'),
    ("PodSecurity", security(defaults={"audit-version": "1.20"}),
     'defaults.audit-version: Invalid value: "1.20": must be "latest" or "v1.x"'),
    ("PodSecurity", security(exemptions={"namespaces": ["a", "a"]}), "exemptions.namespaces[1]: Duplicate value"),
    ("PodSecurity", security(exemptions={"usernames": [""]}), "exemptions.usernames[0]: Invalid value"),
    ("PodSecurity", {"apiVersion": "v1", "kind": "Pod"}, "expected pod-security.admission.config.k8s.io/v1"),
    ("EventRateLimit", {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration"},
     "limits: Invalid value: []: must not be empty"),
    ("ResourceQuota", {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration",
                       "limitedResources": [{"matchContains": ["x"]}]}, "limitedResources[0].resource: Required value"),
    ("PodNodeSelector", {"podNodeSelectorPluginConfig": {"a": "b"}}, "invalid selector: [b]"),
])
def test_what_is_wrong_is_said_when_the_server_is_made(tmp_path: Path, plugin: str, given: Any, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        APIServer(MemoryStore(), APIServerConfig(admission_config_file=written(tmp_path, **{plugin: given})))
    assert words in str(refused.value)


async def test_limits_of_events_by_what_they_are_about(tmp_path: Path) -> None:
    limits = [{"type": "SourceAndObject", "qps": 1, "burst": 2}]
    given = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration", "limits": limits}
    assert event_rate_limit.limits(given)[0].kept == 4096
    async with configured(tmp_path, "EventRateLimit", EventRateLimit=given) as (server, _):
        async def tell(name: str, about: str) -> int:
            return (await call(server, "POST", "/api/v1/namespaces/default/events", {
                "kind": "Event", "apiVersion": "v1", "metadata": {"name": name}, "reason": "R", "message": "m",
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": about},
            })).status

        assert [await tell(f"e{number}", "a") for number in range(3)] == [201, 201, 429]
        assert await tell("other", "b") == 201


async def test_what_may_not_be_used_without_a_quota(tmp_path: Path) -> None:
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": ["vital"]}
    given = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration", "limitedResources": [
        {"resource": "secrets", "matchContains": ["secrets"]}, {"resource": "pods", "matchScopes": [scope]},
    ]}
    async with configured(tmp_path, ResourceQuota=given) as (server, client):
        secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "c", "namespace": "default"}}
        with pytest.raises(Forbidden, match="insufficient quota to consume: count/secrets,secrets"):
            await client.create(SECRETS, secret)
        await client.create(RESOURCE_QUOTAS, {
            "kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "q", "namespace": "default"},
            "spec": {"hard": {"secrets": "5", "count/secrets": "5"}},
        })
        await client.create(SECRETS, secret)
        await client.create(PODS, pod("plain"))
        await call(server, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {
            "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": "vital"}, "value": 10,
        })
        vital = pod("v")
        vital["spec"]["priorityClassName"] = "vital"
        words = r"insufficient quota to match these scopes: \[\{PriorityClass In \[vital\]\}\]"
        with pytest.raises(Forbidden, match=words):
            await client.create(PODS, vital)
        await client.create(RESOURCE_QUOTAS, {
            "kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "v", "namespace": "default"},
            "spec": {"hard": {"pods": "5"}, "scopeSelector": {"matchExpressions": [scope]}},
        })
        await client.create(PODS, vital)


async def test_a_namespaces_pods_run_on_its_nodes(tmp_path: Path) -> None:
    given = {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "env=prod", "team": "env=test,disk=ssd"}}
    async with configured(tmp_path, "PodNodeSelector", PodNodeSelector=given) as (_, client):
        assert (await client.create(PODS, pod("a")))["spec"]["nodeSelector"] == {"env": "prod"}
        other = pod("b")
        other["spec"]["nodeSelector"] = {"env": "test"}
        with pytest.raises(Forbidden, match="conflicts with its namespace node label selector"):
            await client.create(PODS, other)
        note = {"scheduler.alpha.kubernetes.io/node-selector": "env=test"}
        await client.create(NAMESPACES, namespace("team", note))
        other["metadata"]["namespace"] = "team"
        other["spec"]["nodeSelector"] = {"disk": "ssd"}
        assert (await client.create(PODS, other))["spec"]["nodeSelector"] == {"disk": "ssd", "env": "test"}
        other["metadata"]["name"] = "c"
        other["spec"]["nodeSelector"] = {"disk": "hdd"}
        with pytest.raises(Forbidden, match="labels conflict with its namespace whitelist"):
            await client.create(PODS, other)


async def test_tolerations_that_pods_get_and_may_have(tmp_path: Path) -> None:
    gpu = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    given = {"apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": "Configuration",
             "default": [gpu]}
    async with configured(tmp_path, "PodTolerationRestriction", PodTolerationRestriction=given) as (_, client):
        assert gpu in (await client.create(PODS, pod("a")))["spec"]["tolerations"]
        await client.create(NAMESPACES, namespace("strict", {
            "scheduler.alpha.kubernetes.io/defaultTolerations": "[]",
            "scheduler.alpha.kubernetes.io/tolerationsWhitelist": json.dumps([
                {"operator": "Exists", "effect": "NoExecute"}, {"key": "disk", "operator": "Equal", "value": "slow"},
            ]),
        }))
        one = {**pod("b"), "metadata": {"name": "b", "namespace": "strict"}}
        assert gpu not in (await client.create(PODS, one))["spec"]["tolerations"]
        with pytest.raises(Forbidden, match="conflict with its namespace whitelist"):
            await client.create(PODS, {
                **one, "metadata": {"name": "c", "namespace": "strict"}, "spec": {**one["spec"], "tolerations": [gpu]},
            })


def test_tolerations_that_another_one_covers_are_dropped() -> None:
    all_of = {"operator": "Exists"}
    one = {"key": "a", "operator": "Equal", "value": "x", "effect": "NoExecute", "tolerationSeconds": 30}
    assert covers(all_of, one) and not covers(one, all_of)
    assert covers({**one, "tolerationSeconds": 60}, one) and not covers(one, {**one, "tolerationSeconds": 60})
    assert not covers({**one, "value": "y"}, one)
    assert merged([one, all_of, {**one, "tolerationSeconds": 60}]) == [all_of]


async def test_namespaces_are_made_or_insisted_on(tmp_path: Path) -> None:
    config_map = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", "namespace": "new"}}
    async with serving(enable_admission=("NamespaceAutoProvision",)) as (_, client):
        await client.create(CONFIG_MAPS, config_map)
        assert await client.get(NAMESPACES, "new")
    async with serving(enable_admission=("NamespaceExists",), disable_admission=("NamespaceLifecycle",)) as (_, client):
        with pytest.raises(NotFound, match='namespaces "new" not found'):
            await client.create(CONFIG_MAPS, config_map)


async def test_required_anti_affinity_is_about_nodes_only() -> None:
    async with serving(enable_admission=("LimitPodHardAntiAffinityTopology",)) as (_, client):
        one = pod("a")
        term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "kubernetes.io/hostname"}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        one["spec"]["affinity"] = {"podAntiAffinity": required}
        await client.create(PODS, one)
        term["topologyKey"] = "topology.kubernetes.io/zone"
        with pytest.raises(Forbidden, match=r"but only key kubernetes\.io/hostname is allowed"):
            await client.create(PODS, {**one, "metadata": {"name": "b", "namespace": "default"}})


async def test_pods_know_zone_and_region_of_their_node() -> None:
    async with serving() as (server, client):
        await client.create(NODES, {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n", "labels": {
            "topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1", "other": "x",
        }}})
        bound = pod("a")
        bound["metadata"]["labels"] = {"topology.kubernetes.io/region": "mine"}
        await client.create(PODS, bound)
        response = await call(server, "POST", "/api/v1/namespaces/default/pods/a/binding", {
            "kind": "Binding", "apiVersion": "v1", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"},
        })
        assert response.status == 201, document(response)
        labels = {"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "mine"}
        assert (await client.get(PODS, "a", "default"))["metadata"]["labels"] == labels
        placed = pod("b")
        placed["spec"]["nodeName"] = "n"
        assert (await client.create(PODS, placed))["metadata"]["labels"]["topology.kubernetes.io/zone"] == "z1"


async def test_another_program_says_whether_images_may_run(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def handle(request: Request) -> Response:
        review = json.loads(request.body)
        seen.append(review["spec"])
        bad = any("bad" in one["image"] for one in review["spec"]["containers"])
        return answer({"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1",
                       "status": {"allowed": not bad, **({"reason": "it is bad"} if bad else {})}})

    async with running(tmp_path, handle, ("127.0.0.1",), "") as at:
        kubeconfig = tmp_path / "images.kubeconfig"
        (tmp_path / "images.ca").write_text(at.authority)
        kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": f"https://127.0.0.1:{at.port}/review", "certificate-authority": str(tmp_path / "images.ca"),
            }}],
            "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }))
        given = {"imagePolicy": {"kubeConfigFile": str(kubeconfig), "allowTTL": 60, "denyTTL": 60}}
        async with configured(tmp_path, "ImagePolicyWebhook", ImagePolicyWebhook=given) as (_, client):
            one = pod("a")
            one["metadata"]["annotations"] = {"my.image-policy.k8s.io/ticket": "7", "other": "x"}
            await client.create(PODS, one)
            assert seen[0]["annotations"] == {"my.image-policy.k8s.io/ticket": "7"}
            assert seen[0]["namespace"] == "default"
            await client.create(PODS, {**one, "metadata": {**one["metadata"], "name": "again"}})
            assert len(seen) == 1
            worse = pod("b")
            worse["spec"]["containers"][0]["image"] = "bad:1"
            with pytest.raises(Forbidden, match="image policy webhook backend denied one or more images: it is bad"):
                await client.create(PODS, worse)
