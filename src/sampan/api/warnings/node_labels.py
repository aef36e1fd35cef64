"""Labels of nodes that have had a successor for a long time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sampan.apimachinery.names import label_value
from sampan.apimachinery.object import Object, dig

DEPRECATED: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}


def term_warnings(where: str, term: Object, *, values: bool = False) -> Iterator[str]:
    """Of a node selector term; with `values`, also about values that no label can have."""
    for position, one in enumerate(term.get("matchExpressions") or ()):
        here = f"{where}.matchExpressions[{position}]"
        key = one.get("key", "")
        if key in DEPRECATED:
            yield f"{here}.key: {key} is {DEPRECATED[key]}"
        if values:
            for index, value in enumerate(one.get("values") or ()):
                for why in label_value(str(value)):
                    yield f"{here}.values[{index}]: {value} is invalid, {why}"


def runtime_class(new: Object, old: Object | None) -> Iterator[str]:
    for key in dig(new, "scheduling", "nodeSelector", default={}):
        if key in DEPRECATED:
            yield f"scheduling.nodeSelector: {DEPRECATED[key]}"


def storage_class(new: Object, old: Object | None) -> Iterator[str]:
    for number, topology in enumerate(new.get("allowedTopologies") or ()):
        for position, one in enumerate(topology.get("matchLabelExpressions") or ()):
            if one.get("key") in DEPRECATED:
                where = f"allowedTopologies[{number}].matchLabelExpressions[{position}].key"
                yield f"{where}: {one['key']} is {DEPRECATED[one['key']]}"


def storage_capacity(new: Object, old: Object | None) -> Iterator[str]:
    selector = new.get("nodeTopology") or {}
    yield from term_warnings("nodeTopology", selector)
    for key in selector.get("matchLabels") or ():
        if key in DEPRECATED:
            yield f"nodeTopology.matchLabels.{key}: {DEPRECATED[key]}"
