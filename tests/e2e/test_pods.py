"""A pod's life: what starts in which order, what is started again, what ends it, and what it says of itself."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import apply, condition, container, ended, events, get, once, output, pod, ready, statuses


def test_restart_policy_and_back_off(kubectl: Kubectl) -> None:
    apply(
        kubectl,
        pod("crash", "echo run; exit 3"),
        pod("on-failure-good", "exit 0", restartPolicy="OnFailure"),
        pod("on-failure-bad", container("test -e /d/ran && exit 0; touch /d/ran; exit 1",
                                        volumeMounts=[{"name": "d", "mountPath": "/d"}]),
            restartPolicy="OnFailure", volumes=[{"name": "d", "emptyDir": {}}]),
        once("never", "exit 4"),
        pod("message", container("echo -n the last words > /dev/termination-log; exit 1")),
        once("from-log", container("echo only in the log; exit 1", terminationMessagePolicy="FallbackToLogsOnError")),
    )

    def backing_off() -> Any:
        status = statuses(get(kubectl, "crash"))["main"]
        return status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff" and status

    crash = eventually(backing_off)
    assert crash["restartCount"] >= 1
    assert crash["lastState"]["terminated"]["exitCode"] == 3
    assert crash["started"] is False
    assert crash["state"]["waiting"]["message"].startswith(("back-off 10s restarting", "back-off 20s restarting"))
    assert ended(kubectl, "on-failure-good")["status"]["phase"] == "Succeeded"
    again = ended(kubectl, "on-failure-bad")
    assert (again["status"]["phase"], statuses(again)["main"]["restartCount"]) == ("Succeeded", 1)
    never = ended(kubectl, "never")
    assert never["status"]["phase"] == "Failed"
    over = statuses(never)["main"]["state"]["terminated"]
    assert (over["exitCode"], over["reason"]) == (4, "Error")
    assert over["startedAt"]
    assert over["finishedAt"]
    assert statuses(never)["main"]["restartCount"] == 0
    eventually(lambda: "CrashLoopBackOff" in kubectl("get", "pod", "crash", "--no-headers"))
    eventually(lambda: "Back-off restarting failed container main in pod crash_" in events(kubectl, "crash")["BackOff"])
    assert kubectl("logs", "crash", "--previous") == "run\n"
    message = eventually(lambda: statuses(get(kubectl, "message"))["main"]["lastState"].get("terminated"))
    assert message["message"] == "the last words"
    assert statuses(ended(kubectl, "from-log"))["main"]["state"]["terminated"]["message"] == "only in the log\n"


def test_init_containers_run_in_order_and_sidecars_all_along(kubectl: Kubectl) -> None:
    shared = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    volumes = [{"name": "d", "emptyDir": {}}]
    second = container("until busybox grep sidecar /d/log; do :; done; echo two >> /d/log", "two", **shared)
    sidecar = container("trap 'echo sidecar-end >> /d/log; cp /d/log /dev/termination-log; exit 0' TERM; "
                        "echo sidecar >> /d/log; sleep 3600 & wait", "side", restartPolicy="Always", **shared)
    apply(
        kubectl,
        once("ordered", container("echo main >> /d/log; cat /d/log", **shared), volumes=volumes,
             terminationGracePeriodSeconds=60,
             initContainers=[container("echo one >> /d/log", "one", **shared), sidecar,
                             second]),
        once("stuck", initContainers=[container("exit 1", "bad"), container("true", "after")]),
        pod("retried", initContainers=[container("exit 1", "bad")]),
    )
    assert output(kubectl, "ordered", "-c", "main").split() == ["one", "sidecar", "two", "main"]
    shown = get(kubectl, "ordered")
    inits = statuses(shown, "initContainerStatuses")
    assert list(inits) == ["one", "side", "two"]
    assert inits["side"]["state"]["terminated"]["message"].split()[-1] == "sidecar-end"
    assert condition(shown, "Initialized")["status"] == "True"
    assert condition(shown, "Ready")["reason"] == "PodCompleted"
    stuck = ended(kubectl, "stuck")
    assert stuck["status"]["phase"] == "Failed"
    assert statuses(stuck)["main"]["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(stuck, "Initialized")["message"] == "containers with incomplete status: [bad after]"
    eventually(lambda: "Init:CrashLoopBackOff" in kubectl("get", "pod", "retried", "--no-headers"))
    assert "Init:Error" in kubectl("get", "pod", "stuck", "--no-headers")


def test_hooks_and_termination_grace(kubectl: Kubectl, tmp_path: Path) -> None:
    host: dict[str, Any] = {"volumeMounts": [{"name": "h", "mountPath": "/h"}]}
    volumes = [{"name": "h", "hostPath": {"path": str(tmp_path)}}]
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo post >> /h/hooked"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo pre >> /h/hooked"]}},
    }
    # Ready is who has set his trap: before it, the first process of a container ignores the signal.
    polite = "trap 'echo term >> /h/hooked; exit 0' TERM; touch /tmp/up; sleep 3600 & wait"
    host["readinessProbe"] = {"exec": {"command": ["cat", "/tmp/up"]}, "periodSeconds": 1, "timeoutSeconds": 10}
    bad_hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo no luck; exit 9"]}}}
    apply(
        kubectl,
        pod("hooked", container(polite, lifecycle=hooks, **host), volumes=volumes, terminationGracePeriodSeconds=60),
        pod("stubborn", "trap '' TERM; while :; do sleep 1; done", terminationGracePeriodSeconds=15),
        pod("bad-hook", container(lifecycle=bad_hook)),
        pod("waits", container(polite, lifecycle={"preStop": {"sleep": {"seconds": 2}}}, **host),
            volumes=volumes, terminationGracePeriodSeconds=60),
    )
    ready(kubectl, "hooked", "stubborn", "waits")
    assert (tmp_path / "hooked").read_text() == "post\n"
    kubectl("delete", "pod", "hooked")
    assert (tmp_path / "hooked").read_text() == "post\npre\nterm\n"
    began = time.monotonic()
    kubectl("delete", "pod", "stubborn", "--wait=false")
    eventually(lambda: "Terminating" in kubectl("get", "pod", "stubborn", "--no-headers"))
    kubectl("delete", "pod", "waits")
    assert time.monotonic() - began > 2
    kubectl("wait", "--for=delete", "pod/stubborn", "--timeout=140s")
    eventually(lambda: "FailedPostStartHook" in events(kubectl, "bad-hook"))
    killed = eventually(lambda: statuses(get(kubectl, "bad-hook"))["main"]["lastState"].get("terminated"))
    assert killed["exitCode"] in (137, 143)


def grpc_health_server() -> str:
    """A shell script that answers one gRPC call with SERVING: the frames of RFC 9113 and the health protocol."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def field(name: bytes, value: bytes) -> bytes:
        return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

    hello = frame(4, 0, 0, b"") + frame(4, 1, 0, b"")
    answer = frame(1, 4, 1, b"\x88" + field(b"content-type", b"application/grpc"))
    answer += frame(0, 0, 1, b"\0\0\0\0\2\x08\x01") + frame(1, 5, 1, field(b"grpc-status", b"0"))
    greet, reply = (base64.b64encode(part).decode() for part in (hello, answer))
    return (
        f"echo 'echo {greet} | busybox base64 -d; busybox usleep 200000; echo {reply} | busybox base64 -d; sleep 1' "
        "> /tmp/s; exec nc -ll -p 9000 -e sh /tmp/s"
    )


