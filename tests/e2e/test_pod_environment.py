"""What a container finds when it starts: variables, names, resolvers, identity, limits, namespaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import apply, container, ended, get, once, output, pod, ready, statuses

CGROUPS = Path("/sys/fs/cgroup")


def test_variables_and_expansion(kubectl: Kubectl) -> None:
    def field(path: str) -> dict[str, object]:
        return {"fieldRef": {"fieldPath": path}}

    def resource(name: str, divisor: str = "0") -> dict[str, object]:
        return {"resourceFieldRef": {"resource": name, "divisor": divisor}}

    env = [
        {"name": "A", "value": "one"}, {"name": "B", "value": "$(A)-two"}, {"name": "C", "value": "$$(A) $(NOT_THERE)"},
        {"name": "NAME", "valueFrom": field("metadata.name")},
        {"name": "LABEL", "valueFrom": field("metadata.labels['app']")},
        {"name": "HOST", "valueFrom": field("status.hostIP")}, {"name": "IP", "valueFrom": field("status.podIP")},
        {"name": "ACCOUNT", "valueFrom": field("spec.serviceAccountName")},
        {"name": "CPU", "valueFrom": resource("limits.cpu", "1m")},
        {"name": "MEMORY", "valueFrom": resource("limits.memory", "1Mi")},
        {"name": "WHOLE", "valueFrom": resource("requests.cpu")},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "one"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "word"}}},
        {"name": "NOT_NEEDED", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
    ]
    sources = [
        {"configMapRef": {"name": "settings"}}, {"prefix": "P_", "configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "none", "optional": True}},
    ]
    kubectl("create", "configmap", "settings", "--from-literal=one=1", "--from-literal=A=overridden")
    kubectl("create", "secret", "generic", "hidden", "--from-literal=word=xyzzy")
    kubectl("create", "service", "clusterip", "my-web", "--tcp=80:8080")
    limits = {"requests": {"cpu": "100m", "memory": "16Mi"}, "limits": {"cpu": "250m", "memory": "32Mi"}}
    apply(
        kubectl,
        once("seen", {"name": "main", "image": "busybox:1", "command": ["sh", "-c", "echo arg=$0; env; hostname"],
                      "args": ["$(B)"], "env": env, "envFrom": sources, "resources": limits}),
        once("missing", container(env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}])),
        once("no-links", "env", enableServiceLinks=False),
    )
    lines = output(kubectl, "seen").splitlines()
    shown = dict(line.split("=", 1) for line in lines if "=" in line)
    address = kubectl.json("get", "service", "my-web")["spec"]["clusterIP"]
    found = get(kubectl, "seen")
    assert lines[-1] == "seen"
    assert {
        "arg": "one-two", "A": "one", "B": "one-two", "C": "$(A) $(NOT_THERE)", "NAME": "seen", "LABEL": "seen",
        "ACCOUNT": "default", "CPU": "250", "MEMORY": "32", "WHOLE": "1", "KEY": "1", "SECRET": "xyzzy", "one": "1",
        "P_A": "overridden", "P_one": "1", "HOST": found["status"]["hostIP"],
        "MY_WEB_SERVICE_HOST": address, "MY_WEB_SERVICE_PORT": "80", "MY_WEB_PORT": f"tcp://{address}:80",
        "MY_WEB_PORT_80_TCP_ADDR": address, "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443",
        "HOSTNAME": "seen",
    }.items() <= shown.items()
    assert shown["IP"].startswith("10.244.")
    assert "NOT_NEEDED" not in shown
    assert "MY_WEB_SERVICE_HOST" not in output(kubectl, "no-links")
    assert "KUBERNETES_SERVICE_HOST" in output(kubectl, "no-links")
    waits = {"reason": "CreateContainerConfigError", "message": 'configmap "late" not found'}
    eventually(lambda: statuses(get(kubectl, "missing"))["main"]["state"]["waiting"] == waits, what=str(waits))
    eventually(lambda: "CreateContainerConfigError" in kubectl("get", "pod", "missing", "--no-headers"))


def test_hosts_and_resolver_files(kubectl: Kubectl) -> None:
    show = "cat /etc/hosts; echo ----; cat /etc/resolv.conf; echo ----; hostname; busybox hostname -f"
    own = {"nameservers": ["192.0.2.1"], "searches": ["own.example"], "options": [{"name": "ndots", "value": "2"}]}
    alias = [{"ip": "192.0.2.7", "hostnames": ["seven", "seven.example"]}]
    apply(
        kubectl,
        once("usual", show, hostAliases=alias, hostname="me", subdomain="family"),
        once("extended", show, dnsConfig=own),
        once("none", show, dnsPolicy="None", dnsConfig=own),
        once("from-node", show, dnsPolicy="Default"),
        once("on-host", show, hostNetwork=True),
        once("on-host-cluster-first", show, hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
    )
    names = ("usual", "extended", "none", "from-node", "on-host", "on-host-cluster-first")
    parts = {name: output(kubectl, name).split("----\n") for name in names}
    search = f"search {kubectl.namespace}.svc.cluster.local svc.cluster.local cluster.local"
    first = f"{search}\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert parts["usual"][1] == first
    assert parts["on-host-cluster-first"][1] == first
    assert parts["extended"][1] == (
        f"{search} own.example\nnameserver 10.96.0.10\nnameserver 192.0.2.1\noptions ndots:2\n"
    )
    assert parts["none"][1] == "search own.example\nnameserver 192.0.2.1\noptions ndots:2\n"
    for name in ("from-node", "on-host"):
        assert "cluster.local" not in parts[name][1]
        assert "10.96.0.10" not in parts[name][1]
    full = f"me.family.{kubectl.namespace}.svc.cluster.local"
    address = get(kubectl, "usual")["status"].get("podIP")
    assert parts["usual"][2].split() == ["me", full]
    assert parts["usual"][0].startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert f"\t{full}\tme\n" in parts["usual"][0]
    assert address is None or f"{address}\t{full}" in parts["usual"][0]
    assert parts["usual"][0].endswith("# Entries added by HostAliases.\n192.0.2.7\tseven\tseven.example\n")
    assert "# Kubernetes-managed hosts file (host network)." in parts["on-host"][0]
    host = get(kubectl, "on-host")
    assert host["status"]["hostIP"].startswith("172.30.0.")
    assert parts["on-host"][2].split() == [host["spec"]["nodeName"]] * 2, "in the node's network it has the node's name"


def test_limits_become_cgroups_and_memory_is_enforced(kubectl: Kubectl) -> None:
    limits = {"requests": {"cpu": "200m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    same = {"limits": {"cpu": "100m", "memory": "32Mi"}}
    apply(
        kubectl,
        pod("burstable", container(resources=limits), container(name="plain")),
        pod("guaranteed", container(resources=same)),
        pod("best-effort"),
        once("greedy", container("busybox dd if=/dev/zero of=/dev/null bs=80M count=1; busybox tail /dev/zero",
                                 resources={"limits": {"memory": "16Mi"}})),
    )
    ready(kubectl, "burstable", "guaranteed", "best-effort")
    for name, qos in (("burstable", "Burstable"), ("guaranteed", "Guaranteed"), ("best-effort", "BestEffort")):
        assert get(kubectl, name)["status"]["qosClass"] == qos
    assert get(kubectl, "guaranteed")["spec"]["containers"][0]["resources"]["requests"] == same["limits"]
    values = _cgroup_of(kubectl, "burstable")
    assert values == {"memory": str(64 << 20), "cpu": "50000 100000", "weight": _weight(204)}
    assert _cgroup_of(kubectl, "best-effort")["weight"] == _weight(2)
    scores = [int(kubectl("exec", name, "--", "cat", "/proc/1/oom_score_adj"))
              for name in ("guaranteed", "burstable", "best-effort")]
    assert scores[0] < scores[1] < scores[2] == 1000
    more = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "1", "memory": "96Mi"}}}]}}
    kubectl("patch", "pod", "burstable", "--subresource=resize", "-p", json.dumps(more))
    larger = {"memory": str(96 << 20), "cpu": "100000 100000", "weight": _weight(204)}
    eventually(lambda: _cgroup_of(kubectl, "burstable") == larger, what="resized")
    assert statuses(get(kubectl, "burstable"))["main"]["restartCount"] == 0, "in place"
    assert statuses(ended(kubectl, "greedy"))["main"]["state"]["terminated"]["exitCode"] == 137
    # The runtime may learn why after it has told of the end.
    eventually(lambda: statuses(get(kubectl, "greedy"))["main"]["state"]["terminated"]["reason"] == "OOMKilled")
    assert "OOMKilled" in kubectl("get", "pod", "greedy", "--no-headers")


def _is_v2() -> bool:
    return (CGROUPS / "cgroup.controllers").exists()


def _weight(shares: int) -> str:
    return str(1 + (shares - 2) * 9999 // 262142) if _is_v2() else str(shares)


def _cgroup_of(kubectl: Kubectl, name: str) -> dict[str, str]:
    """memory limit, cpu quota and period, and weight of a pod's main container, as the kernel has them."""
    run = statuses(get(kubectl, name))["main"]["containerID"].removeprefix("containerd://")

    def read(controller: str, file: str) -> str:
        base = CGROUPS if _is_v2() else CGROUPS / controller
        return next(base.glob(f"sampan/**/{run}/{file}")).read_text().strip()

    if _is_v2():
        return {"memory": read("", "memory.max"), "cpu": read("", "cpu.max"), "weight": read("", "cpu.weight")}
    quota, period = read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")
    return {
        "memory": read("memory", "memory.limit_in_bytes"), "cpu": f"{quota} {period}",
        "weight": read("cpu", "cpu.shares"),
    }


