"""PodTolerationRestriction: tolerations that a namespace's pods get, and those that they may have. Off unless enabled.

Both come from annotations of the namespace, `scheduler.alpha.kubernetes.io/defaultTolerations` and
`…/tolerationsWhitelist` (lists in JSON), or else from the configuration (podtolerationrestriction.admission.k8s.io/
v1alpha1 Configuration: `default`, `whitelist`). A pod with requests or limits tolerates memory pressure besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import orjson

from sampan.api.core.qos import qos_class
from sampan.api.resources import NAMESPACES
from sampan.apimachinery.object import Object, annotations_of
from sampan.apiserver.admission import configuration
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

DEFAULTS: Final = "scheduler.alpha.kubernetes.io/defaultTolerations"
WHITELIST: Final = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
MEMORY_PRESSURE: Final[Object] = {
    "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule",
}
Tolerations = Sequence[Object]


class PodTolerationRestriction(Plugin):
    name = "PodTolerationRestriction"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    def __init__(self, reader: Reader, defaults: Tolerations, whitelist: Tolerations) -> None:
        self._reader = reader
        self._defaults = defaults
        self._whitelist = whitelist

    async def admit(self, attributes: AdmissionAttributes) -> None:
        pod = attributes.object
        assert pod is not None
        extra: list[Object] = []
        if attributes.operation == "CREATE":
            extra += self._of(attributes, DEFAULTS, self._defaults)
        if qos_class(pod) != "BestEffort":
            extra.append(MEMORY_PRESSURE)
        if extra:
            spec = pod.setdefault("spec", {})
            spec["tolerations"] = merged([*(spec.get("tolerations") or ()), *extra])

    async def validate(self, attributes: AdmissionAttributes) -> None:
        allowed = self._of(attributes, WHITELIST, self._whitelist)
        asked = ((attributes.object or {}).get("spec") or {}).get("tolerations") or ()
        if allowed and not all(any(covers(one, toleration) for one in allowed) for toleration in asked):
            raise refuse(attributes, "pod tolerations (possibly merged with namespace default tolerations) conflict "
                                     "with its namespace whitelist")

    def _of(self, attributes: AdmissionAttributes, annotation: str, otherwise: Tolerations) -> Tolerations:
        """Of the namespace; an empty list there is one, too."""
        text = annotations_of(self._reader.peek(NAMESPACES, attributes.namespace) or {}).get(annotation)
        if not text:
            return otherwise
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise refuse(attributes, f"annotation {annotation} of the namespace: {error}") from None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise refuse(attributes, f"annotation {annotation} of the namespace: expected a list of tolerations")
        return found


def covers(wide: Object, narrow: Object) -> bool:
    """Whether whatever `narrow` tolerates, `wide` does."""
    if wide == narrow:
        return True
    exists = wide.get("operator") == "Exists"
    if narrow.get("key", "") != wide.get("key", "") and not (exists and not wide.get("key")):
        return False
    if wide.get("effect") and narrow.get("effect") != wide["effect"]:
        return False
    longest = wide.get("tolerationSeconds")
    if wide.get("effect") == "NoExecute" and longest is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > longest:
            return False
    same = narrow.get("operator") in (None, "", "Equal") and narrow.get("value", "") == wide.get("value", "")
    return exists or same


def merged(tolerations: Tolerations) -> list[Object]:
    """Without those that another one covers."""
    kept: list[Object] = []
    for position, one in enumerate(tolerations):
        if not any(covers(other, one) for other in (*kept, *tolerations[position + 1:])):
            kept.append(one)
    return kept


def build(parts: ServerParts) -> PodTolerationRestriction:
    document = configuration.of(parts.config, PodTolerationRestriction.name) or {}
    if document:
        configuration.checked(document, "Configuration", ("podtolerationrestriction.admission.k8s.io/v1alpha1",))
    lists = [document.get(key) or [] for key in ("default", "whitelist")]
    if not all(isinstance(one, list) for one in lists):
        raise ValueError("PodTolerationRestriction: default and whitelist are lists of tolerations")
    return PodTolerationRestriction(parts.reader, lists[0], lists[1])
