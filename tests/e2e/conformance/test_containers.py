"""sig-node: what a container finds: its command, variables, files of the node's making, users and rights."""

from __future__ import annotations

import asyncio
import base64
import json

from tests.e2e.conformance.board import case
from tests.e2e.conformance.space import Object, Space, condition, container, once, pod, program, status, waiting

from sampan.api.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES
from sampan.apimachinery import errors


def field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def resource(name: str, what: str, **more: str) -> Object:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": what, **more}}}


@case
async def test_commands_and_arguments(space: Space) -> None:
    """Containers: the image's defaults, and what overrides which part of them."""
    say = ["python3", "-S", "-u", "/agnhost.py", "args"]
    outputs = await asyncio.gather(
        space.output(once("args", program("args", "over", "ridden"))),
        space.output(once("command", {**container(), "command": say})),
        space.output(once("both", {**container(), "command": say, "args": ["a", "$(X)", "$$(X)", "$(NONE)"],
                                   "env": [{"name": "X", "value": "x"}]})),
    )
    assert [json.loads(one) for one in outputs] == [["over", "ridden"], [], ["a", "x", "$(X)", "$(NONE)"]]


@case
async def test_variables(space: Space) -> None:
    """Downward API, ConfigMaps, Secrets, Services and composed variables in the environment."""
    await space.create(CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"data-1": "one", "data_2": "two"}})
    await space.create(SECRETS, {"metadata": {"name": "s"}, "data": {"key": base64.b64encode(b"hush").decode()}})
    service = await space.create(SERVICES, {"metadata": {"name": "fooservice"}, "spec": {
        "ports": [{"port": 8765, "targetPort": 8080}], "selector": {"app": "none"}}})
    node = await space.node(space.nodes[0])
    allocatable = node["status"]["allocatable"]
    limited = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    variables = [
        field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"),
        field("POD_UID", "metadata.uid"), field("POD_IP", "status.podIP"), field("HOST_IP", "status.hostIP"),
        field("HOST_IPS", "status.hostIPs"), field("NODE", "spec.nodeName"), field("LABEL", "metadata.labels['a']"),
        resource("CPU_LIMIT", "limits.cpu"), resource("MEMORY_LIMIT", "limits.memory"),
        resource("CPU_REQUEST", "requests.cpu", divisor="1m"), resource("MEMORY_REQUEST", "requests.memory"),
        {"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "data-1"}}},
        {"name": "HUSH", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "key", "optional": True}}},
        {"name": "COMPOSED", "value": "$(ONE);;$(HUSH)"},
    ]
    sources = [{"prefix": "p_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "s"}}]
    first, second = await asyncio.gather(
        space.output(once("full", container("env", env=variables, envFrom=sources, resources=limited),
                          labels={"a": "b"}, nodeName=space.nodes[0])),
        space.output(once("defaults", container("env", env=[
            resource("CPU_LIMIT", "limits.cpu"), resource("MEMORY_LIMIT", "limits.memory")]), nodeName=space.nodes[0])),
    )
    env = dict(line.split("=", 1) for line in first.splitlines() if "=" in line)
    shown = await space.get(PODS, "full")
    address = node["status"]["addresses"][0]["address"]
    cluster_ip = service["spec"]["clusterIP"]
    wanted = {
        "POD_NAME": "full", "POD_NAMESPACE": space.name, "POD_UID": shown["metadata"]["uid"],
        "POD_IP": shown["status"]["podIP"], "HOST_IP": address, "HOST_IPS": address, "NODE": space.nodes[0],
        "LABEL": "b", "CPU_LIMIT": "2", "MEMORY_LIMIT": str(64 * 2**20), "CPU_REQUEST": "250",
        "MEMORY_REQUEST": str(32 * 2**20), "ONE": "one", "HUSH": "hush", "COMPOSED": "one;;hush",
        "p_data_2": "two", "key": "hush", "FOOSERVICE_SERVICE_HOST": cluster_ip, "FOOSERVICE_SERVICE_PORT": "8765",
        "FOOSERVICE_PORT": f"tcp://{cluster_ip}:8765", "FOOSERVICE_PORT_8765_TCP_PORT": "8765",
        "FOOSERVICE_PORT_8765_TCP_PROTO": "tcp", "FOOSERVICE_PORT_8765_TCP": f"tcp://{cluster_ip}:8765",
        "FOOSERVICE_PORT_8765_TCP_ADDR": cluster_ip, "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    }
    assert {key: env.get(key) for key in wanted} == wanted and "MAYBE" not in env
    defaults = dict(line.split("=", 1) for line in second.splitlines() if "=" in line)
    assert defaults["CPU_LIMIT"] == allocatable["cpu"]
    assert defaults["MEMORY_LIMIT"] == str(int(allocatable["memory"].removesuffix("Ki")) * 1024)


@case
async def test_what_is_missing_is_said(space: Space) -> None:
    """A reference to nothing keeps the container waiting, and bad keys are refused."""
    await space.create(CONFIG_MAPS, {"metadata": {"name": "m"}, "data": {"a": "b"}})
    variable = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "nothing"}}}
    await space.create(PODS, pod("key", container(env=[variable])))
    await space.create(PODS, pod("map", container(envFrom=[{"secretRef": {"name": "gone"}}])))
    shown = await space.until(PODS, "key", lambda p: waiting(p) == "CreateContainerConfigError")
    assert status(shown)["state"]["waiting"]["message"] == (
        f"couldn't find key nothing in ConfigMap {space.name}/m")
    await space.event("map", "Failed", 'Error: secret "gone" not found')
    for kind in (CONFIG_MAPS, SECRETS):
        try:
            await space.create(kind, {"metadata": {"name": "empty"}, "data": {"": ""}})
        except errors.Invalid as error:
            assert "must consist of alphanumeric characters" in error.message
        else:
            raise AssertionError("an empty key was taken")


