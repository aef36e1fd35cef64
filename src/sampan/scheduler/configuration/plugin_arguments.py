"""Arguments of the built-in plugins (the `args` of a pluginConfig): defaults and validation, a function a plugin.

What a plugin gets is a plain mapping with every default filled in. Plugins that nobody here knows get their arguments
as they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sampan.api.core import node_affinity
from sampan.apimachinery import names
from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from sampan.apimachinery.object import Object
from sampan.scheduler.configuration.fields import Fields

Arguments: TypeAlias = dict[str, Any]
Reader: TypeAlias = Callable[[Fields], Arguments]

_SHAPE_MAX_SCORE: Final = 10
_STRATEGIES: Final = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
_ACTIONS: Final = ("DoNotSchedule", "ScheduleAnyway")


def read_arguments(plugin: str, fields: Fields) -> Arguments:
    """The plugin's arguments with defaults; what is wrong is added to the errors."""
    kind = fields.text("kind")
    fields.text("apiVersion")
    reader = READERS.get(plugin)
    if reader is None:
        return {name: fields.raw(name) for name in fields if name not in ("kind", "apiVersion")}
    if kind and kind != f"{plugin}Args":
        fields.errors.append(invalid(fields.path, kind, "has to match plugin args"))
    found = reader(fields)
    fields.done()
    return found


def _default_preemption(fields: Fields) -> Arguments:
    percentage = fields.path.child("minCandidateNodesPercentage")
    absolute = fields.path.child("minCandidateNodesAbsolute")
    share = fields.integer("minCandidateNodesPercentage", 10)
    count = fields.integer("minCandidateNodesAbsolute", 100)
    if not 0 <= share <= 100:
        fields.errors.append(invalid(percentage, share, "not in valid range [0, 100]"))
    if count < 0:
        fields.errors.append(invalid(absolute, count, "not in valid range [0, inf)"))
    if share == 0 and count == 0:
        clash = "cannot be zero at the same time as"
        fields.errors += [
            invalid(percentage, share, f"{clash} minCandidateNodesAbsolute"),
            invalid(absolute, count, f"{clash} minCandidateNodesPercentage"),
        ]
    return {"minCandidateNodesPercentage": share, "minCandidateNodesAbsolute": count}


def _inter_pod_affinity(fields: Fields) -> Arguments:
    weight = fields.integer("hardPodAffinityWeight", 1)
    if not 0 <= weight <= 100:
        fields.errors.append(invalid(fields.path.child("hardPodAffinityWeight"), weight, "not in valid range [0, 100]"))
    ignores = fields.boolean("ignorePreferredTermsOfExistingPods")
    return {"hardPodAffinityWeight": weight, "ignorePreferredTermsOfExistingPods": ignores}


def _node_affinity(fields: Fields) -> Arguments:
    if "addedAffinity" not in fields:
        fields.raw("addedAffinity")
        return {}
    added, path = fields.raw("addedAffinity"), fields.path.child("addedAffinity")
    if not isinstance(added, dict):
        fields.errors.append(invalid(path, added, "must be an object"))
        return {}
    fields.errors += _affinity(added, path)
    return {"addedAffinity": added}


def _affinity(affinity: Object, path: Path) -> list[FieldError]:
    needed, wanted = (f"{kind}DuringSchedulingIgnoredDuringExecution" for kind in ("required", "preferred"))
    errors: list[FieldError] = []
    if affinity.get(needed) is not None:
        errors += node_affinity.validate_node_selector(affinity[needed], path.child(needed))
    for position, wish in enumerate(affinity.get(wanted) or []):
        at = path.child(wanted).index(position)
        errors += node_affinity.validate_term(wish.get("preference") or {}, at.child("preference"))
        if not 1 <= (wish.get("weight") or 0) <= 100:
            errors.append(invalid(at.child("weight"), wish.get("weight") or 0, "must be in the range 1-100"))
    return errors


