"""StatefulSets, DaemonSets, Jobs, and what limits disruption and use."""

from __future__ import annotations

from typing import Any

from tests.e2e.kubectl import Failed, Kubectl, eventually, rows
from tests.e2e.pods import CURL, FOREVER, apply, condition, container, events, get, pod, ready


def workload(kind: str, name: str, main: dict[str, Any] | str = FOREVER, **spec: Any) -> dict[str, Any]:
    """An apps/v1 object whose template is one busybox container."""
    template = {"metadata": {"labels": {"app": name}}, "spec": pod(name, main)["spec"]}
    return {
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template} | spec,
    }


def job(name: str, main: dict[str, Any] | str, **spec: Any) -> dict[str, Any]:
    template = {"spec": pod(name, main, restartPolicy="Never")["spec"]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template} | spec}


def _names(kubectl: Kubectl, app: str) -> list[str]:
    found = kubectl.json("get", "pods", "-l", f"app={app}")["items"]
    return sorted(one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"])


def test_a_stateful_set_goes_in_order_and_keeps_names(kubectl: Kubectl) -> None:
    late = container(
        "busybox usleep 500000; touch /tmp/up; sleep 3600",
        readinessProbe={"periodSeconds": 1, "exec": {"command": ["cat", "/tmp/up"]}},
    )
    headless = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"},
        "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"name": "sql", "port": 5432}]},
    }
    apply(kubectl, headless, workload("StatefulSet", "db", late, serviceName="db", replicas=3),
          pod("client", container(image=CURL)))
    kubectl("rollout", "status", "statefulset/db", "--timeout=140s")
    shown = {name: get(kubectl, name) for name in ("db-0", "db-1", "db-2")}
    ready_at = {name: condition(one, "Ready")["lastTransitionTime"] for name, one in shown.items()}
    for earlier, later in (("db-0", "db-1"), ("db-1", "db-2")):
        assert ready_at[earlier] <= shown[later]["metadata"]["creationTimestamp"], "not before the one before is ready"
    labels = shown["db-1"]["metadata"]["labels"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert labels["apps.kubernetes.io/pod-index"] == "1"
    assert kubectl("exec", "db-1", "--", "hostname").strip() == "db-1"
    name = f"db-1.db.{kubectl.namespace}.svc.cluster.local"
    eventually(lambda: shown["db-1"]["status"]["podIP"] in kubectl("exec", "client", "--", "busybox", "nslookup", name))

    uid = shown["db-1"]["metadata"]["uid"]
    kubectl("delete", "pod", "db-1")
    eventually(lambda: get(kubectl, "db-1")["metadata"]["uid"] != uid)
    kubectl("patch", "statefulset", "db", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}')
    kubectl("set", "env", "statefulset/db", "A=b")
    kubectl("rollout", "status", "statefulset/db", "--timeout=140s")
    fresh = {name: get(kubectl, name)["spec"]["containers"][0].get("env") for name in shown}
    assert fresh == {"db-0": None, "db-1": None, "db-2": [{"name": "A", "value": "b"}]}
    kubectl("scale", "statefulset", "db", "--replicas=1")
    eventually(lambda: _names(kubectl, "db") == ["db-0"])
    assert rows(kubectl("get", "statefulset", "db"))[0] == ["NAME", "READY", "AGE"]


def test_a_daemon_set_has_a_pod_on_every_node_that_fits(kubectl: Kubectl, cluster: str) -> None:
    node = f"{cluster}-1"
    kubectl("cordon", node)
    try:
        apply(kubectl, workload("DaemonSet", "agent"))
        kubectl("rollout", "status", "daemonset/agent", "--timeout=140s")
    finally:
        kubectl("uncordon", node)
    header, row = rows(kubectl("get", "daemonset", "agent"))
    assert header == ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE SELECTOR", "AGE"]
    assert row[1:7] == ["1", "1", "1", "1", "1", "<none>"]
    first = _names(kubectl, "agent")
    assert get(kubectl, first[0])["spec"]["nodeName"] == node
    kubectl("set", "env", "daemonset/agent", "A=b")
    kubectl("rollout", "status", "daemonset/agent", "--timeout=140s")
    assert _names(kubectl, "agent") != first
    assert [row[0] for row in rows(kubectl("rollout", "history", "daemonset/agent"))[2:]] == ["1", "2"]
    kubectl("patch", "daemonset", "agent", "-p", '{"spec":{"template":{"spec":{"nodeSelector":{"disk":"none"}}}}}')
    eventually(lambda: not _names(kubectl, "agent"))
    eventually(lambda: kubectl.json("get", "daemonset", "agent")["status"]["desiredNumberScheduled"] == 0)


def test_jobs(kubectl: Kubectl) -> None:
    cron = {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": job("x", "echo from cron")["spec"]}},
    }
    apply(
        kubectl,
        job("many", "true", completions=4, parallelism=2),
        job("indexed", "echo index $JOB_COMPLETION_INDEX $(hostname)", completions=2, parallelism=2,
            completionMode="Indexed"),
        job("bad", "exit 1", backoffLimit=0),
        job("slow", FOREVER, activeDeadlineSeconds=1),
        job("brief", "true", ttlSecondsAfterFinished=1),
        job("held", "true", suspend=True),
        cron,
    )
    kubectl("create", "job", "by-hand", "--from=cronjob/nightly")
    kubectl("wait", "--for=condition=Complete", "job/many", "job/indexed", "job/by-hand", "--timeout=140s")
    many = kubectl.json("get", "job", "many")["status"]
    assert (many["succeeded"], many.get("active", 0)) == (4, 0)
    assert {one["type"] for one in many["conditions"]} == {"SuccessCriteriaMet", "Complete"}
    assert rows(kubectl("get", "job", "many"))[1][1:3] == ["Complete", "4/4"]
    printed = kubectl("logs", "-l", "job-name=indexed", "--tail=-1").split("\n")
    assert sorted(line for line in printed if line) == ["index 0 indexed-0", "index 1 indexed-1"]
    assert kubectl.json("get", "job", "indexed")["status"]["completedIndexes"] == "0,1"
    kubectl("wait", "--for=condition=Failed", "job/bad", "job/slow", "--timeout=140s")
    bad = condition(kubectl.json("get", "job", "bad"), "Failed")
    assert (bad["reason"], bad["message"]) == (
        "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    )
    assert condition(kubectl.json("get", "job", "slow"), "Failed")["reason"] == "DeadlineExceeded"
    assert eventually(lambda: "SuccessfulCreate" in events(kubectl, "many"))
    eventually(lambda: "NotFound" in kubectl.fails("get", "job", "brief"))
    eventually(lambda: condition(kubectl.json("get", "job", "held"), "Suspended")["status"] == "True")
    assert not kubectl("get", "pods", "-l", "job-name=held", "-o", "name")
    kubectl("patch", "job", "held", "-p", '{"spec":{"suspend":false}}')
    kubectl("wait", "--for=condition=Complete", "job/held", "--timeout=140s")
    kubectl("delete", "job", "many")
    eventually(lambda: not kubectl("get", "pods", "-l", "job-name=many", "-o", "name"))


def test_a_budget_holds_a_drain_and_a_quota_holds_creation(kubectl: Kubectl, cluster: str) -> None:
    budget = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "guard"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "guarded"}}},
    }
    apply(kubectl, workload("Deployment", "guarded", replicas=2), budget)
    kubectl("rollout", "status", "deployment/guarded", "--timeout=140s")
    eventually(lambda: kubectl.json("get", "pdb", "guard")["status"].get("currentHealthy") == 2)
    assert rows(kubectl("get", "pdb", "guard"))[1][1:4] == ["2", "N/A", "0"]
    drain = ("drain", f"{cluster}-1", "--pod-selector=app=guarded", "--timeout=8s")
    try:
        refused = kubectl.fails(*drain)
        assert "Cannot evict pod as it would violate the pod's disruption budget." in refused
        kubectl("uncordon", f"{cluster}-1")
        kubectl("scale", "deployment", "guarded", "--replicas=3")
        eventually(lambda: kubectl.json("get", "pdb", "guard")["status"].get("disruptionsAllowed") == 1)
    finally:
        kubectl("uncordon", f"{cluster}-1")
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
        "spec": {"hard": {"pods": "3", "requests.cpu": "1"}},
    }
    apply(kubectl, quota)
    eventually(lambda: kubectl.json("get", "quota", "few")["status"].get("used", {}).get("pods") == "3")
    more = pod("more", container(resources={"requests": {"cpu": "100m"}}))
    try:
        apply(kubectl, more)
    except Failed as error:
        assert "exceeded quota: few, requested: pods=1, used: pods=3, limited: pods=3" in str(error)
    else:
        raise AssertionError("a fourth pod was let in")
    try:
        apply(kubectl, pod("unlimited"))
    except Failed as error:
        assert "failed quota: few: must specify requests.cpu for: main" in str(error)
    else:
        raise AssertionError("a pod without a request was let in")
    kubectl("scale", "deployment", "guarded", "--replicas=2")
    eventually(lambda: kubectl.json("get", "quota", "few")["status"]["used"]["pods"] == "2")
    apply(kubectl, more)
    ready(kubectl, "more")


