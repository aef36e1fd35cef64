"""A cluster as plain documents: nodes, the pods that are on them, namespaces, Services, disruption budgets."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


def key(document: Document) -> str:
    return f"{document['metadata']['namespace']}/{document['metadata']['name']}"


def labels(document: Document) -> dict[str, str]:
    return document["metadata"].get("labels") or {}


def name(document: Document) -> str:
    return str(document["metadata"]["name"])


def namespace(document: Document) -> str:
    return str(document["metadata"]["namespace"])


@dataclass
class Cluster:
    """Nodes by name, placed pods by key, the labels of each namespace."""

    nodes: dict[str, Document] = field(default_factory=dict)
    pods: dict[str, Document] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    services: list[Document] = field(default_factory=list)
    budgets: list[Document] = field(default_factory=list)
    arguments: dict[str, Document] = field(default_factory=dict)
    """Of plugins, by name, as in KubeSchedulerConfiguration."""

    def argument(self, plugin: str, name: str, default: Any = None) -> Any:
        found = self.arguments.get(plugin, {}).get(name)
        return default if found is None else found

    def pods_on(self, node: Document) -> list[Document]:
        return [pod for pod in self.pods.values() if pod["spec"]["nodeName"] == name(node)]

    def node_of(self, pod: Document) -> Document | None:
        return self.nodes.get(pod["spec"]["nodeName"])

    def without(self, pods: Iterable[Document]) -> Cluster:
        """The same, as if these pods were gone."""
        gone = {key(pod) for pod in pods}
        other = copy(self)
        other.pods = {k: pod for k, pod in self.pods.items() if k not in gone}
        return other