def _node_resources_fit(fields: Fields) -> Arguments:
    resources, groups = fields.texts("ignoredResources"), fields.texts("ignoredResourceGroups")
    for position, name in enumerate(resources):
        fields.errors += _label_name(name, fields.path.child("ignoredResources").index(position))
    for position, group in enumerate(groups):
        path = fields.path.child("ignoredResourceGroups").index(position)
        if "/" in group:
            fields.errors.append(invalid(path, group, "resource group name can't contain '/'"))
        fields.errors += _label_name(group, path)
    strategy = _scoring_strategy(fields.object("scoringStrategy"))
    return {
        "ignoredResources": list(resources), "ignoredResourceGroups": list(groups), "scoringStrategy": strategy,
    }


def _scoring_strategy(fields: Fields) -> Arguments:
    kind = fields.text("type", "LeastAllocated")
    if kind not in _STRATEGIES:
        fields.errors.append(not_supported(fields.path.child("type"), kind, _STRATEGIES))
    resources = _resources(fields)
    for position, resource in enumerate(resources):
        if not 0 < resource["weight"] <= 100:
            path = fields.path.child("resources").index(position).child("weight")
            detail = f"resource weight of {resource['name']} not in valid range (0, 100]"
            fields.errors.append(invalid(path, resource["weight"], detail))
    found: Arguments = {"type": kind, "resources": resources}
    if "requestedToCapacityRatio" in fields:
        ratio = fields.object("requestedToCapacityRatio")
        found["requestedToCapacityRatio"] = {"shape": _shape(ratio, fields.path.child("shape"))}
        ratio.done()
    elif kind == "RequestedToCapacityRatio":
        fields.errors.append(required(fields.path.child("requestedToCapacityRatio"), "the strategy needs a shape"))
    else:
        fields.raw("requestedToCapacityRatio")
    fields.done()
    return found


def _balanced_allocation(fields: Fields) -> Arguments:
    resources = _resources(fields)
    seen: set[str] = set()
    for position, resource in enumerate(resources):
        path = fields.path.child("resources").index(position)
        if resource["name"] in seen:
            fields.errors.append(duplicate(path.child("name"), resource["name"]))
        seen.add(resource["name"])
        if resource["weight"] != 1:
            fields.errors.append(invalid(path.child("weight"), resource["weight"], "must be 1"))
    return {"resources": resources}


def _resources(fields: Fields) -> list[Arguments]:
    """CPU and memory if none are named; a weight of 0 or none is 1."""
    found = []
    for resource in fields.objects("resources"):
        found.append({"name": resource.text("name"), "weight": resource.integer("weight") or 1})
        resource.done()
    return found or [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]


def _shape(fields: Fields, path: Path) -> list[Arguments]:
    """Points of a function from utilization (0 to 100) to score (0 to 10); `path` is upstream's name for them."""
    found: list[Arguments] = []
    for point in fields.objects("shape"):
        found.append({"utilization": point.integer("utilization"), "score": point.integer("score")})
        point.done()
    if not found:
        fields.errors.append(required(path, "at least one point must be specified"))
    for position in range(1, len(found)):
        if found[position - 1]["utilization"] >= found[position]["utilization"]:
            where, value = path.index(position).child("utilization"), found[position]["utilization"]
            fields.errors.append(invalid(where, value, "values must be sorted in increasing order"))
            break
    for position, pair in enumerate(found):
        for name, most in (("utilization", 100), ("score", _SHAPE_MAX_SCORE)):
            if not 0 <= pair[name] <= most:
                detail = f"not in valid range [0, {most}]"
                fields.errors.append(invalid(path.index(position).child(name), pair[name], detail))
    return found


