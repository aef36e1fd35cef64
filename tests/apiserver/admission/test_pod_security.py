"""The Pod Security Standards and the plugin that applies them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api.resources import DEPLOYMENTS, NAMESPACES, PODS
from sampan.apimachinery.errors import Forbidden, Invalid
from sampan.apimachinery.http import Request, UserInfo
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.pod_security import PodSecurity
from sampan.apiserver.admission.pod_security_levels import violations
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import AdmissionAttributes, Operation

PLAIN: dict[str, Any] = {"containers": [{"name": "a"}]}
GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{
        "name": "a", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }],
    "volumes": [{"name": "v", "emptyDir": {}}],
}
PLAIN_COMPLAINTS = (
    'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
    '"Localhost")'
)


def judged(level: str, spec: dict[str, Any], version: str = "latest", **annotations: str) -> list[str]:
    return violations(level, version, spec, annotations)


def of_container(**context: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "securityContext": context}]}


def test_plain_and_good_pods() -> None:
    assert judged("baseline", PLAIN) == []
    assert judged("restricted", GOOD) == []
    assert ", ".join(judged("restricted", PLAIN)) == PLAIN_COMPLAINTS
    assert judged("privileged", {"hostNetwork": True}) == []


@pytest.mark.parametrize(("spec", "complaint"), [
    ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
    ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "h")'),
    (of_container(privileged=True), 'privileged (container "a" must not set securityContext.privileged=true)'),
    ({"containers": [{"name": "a", "ports": [{"hostPort": 9100}]}, {"name": "b", "ports": [{"hostPort": 81}]}]},
     'hostPort (containers "a", "b" use hostPorts 81, 9100)'),
    ({"initContainers": [{"name": "a", "securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}}]},
     'non-default capabilities (container "a" must not include "NET_ADMIN" in securityContext.capabilities.add)'),
    ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "forbidden sysctls (kernel.msgmax)"),
    ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
     'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")'),
    ({"ephemeralContainers": [{"name": "d", "securityContext": {"procMount": "Unmasked"}}]},
     'procMount (container "d" must not set securityContext.procMount to "Unmasked")'),
    ({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}, **of_container(
        appArmorProfile={"type": "Unconfined"})},
     'forbidden AppArmor profile (pod and container "a" must not set AppArmor profile type to "Unconfined")'),
    ({"securityContext": {"seLinuxOptions": {"type": "spc_t", "role": "r"}}, **of_container(
        seLinuxOptions={"type": "init_t", "user": "u"})},
     'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: types "init_t", "spc_t"; '
     "user may not be set; role may not be set)"),
    ({"securityContext": {"windowsOptions": {"hostProcess": True}}, **of_container(
        windowsOptions={"hostProcess": True})},
     'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)'),
    ({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}},
                      "lifecycle": {"preStop": {"tcpSocket": {"host": "10.0.0.2"}}}},
                     {"name": "b", "startupProbe": {"tcpSocket": {"port": 1}}}]},
     'probe or lifecycle host (container "a" uses probe or lifecycle hosts "10.0.0.1", "10.0.0.2")'),
])
def test_what_baseline_forbids(spec: dict[str, Any], complaint: str) -> None:
    assert judged("baseline", spec) == [complaint]
    assert judged("privileged", spec) == []


def test_annotations_name_profiles_too() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert violations("baseline", "latest", PLAIN, {key: "runtime/default"}) == []
    assert violations("baseline", "latest", PLAIN, {key: "unconfined"}) == [
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}=\\"unconfined\\"")'
    ]
    key = "seccomp.security.alpha.kubernetes.io/pod"
    assert violations("baseline", "v1.18", PLAIN, {key: "unconfined"}) == [
        f'seccompProfile (forbidden annotation {key}="unconfined")'
    ]
    assert violations("baseline", "v1.18", PLAIN, {key: "localhost/x"}) == []
    assert violations("baseline", "v1.19", PLAIN, {key: "unconfined"}) == []


@pytest.mark.parametrize(("change", "complaint"), [
    ({"securityContext": {"runAsNonRoot": False, "seccompProfile": {"type": "RuntimeDefault"}}},
     "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"),
    ({"securityContext": {**GOOD["securityContext"], "runAsUser": 0}}, "runAsUser=0 (pod must not set runAsUser=0)"),
    ({"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "Unconfined"}}},
     'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")'),
    ({"securityContext": {"runAsNonRoot": True}},
     'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
     '"Localhost")'),
    ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}, {"name": "n", "nfs": {}}]},
     'restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs")'),
])
def test_what_only_restricted_forbids(change: dict[str, Any], complaint: str) -> None:
    assert judged("restricted", {**GOOD, **change}) == [complaint]


def test_complaints_of_baseline_come_first() -> None:
    titles = [one.partition(" (")[0] for one in judged("restricted", {"hostNetwork": True, **of_container(
        privileged=True, capabilities={"add": ["SYS_ADMIN"]}, procMount="Unmasked")})]
    assert titles == ["host namespaces", "privileged", "allowPrivilegeEscalation != false", "unrestricted capabilities",
                      "procMount", "runAsNonRoot != true", "seccompProfile"]


def _sysctl(name: str) -> dict[str, Any]:
    return {"securityContext": {"sysctls": [{"name": name}]}}


@pytest.mark.parametrize(("level", "spec", "title", "since", "until"), [
    ("restricted", PLAIN, "allowPrivilegeEscalation != false", 8, 99),
    ("restricted", PLAIN, "unrestricted capabilities", 22, 99),
    ("restricted", of_container(capabilities={"add": ["SYS_ADMIN"]}), "non-default capabilities", 0, 22),
    ("restricted", PLAIN, "seccompProfile", 19, 99),
    ("restricted", of_container(runAsUser=0), "runAsUser=0", 23, 99),
    ("restricted", {"os": {"name": "windows"}, **PLAIN}, "allowPrivilegeEscalation != false", 8, 25),
    ("restricted", {"os": {"name": "windows"}, **PLAIN}, "unrestricted capabilities", 22, 25),
    ("restricted", {"os": {"name": "windows"}, **PLAIN}, "seccompProfile", 19, 25),
    ("restricted", {"os": {"name": "windows"}, **PLAIN}, "runAsNonRoot != true", 0, 99),
    ("restricted", {"hostUsers": False, **PLAIN}, "runAsNonRoot != true", 0, 35),
    ("restricted", {"hostUsers": False, **of_container(runAsUser=0)}, "runAsUser=0", 23, 35),
    ("restricted", {"hostUsers": False, **of_container(procMount="Unmasked")}, "procMount", 0, 99),
    ("baseline", {"hostUsers": False, **of_container(procMount="Unmasked")}, "procMount", 0, 35),
    ("baseline", of_container(procMount="Unmasked"), "procMount", 0, 99),
    ("baseline", {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "x"}}}]},
     "probe or lifecycle host", 34, 99),
    ("baseline", of_container(seLinuxOptions={"type": "container_engine_t"}), "seLinuxOptions", 0, 31),
    ("baseline", of_container(seccompProfile={"type": "Unconfined"}), "seccompProfile", 19, 99),
    ("baseline", _sysctl("net.ipv4.ip_local_reserved_ports"), "forbidden sysctls", 0, 27),
    ("baseline", _sysctl("net.ipv4.tcp_keepalive_time"), "forbidden sysctls", 0, 29),
    ("baseline", _sysctl("net.ipv4.tcp_rmem"), "forbidden sysctls", 0, 32),
    ("baseline", _sysctl("kernel.shm_rmid_forced"), "forbidden sysctls", 99, 99),
])
def test_the_levels_of_each_version(level: str, spec: dict[str, Any], title: str, since: int, until: int) -> None:
    found = [
        minor for minor in range(38)
        if any(one.startswith(f"{title} (") for one in judged(level, spec, f"v1.{minor}"))
    ]
    assert found == [minor for minor in range(38) if since <= minor < until]
    assert judged(level, spec, "v1.37") == judged(level, spec, "v1.99") == judged(level, spec)


async def check(reader: Any, resource: Resource, obj: Any, **labels: str) -> RequestContext:
    """`enforce="baseline"`, `warn_version="v1.20"`: the namespace's labels."""
    named = {f"pod-security.kubernetes.io/{mode.replace('_', '-')}": level for mode, level in labels.items()}
    reader.put(NAMESPACES, {"metadata": {"name": "ns", "labels": named}})
    ctx = RequestContext(Request("POST", "/"))
    attributes = AdmissionAttributes(
        "CREATE", SimpleNamespace(resource=resource), resource, "x", "ns",  # type: ignore[arg-type]
        UserInfo("jane"), obj, context=ctx,
    )
    plugin = PodSecurity(reader)
    assert plugin.interested(attributes)
    await plugin.validate(attributes)
    return ctx


