"""Pod Security: a namespace's labels say which pods it takes, which are only warned about, which only audited.

    pod-security.kubernetes.io/enforce: LEVEL    refuses pods
    pod-security.kubernetes.io/warn: LEVEL       warns, also about templates in workloads
    pod-security.kubernetes.io/audit: LEVEL      notes in the audit log, also about templates
    pod-security.kubernetes.io/MODE-version      latest or v1.N: the levels as that version of Kubernetes has them

A namespace without labels takes everything, unless the configuration says otherwise (`pod_security_configuration.py`),
which also exempts users, runtime classes and namespaces. Labels that make no sense are refused; whoever tightens a
namespace is told which pods in it would not be taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from sampan.api.resources import NAMESPACES, PODS
from sampan.apimachinery.object import Object, annotations_of, dig, labels_of
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.admission.pod_security_checks import SECCOMP_ANNOTATION_OF
from sampan.apiserver.admission.pod_security_configuration import PodSecurityConfiguration, load
from sampan.apiserver.admission.pod_security_levels import PRIVILEGED, violations
from sampan.apiserver.admission.pod_security_policy import (
    MODES,
    PREFIX,
    Asked,
    Policy,
    check_labels,
    existing_pods,
    is_tightened,
)
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

EXEMPT_NONE: Final = PodSecurityConfiguration()
_TEMPLATES: Final = {
    ("", "replicationcontrollers"): ("spec", "template"), ("", "podtemplates"): ("template",),
    ("apps", "deployments"): ("spec", "template"), ("apps", "replicasets"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"), ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}


class PodSecurity(Plugin):
    name = "PodSecurity"
    resources = frozenset({("", "pods"), ("", "namespaces"), *_TEMPLATES})
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "ephemeralcontainers"})

    def __init__(self, reader: Reader, configuration: PodSecurityConfiguration = EXEMPT_NONE) -> None:
        self._reader = reader
        self._configuration = configuration
        self._watched = reader.watched(NAMESPACES)
        self._policies: dict[str, Policy] = {}

    async def validate(self, attributes: AdmissionAttributes) -> None:
        resource = attributes.kind.resource
        if (resource.group, resource.plural) == ("", "namespaces"):
            await self._namespace(attributes)
            return
        policy, pod = self._of(attributes.namespace), attributes.object or {}
        path = _TEMPLATES.get((resource.group, resource.plural))
        exempt = self._exempt(attributes, pod if path is None else dig(pod, *path, default={}))
        if exempt:
            attributes.annotate(f"{PREFIX}exempt", exempt)
        elif path is None:
            if not policy.takes_everything() and not _is_minor(attributes):
                _note_wrong(attributes, policy)
                attributes.annotate(f"{PREFIX}enforce-policy", str(policy.enforce))
                self._check(attributes, policy, pod, enforce=True)
        elif not attributes.subresource and not policy.takes_every_template():
            template = dig(pod, *path)
            if template is not None:
                _note_wrong(attributes, policy)
                self._check(attributes, policy, template, enforce=False)

    def _check(self, attributes: AdmissionAttributes, policy: Policy, pod: Object, *, enforce: bool) -> None:
        found: dict[Asked, list[str]] = {}

        def complaints(asked: Asked) -> str:
            if asked not in found:
                found[asked] = violations(*asked, pod.get("spec") or {}, annotations_of(pod))
            return f'PodSecurity "{asked}": {", ".join(found[asked])}' if found[asked] else ""

        if words := complaints(policy.audit):
            attributes.annotate(f"{PREFIX}audit-violations", f"would violate {words}")
        if enforce and (words := complaints(policy.enforce)):
            raise refuse(attributes, f"violates {words}")
        if words := complaints(policy.warn):
            attributes.warn(f"would violate {words}")

    def _exempt(self, attributes: AdmissionAttributes, pod: Object) -> str:
        """Why nothing is asked of it; empty for most."""
        configuration = self._configuration
        if attributes.namespace in configuration.namespaces:
            return "namespace"
        if attributes.user.name in configuration.usernames:
            return "user"
        runtime_class = dig(pod, "spec", "runtimeClassName", default="")
        return "runtimeClass" if runtime_class and runtime_class in configuration.runtime_classes else ""

    async def _namespace(self, attributes: AdmissionAttributes) -> None:
        if attributes.subresource:
            return
        defaults = self._configuration.defaults
        new = Policy.of(attributes.object or {}, defaults)
        old = Policy.of(attributes.old_object or {}, defaults) if attributes.operation == "UPDATE" else None
        check_labels(new, old, attributes.name)
        if attributes.name in self._configuration.namespaces:
            ignored = _ignored(new, labels_of(attributes.object or {}))
            if ignored and new not in (old, defaults):
                attributes.warn(f'namespace "{attributes.name}" is exempt from Pod Security, and the policy '
                                f"({', '.join(ignored)}) will be ignored")
        elif old is not None and is_tightened(new.enforce, old.enforce):
            await self._reader.fresh(PODS)
            for warning in existing_pods(new.enforce, attributes.name, self._reader):
                attributes.warn(warning)

    def _of(self, namespace: str) -> Policy:
        if self._watched.stale:
            self._watched.stale = False
            self._policies.clear()
        if namespace not in self._policies:
            self._policies[namespace] = Policy.of(
                self._reader.get(NAMESPACES, namespace) or {}, self._configuration.defaults
            )
        return self._policies[namespace]


def _ignored(policy: Policy, labels: Mapping[str, str]) -> list[str]:
    """What the labels of an exempt namespace ask for."""
    asked: dict[str, Asked] = {mode: getattr(policy, mode) for mode in MODES}
    return [
        f"{mode}={one}" for mode, one in asked.items()
        if one.level != PRIVILEGED and not labels.keys().isdisjoint((f"{PREFIX}{mode}", f"{PREFIX}{mode}-version"))
    ]


def _note_wrong(attributes: AdmissionAttributes, policy: Policy) -> None:
    if policy.wrong:
        words = [str(one) for one in policy.wrong]
        shown = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
        attributes.annotate(f"{PREFIX}error", f"Failed to parse policy: {shown}")


def _is_minor(attributes: AdmissionAttributes) -> bool:
    """An update that leaves images and annotations about seccomp alone, and adds no ephemeral container."""
    if attributes.operation != "UPDATE":
        return False

    def looked_at(pod: Object, kind: str) -> list[tuple[object, object]]:
        notes = annotations_of(pod)
        return [(one.get("image"), notes.get(f"{SECCOMP_ANNOTATION_OF}{one.get('name')}"))
                for one in dig(pod, "spec", kind, default=())]

    new, old = attributes.object or {}, attributes.old_object or {}
    if any(looked_at(new, kind) != looked_at(old, kind) for kind in ("initContainers", "containers")):
        return False
    before = {one.get("name"): one.get("image") for one in dig(old, "spec", "ephemeralContainers", default=())}
    return all(
        one.get("name") in before and before[one.get("name")] == one.get("image")
        for one in dig(new, "spec", "ephemeralContainers", default=())
    )


def build(parts: ServerParts) -> PodSecurity:
    return PodSecurity(parts.reader, load(parts.config))
