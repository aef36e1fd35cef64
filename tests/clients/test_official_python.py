"""The official Python client: typed calls, every flavour of list, watch and patch, the dynamic client, errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client import ApiException
from kubernetes.client.models import V1ConfigMap, V1ObjectMeta
from kubernetes.dynamic.exceptions import BadRequestError, ConflictError, NotFoundError
from kubernetes.leaderelection import leaderelection
from kubernetes.leaderelection.electionconfig import Config
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from tests.clients.waiting import eventually

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80}]}]},
        },
    },
}

WINDOW_EVENTS = 100
"""What `cluster.py` keeps of a kind's history."""


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def apps(api: client.ApiClient) -> client.AppsV1Api:
    return client.AppsV1Api(api)


def config_map(name: str, **data: str) -> V1ConfigMap:
    return V1ConfigMap(metadata=V1ObjectMeta(name=name, labels={"name": name}), data=data)


def test_every_answer_fits_the_typed_models(api, core):
    """The client checks what it is given against its models; each kind's list goes through them."""
    calls = (
        core.list_node, core.list_namespace, core.list_service_for_all_namespaces, core.list_event_for_all_namespaces,
        core.list_service_account_for_all_namespaces,
        client.RbacAuthorizationV1Api(api).list_cluster_role,
        client.RbacAuthorizationV1Api(api).list_cluster_role_binding,
        client.CoordinationV1Api(api).list_lease_for_all_namespaces, client.SchedulingV1Api(api).list_priority_class,
        client.DiscoveryV1Api(api).list_endpoint_slice_for_all_namespaces,
    )
    for call in calls:
        found = call()
        assert found.kind and found.metadata.resource_version, call
    assert client.VersionApi(api).get_code().minor.startswith("37")
    assert "apps" in {group.name for group in client.ApisApi(api).get_api_versions().groups}


def test_pages_go_through_a_list_as_it_was(core, namespace):
    for number in range(7):
        core.create_namespaced_config_map(namespace, config_map(f"c{number}"))
    first = core.list_namespaced_config_map(namespace, limit=3, label_selector="name")
    core.create_namespaced_config_map(namespace, config_map("c99"))
    names = [item.metadata.name for item in first.items]
    token = first.metadata._continue
    while token:
        page = core.list_namespaced_config_map(namespace, limit=3, _continue=token, label_selector="name")
        assert page.metadata.resource_version == first.metadata.resource_version
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
    assert names == [f"c{number}" for number in range(7)]
    exact = core.list_namespaced_config_map(
        namespace, resource_version=first.metadata.resource_version, resource_version_match="Exact",
        label_selector="name in (c1, c99)",
    )
    assert [item.metadata.name for item in exact.items] == ["c1"]
    field = core.list_namespaced_config_map(namespace, field_selector="metadata.name=c4")
    assert [item.metadata.name for item in field.items] == ["c4"]


def test_a_watch_goes_on_from_a_list(core, namespace):
    before = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("a", k="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "2"}})
    core.delete_namespaced_config_map("a", namespace)
    seen = []
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=before, timeout_seconds=90, label_selector="name"
    ):
        seen.append((event["type"], event["object"].data["k"]))
        if event["type"] == "DELETED":
            break
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_a_selector_turns_changes_into_added_and_deleted(core, namespace):
    core.create_namespaced_config_map(namespace, config_map("a"))
    before = core.list_namespaced_config_map(namespace).metadata.resource_version
    for value in ("yes", "no"):
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"wanted": value}}})
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=before, label_selector="wanted=yes",
        timeout_seconds=90,
    )
    assert [event["type"] for _, event in zip(range(2), stream, strict=False)] == ["ADDED", "DELETED"]


def test_a_streaming_list_ends_with_a_bookmark(core, namespace):
    core.create_namespaced_config_map(namespace, config_map("a"))
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, send_initial_events=True, allow_watch_bookmarks=True,
        resource_version_match="NotOlderThan", timeout_seconds=90,
    )
    types = []
    for event in stream:
        types.append(event["type"])
        annotations = event["raw_object"]["metadata"].get("annotations") or {}
        if annotations.get("k8s.io/initial-events-end") == "true":
            break
    assert types[-1] == "BOOKMARK" and set(types[:-1]) == {"ADDED"}