def _pod_topology_spread(fields: Fields) -> Arguments:
    kind, constraints = fields.text("defaultingType") or "System", fields.raw("defaultConstraints") or []
    if kind not in ("System", "List"):
        fields.errors.append(not_supported(fields.path.child("defaultingType"), kind, ("List", "System")))
    elif kind == "System" and constraints:
        detail = "when .defaultConstraints are not empty"
        fields.errors.append(invalid(fields.path.child("defaultingType"), kind, detail))
    for position, constraint in enumerate(constraints):
        fields.errors += _constraint(constraint, constraints[:position], fields.path.child("defaultConstraints"))
    return {"defaultingType": kind, "defaultConstraints": constraints}


def _constraint(constraint: Object, earlier: list[Object], all_path: Path) -> list[FieldError]:
    path, errors = all_path.index(len(earlier)), list[FieldError]()
    skew, key, action = (constraint.get(name) for name in ("maxSkew", "topologyKey", "whenUnsatisfiable"))
    if not isinstance(skew, int) or skew <= 0:
        errors.append(invalid(path.child("maxSkew"), skew or 0, "not in valid range (0, inf)"))
    errors += (
        _label_name(key, path.child("topologyKey")) if key
        else [required(path.child("topologyKey"), "can not be empty")]
    )
    if not action:
        errors.append(required(path.child("whenUnsatisfiable"), "can not be empty"))
    elif action not in _ACTIONS:
        errors.append(not_supported(path.child("whenUnsatisfiable"), action, _ACTIONS))
    if constraint.get("labelSelector") is not None:
        detail = "constraint must not define a selector, as they deduced for each pod"
        errors.append(forbidden(path.child("labelSelector"), detail))
    if any((one.get("topologyKey"), one.get("whenUnsatisfiable")) == (key, action) for one in earlier):
        errors.append(duplicate(path, f"{{{key}, {action}}}"))
    return errors


def _volume_binding(fields: Fields) -> Arguments:
    timeout_s = fields.integer("bindTimeoutSeconds", 600)
    if timeout_s < 0:
        detail = "invalid BindTimeoutSeconds, should not be a negative value"
        fields.errors.append(invalid(fields.path.child("bindTimeoutSeconds"), timeout_s, detail))
    shape = _shape(fields, fields.path.child("shape")) if "shape" in fields else [
        {"utilization": 0, "score": _SHAPE_MAX_SCORE}, {"utilization": 100, "score": 0},
    ]
    fields.raw("shape")
    return {"bindTimeoutSeconds": timeout_s, "shape": shape}


def _dynamic_resources(fields: Fields) -> Arguments:
    filter_s, binding_s = fields.seconds("filterTimeout", 10.0), fields.seconds("bindingTimeout", 600.0)
    if filter_s < 0:
        fields.errors.append(
            invalid(fields.path.child("filterTimeout"), f"{filter_s:g}s", "must be zero or positive")
        )
    if binding_s < 1:
        fields.errors.append(
            invalid(fields.path.child("bindingTimeout"), f"{binding_s:g}s", "must be at least 1 second")
        )
    return {"filterTimeout": f"{filter_s:g}s", "bindingTimeout": f"{binding_s:g}s"}


def _label_name(name: str, path: Path) -> list[FieldError]:
    return [invalid(path, name, problem) for problem in names.qualified_name(name)]


READERS: Final[Mapping[str, Reader]] = {
    "DefaultPreemption": _default_preemption,
    "InterPodAffinity": _inter_pod_affinity,
    "NodeAffinity": _node_affinity,
    "NodeResourcesFit": _node_resources_fit,
    "NodeResourcesBalancedAllocation": _balanced_allocation,
    "PodTopologySpread": _pod_topology_spread,
    "VolumeBinding": _volume_binding,
    "DynamicResources": _dynamic_resources,
}
"""The plugins that take arguments."""


def defaults(plugin: str) -> Arguments:
    """What a plugin gets that is told nothing."""
    errors: list[FieldError] = []
    found = read_arguments(plugin, Fields({}, Path(), errors, []))
    assert not errors, f"the defaults of {plugin} are wrong: {errors}"
    return found
