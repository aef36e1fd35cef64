"""kopf: operators in threads, as its users run them, on built-in kinds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest
from kubernetes import client
from kubernetes.client import ApiException
from tests.clients.waiting import eventually


@contextmanager
def operating(registry: kopf.OperatorRegistry, kubeconfig: Path, **options: object) -> Iterator[None]:
    """An operator in a thread of its own until the block ends."""
    ready, stop = threading.Event(), threading.Event()

    @kopf.on.login(registry=registry)
    def login(**options: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**options)

    failures: list[BaseException] = []

    def run() -> None:
        settings = kopf.OperatorSettings()
        settings.posting.level = 40
        settings.scanning.disabled = False
        try:
            asyncio.run(kopf.operator(
                registry=registry, settings=settings, ready_flag=ready, stop_flag=stop, standalone=True, **options
            ))
        except BaseException as error:
            failures.append(error)
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KUBECONFIG", str(kubeconfig))
        thread.start()
        try:
            assert ready.wait(90)
            assert not failures, failures
            yield
        finally:
            stop.set()
            thread.join(90)
    assert not thread.is_alive() and not failures, failures


def test_an_operator_follows_an_object_from_its_creation_to_its_deletion(api, kubeconfig, namespace):
    core = client.CoreV1Api(api)
    registry = kopf.OperatorRegistry()
    seen: list[str] = []

    @kopf.on.create("", "v1", "configmaps", labels={"operated": "yes"}, registry=registry)
    def created(name: str, body: kopf.Body, **_: object) -> None:
        seen.append(f"created {name}")
        child = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-child"}}
        kopf.adopt(child, owner=body)
        core.create_namespaced_secret(namespace, child)

    @kopf.on.update("", "v1", "configmaps", field="data.a", labels={"operated": "yes"}, registry=registry)
    def updated(old: str, new: str, **_: object) -> None:
        seen.append(f"a: {old} -> {new}")

    @kopf.on.delete("", "v1", "configmaps", labels={"operated": "yes"}, registry=registry)
    def deleted(name: str, retry: int, **_: object) -> None:
        if retry == 0:
            raise kopf.TemporaryError("not yet", delay=0.1)
        seen.append(f"deleted {name} in try {retry}")

    with operating(registry, kubeconfig, namespaces=[namespace]):
        labels = {"operated": "yes"}
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "c", "labels": labels}, "data": {"a": "1"}})
        eventually(lambda: core.read_namespaced_secret("c-child", namespace))
        handled = eventually(lambda: kopf_annotation(core, namespace))
        assert handled
        core.patch_namespaced_config_map("c", namespace, {"data": {"a": "2"}})
        eventually(lambda: "a: 1 -> 2" in seen)
        finalizers = core.read_namespaced_config_map("c", namespace).metadata.finalizers
        assert finalizers == ["kopf.zalando.org/KopfFinalizerMarker"]
        core.delete_namespaced_config_map("c", namespace)
        eventually(lambda: gone(core, namespace))
    assert seen == ["created c", "a: 1 -> 2", "deleted c in try 1"]
    eventually(lambda: not core.list_namespaced_secret(namespace, field_selector="metadata.name=c-child").items)


def kopf_annotation(core: client.CoreV1Api, namespace: str) -> bool:
    annotations = core.read_namespaced_config_map("c", namespace).metadata.annotations or {}
    return "kopf.zalando.org/last-handled-configuration" in annotations


def gone(core: client.CoreV1Api, namespace: str) -> bool:
    try:
        core.read_namespaced_config_map("c", namespace)
    except ApiException as error:
        return bool(error.status == 404)
    return False


def test_an_operator_keeps_timers_daemons_and_indices(api, kubeconfig, namespace):
    core = client.CoreV1Api(api)
    registry = kopf.OperatorRegistry()
    ticks: list[int] = []
    ended: list[str] = []

    @kopf.index("", "v1", "services", id="by_port", registry=registry)
    def by_port(name: str, spec: kopf.Spec, **_: object) -> dict[int, str]:
        return {port["port"]: name for port in spec.get("ports", [])}

    @kopf.timer("", "v1", "configmaps", interval=0.1, labels={"timed": "yes"}, registry=registry)
    def tick(by_port: kopf.Index, **_: object) -> None:
        ticks.append(len(by_port.get(1234, [])))

    @kopf.daemon("", "v1", "configmaps", labels={"timed": "yes"}, registry=registry)
    async def watchful(name: str, stopped: kopf.DaemonStopped, **_: object) -> None:
        await stopped.wait(60)
        ended.append(name)

    core.create_namespaced_service(namespace, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1234}]}})
    with operating(registry, kubeconfig, namespaces=[namespace]):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "c", "labels": {"timed": "yes"}}})
        eventually(lambda: len(ticks) >= 3)
        assert ticks[-1] == 1
        core.delete_namespaced_config_map("c", namespace)
        eventually(lambda: ended == ["c"])
        eventually(lambda: gone(core, namespace))


PLURAL, GROUP, VERSION = "greetings", "clients.sampan.example", "v1"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object", "required": ["to"],
            "properties": {
                "to": {"type": "string", "minLength": 1}, "copies": {"type": "integer", "default": 2, "maximum": 5},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
DEFINITION: dict[str, Any] = {
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP, "scope": "Namespaced",
        "names": {"plural": PLURAL, "singular": "greeting", "kind": "Greeting", "listKind": "GreetingList"},
        "versions": [{
            "name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA},
            "subresources": {"status": {}},
        }],
    },
}


def greeting_operator(core: client.CoreV1Api, namespace: str, seen: list[str]) -> kopf.OperatorRegistry:
    """Makes `copies` ConfigMaps of a Greeting, keeps count of them in its status, and says goodbye."""
    registry = kopf.OperatorRegistry()

    @kopf.on.create(GROUP, VERSION, PLURAL, id="created", registry=registry)
    def created(name: str, spec: kopf.Spec, patch: kopf.Patch, body: kopf.Body, **_: object) -> dict[str, Any]:
        for number in range(spec["copies"]):
            child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-{number}"}}
            child["data"] = {"text": f"hello {spec['to']}"}
            kopf.adopt(child, owner=body)
            core.create_namespaced_config_map(namespace, child)
        patch.status["copies"] = spec["copies"]
        return {"to": spec["to"]}

    @kopf.on.field(GROUP, VERSION, PLURAL, field="spec.to", registry=registry)
    def addressed(old: str | None, new: str | None, **_: object) -> None:
        if old is not None and new is not None:
            seen.append(f"{old} -> {new}")

    @kopf.on.delete(GROUP, VERSION, PLURAL, registry=registry)
    def deleted(spec: kopf.Spec, **_: object) -> None:
        seen.append(f"goodbye {spec['to']}")

    return registry


def test_an_operator_with_a_definition_of_its_own(api, kubeconfig, namespace):
    core, custom, definitions = client.CoreV1Api(api), client.CustomObjectsApi(api), client.ApiextensionsV1Api(api)
    where = (GROUP, VERSION, namespace, PLURAL)
    seen: list[str] = []

    def greeting() -> Any:
        return custom.get_namespaced_custom_object(*where, "g")

    definitions.create_custom_resource_definition(DEFINITION)
    try:
        eventually(lambda: established(definitions))
        with operating(greeting_operator(core, namespace, seen), kubeconfig, namespaces=[namespace]):
            body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Greeting", "metadata": {"name": "g"}}
            with pytest.raises(ApiException) as refused:
                custom.create_namespaced_custom_object(*where, body | {"spec": {"to": "", "copies": 9}})
            assert refused.value.status == 422
            assert "spec.copies" in refused.value.body and "spec.to" in refused.value.body
            custom.create_namespaced_custom_object(*where, body | {"spec": {"to": "world"}})
            eventually(lambda: greeting().get("status", {}).get("copies") == 2)
            eventually(lambda: greeting().get("status", {}).get("created") == {"to": "world"})
            child = core.read_namespaced_config_map("g-1", namespace)
            assert child.data == {"text": "hello world"}
            assert [(one.kind, one.name) for one in child.metadata.owner_references] == [("Greeting", "g")]
            custom.patch_namespaced_custom_object(
                *where, "g", {"spec": {"to": "moon"}}, _content_type="application/merge-patch+json"
            )
            eventually(lambda: "world -> moon" in seen)
            custom.delete_namespaced_custom_object(*where, "g")
            eventually(lambda: not custom.list_namespaced_custom_object(*where)["items"])
            assert seen == ["world -> moon", "goodbye moon"]
    finally:
        definitions.delete_custom_resource_definition(f"{PLURAL}.{GROUP}")


def established(definitions: client.ApiextensionsV1Api) -> bool:
    found = definitions.read_custom_resource_definition(f"{PLURAL}.{GROUP}").status.conditions or []
    return any(one.type == "Established" and one.status == "True" for one in found)
