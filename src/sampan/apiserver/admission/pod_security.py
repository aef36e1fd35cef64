"""Pod Security: a namespace's labels say which pods it takes, which are only warned about, which only audited.

    pod-security.kubernetes.io/enforce: LEVEL    refuses pods
    pod-security.kubernetes.io/warn: LEVEL       warns, also about templates in workloads
    pod-security.kubernetes.io/audit: LEVEL      notes in the audit log, also about templates

A namespace without labels takes everything. Only the newest version of the levels exists here, whatever `-version`
says.
"""

from __future__ import annotations

from typing import ClassVar, Final

from sampan.api.resources import NAMESPACES
from sampan.apimachinery.object import Object, dig, labels_of
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.admission.pod_security_levels import LEVELS, PRIVILEGED, RESTRICTED, violations
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

PREFIX: Final = "pod-security.kubernetes.io/"
_TEMPLATES: Final = {
    ("", "replicationcontrollers"): ("spec", "template", "spec"), ("", "podtemplates"): ("template", "spec"),
    ("apps", "deployments"): ("spec", "template", "spec"), ("apps", "replicasets"): ("spec", "template", "spec"),
    ("apps", "statefulsets"): ("spec", "template", "spec"), ("apps", "daemonsets"): ("spec", "template", "spec"),
    ("batch", "jobs"): ("spec", "template", "spec"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template", "spec"),
}


class PodSecurity(Plugin):
    name = "PodSecurity"
    resources = frozenset({("", "pods"), *_TEMPLATES})
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "ephemeralcontainers"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._version = -1
        self._levels: dict[str, dict[str, str]] = {}

    async def validate(self, attributes: AdmissionAttributes) -> None:
        levels = self._of(attributes.namespace)
        if not levels:
            return
        resource = attributes.kind.resource
        template = _TEMPLATES.get((resource.group, resource.plural))
        if template is None:
            if attributes.operation == "UPDATE" and not attributes.subresource:
                # Nothing that the levels look at can change in a pod, except by its subresources.
                return
            self._check(attributes, levels, (attributes.object or {}).get("spec") or {}, enforce=True)
        else:
            self._check(attributes, levels, dig(attributes.object, *template, default={}), enforce=False)

    def _check(
        self, attributes: AdmissionAttributes, levels: dict[str, str], spec: Object, *, enforce: bool
    ) -> None:
        found = {level: violations(level, spec) for level in set(levels.values())}
        if enforce and found.get(levels.get("enforce", PRIVILEGED)):
            raise refuse(attributes, f"violates {_words(levels['enforce'], found)}")
        if found.get(levels.get("audit", PRIVILEGED)):
            attributes.annotate(f"{PREFIX}audit-violations", f"would violate {_words(levels['audit'], found)}")
        if found.get(levels.get("warn", PRIVILEGED)):
            attributes.warn(f"would violate {_words(levels['warn'], found)}")

    def _of(self, namespace: str) -> dict[str, str]:
        """The namespace's levels by mode; a level that does not exist counts as the strictest."""
        version = self._reader.version(NAMESPACES)
        if version != self._version:
            self._version = version
            self._levels.clear()
        if namespace not in self._levels:
            labels = labels_of(self._reader.get(NAMESPACES, namespace) or {})
            self._levels[namespace] = {
                mode: level if level in LEVELS else RESTRICTED
                for mode in ("enforce", "audit", "warn") if (level := labels.get(PREFIX + mode, ""))
            }
        return self._levels[namespace]


def _words(level: str, found: dict[str, list[str]]) -> str:
    return f'PodSecurity "{level}:latest": {", ".join(found[level])}'


def build(parts: ServerParts) -> PodSecurity:
    return PodSecurity(parts.reader)
