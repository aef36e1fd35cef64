"""Deployments while they roll, who owns whom, how a namespace goes, where the scheduler puts a pod or why it cannot."""

from __future__ import annotations

import threading
import urllib.request
from typing import Any

from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import FOREVER, apply, condition, container, events, get, pod, ready

from sampan.machines import namespace

SERVE = (
    "mkdir /tmp/w; echo $V > /tmp/w/index.html; trap 'sleep 8 & wait $!; exit 0' TERM; "
    "busybox httpd -f -p 8080 -h /tmp/w & wait"
)


def deployment(name: str, replicas: int, main: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod(name, main or FOREVER)["spec"]}
    chosen = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": chosen | spec}


def serving(version: str) -> dict[str, Any]:
    probe = {"periodSeconds": 1, "timeoutSeconds": 10, "httpGet": {"path": "/", "port": 8080}}
    return container(SERVE, env=[{"name": "V", "value": version}], readinessProbe=probe)


class Prober(threading.Thread):
    """Calls an address from the node until told to stop."""

    def __init__(self, cluster: str, address: str) -> None:
        super().__init__(name="prober")
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._node, self._address, self._over = f"sampan-{cluster}-{cluster}-1", address, threading.Event()

    def run(self) -> None:
        namespace.enter(self._node)
        while not self._over.wait(0.05):
            try:
                with urllib.request.urlopen(f"http://{self._address}/", timeout=10) as answer:
                    self.answers.append(answer.read().decode().strip())
            except OSError as error:
                self.failures.append(str(error))

    def stop(self) -> None:
        self._over.set()
        self.join()