def test_a_watch_from_long_ago_is_told_to_start_anew(core, namespace):
    core.create_namespaced_config_map(namespace, config_map("a"))
    for number in range(WINDOW_EVENTS + 1):
        core.patch_namespaced_config_map("a", namespace, {"data": {"n": str(number)}})
    with pytest.raises(ApiException) as refused:
        for _ in watch.Watch().stream(
            core.list_namespaced_config_map, namespace, resource_version="1", timeout_seconds=90
        ):
            raise AssertionError("history that is gone cannot be watched")
    assert refused.value.status == 410


def test_every_patch(api, apps, namespace):
    apps.create_namespaced_deployment(namespace, DEPLOYMENT)
    container = {"name": "web", "env": [{"name": "A", "value": "1"}]}
    strategic = {"spec": {"template": {"spec": {"containers": [container]}}}}
    found = apps.patch_namespaced_deployment("web", namespace, strategic)
    assert found.spec.template.spec.containers[0].image == "nginx:1"
    assert found.spec.template.spec.containers[0].env[0].value == "1"
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    assert apps.patch_namespaced_deployment("web", namespace, operations).spec.replicas == 3
    merge = {"metadata": {"labels": {"app": None, "tier": "front"}}}
    found = apps.patch_namespaced_deployment("web", namespace, merge, _content_type="application/merge-patch+json")
    assert found.metadata.labels == {"tier": "front"}
    applied = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 5}}
    with pytest.raises(ApiException) as conflict:
        apply(apps, namespace, applied)
    assert conflict.value.status == 409 and ".spec.replicas" in conflict.value.body
    found = apply(apps, namespace, applied, force=True)
    assert found.spec.replicas == 5
    assert "mine" in {entry.manager for entry in found.metadata.managed_fields if entry.operation == "Apply"}
    scale = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    assert scale.kind == "Scale" and scale.spec.replicas == 1


def apply(apps: client.AppsV1Api, namespace: str, document: dict[str, Any], **options: Any) -> Any:
    return apps.patch_namespaced_deployment(
        document["metadata"]["name"], namespace, document, field_manager="mine",
        _content_type="application/apply-patch+yaml", **options,
    )


def test_a_deployment_runs_is_scaled_and_goes_with_its_pods(apps, core, namespace):
    apps.create_namespaced_deployment(namespace, DEPLOYMENT)
    eventually(lambda: apps.read_namespaced_deployment_status("web", namespace).status.ready_replicas == 2)
    apps.replace_namespaced_deployment_scale(
        "web", namespace, {"metadata": {"name": "web", "namespace": namespace}, "spec": {"replicas": 4}}
    )
    eventually(lambda: apps.read_namespaced_deployment("web", namespace).status.ready_replicas == 4)
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    eventually(lambda: not apps.list_namespaced_deployment(namespace).items)
    assert not core.list_namespaced_pod(namespace).items


def test_what_is_tried_is_not_stored(core, namespace):
    tried = core.create_namespaced_config_map(namespace, config_map("tried"), dry_run="All")
    assert tried.metadata.uid
    with pytest.raises(ApiException) as absent:
        core.read_namespaced_config_map("tried", namespace)
    assert absent.value.status == 404


def test_strict_validation_names_the_field(discovered, namespace):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dada": {}}
    maps = discovered.resources.get(api_version="v1", kind="ConfigMap")
    with pytest.raises(BadRequestError, match='unknown field \\\\"dada'):
        maps.create(namespace=namespace, body=body, query_params=[("fieldValidation", "Strict")])


def test_a_stale_update_is_a_conflict(core, namespace):
    created = core.create_namespaced_config_map(namespace, config_map("a", k="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "2"}})
    created.data = {"k": "3"}
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("a", namespace, created)
    assert conflict.value.status == 409
    assert "the object has been modified; please apply your changes" in conflict.value.body


def test_an_eviction_respects_the_budget(api, apps, core, namespace):
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}}
    client.PolicyV1Api(api).create_namespaced_pod_disruption_budget(namespace, budget)
    apps.create_namespaced_deployment(namespace, DEPLOYMENT)
    eventually(lambda: apps.read_namespaced_deployment("web", namespace).status.ready_replicas == 2)
    pod = core.list_namespaced_pod(namespace).items[0].metadata.name
    eviction = {"metadata": {"name": pod, "namespace": namespace}}
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod_eviction(pod, namespace, eviction)
    assert refused.value.status == 429