async def test_a_namespace_says_what_it_takes(reader: Any) -> None:
    await check(reader, PODS, {"spec": PLAIN})
    await check(reader, PODS, {"spec": GOOD}, enforce="restricted")
    with pytest.raises(Forbidden) as refused:
        await check(reader, PODS, {"spec": PLAIN}, enforce="restricted")
    assert refused.value.message == (
        f'pods "x" is forbidden: violates PodSecurity "restricted:latest": {PLAIN_COMPLAINTS}'
    )
    ctx = await check(reader, PODS, {"spec": PLAIN}, warn="restricted", audit="restricted")
    assert ctx.warnings == [f'would violate PodSecurity "restricted:latest": {PLAIN_COMPLAINTS}']
    assert "pod-security.kubernetes.io/audit-violations" in ctx.audit_annotations


async def test_a_template_is_warned_about_but_never_refused(reader: Any) -> None:
    workload = {"spec": {"template": {"spec": PLAIN}}}
    ctx = await check(reader, DEPLOYMENTS, workload, enforce="restricted", warn="restricted")
    assert len(ctx.warnings) == 1


async def test_a_level_that_does_not_exist_is_the_strictest(reader: Any) -> None:
    with pytest.raises(Forbidden):
        await check(reader, PODS, {"spec": PLAIN}, enforce="restrictive")


