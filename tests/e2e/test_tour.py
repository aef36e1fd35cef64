"""The primer's Deployment, and every verb that a person would try on it, with each kubectl on the machine."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest
from tests.e2e.kubectl import MANIFESTS, Kubectl, eventually, rows

PRIMER = MANIFESTS / "primer-deployment.yaml"


def _deployed(kubectl: Kubectl) -> list[str]:
    kubectl("apply", "-f", str(PRIMER))
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    return sorted(pod["metadata"]["name"] for pod in kubectl.json("get", "pods", "-l", "app=nginx")["items"])


def test_apply_get_and_describe(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    pods = _deployed(kubectl)
    assert len(pods) == 2
    assert "unchanged" in kubectl("apply", "-f", str(PRIMER))
    header, row = rows(kubectl("get", "deployment", "nginx-deployment", "-o", "wide"))
    assert header == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert row[:4] == ["nginx-deployment", "2/2", "2", "2"]
    assert row[5:] == ["nginx", "nginx:1.7.9", "app=nginx"]
    header, *_ = rows(kubectl("get", "replicaset", "-o", "wide"))
    assert header == ["NAME", "DESIRED", "CURRENT", "READY", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    header, row, _ = rows(kubectl("get", "pods", "-o", "wide"))
    assert header == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert row[1:4] == ["1/1", "Running", "0"]
    assert row[5].startswith("10.244.")
    scaled = r"Scaled up replica set nginx-deployment-\w+ (from 0 )?to 2"
    eventually(lambda: re.search(scaled, kubectl("describe", "deployment", "nginx-deployment")), what=scaled)
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        event = rf"Normal +{reason} "
        eventually(lambda event=event: re.search(event, kubectl("describe", "pod", pods[0])), what=event)
    header, *_ = rows(kubectl("get", "nodes", "-o", "wide"))
    assert header == [
        "NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION",
        "CONTAINER-RUNTIME",
    ]


def test_logs_exec_attach_and_cp(each_kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl = each_kubectl
    pod = _deployed(kubectl)[0]
    assert "Welcome to nginx!" in kubectl("exec", pod, "--", "cat", "/usr/share/nginx/html/index.html")
    assert "fed through" in kubectl("exec", "-i", pod, "--", "cat", stdin="fed through\n")
    assert "exit code 7" in kubectl.fails("exec", pod, "--", "sh", "-c", "exit 7")
    shown = kubectl.in_terminal("exec", "-it", pod, "--", "sh", typed="echo 6*7=$((6*7)); exit\n", until="6*7=42")
    assert "6*7=42" in shown
    (tmp_path / "page.html").write_text("copied in")
    kubectl("cp", str(tmp_path / "page.html"), f"{pod}:/usr/share/nginx/html/page.html")
    kubectl("cp", f"{pod}:/usr/share/nginx/html/page.html", str(tmp_path / "back.html"))
    assert (tmp_path / "back.html").read_text() == "copied in"
    follow = kubectl.popen("logs", "-f", pod)
    try:
        kubectl("exec", pod, "--", "busybox", "wget", "-qO-", "http://127.0.0.1/page.html")
        line = eventually(lambda: follow.stdout.readline() if follow.stdout else "")
        assert "GET /page.html" in line
    finally:
        follow.kill()
        follow.wait()
    assert "GET /page.html" in kubectl("logs", pod, "--tail=1")
    assert re.match(r"\d{4}-\d\d-\d\dT", kubectl("logs", pod, "--tail=1", "--timestamps"))


def test_attach_and_run_with_a_terminal(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    shown = kubectl.in_terminal(
        "run", "once", "--rm", "-it", "--image=busybox:1", "--restart=Never", "--", "sh",
        typed="echo from-$HOSTNAME\nexit\n",
    )
    assert "from-once" in shown
    eventually(lambda: "NotFound" in kubectl.fails("get", "pod", "once"))
    kubectl("run", "talker", "--image=busybox:1", "--restart=Never", "-i", "--leave-stdin-open=true", "--", "cat",
            stdin="spoken\n")
    eventually(lambda: "spoken" in kubectl("logs", "talker"))


def _serving(kubectl: Kubectl) -> list[str]:
    """The same, once each of them answers."""
    pods = _deployed(kubectl)
    for pod in pods:
        eventually(lambda pod=pod: kubectl("exec", pod, "--", "busybox", "wget", "-qO-", "http://127.0.0.1/"))
    return pods


def test_port_forward(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    _serving(kubectl)
    kubectl("expose", "deployment", "nginx-deployment", "--port=80")
    for target in ("deployment/nginx-deployment", "service/nginx-deployment"):
        forward = kubectl.popen("port-forward", target, ":80")
        try:
            assert forward.stdout is not None
            line = forward.stdout.readline()
            port = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert port, line
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/", timeout=60) as answer:
                    assert b"Welcome to nginx!" in answer.read()
        finally:
            forward.kill()
            forward.wait()


def test_older_clients_stream_over_spdy(each_kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = each_kubectl
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")
    pod = _serving(kubectl)[0]
    assert "fed through" in kubectl("exec", "-i", pod, "--", "cat", stdin="fed through\n")
    assert "exit code 7" in kubectl.fails("exec", pod, "--", "sh", "-c", "exit 7")
    forward = kubectl.popen("port-forward", pod, ":80")
    try:
        assert forward.stdout is not None
        port = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert port
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/", timeout=60) as answer:
            assert b"Welcome to nginx!" in answer.read()
    finally:
        forward.kill()
        forward.wait()


def test_rollout_history_undo_and_scale(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    _deployed(kubectl)
    first_hash = kubectl("get", "rs", "-o", "jsonpath={.items[0].metadata.labels.pod-template-hash}")
    kubectl("set", "image", "deployment/nginx-deployment", "nginx=nginx:1.9.1")
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    pods = kubectl.json("get", "pods", "-l", "app=nginx")["items"]
    live = [p for p in pods if not p["metadata"].get("deletionTimestamp")]
    assert {p["spec"]["containers"][0]["image"] for p in live} == {"nginx:1.9.1"}
    assert [row[0] for row in rows(kubectl("rollout", "history", "deployment/nginx-deployment"))[2:]] == ["1", "2"]
    kubectl("rollout", "undo", "deployment/nginx-deployment")
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    old = ("get", "pods", "-l", f"pod-template-hash={first_hash}", "-o", "name")
    eventually(lambda: kubectl(*old).count("pod/") == 2, what="the two, and none that is still ending")
    kubectl("scale", "deployment", "nginx-deployment", "--replicas=3")
    kubectl("wait", "deployment/nginx-deployment", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=140s")
    kubectl("rollout", "pause", "deployment/nginx-deployment")
    kubectl("rollout", "resume", "deployment/nginx-deployment")
    kubectl("rollout", "restart", "deployment/nginx-deployment")
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")


def test_label_annotate_patch_and_edit(each_kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = each_kubectl
    _deployed(kubectl)
    kubectl("label", "deployment", "nginx-deployment", "tier=web")
    kubectl("annotate", "deployment", "nginx-deployment", "note=hi")
    kubectl("patch", "deployment", "nginx-deployment", "--type=merge", "-p", '{"metadata":{"labels":{"merge":"1"}}}')
    kubectl("patch", "deployment", "nginx-deployment", "--type=json",
            "-p", '[{"op":"add","path":"/metadata/labels/json","value":"1"}]')
    container = {"name": "nginx", "env": [{"name": "A", "value": "b"}]}
    strategic = {"spec": {"template": {"spec": {"containers": [container]}}}}
    kubectl("patch", "deployment", "nginx-deployment", "-p", json.dumps(strategic))
    live = kubectl.json("get", "deployment", "nginx-deployment")
    assert {"tier": "web", "merge": "1", "json": "1"}.items() <= live["metadata"]["labels"].items()
    assert live["metadata"]["annotations"]["note"] == "hi"
    container = live["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "nginx:1.7.9"
    assert container["env"] == [{"name": "A", "value": "b"}]
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\nsed -i 's/note: hi/note: edited/' \"$1\"\n")
    editor.chmod(0o755)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))
    kubectl("edit", "deployment", "nginx-deployment")
    assert kubectl.json("get", "deployment", "nginx-deployment")["metadata"]["annotations"]["note"] == "edited"


def test_delete_wait_and_events(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    pods = _deployed(kubectl)
    eventually(lambda: "Created pod" in kubectl("events"))
    kubectl("delete", "pod", pods[0])
    eventually(lambda: pods[0] not in kubectl("get", "pods", "-o", "name"))
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    kubectl("delete", "deployment", "nginx-deployment", "--cascade=foreground", "--wait")
    assert not kubectl("get", "rs", "-o", "name")
    eventually(lambda: not kubectl("get", "pods", "-o", "name"))


def test_explain_discovery_and_access(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    assert "FIELD: replicas <integer>" in kubectl("explain", "deployment.spec.replicas")
    assert "containers" in kubectl("explain", "pod.spec", "--recursive")
    resources = kubectl("api-resources")
    for line in (r"deployments\s+deploy\s+apps/v1\s+true\s+Deployment", r"nodes\s+no\s+v1\s+false\s+Node"):
        assert re.search(line, resources)
    assert "apps/v1" in kubectl("api-versions")
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert "is running at" in kubectl("cluster-info")
    assert "kubernetes-admin" in kubectl("auth", "whoami")