class Watcher(threading.Thread):
    """Collects the counts of a Deployment's status while it changes."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        super().__init__(name="watcher")
        columns = "custom-columns=R:.status.replicas,A:.status.availableReplicas,G:.status.observedGeneration"
        self._process = kubectl.popen("get", "deployment", name, "--watch", "--no-headers", "-o", columns)
        self.counts: list[tuple[int, int]] = []

    def run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            total, available, _ = line.split()
            self.counts.append((int(total), int(available) if available.isdigit() else 0))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self.join()


def test_a_rolling_update_keeps_the_service_available(kubectl: Kubectl, cluster: str) -> None:
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    made = deployment("web", 3, serving("old"), strategy=strategy)
    made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 60
    apply(kubectl, made)
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    kubectl("rollout", "status", "deployment/web", "--timeout=140s")
    address = kubectl.json("get", "service", "web")["spec"]["clusterIP"]
    prober, watcher = Prober(cluster, address), Watcher(kubectl, "web")
    eventually(lambda: namespace.call_in(f"sampan-{cluster}-{cluster}-1", lambda: _answers(address)))
    prober.start()
    watcher.start()
    try:
        eventually(lambda: watcher.counts, what="the watch has begun")
        kubectl("set", "env", "deployment/web", "V=new")
        kubectl("rollout", "status", "deployment/web", "--timeout=140s")
        eventually(lambda: prober.answers[-1] == "new" and "old" not in prober.answers[-8:])
    finally:
        prober.stop()
        watcher.stop()
    assert not prober.failures, f"{len(prober.failures)} of {len(prober.answers)}: {prober.failures[:3]}"
    assert max(total for total, _ in watcher.counts) <= 4
    assert min(available for _, available in watcher.counts) >= 3


def _answers(address: str) -> bool:
    with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
        return bool(answer.status == 200)


def test_a_bad_image_exceeds_the_deadline_and_undo_brings_the_old_back(kubectl: Kubectl) -> None:
    apply(kubectl, deployment("app", 2), deployment("halted", 1))
    kubectl("rollout", "status", "deployment/app", "--timeout=140s")
    before = kubectl("get", "rs", "-l", "app=app", "-o", "jsonpath={.items[0].metadata.labels.pod-template-hash}")
    kubectl("patch", "deployment", "app", "-p", '{"spec":{"progressDeadlineSeconds":3}}')
    kubectl("set", "image", "deployment/app", "main=absent.example/none:1")
    assert "exceeded its progress deadline" in kubectl.fails("rollout", "status", "deployment/app", "--timeout=140s")
    shown = kubectl.json("get", "deployment", "app")
    progressing = condition(shown, "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert progressing["message"].endswith('" has timed out progressing.')
    assert shown["status"]["availableReplicas"] == 2, "25 % of 2, rounded down, may be unavailable"
    kubectl("patch", "deployment", "app", "-p", '{"spec":{"progressDeadlineSeconds":600}}')
    kubectl("rollout", "undo", "deployment/app")
    kubectl("rollout", "status", "deployment/app", "--timeout=140s")
    live = kubectl.json("get", "pods", "-l", f"pod-template-hash={before}")["items"]
    assert len([one for one in live if "deletionTimestamp" not in one["metadata"]]) == 2
    sets = kubectl.json("get", "rs", "-l", "app=app")["items"]
    revisions = {one["metadata"]["labels"]["pod-template-hash"]: one["metadata"]["annotations"] for one in sets}
    assert revisions[before]["deployment.kubernetes.io/revision"] == "3"
    assert revisions[before]["deployment.kubernetes.io/revision-history"] == "1"

    kubectl("rollout", "status", "deployment/halted", "--timeout=140s")
    kubectl("rollout", "pause", "deployment/halted")
    kubectl("set", "env", "deployment/halted", "A=b")
    eventually(lambda: condition(_observed(kubectl, "halted") or {"status": {}}, "Progressing")["reason"]
               == "DeploymentPaused", what="the pause")
    assert len(kubectl.json("get", "rs", "-l", "app=halted")["items"]) == 1
    kubectl("scale", "deployment/halted", "--replicas=2")
    eventually(lambda: kubectl.json("get", "deployment", "halted")["status"].get("replicas") == 2)
    kubectl("rollout", "resume", "deployment/halted")
    kubectl("rollout", "status", "deployment/halted", "--timeout=140s")
    assert len(kubectl.json("get", "rs", "-l", "app=halted")["items"]) == 2


def _observed(kubectl: Kubectl, name: str) -> Any:
    shown = kubectl.json("get", "deployment", name)
    return shown if shown["status"].get("observedGeneration") == shown["metadata"]["generation"] else None


def test_a_replica_set_adopts_and_releases_by_label(kubectl: Kubectl) -> None:
    apply(kubectl, pod("orphan", metadata={"labels": {"app": "set"}}))
    made = deployment("set", 2) | {"kind": "ReplicaSet"}
    apply(kubectl, made)

    def owned() -> list[str]:
        found = kubectl.json("get", "pods")["items"]
        return [one["metadata"]["name"] for one in found if one["metadata"].get("ownerReferences")]

    eventually(lambda: len(owned()) == 2 and "orphan" in owned())
    kubectl("label", "pod", "orphan", "app=freed", "--overwrite")
    eventually(lambda: len(owned()) == 2 and "orphan" not in owned())
    assert "orphan" in kubectl("get", "pods", "-o", "name")
    kubectl("delete", "replicaset", "set", "--cascade=orphan")
    eventually(lambda: not owned())
    assert len(kubectl.json("get", "pods")["items"]) == 3


def test_what_is_owned_goes_with_its_owner(kubectl: Kubectl) -> None:
    apply(kubectl, deployment("background", 1), deployment("foreground", 1), deployment("orphan", 1))
    for name in ("background", "foreground", "orphan"):
        kubectl("rollout", "status", f"deployment/{name}", "--timeout=140s")
    held = kubectl("get", "pods", "-l", "app=foreground", "-o", "name").strip()
    kubectl("patch", held, "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    kubectl("delete", "deployment", "background")
    kubectl("delete", "deployment", "orphan", "--cascade=orphan")
    kubectl("delete", "deployment", "foreground", "--cascade=foreground", "--wait=false")
    eventually(lambda: not kubectl("get", "rs,pods", "-l", "app=background", "-o", "name"))
    waiting = kubectl.json("get", "deployment", "foreground")["metadata"]
    assert waiting["finalizers"] == ["foregroundDeletion"]
    eventually(lambda: "deletionTimestamp" in kubectl.json("get", held)["metadata"])
    kubectl("patch", held, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", "--for=delete", "deployment/foreground", "--timeout=140s")
    assert not kubectl("get", "rs", "-l", "app=foreground", "-o", "name")
    left = kubectl.json("get", "rs", "-l", "app=orphan")["items"]
    assert len(left) == 1
    assert not left[0]["metadata"].get("ownerReferences")


def test_a_namespace_says_what_holds_it_back_and_goes(kubectl: Kubectl) -> None:
    other = f"{kubectl.namespace}-x"
    kubectl("create", "namespace", other)
    inside = Kubectl(kubectl.binary, kubectl.kubeconfig, other)
    apply(inside, deployment("app", 2))
    inside("create", "configmap", "held")
    inside("patch", "configmap", "held", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    inside("rollout", "status", "deployment/app", "--timeout=140s")
    kubectl("delete", "namespace", other, "--wait=false")
    assert "because it is being terminated" in inside.fails("create", "configmap", "late")

    def held_back() -> Any:
        shown = kubectl.json("get", "namespace", other)
        return condition(shown, "NamespaceFinalizersRemaining").get("status") == "True" and shown

    shown = eventually(held_back)
    assert shown["status"]["phase"] == "Terminating"
    assert condition(shown, "NamespaceFinalizersRemaining")["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    eventually(lambda: condition(kubectl.json("get", "namespace", other), "NamespaceContentRemaining")["message"]
               == "Some resources are remaining: configmaps. has 1 resource instances")
    inside("patch", "configmap", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl("wait", "--for=delete", f"namespace/{other}", "--timeout=140s")


def test_the_scheduler_says_why_and_places_when_it_can(kubectl: Kubectl, cluster: str) -> None:
    node = f"{cluster}-1"
    port = container(ports=[{"containerPort": 8080, "hostPort": 18080}])
    apply(kubectl, pod("first-port", port))
    ready(kubectl, "first-port")
    apply(
        kubectl,
        pod("selective", nodeSelector={"disk": "fast"}),
        pod("huge", container(resources={"requests": {"cpu": "100", "memory": "1Ti"}})),
        pod("second-port", port),
        pod("gated", schedulingGates=[{"name": "example.com/gate"}]),
        pod("direct", nodeName=node),
    )
    tail = (
        "no new claims to deallocate, "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    for name, reason, after in (
        ("selective", "1 node(s) didn't match Pod's node affinity/selector", tail),
        ("huge", "1 Insufficient cpu, 1 Insufficient memory", tail.replace("1 Preemption is", "1 Preemption is")),
        ("second-port", "1 node(s) didn't have free ports for the requested pod ports", None),
    ):
        message = eventually(lambda n=name: events(kubectl, n).get("FailedScheduling"))
        assert message.startswith(f"0/1 nodes are available: {reason}. "), message
        assert after is None or message.endswith(after), message
    unscheduled = eventually(lambda: condition(get(kubectl, "selective"), "PodScheduled"))
    assert (unscheduled["status"], unscheduled["reason"]) == ("False", "Unschedulable")
    assert "SchedulingGated" in kubectl("get", "pod", "gated", "--no-headers")
    ready(kubectl, "direct")
    kubectl("label", "node", node, "disk=fast")
    try:
        ready(kubectl, "selective")
    finally:
        kubectl("label", "node", node, "disk-")
    kubectl("delete", "pod", "first-port", "--now")
    ready(kubectl, "second-port")
    kubectl("patch", "pod", "gated", "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates"}]')
    ready(kubectl, "gated")


def test_taints_and_preemption(kubectl: Kubectl, cluster: str) -> None:
    node, key = f"{cluster}-1", "example.com/dedicated"
    cpus = int(kubectl.json("get", "node", node)["status"]["allocatable"]["cpu"].rstrip("m"))
    most = {"requests": {"cpu": f"{cpus * 1000 * 7 // 10 if cpus < 1000 else cpus * 7 // 10}m"}}
    kubectl("create", "priorityclass", f"{kubectl.namespace}-vip", "--value=1000")
    kubectl("taint", "node", node, f"{key}=yes:NoSchedule")
    tolerant = {"tolerations": [{"key": key, "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]}
    try:
        apply(kubectl, pod("humble", container(resources=most), **tolerant), pod("kept-out"))
        ready(kubectl, "humble")
        message = eventually(lambda: events(kubectl, "kept-out").get("FailedScheduling"))
        assert message.startswith("0/1 nodes are available: 1 node(s) had untolerated taint(s). ")
        vip = {"priorityClassName": f"{kubectl.namespace}-vip"}
        apply(kubectl, pod("important", container(resources=most), **tolerant, **vip))
        assert get(kubectl, "important")["spec"]["priority"] == 1000
        ready(kubectl, "important")
        assert "Preempted by pod" in eventually(lambda: events(kubectl, "humble")["Preempted"])
        assert "NotFound" in kubectl.fails("get", "pod", "humble")
    finally:
        kubectl("taint", "node", node, f"{key}-")
        kubectl("delete", "priorityclass", f"{kubectl.namespace}-vip")
    ready(kubectl, "kept-out")
