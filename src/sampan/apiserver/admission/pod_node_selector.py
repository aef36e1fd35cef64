"""PodNodeSelector: a namespace's pods run on its nodes. Off unless enabled, as upstream.

A namespace's annotation `scheduler.alpha.kubernetes.io/node-selector`, or else the configuration's
`clusterDefaultNodeSelector`, is put into each of its pods; a pod that asks for something else is refused. What the
configuration says under the namespace's own name is all that its pods may ask for:

    podNodeSelectorPluginConfig:
      clusterDefaultNodeSelector: environment=prod
      team-a: environment=prod,disk=ssd
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sampan.api.resources import NAMESPACES
from sampan.apimachinery import errors
from sampan.apimachinery.object import annotations_of, dig
from sampan.apiserver.admission import configuration
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Reader, ServerParts

ANNOTATION: Final = "scheduler.alpha.kubernetes.io/node-selector"
DEFAULT: Final = "clusterDefaultNodeSelector"


class PodNodeSelector(Plugin):
    name = "PodNodeSelector"
    resources = PODS_ONLY

    def __init__(self, reader: Reader, selectors: Mapping[str, Mapping[str, str]]) -> None:
        self._reader = reader
        self._selectors = selectors

    async def admit(self, attributes: AdmissionAttributes) -> None:
        wanted = await self._of(attributes)
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        asked = spec.get("nodeSelector") or {}
        if any(asked.get(key, value) != value for key, value in wanted.items()):
            raise refuse(attributes, "pod node label selector conflicts with its namespace node label selector")
        if wanted:
            spec["nodeSelector"] = {**asked, **wanted}

    async def validate(self, attributes: AdmissionAttributes) -> None:
        await self.admit(attributes)
        allowed = self._selectors.get(attributes.namespace)
        asked = dig(attributes.object or {}, "spec", "nodeSelector", default={}) or {}
        if allowed and any(allowed.get(key) != value for key, value in asked.items()):
            raise refuse(attributes, "pod node label selector labels conflict with its namespace whitelist")

    async def _of(self, attributes: AdmissionAttributes) -> Mapping[str, str]:
        namespace = self._reader.peek(NAMESPACES, attributes.namespace)
        if namespace is None:
            await self._reader.fresh(NAMESPACES)
            namespace = self._reader.peek(NAMESPACES, attributes.namespace)
        if namespace is None:
            raise errors.not_found(NAMESPACES, attributes.namespace)
        text = annotations_of(namespace).get(ANNOTATION)
        if text is None:
            return self._selectors.get(DEFAULT) or {}
        try:
            return labels(text)
        except ValueError as error:
            raise refuse(attributes, str(error)) from None


def labels(text: str) -> Mapping[str, str]:
    """`a=b,c=d`. Raises ValueError."""
    found = {}
    for pair in filter(None, (one.strip() for one in text.split(","))):
        key, equals, value = pair.partition("=")
        if not equals or "=" in value:
            raise ValueError(f"invalid selector: [{pair}]")
        found[key.strip()] = value.strip()
    return found


def build(parts: ServerParts) -> PodNodeSelector:
    document = configuration.of(parts.config, PodNodeSelector.name) or {}
    given = document.get("podNodeSelectorPluginConfig") or {}
    try:
        return PodNodeSelector(parts.reader, {name: labels(text) for name, text in given.items()})
    except (AttributeError, ValueError) as error:
        raise ValueError(f"PodNodeSelector: podNodeSelectorPluginConfig: {error}") from error