@case
async def test_users_and_groups(space: Space) -> None:
    """Security Context: users, groups, who may not be root, privileges."""
    def user(**context: int) -> Object:
        return container("id", securityContext=context)

    escalation = container("grep NoNewPrivs /proc/self/status 2>/dev/null || cat /proc/self/status",
                           securityContext={"allowPrivilegeEscalation": False, "runAsUser": 1000})
    outputs = await asyncio.gather(
        space.output(once("container", user(runAsUser=1001, runAsGroup=2002))),
        space.output(once("pod", container("id"), securityContext={
            "runAsUser": 1001, "runAsGroup": 2002, "fsGroup": 69, "supplementalGroups": [1234, 5678]})),
        space.output(once("overrides", user(runAsUser=65534), securityContext={"runAsUser": 1001})),
        space.output(once("escalation", escalation)),
        space.output(once("caps", container("cat /proc/self/status", securityContext={
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}))),
        space.output(once("root", container("cat /proc/self/status", securityContext={"privileged": True}))),
        space.output(once("seccomp", container("cat /proc/self/status", securityContext={
            "seccompProfile": {"type": "RuntimeDefault"}}))),
    )
    assert outputs[0].startswith("uid=1001 gid=2002")
    assert outputs[1].startswith("uid=1001 gid=2002") and all(g in outputs[1] for g in ("69", "1234", "5678"))
    assert outputs[2].startswith("uid=65534")
    assert "NoNewPrivs:\t1" in outputs[3]
    assert f"CapEff:\t{1 << 10:016x}" in outputs[4]
    assert "CapEff:\t0000" in outputs[5] and "CapEff:\t00000000a80425fb" not in outputs[5]
    assert "Seccomp:\t2" in outputs[6] and "Seccomp:\t0" in outputs[5]
    await space.create(PODS, once("nonroot", container("id", securityContext={"runAsNonRoot": True})))
    shown = await space.until(PODS, "nonroot", lambda p: waiting(p) == "CreateContainerConfigError")
    assert "container has runAsNonRoot and image will run as root" in status(shown)["state"]["waiting"]["message"]


@case
async def test_file_systems(space: Space) -> None:
    """A root file system that cannot be written to, one that can, masked and unmasked files of /proc."""
    readonly = container("echo x >/file && echo written; true", securityContext={"readOnlyRootFilesystem": True})
    outputs = await asyncio.gather(
        space.output(once("readonly", readonly)), space.output(once("writable", "echo x >/file && cat /file")),
        space.output(once("masked", "ls -ld /proc/sys; echo 1 >/proc/sys/kernel/panic && echo set; true")),
    )
    assert "written" not in outputs[0] and outputs[1] == "x\n" and "set" not in outputs[2].splitlines()