def test_security_contexts(kubectl: Kubectl) -> None:
    who = "id -u; id -g; id -G; grep -i -e capeff -e nonewprivs /proc/self/status | busybox awk '{print $2}'"
    who += "; touch /new 2>&1; echo rc=$?; echo x > /e/file; stat -c %g /e/file; stat -c %a /e"
    mount = {"volumeMounts": [{"name": "e", "mountPath": "/e"}]}
    locked = {
        "runAsUser": 1000, "runAsGroup": 2000, "runAsNonRoot": True, "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    apply(
        kubectl,
        once("locked", container(who, securityContext=locked, **mount), volumes=[{"name": "e", "emptyDir": {}}],
             securityContext={"fsGroup": 3000, "supplementalGroups": [4000]}),
        once("net-admin", container("busybox ip link set lo down && echo made",
                                    securityContext={"capabilities": {"add": ["NET_ADMIN"]}})),
        once("group-only", "id -u; id -g", securityContext={"runAsGroup": 5}),
        once("unprivileged", container("busybox ip link set lo down || echo refused")),
        once("privileged", container("test -e /dev/kmsg && echo devices", securityContext={"privileged": True})),
        pod("root", securityContext={"runAsNonRoot": True}),
        once("sysctl", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", securityContext={
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]}),
    )
    lines = output(kubectl, "locked").splitlines()
    assert lines[:3] == ["1000", "2000", "2000 3000 4000"] or lines[:3] == ["1000", "2000", "2000 4000 3000"]
    assert lines[3:5] == ["0000000000000000", "1"]
    assert "Read-only file system" in lines[5]
    assert lines[6:8] == ["rc=1", "3000"]
    assert lines[8] == "2777"
    assert "made" in output(kubectl, "net-admin")
    assert "refused" in output(kubectl, "unprivileged")
    assert output(kubectl, "group-only").split() == ["0", "5"]
    assert "devices" in output(kubectl, "privileged")
    assert output(kubectl, "sysctl") == "80\n"

    def refused() -> Any:
        waiting = statuses(get(kubectl, "root"))["main"]["state"]["waiting"]
        return waiting["reason"] == "CreateContainerConfigError" and waiting["message"]

    assert eventually(refused).startswith("container has runAsNonRoot and image will run as root (pod: \"root_")


def test_namespaces_that_are_shared(kubectl: Kubectl) -> None:
    apply(
        kubectl,
        pod("shared-pids", container("sleep 4321"), container(name="other"), shareProcessNamespace=True),
        pod("own-pids", container("sleep 4321"), container(name="other")),
        pod("on-host", hostNetwork=True, hostPID=True),
    )
    ready(kubectl, "shared-pids", "own-pids", "on-host")
    eventually(lambda: "sleep 4321" in kubectl("exec", "shared-pids", "-c", "other", "--", "busybox", "ps"))
    assert "sleep 4321" not in kubectl("exec", "own-pids", "-c", "other", "--", "busybox", "ps")
    shown = get(kubectl, "on-host")["status"]
    assert shown["podIP"] == shown["hostIP"]
    assert "containerd" in kubectl("exec", "on-host", "--", "busybox", "ps")
    assert shown["hostIP"] in kubectl("exec", "on-host", "--", "busybox", "ip", "-4", "addr")