def test_a_service_account_token_is_who_it_says(api, core, namespace):
    granted = core.create_namespaced_service_account_token("default", namespace, {"spec": {"expirationSeconds": 3600}})
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {granted.status.token}"}
    with client.ApiClient(settings) as other:
        review = client.AuthenticationV1Api(other).create_self_subject_review({})
        assert review.status.user_info.username == f"system:serviceaccount:{namespace}:default"
        with pytest.raises(ApiException) as refused:
            client.CoreV1Api(other).list_namespaced_secret(namespace)
        assert refused.value.status == 403
        attributes = {"verb": "list", "resource": "secrets", "namespace": namespace}
        answer = client.AuthorizationV1Api(other).create_self_subject_access_review(
            {"spec": {"resourceAttributes": attributes}}
        )
        assert answer.status.allowed is False


@pytest.fixture(scope="module")
def discovered(api, tmp_path_factory) -> Iterator[dynamic.DynamicClient]:
    yield dynamic.DynamicClient(api, cache_file=str(tmp_path_factory.mktemp("dynamic") / "cache"))


def test_the_dynamic_client_finds_and_uses_every_kind(discovered, namespace):
    maps = discovered.resources.get(api_version="v1", kind="ConfigMap")
    created = maps.create(namespace=namespace, body={
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"a": "1"}
    })
    assert created.data.a == "1"
    patch = {"metadata": {"name": "d"}, "data": {"a": None, "b": "2"}}
    patched = maps.patch(namespace=namespace, body=patch, content_type="application/merge-patch+json")
    assert patched.data.to_dict() == {"b": "2"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"c": "3"}}
    applied = maps.server_side_apply(namespace=namespace, body=document, field_manager="dynamic", force_conflicts=True)
    assert applied.data.to_dict() == {"b": "2", "c": "3"}
    stale = created.to_dict()
    with pytest.raises(ConflictError):
        maps.replace(namespace=namespace, body=stale)
    seen = [event["type"] for event in maps.watch(namespace=namespace, name="d", timeout=3)]
    assert seen == ["ADDED"]
    maps.delete(name="d", namespace=namespace)
    with pytest.raises(NotFoundError):
        maps.get(name="d", namespace=namespace)
    deployments = discovered.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.subresources["scale"].name == "deployments/scale"
    for kind in ("Pod", "Lease", "ClusterRole", "EndpointSlice", "TokenReview", "HorizontalPodAutoscaler"):
        assert discovered.resources.search(kind=kind), kind


def test_a_file_of_several_objects_is_created(api, core, namespace, tmp_path: Path):
    file = tmp_path / "all.yaml"
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: two}\nspec: {ports: [{port: 80}], selector: {a: b}}\n"
    )
    utils.create_from_yaml(api, str(file), namespace=namespace)
    assert core.read_namespaced_service("two", namespace).spec.cluster_ip.startswith("10.96.")
    with pytest.raises(utils.FailToCreateError, match="AlreadyExists"):
        utils.create_from_yaml(api, str(file), namespace=namespace)


def test_one_of_two_candidates_leads(api, namespace, kubeconfig):
    config.load_kube_config(str(kubeconfig))  # the elector takes the process's default client

    def candidate(name: str) -> leaderelection.LeaderElection:
        return leaderelection.LeaderElection(Config(
            LeaseLock("lock", namespace, name), lease_duration=15, renew_deadline=10, retry_period=2,
            onstarted_leading=lambda: None, onstopped_leading=lambda: None,
        ))

    first, second = candidate("first"), candidate("second")
    assert first.try_acquire_or_renew() is True
    assert second.try_acquire_or_renew() is False
    assert first.try_acquire_or_renew() is True
    lease = client.CoordinationV1Api(api).read_namespaced_lease("lock", namespace)
    assert lease.spec.holder_identity == "first"