def test_probes(kubectl: Kubectl) -> None:
    quick = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10}
    web = "mkdir /tmp/w; echo ok > /tmp/w/healthz; exec busybox httpd -f -p 8080 -h /tmp/w"
    port = {"ports": [{"name": "web", "containerPort": 8080}]}
    apply(
        kubectl,
        pod("by-exec", container(readinessProbe=quick | {"exec": {"command": ["cat", "/tmp/ready"]}})),
        pod("by-http", container(web, readinessProbe=quick | {"httpGet": {"path": "/healthz", "port": "web"}}, **port)),
        pod("by-tcp", container(web, readinessProbe=quick | {"tcpSocket": {"port": 8080}})),
        pod("by-grpc", container(grpc_health_server(), readinessProbe=quick | {"grpc": {"port": 9000}})),
        pod("grpc-less", container(readinessProbe=quick | {"grpc": {"port": 9000}})),
        pod("not-found", container(web, readinessProbe=quick | {"httpGet": {"path": "/nothing", "port": 8080}})),
        pod("unlively", container(livenessProbe=quick | {"exec": {"command": ["sh", "-c", "echo sick; exit 1"]}},
                                  startupProbe=quick | {"exec": {"command": ["id"]}})),
        pod("slow-start", container(
            "touch /tmp/alive; sleep 2; touch /tmp/up; sleep 3600",
            startupProbe={"periodSeconds": 1, "failureThreshold": 60, "timeoutSeconds": 10,
                          "exec": {"command": ["cat", "/tmp/up"]}},
            livenessProbe=quick | {"exec": {"command": ["cat", "/tmp/up"]}})),
    )
    ready(kubectl, "by-http", "by-tcp", "by-grpc", "slow-start")
    assert statuses(get(kubectl, "slow-start"))["main"]["restartCount"] == 0
    eventually(lambda: "Readiness probe failed: cat:" in events(kubectl, "by-exec").get("Unhealthy", ""))
    shown = get(kubectl, "by-exec")
    assert condition(shown, "Ready")["reason"] == "ContainersNotReady"
    assert condition(shown, "Ready")["message"] == "containers with unready status: [main]"
    assert statuses(shown)["main"]["started"] is True
    kubectl("exec", "by-exec", "--", "sh", "-c", "touch /tmp/ready")
    ready(kubectl, "by-exec")
    kubectl("exec", "by-exec", "--", "busybox", "rm", "/tmp/ready")
    kubectl("wait", "--for=condition=Ready=false", "pod/by-exec", "--timeout=140s")
    eventually(lambda: events(kubectl, "not-found")["Unhealthy"]
               == "Readiness probe failed: HTTP probe failed with statuscode: 404")
    eventually(lambda: "Readiness probe failed: timeout: failed to connect service" in
               events(kubectl, "grpc-less").get("Unhealthy", ""))
    eventually(lambda: statuses(get(kubectl, "unlively"))["main"]["restartCount"] >= 1)
    told = eventually(lambda: {"Unhealthy", "Killing"} <= set(found := events(kubectl, "unlively")) and found)
    assert told["Unhealthy"] == "Liveness probe failed: sick\n"
    assert told["Killing"] == "Container main failed liveness probe, will be restarted"