async def test_a_mode_may_ask_for_an_older_version(reader: Any) -> None:
    await check(reader, PODS, {"spec": GOOD | {"securityContext": {"runAsNonRoot": True}}}, enforce="restricted",
                enforce_version="v1.18")
    ctx = await check(reader, PODS, {"spec": PLAIN}, warn="restricted", warn_version="v1.7")
    assert ctx.warnings == [
        'would violate PodSecurity "restricted:v1.7": runAsNonRoot != true (pod or container "a" must set '
        "securityContext.runAsNonRoot=true)"
    ]


async def test_a_refused_pod_is_audited_but_not_warned_about(reader: Any) -> None:
    named = {f"pod-security.kubernetes.io/{mode}": "baseline" for mode in ("enforce", "audit", "warn")}
    reader.put(NAMESPACES, {"metadata": {"name": "ns", "labels": named}})
    attributes = asked("CREATE", {"spec": {"hostNetwork": True}})
    with pytest.raises(Forbidden):
        await PodSecurity(reader).validate(attributes)
    assert attributes.context is not None
    assert attributes.context.warnings == []
    words = 'PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    assert attributes.context.audit_annotations == {
        "pod-security.kubernetes.io/enforce-policy": "baseline:latest",
        "pod-security.kubernetes.io/audit-violations": f"would violate {words}",
    }


def asked(operation: Operation, obj: Any, old: Any = None, resource: Resource = PODS) -> AdmissionAttributes:
    return AdmissionAttributes(
        operation, SimpleNamespace(resource=resource), resource, "ns" if resource is NAMESPACES else "x",  # type: ignore[arg-type]
        "" if resource is NAMESPACES else "ns", UserInfo("jane"), obj, old,
        context=RequestContext(Request("POST", "/")),
    )


