"""Pod Security: a namespace's labels say which pods it takes, which are only warned about, which only audited.

    pod-security.kubernetes.io/enforce: LEVEL    refuses pods
    pod-security.kubernetes.io/warn: LEVEL       warns, also about templates in workloads
    pod-security.kubernetes.io/audit: LEVEL      notes in the audit log, also about templates
    pod-security.kubernetes.io/MODE-version      latest or v1.N, as messages show it

A namespace without labels takes everything. Only the newest version of the levels exists here, whatever `-version`
says. Labels that make no sense are refused; whoever tightens a namespace is told which pods in it would not be taken.
"""

from __future__ import annotations

from typing import ClassVar, Final

from sampan.api.resources import NAMESPACES, PODS
from sampan.apimachinery.object import Object, dig, labels_of
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.admission.pod_security_levels import violations
from sampan.apiserver.admission.pod_security_policy import ENFORCE, PREFIX, Policy, check_labels, existing_pods
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

_TEMPLATES: Final = {
    ("", "replicationcontrollers"): ("spec", "template", "spec"), ("", "podtemplates"): ("template", "spec"),
    ("apps", "deployments"): ("spec", "template", "spec"), ("apps", "replicasets"): ("spec", "template", "spec"),
    ("apps", "statefulsets"): ("spec", "template", "spec"), ("apps", "daemonsets"): ("spec", "template", "spec"),
    ("batch", "jobs"): ("spec", "template", "spec"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
_CONTAINERS: Final = ("initContainers", "containers")


class PodSecurity(Plugin):
    name = "PodSecurity"
    resources = frozenset({("", "pods"), ("", "namespaces"), *_TEMPLATES})
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "ephemeralcontainers"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._watched = reader.watched(NAMESPACES)
        self._policies: dict[str, Policy] = {}

    async def validate(self, attributes: AdmissionAttributes) -> None:
        resource = attributes.kind.resource
        if (resource.group, resource.plural) == ("", "namespaces"):
            await self._namespace(attributes)
            return
        policy = self._of(attributes.namespace)
        if not policy.modes:
            return
        template = _TEMPLATES.get((resource.group, resource.plural))
        if template is not None:
            self._check(attributes, policy, dig(attributes.object, *template, default={}), enforce=False)
        elif not _is_minor(attributes):
            self._check(attributes, policy, (attributes.object or {}).get("spec") or {}, enforce=True)

    def _check(self, attributes: AdmissionAttributes, policy: Policy, spec: Object, *, enforce: bool) -> None:
        found = {level: violations(level, spec) for level in {level for level, _ in policy.modes.values()}}
        if enforce and ENFORCE in policy.modes:
            attributes.annotate(f"{PREFIX}enforce-policy", policy.shown(ENFORCE))
        for mode in (ENFORCE, "audit", "warn"):
            complaints = found.get(policy.modes[mode][0]) if mode in policy.modes else None
            if not complaints:
                continue
            words = f'PodSecurity "{policy.shown(mode)}": {", ".join(complaints)}'
            if mode == "audit":
                attributes.annotate(f"{PREFIX}audit-violations", f"would violate {words}")
            elif mode == "warn":
                attributes.warn(f"would violate {words}")
            elif enforce:
                raise refuse(attributes, f"violates {words}")

    async def _namespace(self, attributes: AdmissionAttributes) -> None:
        new, old = attributes.object or {}, attributes.old_object
        check_labels(new, old, attributes.name)
        if attributes.operation == "UPDATE" and not attributes.subresource and labels_of(new) != labels_of(old or {}):
            await self._reader.fresh(PODS)
            for warning in existing_pods(Policy.of(new), Policy.of(old or {}), attributes.name, self._reader):
                attributes.warn(warning)

    def _of(self, namespace: str) -> Policy:
        if self._watched.stale:
            self._watched.stale = False
            self._policies.clear()
        if namespace not in self._policies:
            self._policies[namespace] = Policy.of(self._reader.get(NAMESPACES, namespace) or {})
        return self._policies[namespace]


def _is_minor(attributes: AdmissionAttributes) -> bool:
    """An update of a pod that runs already, which leaves its images alone: nothing that the levels look at changes."""
    if attributes.operation != "UPDATE" or attributes.subresource:
        return False
    new, old = attributes.object or {}, attributes.old_object or {}
    return all(
        [one.get("image") for one in dig(new, "spec", kind, default=())]
        == [one.get("image") for one in dig(old, "spec", kind, default=())] for kind in _CONTAINERS
    )


def build(parts: ServerParts) -> PodSecurity:
    return PodSecurity(parts.reader)