def test_images_and_deadline(kubectl: Kubectl) -> None:
    apply(
        kubectl,
        pod("never", container(image="absent.example/never:1", imagePullPolicy="Never")),
        pod("missing", container(image="127.0.0.1:9/missing:1")),
        pod("wrong", container(image="UPPER/Case")),
        pod("short", activeDeadlineSeconds=1),
        pod("not-executable", container(command=["/no/such/binary"]), restartPolicy="Never"),
    )
    shown = ended(kubectl, "short")
    assert (shown["status"]["phase"], shown["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert shown["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    for name, *reasons in (
        ("never", "ErrImageNeverPull"), ("wrong", "InvalidImageName"), ("missing", "ErrImagePull", "ImagePullBackOff")
    ):
        for reason in reasons:
            eventually(lambda n=name, r=reason: r in kubectl("get", "pod", n, "--no-headers"), what=f"{name}: {reason}")
    assert eventually(lambda: events(kubectl, "never").get("ErrImageNeverPull")) == (
        'Container image "absent.example/never:1" is not present with pull policy of Never'
    )
    backed_off = eventually(lambda: events(kubectl, "missing").get("BackOff"))
    assert backed_off.startswith('Back-off pulling image "127.0.0.1:9/missing:1"')
    state = statuses(ended(kubectl, "not-executable"))["main"]["state"]["terminated"]
    assert (state["reason"], state["exitCode"]) == ("StartError", 128)
    assert "no such file or directory" in state["message"]


def test_static_pods_have_mirrors(kubectl: Kubectl, cluster: str) -> None:
    folder = Path(f"/var/lib/sampan/{cluster}/nodes/{cluster}-1/manifests")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"static-{os.urandom(2).hex()}"
    mirror = f"{name}-{cluster}-1"
    manifest = pod(name)
    manifest["metadata"]["namespace"] = kubectl.namespace
    file = folder / f"{name}.json"
    try:
        file.write_text(json.dumps(manifest))
        eventually(lambda: "Running" in kubectl("get", "pod", mirror, "--no-headers"))
        shown = get(kubectl, mirror)
        assert shown["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
        assert shown["metadata"]["annotations"]["kubernetes.io/config.mirror"]
        assert shown["metadata"]["ownerReferences"][0]["kind"] == "Node"
        kubectl("delete", "pod", mirror)
        eventually(lambda: get(kubectl, mirror)["metadata"]["uid"] != shown["metadata"]["uid"])
        again = eventually(lambda: statuses(get(kubectl, mirror))["main"]["containerID"])
        assert again == statuses(shown)["main"]["containerID"], "the mirror is only a picture"
    finally:
        file.unlink(missing_ok=True)
    eventually(lambda: "NotFound" in kubectl.fails("get", "pod", mirror))


def test_an_ephemeral_container_joins_a_running_pod(kubectl: Kubectl) -> None:
    apply(kubectl, pod("target", "hostname > /tmp/seen; exec sleep 3600"))
    ready(kubectl, "target")
    shown = kubectl.in_terminal(
        "debug", "-it", "target", "--image=busybox:1", "--target=main", "-c", "dbg", "--", "sh",
        typed="busybox ps; cat /proc/1/root/tmp/seen; echo done-$?\nexit\n", until="done-0",
    )
    assert "sleep 3600" in shown
    assert "done-0" in shown
    status = eventually(lambda: statuses(get(kubectl, "target"), "ephemeralContainerStatuses").get("dbg"))
    assert status["image"].endswith("busybox:1")
    assert statuses(get(kubectl, "target"))["main"]["restartCount"] == 0