def test_fifty_indexes_complete_although_some_fail_at_first(kubectl: Kubectl) -> None:
    """Every seventh index fails once and says so by its exit code; each is tried again for itself."""
    failures = "batch.kubernetes.io/job-index-failure-count"
    script = 'test $((JOB_COMPLETION_INDEX % 7)) -ne 0 || test "$FAILURES" != 0 || exit 3'
    before = {"name": "FAILURES", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{failures}']"}}}
    apply(kubectl, job(
        "fifty", container(script, env=[before]), completions=50, parallelism=8, completionMode="Indexed",
        backoffLimitPerIndex=1,
    ))
    kubectl("wait", "--for=condition=Complete", "job/fifty", "--timeout=450s", timeout_s=460)
    status = kubectl.json("get", "job", "fifty")["status"]
    assert (status["succeeded"], status["failed"], status["completedIndexes"]) == (50, 8, "0-49")
    assert status.get("failedIndexes", "") == "" and status["uncountedTerminatedPods"] == {}
    assert rows(kubectl("get", "job", "fifty"))[1][1:3] == ["Complete", "50/50"]
    pods = kubectl.json("get", "pods", "-l", "job-name=fifty")["items"]
    assert len(pods) == 58 and not any(one["metadata"].get("finalizers") for one in pods)
