"""Whether a pod may be on a node: its node selector, its required node affinity, and the node's taints.

As the scheduler's filters of the same names, for controllers that decide themselves where pods belong (DaemonSet).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.apimachinery.object import Object, dig, labels_of, name_of
from sampan.controllers import taints


def selects_node(pod_spec: Object, node: Object) -> bool:
    """nodeName, nodeSelector and required node affinity."""
    if pod_spec.get("nodeName") not in (None, "", name_of(node)):
        return False
    labels = labels_of(node)
    if not (pod_spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    required = dig(pod_spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": name_of(node)}
    return any(_term(term, labels, fields) for term in required.get("nodeSelectorTerms") or ())


def tolerates_node(tolerations: Sequence[Object], node: Object, *effects: str) -> bool:
    """Whether every taint of these effects is tolerated."""
    found = [taint for taint in dig(node, "spec", "taints", default=()) if taint.get("effect") in effects]
    return not taints.untolerated(found, tolerations)


def _term(term: Object, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    expressions, on_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not on_fields:
        return False
    return all(_matches(one, labels) for one in expressions) and all(_matches(one, fields) for one in on_fields)


def _matches(expression: Object, values: Mapping[str, str]) -> bool:
    found, listed = values.get(expression["key"]), expression.get("values") or ()
    operator = expression.get("operator")
    if operator == "In":
        return found in listed
    if operator == "NotIn":
        return found not in listed
    if operator == "Exists":
        return found is not None
    if operator == "DoesNotExist":
        return found is None
    if operator in ("Gt", "Lt") and found is not None and listed:
        try:
            a, b = int(found), int(listed[0])
        except ValueError:
            return False
        return a > b if operator == "Gt" else a < b
    return False