@pytest.mark.parametrize(("change", "refused"), [
    ({}, False),
    ({"activeDeadlineSeconds": 5}, False),
    ({"containers": [{"name": "a", "image": "new"}]}, True),
    ({"ephemeralContainers": [{"name": "old", "image": "i"}]}, False),
    ({"ephemeralContainers": [{"name": "old", "image": "i"}, {"name": "new", "image": "i"}]}, True),
])
async def test_an_update_counts_if_images_or_ephemeral_containers_change(
    reader: Any, change: dict[str, Any], refused: bool,
) -> None:
    reader.put(NAMESPACES, {"metadata": {"name": "ns", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    old = {"containers": [{"name": "a", "image": "i"}], "ephemeralContainers": [{"name": "old", "image": "i"}]}
    attributes = asked("UPDATE", {"spec": {**old, **change}}, {"spec": old})
    if refused:
        with pytest.raises(Forbidden):
            await PodSecurity(reader).validate(attributes)
    else:
        await PodSecurity(reader).validate(attributes)


async def test_labels_that_make_no_sense_are_refused_and_what_they_do_until_then_is_noted(reader: Any) -> None:
    wrong = {"pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/warn-version": "1.30"}
    complaint = (
        '[metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, '
        'baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.30": must '
        'be "latest" or "v1.x"]'
    )
    namespace = {"metadata": {"name": "ns", "labels": wrong}}
    with pytest.raises(Invalid) as refused:
        await PodSecurity(reader).validate(asked("CREATE", namespace, resource=NAMESPACES))
    assert refused.value.message == f'Namespace "ns" is invalid: {complaint}'
    with pytest.raises(Invalid):
        await PodSecurity(reader).validate(asked(
            "UPDATE", namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "strict"}}}, NAMESPACES,
        ))
    await PodSecurity(reader).validate(asked("UPDATE", namespace, namespace, NAMESPACES))
    ctx = await check(reader, PODS, {"spec": GOOD}, enforce="strict", audit="strict", warn_version="1.30")
    assert ctx.audit_annotations["pod-security.kubernetes.io/error"].startswith("Failed to parse policy: [metadata.")
    assert ctx.audit_annotations["pod-security.kubernetes.io/enforce-policy"] == "restricted:latest"
    assert ctx.warnings == []


async def test_who_tightens_a_namespace_is_told_about_pods_in_it(reader: Any) -> None:
    def pod(name: str, owner: str = "", **spec: Any) -> None:
        references = [{"uid": owner, "controller": True}] if owner else []
        reader.put(PODS, {"metadata": {"name": name, "namespace": "ns", "ownerReferences": references}, "spec": spec})

    def namespace(**labels: str) -> dict[str, Any]:
        named = {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in labels.items()}
        return {"metadata": {"name": "ns", "labels": named}}

    async def told(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
        attributes = asked("UPDATE", new, old, NAMESPACES)
        await PodSecurity(reader).validate(attributes)
        assert attributes.context is not None
        return attributes.context.warnings

    for name in ("c", "b", "a"):
        pod(name, "set", hostNetwork=True)
    pod("z", hostPID=True, **of_container(privileged=True))
    pod("y", **GOOD)
    assert await told(namespace(enforce="baseline"), namespace()) == [
        'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): host namespaces", "z: host namespaces, privileged",
    ]
    assert await told(namespace(enforce="baseline"), namespace(enforce="restricted")) == []
    assert await told(namespace(enforce="baseline", warn="restricted"), namespace(enforce="baseline")) == []
    assert await told(namespace(enforce="privileged"), namespace(enforce="restricted")) == []
    assert len(await told(namespace(enforce="baseline", enforce_version="v1.30"), namespace(enforce="baseline"))) == 3
