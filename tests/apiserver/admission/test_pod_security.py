"""The Pod Security Standards and the plugin that applies them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api.resources import DEPLOYMENTS, NAMESPACES, PODS
from sampan.apimachinery.errors import Forbidden
from sampan.apimachinery.http import Request, UserInfo
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.pod_security import PodSecurity
from sampan.apiserver.admission.pod_security_levels import violations
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import AdmissionAttributes

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


def test_plain_and_good_pods() -> None:
    assert violations("baseline", PLAIN) == []
    assert violations("restricted", GOOD) == []
    assert ", ".join(violations("restricted", PLAIN)) == PLAIN_COMPLAINTS
    assert violations("privileged", {"hostNetwork": True}) == []


@pytest.mark.parametrize(("spec", "complaint"), [
    ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
    ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "h")'),
    ({"containers": [{"name": "a", "securityContext": {"privileged": True}}]},
     'privileged (container "a" must not set securityContext.privileged=true)'),
    ({"containers": [{"name": "a", "ports": [{"hostPort": 80}]}, {"name": "b", "ports": [{"hostPort": 81}]}]},
     'hostPort (containers "a", "b" use hostPorts 80, 81)'),
    ({"initContainers": [{"name": "a", "securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}}]},
     'non-default capabilities (container "a" must not include "NET_ADMIN" in securityContext.capabilities.add)'),
    ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "forbidden sysctls (kernel.msgmax)"),
    ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
     'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")'),
    ({"ephemeralContainers": [{"name": "d", "securityContext": {"procMount": "Unmasked"}}]},
     'procMount (container "d" must not set securityContext.procMount to "Unmasked")'),
])
def test_what_baseline_forbids(spec: dict[str, Any], complaint: str) -> None:
    assert violations("baseline", spec) == [complaint]


async def check(reader: Any, resource: Resource, obj: Any, **labels: str) -> RequestContext:
    named = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
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
