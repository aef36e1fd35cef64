"""What upstream's tests of sig-cli ask of kubectl, as far as it goes without running pods.

As tests/apiserver/test_kubectl.py: kubectl of two releases, HTTPS, authorisation and the sqlite store.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.apiserver.test_kubectl import KUBECTLS, Running

Call = Callable[..., str]
POD = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pause", "labels": {"name": "pause"}},
    "spec": {"containers": [{"name": "pause", "image": "pause:1", "ports": [{"containerPort": 80}]}]},
}
RC: dict[str, Any] = {
    "apiVersion": "v1", "kind": "ReplicationController",
    "metadata": {"name": "agnhost-primary", "labels": {"app": "agnhost", "role": "primary"}},
    "spec": {
        "replicas": 1, "selector": {"app": "agnhost", "role": "primary"},
        "template": {"metadata": {"labels": {"app": "agnhost", "role": "primary"}}, "spec": {"containers": [
            {"name": "agnhost-primary", "image": "agnhost:2",
             "ports": [{"name": "agnhost-server", "containerPort": 6379}]},
        ]}},
    },
}
SERVICE = {
    "apiVersion": "v1", "kind": "Service",
    "metadata": {"name": "agnhost-primary", "labels": {"app": "agnhost", "role": "primary"}},
    "spec": {
        "ports": [{"port": 6379, "targetPort": "agnhost-server"}], "selector": {"app": "agnhost", "role": "primary"},
    },
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = Running(tmp_path_factory.mktemp("kubectl"))
    found.begin()
    yield found
    found.end()


@pytest.fixture(params=KUBECTLS, ids=lambda path: "1.32" if path.startswith("/usr") else "1.37")
def program(request: pytest.FixtureRequest, running: Running, tmp_path: Any) -> list[str]:
    """kubectl with the arguments that every call has."""
    found = [request.param, "--kubeconfig", str(running.kubeconfig), "--cache-dir", str(tmp_path / "cache")]
    namespace = "n" + os.urandom(4).hex()
    subprocess.run([*found, "create", "namespace", namespace], check=True, capture_output=True, timeout=60)
    return [*found, "--namespace", namespace]


@pytest.fixture
def kubectl(program: list[str], tmp_path: Any) -> Call:
    """Standard output and error together."""

    def call(*arguments: str, given: Any = None, code: int | None = 0, **variables: str) -> str:
        text = given if given is None or isinstance(given, str) else json.dumps(given)
        done = subprocess.run(
            [*program, *arguments], input=text, text=True, capture_output=True, timeout=60, check=False,
            env={**os.environ, "HOME": str(tmp_path), **variables},
        )
        assert code is None or done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    return call


def found(kubectl: Call, *what: str) -> Any:
    return json.loads(kubectl("get", *what, "-o", "json"))


def test_versions_and_where_the_cluster_is(kubectl: Call) -> None:
    assert "v1" in kubectl("api-versions").splitlines()
    information = kubectl("cluster-info")
    assert "Kubernetes control plane" in information and "is running at" in information
    version = kubectl("version")
    for side in ("Client", "Server"):
        assert re.search(rf"{side} Version: v\d+\.\d+\.\d+", version)
    both, _ = json.JSONDecoder().raw_decode(kubectl("version", "-o", "json"))  # a warning may follow
    assert both["serverVersion"]["major"] == "1" and both["serverVersion"]["gitVersion"].startswith("v1.37")


def test_a_dump_of_the_cluster(kubectl: Call, tmp_path: Any) -> None:
    kubectl("create", "-f", "-", given=POD)
    kubectl("cluster-info", "dump", "--output-directory", str(tmp_path / "dump"), "--all-namespaces")
    assert (tmp_path / "dump" / "nodes.json").exists() and list((tmp_path / "dump").glob("n*/pods.json"))


def test_a_controller_is_applied_again_and_keeps_what_others_set(kubectl: Call) -> None:
    kubectl("create", "-f", "-", given=RC)
    changed = {**RC, "metadata": {**RC["metadata"], "annotations": {"kubectl.kubernetes.io/x": "modified"}}}
    assert "configured" in kubectl("apply", "-f", "-", given=changed)
    assert found(kubectl, "rc", "agnhost-primary")["metadata"]["annotations"]["kubectl.kubernetes.io/x"] == "modified"


def test_an_applied_service_keeps_its_node_port(kubectl: Call) -> None:
    service = {**SERVICE, "spec": {**SERVICE["spec"], "type": "NodePort"}}  # type: ignore[dict-item]
    kubectl("apply", "-f", "-", given=service)
    before = found(kubectl, "service", "agnhost-primary")["spec"]["ports"][0]["nodePort"]
    assert "agnhost-primary" in kubectl("apply", "-f", "-", given=service)
    assert found(kubectl, "service", "agnhost-primary")["spec"]["ports"][0]["nodePort"] == before


def test_what_was_applied_last_is_shown_and_replaced(kubectl: Call) -> None:
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    kubectl("apply", "-f", "-", given=applied)
    assert "a: \"1\"" in kubectl("apply", "view-last-applied", "configmap/c", "-o", "yaml")
    kubectl("apply", "set-last-applied", "-f", "-", given={**applied, "data": {"b": "2"}})
    assert json.loads(kubectl("apply", "view-last-applied", "configmap/c", "-o", "json"))["data"] == {"b": "2"}
    kubectl("apply", "-f", "-", given={**applied, "data": {"b": "3"}})
    assert found(kubectl, "configmap", "c")["data"] == {"a": "1", "b": "3"}


def test_a_difference_is_found_and_said_by_the_exit_code(kubectl: Call) -> None:
    deployment = yaml.safe_load(kubectl(
        "create", "deployment", "httpd-deployment", "--image=httpd:2.4.38", "--dry-run=client", "-o", "yaml"
    ))
    kubectl("apply", "-f", "-", given=deployment)
    assert kubectl("diff", "-f", "-", given=deployment) == ""
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:1.29"
    shown = kubectl("diff", "-f", "-", given=deployment, code=1)
    lines = shown.splitlines()
    assert any(re.match(r"-\s+- image: .*httpd", line) for line in lines), shown
    assert any(re.match(r"\+\s+- image: .*busybox", line) for line in lines)


def test_a_dry_run_on_the_server_changes_nothing(kubectl: Call) -> None:
    kubectl("run", "e2e-test-httpd-pod", "--image=httpd:1", "--labels=run=e2e-test-httpd-pod")
    patch = '{"spec":{"containers":[{"name": "e2e-test-httpd-pod","image": "busybox:1"}]}}'
    assert "patched" in kubectl("patch", "pod", "e2e-test-httpd-pod", "-p", patch, "--dry-run=server")
    pod = found(kubectl, "pod", "e2e-test-httpd-pod")
    assert pod["spec"]["containers"][0]["image"] == "httpd:1"


def test_a_pod_is_run_and_its_image_replaced(kubectl: Call) -> None:
    kubectl("run", "e2e-test-httpd-pod", "--image=httpd:1", "--restart=Never", "--labels=run=e2e-test-httpd-pod")
    pod = found(kubectl, "pod", "e2e-test-httpd-pod")
    assert pod["spec"]["restartPolicy"] == "Never"
    [container] = pod["spec"]["containers"]
    assert (container["name"], container["image"]) == ("e2e-test-httpd-pod", "httpd:1")
    pod["spec"]["containers"][0]["image"] = "busybox:1"
    assert "replaced" in kubectl("replace", "-f", "-", given=pod)
    assert found(kubectl, "pod", "e2e-test-httpd-pod")["spec"]["containers"][0]["image"] == "busybox:1"
    other = {**POD, "metadata": {"name": "e2e-test-httpd-pod"}}
    assert "replaced" in kubectl("replace", "--force", "-f", "-", given=other)
    assert found(kubectl, "pod", "e2e-test-httpd-pod")["metadata"]["uid"] != pod["metadata"]["uid"]


def test_what_describe_says(kubectl: Call) -> None:
    kubectl("create", "-f", "-", given=RC)
    kubectl("create", "-f", "-", given=SERVICE)
    kubectl("create", "-f", "-", given=POD)
    wanted = {
        ("pod", "pause"): ("Name:", "Namespace:", "Labels:", "Annotations:", "Status:", "Containers:", "Image:", "IP:"),
        ("rc", "agnhost-primary"): (
            "Name:", "Selector:", "app=agnhost,role=primary", "Labels:", "Replicas:", "Pods Status:", "Pod Template:",
            "Image:", "Port:",
        ),
        ("service", "agnhost-primary"): (
            "Name:", "Labels:", "Annotations:", "Selector:", "app=agnhost,role=primary", "Type:", "ClusterIP", "IP:",
            "Port:", "6379/TCP", "TargetPort:", "agnhost-server/TCP", "Endpoints:", "Session Affinity:",
        ),
        ("namespace", "default"): ("Name:", "Labels:", "Status:", "Active"),
    }
    for what, words in wanted.items():
        shown = kubectl("describe", *what)
        missing = [word for word in words if word not in shown]
        assert not missing, (missing, shown)
    cron = yaml.safe_load(kubectl(
        "create", "cronjob", "c", "--image=i", "--schedule=*/1 * * * *", "--dry-run=client", "-o", "yaml"
    ))
    kubectl("create", "-f", "-", given=cron)
    described = kubectl("describe", "cronjob", "c")
    for word in ("Name:", "Schedule:", "Concurrency Policy:", "Suspend:", "Parallelism:", "Completions:",
                 "Pod Template:", "Image:", "Last Schedule Time:", "Active Jobs:", "Events:"):
        assert word in described


def test_services_are_made_of_controllers_and_of_services(kubectl: Call) -> None:
    kubectl("create", "-f", "-", given=RC)
    kubectl("expose", "rc", "agnhost-primary", "--name=rm2", "--port=1234", "--target-port=6379")
    kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        service = found(kubectl, "service", name)
        [shown] = service["spec"]["ports"]
        assert (shown["port"], shown["targetPort"]) == (port, 6379)
        assert service["spec"]["selector"] == RC["spec"]["selector"]


def test_labels_come_and_go(kubectl: Call) -> None:
    kubectl("create", "-f", "-", given=POD)
    kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert kubectl("get", "pods", "-l", "testing-label", "-o", "name").strip() == "pod/pause"
    kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "pause", "-L", "testing-label")


def test_annotations_are_patched_in(kubectl: Call) -> None:
    kubectl("create", "-f", "-", given=POD)
    kubectl("patch", "pod", "pause", "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert found(kubectl, "pod", "pause")["metadata"]["annotations"]["x"] == "y"


def test_quotas_have_the_scopes_that_exist(kubectl: Call) -> None:
    kubectl("create", "quota", "million", "--hard=pods=1000000,services=1000000")
    assert found(kubectl, "quota", "million")["spec"] == {"hard": {"pods": "1M", "services": "1M"}}
    kubectl("create", "quota", "scopes", "--hard=pods=1000000", "--scopes=BestEffort,NotTerminating")
    assert sorted(found(kubectl, "quota", "scopes")["spec"]["scopes"]) == ["BestEffort", "NotTerminating"]
    refused = kubectl("create", "quota", "scopes2", "--hard=hard=pods=1000000", "--scopes=Nosuchscope", code=1)
    assert "error" in refused.lower()
    refused = kubectl("create", "quota", "scopes2", "--hard=pods=1000000", "--scopes=Nosuchscope", code=1)
    assert "unsupported scope" in refused.lower() or "Nosuchscope" in refused


def test_jobs_and_the_timetables_of_jobs(kubectl: Call) -> None:
    kubectl("create", "cronjob", "e2e-test-echo-cronjob", "--schedule=*/5 * * * ?", "--image=busybox:1", "--", "true")
    made = found(kubectl, "cronjob", "e2e-test-echo-cronjob")["spec"]
    assert made["schedule"] == "*/5 * * * ?"
    container = made["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["command"]) == ("busybox:1", ["true"])
    kubectl("create", "job", "by-hand", "--from=cronjob/e2e-test-echo-cronjob")
    job = found(kubectl, "job", "by-hand")
    assert job["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
    kubectl("create", "job", "plain", "--image=busybox:1", "--", "date")
    assert found(kubectl, "job", "plain")["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_taints_are_set_and_removed(kubectl: Call) -> None:
    name = "node-" + os.urandom(3).hex()
    kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    kubectl("taint", "nodes", name, "kubernetes.io/e2e-taint=testing:NoSchedule")
    shown = kubectl("describe", "node", name)
    assert "kubernetes.io/e2e-taint=testing:NoSchedule" in shown
    kubectl("taint", "nodes", name, "kubernetes.io/e2e-taint=another:PreferNoSchedule")
    kubectl("taint", "nodes", name, "kubernetes.io/e2e-taint-")
    assert "e2e-taint" not in kubectl("describe", "node", name)
    for word in ("Name:", "Labels:", "Annotations:", "CreationTimestamp", "System Info:"):
        assert word in shown
    kubectl("delete", "node", name)


def test_what_a_user_may_do(kubectl: Call) -> None:
    kubectl("create", "serviceaccount", "worker")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reads", "--role=reader", "--serviceaccount=default:worker")
    assert "yes" in kubectl("auth", "can-i", "--as=system:serviceaccount:default:worker", "list", "pods")
    assert "no" in kubectl("auth", "can-i", "--as=system:serviceaccount:default:worker", "delete", "pods", code=1)
    assert "pods" in kubectl("auth", "can-i", "--list", "--as=system:serviceaccount:default:worker")
    assert "kubernetes-admin" in kubectl("auth", "whoami")


def test_component_statuses_are_shown(kubectl: Call) -> None:
    assert "Healthy" in kubectl("get", "componentstatuses", "etcd-0")


def test_events_are_listed_by_their_object(kubectl: Call) -> None:
    kubectl("create", "-f", "-", given=POD)
    pod = found(kubectl, "pod", "pause")["metadata"]
    kubectl("create", "-f", "-", given={
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "pause.1"}, "reason": "Testing", "type": "Normal",
        "message": "seen", "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1, "source": {"component": "test"}, "involvedObject": {
            "kind": "Pod", "apiVersion": "v1", "name": "pause", "namespace": pod["namespace"], "uid": pod["uid"],
        },
    })
    assert "Testing" in kubectl("events", "--for", "pod/pause")
    assert "Testing" in kubectl("describe", "pod", "pause")
    assert "No events found" in kubectl("events", "--for", "pod/other")


def test_deletion_by_label_and_of_all(kubectl: Call) -> None:
    for name in ("a", "b"):
        kubectl("create", "configmap", name)
        kubectl("label", "configmap", name, "kind=mine")
    assert kubectl("delete", "configmap", "-l", "kind=mine").count("deleted") == 2
    kubectl("create", "-f", "-", given=POD)
    assert "deleted" in kubectl("delete", "pod", "--all", "--grace-period=0", "--force")
    assert "NotFound" in kubectl("get", "pod", "pause", code=1)


def test_a_rollout_is_undone_and_restarted(kubectl: Call) -> None:
    kubectl("create", "deployment", "web", "--image=nginx:1")
    kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    assert found(kubectl, "deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert "restarted" in kubectl("rollout", "restart", "deployment/web")
    annotations = found(kubectl, "deployment", "web")["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations
    assert "paused" in kubectl("rollout", "pause", "deployment/web")
    assert "resumed" in kubectl("rollout", "resume", "deployment/web")
    assert "autoscaled" in kubectl("autoscale", "deployment/web", "--max=3")


def crd(plural: str, kind: str, schema: Any) -> Any:
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.cli.example.com"},
        "spec": {"group": "cli.example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]},
    }


FOO = {"description": "Foo CRD for Testing", "type": "object", "properties": {
    "spec": {"type": "object", "description": "Specification of Foo", "properties": {
        "bars": {"description": "List of Bars and their specs.", "type": "array", "items": {
            "type": "object", "required": ["name"], "properties": {
                "name": {"description": "Name of Bar.", "type": "string"},
                "age": {"description": "Age of Bar.", "type": "string"},
                "bazs": {"description": "List of Bazs.", "items": {"type": "string"}, "type": "array"},
            },
        }},
    }},
    "status": {"type": "object", "description": "Status of Foo"},
}}
KEPT = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CUSTOM: dict[str, tuple[str, Any]] = {
    "typed": ("Foo", FOO), "atroot": ("Root", KEPT),
    "nested": ("Nested", {"type": "object", "properties": {"spec": {**KEPT, "description": "Spec of it"}}}),
}


@pytest.mark.parametrize("sort", list(CUSTOM))
def test_custom_resources_are_validated_and_explained(kubectl: Call, sort: str) -> None:
    kind, schema = CUSTOM[sort]
    plural = sort + os.urandom(2).hex()
    kind = kind + plural[-4:]
    kubectl("create", "-f", "-", given=crd(plural, kind, schema))
    kubectl("wait", "--for=condition=Established", f"crd/{plural}.cli.example.com", "--timeout=60s")
    meta = {"apiVersion": "cli.example.com/v1", "kind": kind, "metadata": {"name": "test-foo"}}
    good = {**meta, "spec": {"bars": [{"name": "test-bar"}]}}
    for verb in ("create", "apply", "delete"):
        assert "test-foo" in kubectl(verb, "-f", "-", given=good)
    strange = {**meta, "spec": {"bars": [{"name": "test-bar"}], "foo": True}}
    missing = {**meta, "spec": {"bars": [{"age": "10"}]}}
    deadline = threading.Event()
    for _ in range(50):  # kubectl reads the published schema, which follows a moment later
        if "KIND:" in kubectl("explain", plural, code=None):
            break
        deadline.wait(0.2)
    if sort == "typed":
        for verb in ("create", "apply"):
            assert 'unknown field "spec.foo"' in kubectl(verb, "-f", "-", given=strange, code=1)
            assert "spec.bars[0].name: Required value" in kubectl(verb, "-f", "-", given=missing, code=1)
        shown = kubectl("explain", plural)
        assert re.search(r"(?s)DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines"
                         r".*spec.*<Object>.*Specification of Foo", shown)
        assert re.search(r"(?s)DESCRIPTION:.*ObjectMeta is metadata that all.*FIELDS:.*creationTimestamp.*<string>"
                         r".*CreationTimestamp is a timestamp", kubectl("explain", f"{plural}.metadata"))
        assert re.search(r"(?s)FIELDS:.*bars.*<\[\]Object>.*List of Bars and their specs",
                         kubectl("explain", f"{plural}.spec"))
        assert re.search(r"(?s)FIELDS:.*age.*<string>.*Age of Bar.*bazs.*<\[\]string>.*List of Bazs"
                         r".*name.*<string>.*Name of Bar", kubectl("explain", f"{plural}.spec.bars"))
        assert "does not exist" in kubectl("explain", f"{plural}.spec.bars2", code=1)
    else:
        for verb in ("create", "apply", "delete"):
            assert "test-foo" in kubectl(verb, "-f", "-", given=strange)
        assert re.search(rf"(?s)KIND:.*{kind}", kubectl("explain", plural))
        if sort == "nested":
            assert "Spec of it" in kubectl("explain", f"{plural}.spec")
    kubectl("delete", "crd", f"{plural}.cli.example.com")


def test_an_applyset_prunes_what_it_holds_no_more(kubectl: Call) -> None:
    def manifest(*names: str) -> str:
        return "---\n".join(
            yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}) for name in names
        )

    def names() -> list[str]:
        return [one["metadata"]["name"] for one in found(kubectl, "configmaps")["items"]]

    for wanted in (("cm1", "cm2"), ("cm1",), ("cm1",)):
        kubectl("apply", "--prune", "--applyset=applyset1", "-f", "-", given=manifest(*wanted), KUBECTL_APPLYSET="true")
        assert names() == list(wanted)


def test_waiting_for_the_end_of_what_is_not_there(kubectl: Call) -> None:
    kubectl("wait", "--for=delete", "pod/doesnotexist")
    kubectl("wait", "--for=delete", "pod", "--selector=app.kubernetes.io/name=noexist")


def test_a_subresource_is_got_of_one_object(kubectl: Call) -> None:
    kubectl("create", "-f", "-", given=POD)
    shape = "jsonpath={.metadata.name}{.status.phase}"
    whole = kubectl("get", "pod", "pause", "-o", shape)
    assert kubectl("get", "pod", "pause", "-o", shape, "--subresource=status") == whole == "pausePending"
    refused = kubectl("get", "pods", "--subresource=status", code=1)
    assert "subresource cannot be used when bulk resources are specified" in refused


def test_unknown_metadata_is_refused_where_it_stands(kubectl: Call) -> None:
    plural = "embedded" + os.urandom(2).hex()
    template = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"metadata": {
        "type": "object", "properties": {"name": {"type": "string"}},
    }}}
    spec = {"type": "object", "properties": {"template": template}}
    kubectl("create", "-f", "-", given=crd(plural, plural.title(), {"type": "object", "properties": {"spec": spec}}))
    kubectl("wait", "--for=condition=Established", f"crd/{plural}.cli.example.com", "--timeout=60s")

    def made(root: Any, inner: Any) -> Any:
        return {
            "apiVersion": "cli.example.com/v1", "kind": plural.title(), "metadata": {"name": "x", **root},
            "spec": {"template": {"apiVersion": "foo/v1", "kind": "Sub", "metadata": {
                "name": "subobject", "namespace": "default", **inner,
            }}},
        }

    refused = kubectl("create", "--validate=true", "-f", "-", given=made({"unknownMeta": "foo"}, {}), code=1)
    assert 'unknown field "metadata.unknownMeta"' in refused and 'metadata.namespace"' not in refused
    refused = kubectl("create", "--validate=true", "-f", "-", given=made({}, {"unknownMetaEmbedded": "bar"}), code=1)
    assert 'unknown field "spec.template.metadata.unknownMetaEmbedded"' in refused
    assert 'metadata.namespace"' not in refused
    kubectl("create", "--validate=true", "-f", "-", given=made({}, {}))
    kubectl("delete", "crd", f"{plural}.cli.example.com")


def test_a_proxy_answers_on_a_port_and_on_a_socket(program: list[str], tmp_path: Any) -> None:
    path = str(tmp_path / "proxy.sock")
    for arguments in (["--port=0", "--disable-filter"], [f"--unix-socket={path}"]):
        process = subprocess.Popen([*program, "proxy", *arguments], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            connection: http.client.HTTPConnection = http.client.HTTPConnection("localhost", timeout=60)
            if "--port=0" in arguments:
                port = re.search(r":([0-9]+)$", line.strip())
                assert port is not None
                connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=60)
            else:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(20)
                connection.sock.connect(path)
            connection.request("GET", "/api/", headers={"host": "localhost"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            assert answer.status == 200 and body["versions"] == ["v1"]
            connection.close()
        finally:
            process.terminate()
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()
