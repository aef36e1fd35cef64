"""kubectl on running pods, as upstream's tests of sig-cli use it; tests/apiserver/conformance has what needs none."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.conformance.board import case
from tests.e2e.conformance.space import IMAGE, Space, container, is_ready, pod, program

from sampan.api.resources import CONFIG_MAPS, ENDPOINT_SLICES, PODS, REPLICATION_CONTROLLERS, SERVICES

DEMO = {"name": "update-demo", "version": "nautilus"}
DEMO_RC: dict[str, Any] = {
    "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "update-demo"},
    "spec": {"replicas": 2, "selector": DEMO, "template": {
        "metadata": {"labels": DEMO},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            program("netexec", "8080", name="update-demo", ports=[{"containerPort": 8080}], readinessProbe={
                "httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1,
            }),
        ]},
    }},
}


async def replicas(space: Space, count: int) -> list[dict[str, Any]]:
    """The pods of the demo, once so many are ready and no other is left."""

    async def check() -> Any:
        pods = await space.items(PODS, label_selector="name=update-demo")
        return pods if len(pods) == count and all(map(is_ready, pods)) else None

    return await space.eventually(check, f"{count} replicas")  # type: ignore[no-any-return]


@case
async def test_a_replication_controller_is_created_scaled_exposed_and_stopped(space: Space) -> None:
    await space.kubectl("create", "-f", "-", stdin=json.dumps(DEMO_RC))
    for one in await replicas(space, 2):
        name = one["metadata"]["name"]
        assert json.loads(await space.proxy(f"pods/{name}:8080/proxy/data.json"))["path"] == "/data.json"

        async def described_pod(name: str = name) -> bool:
            described = await space.kubectl("describe", "pod", name)
            for words in ("Controlled By:  ReplicationController/update-demo", "State:          Running",
                          "QoS Class:                   BestEffort", "Node:", "Started"):
                assert words in described, described
            return True

        await space.eventually(described_pod, "its description, whose events come later")
    for count in (1, 2):
        await space.kubectl("scale", "rc", "update-demo", f"--replicas={count}", "--timeout=5m")
        await replicas(space, count)

    async def described_whole() -> bool:
        shown = await space.kubectl("describe", "rc", "update-demo")
        assert "Replicas:     2 current / 2 desired" in shown, shown
        assert "Pods Status:  2 Running / 0 Waiting / 0 Succeeded / 0 Failed" in shown, shown
        return "SuccessfulCreate" in shown

    await space.eventually(described_whole, "its description")
    await space.kubectl("expose", "rc", "update-demo", "--name=rm2", "--port=1234", "--target-port=8080")
    await space.kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=8080")
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        async def endpoints(service: str = name) -> Any:
            slices = await space.items(ENDPOINT_SLICES, label_selector=f"kubernetes.io/service-name={service}")
            ports = [one["port"] for slice_ in slices for one in slice_.get("ports") or []]
            return ports == [8080] and sum(len(slice_["endpoints"]) for slice_ in slices) == 2

        await space.eventually(endpoints, "two endpoints")
        assert (await space.get(SERVICES, name))["spec"]["ports"][0]["port"] == port
    assert "deleted" in await space.kubectl("delete", "-f", "-", stdin=json.dumps(DEMO_RC))

    async def gone() -> bool:
        return not await space.items(PODS) and not await space.items(REPLICATION_CONTROLLERS)

    await space.eventually(gone, "no pods")


@case
async def test_commands_in_pods_with_input_and_exit_codes(space: Space) -> None:
    await space.start(pod("web", program("netexec", "8080")))
    assert await space.kubectl("exec", "web", "--", "echo", "running in container") == "running in container\n"
    assert await space.kubectl("exec", "-i", "web", "--", "cat", stdin="abcd1234") == "abcd1234"
    assert await space.kubectl("exec", "pod/web", "-c", "main", "--", "sh", "-c", "exit 0") == ""
    assert "exit code 42" in await space.kubectl("exec", "web", "--", "sh", "-c", "exit 42", code=42)
    assert "hello" in await space.kubectl("exec", "-i", "web", "--", "sh", "-c", "cat; echo hello", stdin="x\n")
    flags = (f"--image={IMAGE}", "--restart=Never", "--pod-running-timeout=2m")
    assert await space.kubectl("run", "-i", *flags, "success", "--command", "--", "sh", "-c", "exit 0") is not None
    await space.kubectl("run", "-i", *flags, "failure-1", "--command", "--", "sh", "-c", "exit 42", code=42)
    await space.kubectl(
        "run", "run-test", *flags, "--attach=true", "--stdin", "--command", "--", "sh", "-c",
        "echo -n read: && cat && echo 'stdin closed'", stdin="value\nabcd1234",
    )

    async def printed() -> bool:
        found = await space.kubectl("logs", "run-test")
        return "read:value\nabcd1234stdin closed" in found

    await space.eventually(printed, "the output of run-test")


@case
async def test_files_go_there_and_back(space: Space) -> None:
    script = "mkdir -p /data/foo; echo foobar > /data/foo/foo.bar; touch /written; exec sleep 1000"
    written = {"exec": {"command": ["cat", "/written"]}, "periodSeconds": 1, "timeoutSeconds": 10}
    await space.start(pod("box", container(script, readinessProbe=written)))
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory, "copied")
        # the image has no tar, which `kubectl cp` asks for by name; busybox is one
        await space.run("box", "busybox", "ln", "-s", "/bin/busybox", "/bin/tar")
        await space.kubectl("cp", "box:/data/foo/foo.bar", str(here))
        assert here.read_text() == "foobar\n"
        here.write_text("back\n")
        await space.kubectl("cp", str(here), "box:/data/foo/back")
    assert await space.kubectl("exec", "box", "--", "cat", "/data/foo/back") == "back\n"


@case
async def test_logs_are_filtered(space: Space) -> None:
    lines = "i=0; while [ $i -lt {0} ]; do echo {1}/api/v1/namespaces/kube-system $i; i=$((i+1)); done"
    made = pod("logs", {"name": "container-1", "image": IMAGE, "command": ["sh", "-c", lines.format(10, "GET ")]},
               {"name": "container-2", "image": IMAGE, "command": ["sh", "-c", lines.format(20, "PUT ")]},
               annotations={"kubectl.kubernetes.io/default-container": "container-2"}, restartPolicy="Never")
    await space.create(PODS, made)
    await space.ended("logs")
    assert len((await space.kubectl("logs", "logs", "-c", "container-1")).splitlines()) == 10
    everything = await space.kubectl("logs", "logs", "--all-containers")
    assert len(everything.splitlines()) == 30
    assert len((await space.kubectl("logs", "logs")).splitlines()) >= 20
    one = ("logs", "logs", "-c", "container-1")
    assert (await space.kubectl(*one, "--tail=1")).strip() == "GET /api/v1/namespaces/kube-system 9"
    assert await space.kubectl(*one, "--limit-bytes=1") == "G"
    stamped = await space.kubectl(*one, "--tail=1", "--timestamps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S+ GET .* 9\n", stamped)
    await asyncio.sleep(2.5)  # as upstream: what is older than a second must be seen as such
    assert await space.kubectl(*one, "--since=1s") == ""
    assert len((await space.kubectl(*one, "--since=24h")).splitlines()) == 10


@case
async def test_a_debugger_is_put_into_a_pod_and_beside_it(space: Space) -> None:
    await space.kubectl("run", "target", f"--image={IMAGE}", "--", "pause")
    await space.ready("target")
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory, "custom.yaml")
        profile.write_text(
            "securityContext: {capabilities: {add: [NET_ADMIN]}}\nenv: [{name: REQUIRED_ENV_VAR, value: value2}]\n"
        )
        flags = (f"--image={IMAGE}", "--profile=general", f"--custom={profile}")
        await space.kubectl("debug", "target", *flags, "--container=debugger", "--", "sleep", "3600")
        await space.kubectl("debug", "target", *flags, "--copy-to=my-debugger", "--container=debugger", "--", "sleep",
                            "3600")

    def runs(kind: str) -> Any:
        return lambda shown: any(
            one["name"] == "debugger" and "running" in one["state"] for one in shown.get("status", {}).get(kind) or []
        )

    for name, kind in (("target", "ephemeralContainerStatuses"), ("my-debugger", "containerStatuses")):
        shown = await space.until(PODS, name, runs(kind), f"the debugger of {name}")
        spec = shown["spec"]["ephemeralContainers" if name == "target" else "containers"]
        [added] = [one for one in spec if one["name"] == "debugger"]
        assert added["securityContext"]["capabilities"]["add"] == ["NET_ADMIN"]
        assert {"name": "REQUIRED_ENV_VAR", "value": "value2"} in added["env"]


@case
async def test_conditions_are_waited_for_and_events_are_told(space: Space) -> None:
    await space.kubectl("run", "e2e", f"--image={IMAGE}", "--labels=run=e2e", "--", "pause")
    assert "condition met" in await space.kubectl("wait", "--for=condition=Ready", "pod/e2e", "--timeout=90s")

    async def told() -> bool:
        words = " ".join((await space.kubectl("events", "--for=pod/e2e")).split())
        return "Normal Scheduled Pod/e2e" in words and "Normal Started Pod/e2e" in words

    await space.eventually(told, "the events of e2e")
    assert "No events found" in await space.kubectl("events", "--types=WARNING", "--for=pod/e2e")
    patch = f'{{"spec":{{"containers":[{{"name":"e2e","image":"{IMAGE}-other"}}]}}}}'
    await space.kubectl("patch", "pod", "e2e", "-p", patch, "--dry-run=server")
    assert (await space.get(PODS, "e2e"))["spec"]["containers"][0]["image"] == IMAGE
    waiting = asyncio.ensure_future(space.kubectl("wait", "--for=delete", "pod/e2e", "--timeout=60s"))
    await space.kubectl("delete", "pod", "e2e", "--grace-period=1")
    await waiting


@case
async def test_a_node_and_a_namespace_are_described(space: Space) -> None:
    described = await space.kubectl("describe", "node", space.nodes[0])
    for words in ("Name:", "Labels:", "Annotations:", "CreationTimestamp:", "Conditions:", "LastHeartbeatTime",
                  "Addresses:", "Capacity:", "Kernel Version:", "OS Image:", "Container Runtime Version:",
                  "Kubelet Version:", "Allocated resources:"):
        assert words in described, f"{words} is missing in\n{described}"
    described = await space.kubectl("describe", "namespace", space.name)
    assert "Status:       Active" in described
    assert (await space.get(CONFIG_MAPS, "kube-root-ca.crt"))["data"]["ca.crt"]
