"""The objects that every API server must have: `exempt` and `catch-all`, whose specs nobody may change."""

from __future__ import annotations

import copy
from typing import Any, Final

from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, name_of

_EVERYTHING: Final[list[Object]] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
]
_EVERY_PATH: Final[list[Object]] = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]


def group_subject(name: str) -> Object:
    return {"kind": "Group", "group": {"name": name}}


def everything(*subjects: Object) -> Object:
    """A rule about all that these subjects may ask."""
    return {
        "subjects": list(subjects), "resourceRules": copy.deepcopy(_EVERYTHING),
        "nonResourceRules": copy.deepcopy(_EVERY_PATH),
    }


SPECS: Final[dict[tuple[str, str], Object]] = {
    ("PriorityLevelConfiguration", "exempt"): {
        "type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
    },
    ("PriorityLevelConfiguration", "catch-all"): {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
    },
    ("FlowSchema", "exempt"): {
        "priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 1,
        "rules": [everything(group_subject("system:masters"))],
    },
    ("FlowSchema", "catch-all"): {
        "priorityLevelConfiguration": {"name": "catch-all"}, "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [everything(group_subject("system:unauthenticated"), group_subject("system:authenticated"))],
    },
}


def check_fixed(kind: str, obj: Object) -> list[FieldError]:
    """The specs of mandatory objects are what they are, but for the exempt level's shares."""
    name = name_of(obj)
    wanted = SPECS.get((kind, name))
    if wanted is None:
        return []
    spec: Any = obj.get("spec") or {}
    if (kind, name) == ("PriorityLevelConfiguration", "exempt"):
        same = spec.get("type") == "Exempt"
    else:
        same = spec == wanted
    return [] if same else [invalid(Path("spec"), spec, f"spec of '{name}' must equal the fixed value")]