@case
async def test_sysctls(space: Space) -> None:
    safe = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    out = await space.output(once("safe", "cat /proc/sys/kernel/shm_rmid_forced", securityContext=safe))
    assert out == "1\n"
    unsafe = {"sysctls": [{"name": "kernel.msgmax", "value": "10000000000"}]}
    await space.create(PODS, once("unsafe", "true", securityContext=unsafe))
    shown = await space.ended("unsafe")
    assert (shown["status"]["phase"], shown["status"]["reason"]) == ("Failed", "SysctlForbidden")
    await space.event("unsafe", "SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted')
    bad = {"sysctls": [{"name": "foo-", "value": "bar"}, {"name": "kernel.shmmax", "value": "1"},
                       {"name": "bar..", "value": "42"}]}
    try:
        await space.create(PODS, once("bad", "true", securityContext=bad))
    except errors.Invalid as error:
        assert 'Invalid value: "foo-"' in error.message and 'Invalid value: "bar.."' in error.message
        assert "kernel.shmmax" not in error.message
    else:
        raise AssertionError("sysctls that are none were taken")


@case
async def test_namespaces_of_the_node(space: Space) -> None:
    """hostNetwork, hostPID, hostIPC, shareProcessNamespace; a pod in the node's network has the node's name."""
    node = space.nodes[1]
    shared, host = pod("shared", "exec sleep 1234", container("exec sleep 4321", name="other")), pod("host")
    shared["spec"]["shareProcessNamespace"] = True
    host["spec"] |= {"hostNetwork": True, "hostPID": True, "hostIPC": True, "nodeName": node}
    await space.start(shared, host)
    seen = await space.says("shared", "ps")
    assert "sleep 1234" in seen and "sleep 4321" in seen
    assert (await space.says("host", "hostname")).strip() == node
    assert (await space.get(PODS, "host"))["status"]["podIP"] == (await space.addresses())[1]
    assert "containerd" in await space.says("host", "ps")
    assert "(host network)" in await space.says("host", "cat /etc/hosts")


@case
async def test_names_and_resolver_files(space: Space) -> None:
    """hostAliases, hostname, subdomain, setHostnameAsFQDN, dnsPolicy, dnsConfig, managed /etc/hosts."""
    own_hosts = container(name="own", volumeMounts=[{"name": "h", "mountPath": "/etc/hosts", "subPath": "hosts"}])
    host_volume = [{"name": "h", "hostPath": {"path": "/etc"}}]
    await space.start(
        pod("aliases", container(), own_hosts, volumes=host_volume, hostname="short", subdomain="sub",
            hostAliases=[{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]),
        pod("fqdn", hostname="h", subdomain="sub", setHostnameAsFQDN=True),
        pod("none", dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"],
                                                 "options": [{"name": "ndots", "value": "2"}]}),
        pod("default", dnsPolicy="Default"),
        pod("withhost", hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
    )
    hosts = await space.says("aliases", "cat /etc/hosts")
    ip = (await space.get(PODS, "aliases"))["status"]["podIP"]
    assert hosts.startswith("# Kubernetes-managed hosts file.\n")
    assert f"{ip}\tshort.sub.{space.name}.svc.cluster.local\tshort\n" in hosts
    assert "\n# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n" in hosts
    assert "# Kubernetes-managed" not in await space.says("aliases", "cat /etc/hosts", container="own")
    assert await space.says("aliases", "hostname") == "short\n"
    assert await space.says("fqdn", "hostname") == f"h.sub.{space.name}.svc.cluster.local\n"
    none = await space.says("none", "cat /etc/resolv.conf")
    assert set(none.split("\n")) >= {"nameserver 1.1.1.1", "search resolv.conf.local", "options ndots:2"}
    assert "10.96.0.10" not in await space.says("default", "cat /etc/resolv.conf")
    withhost = await space.says("withhost", "cat /etc/resolv.conf")
    assert "nameserver 10.96.0.10" in withhost
    assert f"search {space.name}.svc.cluster.local svc.cluster.local" in withhost


@case
async def test_limits_are_enforced(space: Space) -> None:
    """A container that takes more memory than its limit is killed, and says so."""
    eats = container("exec tail /dev/zero", resources={"limits": {"memory": "20Mi"}})
    eats["command"] = ["python3", "-c", "x = bytearray(200 << 20); print(len(x))"]
    await space.create(PODS, once("eats", eats))
    await space.ended("eats")

    def is_killed(shown: Object) -> bool:  # the runtime may learn why after it has told of the end
        ended = status(shown)["state"]["terminated"]
        return (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)

    shown = await space.until(PODS, "eats", is_killed, "the reason")
    assert condition(shown, "ContainersReady")["reason"] == "PodFailed"


@case
async def test_sub_path_expressions(space: Space) -> None:
    """Variable Expansion: subPathExpr from the environment, what is refused, and a pod that is mended."""
    def mounting(expression: str, *variables: Object) -> Object:
        return container("exec sleep 1000", env=list(variables), volumeMounts=[
            {"name": "v", "mountPath": "/logs", "subPathExpr": expression}, {"name": "v", "mountPath": "/all"}])

    volumes = [{"name": "v", "emptyDir": {}}]
    annotation = field("ANNOTATION", "metadata.annotations['mysubpath']")
    await space.start(pod("good", mounting("$(POD)", field("POD", "metadata.name")), volumes=volumes))
    assert await space.says("good", "echo x >/logs/file; cat /all/good/file") == "x\n"
    for name, value in (("backticks", "..bad"), ("absolute", "/tmp"), ("mended", "/tmp")):
        await space.create(PODS, pod(name, mounting("$(ANNOTATION)/x" if name == "backticks" else "$(ANNOTATION)",
                                                    annotation), volumes=volumes, annotations={"mysubpath": value}))
    bad = {"name": "BAD", "value": "../escape"}
    await space.create(PODS, pod("escape", mounting("$(BAD)", bad), volumes=volumes))
    for name in ("absolute", "mended", "escape"):
        await space.until(PODS, name, lambda p: waiting(p) == "CreateContainerConfigError", "the refusal")
    await space.patch(PODS, "mended", {"metadata": {"annotations": {"mysubpath": "mysubpath"}}})
    await space.ready("mended")
