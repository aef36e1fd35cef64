"""Rules of what steers a pod to a node: affinity, tolerations, topology spread, gates."""

from __future__ import annotations

from sampan.api.core.node_affinity import validate_node_affinity
from sampan.api.selector_rules import validate_label_selector
from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_label, label_value, qualified_name
from sampan.apimachinery.object import Object

_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_affinity(affinity: Object | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    if not affinity:
        return errors
    if affinity.get("nodeAffinity") is not None:
        errors += validate_node_affinity(affinity["nodeAffinity"], path.child("nodeAffinity"))
    for key in ("podAffinity", "podAntiAffinity"):
        rules, where = affinity.get(key) or {}, path.child(key)
        for position, term in enumerate(rules.get(_REQUIRED) or []):
            errors += _pod_term(term, where.child(_REQUIRED).index(position))
        for position, weighted in enumerate(rules.get(_PREFERRED) or []):
            place = where.child(_PREFERRED).index(position)
            weight = weighted.get("weight") or 0
            if not 1 <= weight <= 100:
                errors.append(invalid(place.child("weight"), weight, "must be in the range 1-100"))
            errors += _pod_term(weighted.get("podAffinityTerm") or {}, place.child("podAffinityTerm"))
    return errors


def _pod_term(term: Object, path: Path) -> list[FieldError]:
    errors = validate_label_selector(term.get("labelSelector"), path.child("labelSelector"))
    errors += validate_label_selector(term.get("namespaceSelector"), path.child("namespaceSelector"))
    for position, name in enumerate(term.get("namespaces") or []):
        errors += [invalid(path.child("namespace").index(position), name, why) for why in dns1123_label(name)]
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(required(path.child("topologyKey"), "can not be empty"))
    return errors + [invalid(path.child("topologyKey"), key, why) for why in qualified_name(key)]


def validate_tolerations(tolerations: list[Object] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, toleration in enumerate(tolerations or []):
        errors += _toleration(toleration, path.index(position))
    return errors


def _toleration(toleration: Object, path: Path) -> list[FieldError]:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    errors: list[FieldError] = []
    if key:
        errors += [invalid(path.child("key"), key, why) for why in qualified_name(key)]
    elif operator != "Exists":
        errors.append(invalid(path.child("operator"), operator, "operator must be Exists when `key` is empty, which "
                                                                'means "match all values and all keys"'))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        errors.append(invalid(path.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is "
                                                            "set"))
    if operator in ("Equal", ""):
        errors += [invalid(path.child("operator"), value, why) for why in label_value(value)]
    elif operator == "Exists":
        if value:
            errors.append(invalid(path.child("operator"), toleration, "value must be empty when `operator` is "
                                                                      "'Exists'"))
    else:
        errors.append(not_supported(path.child("operator"), operator, ("Equal", "Exists")))
    if effect and effect not in _EFFECTS:
        errors.append(not_supported(path.child("effect"), effect, _EFFECTS))
    return errors


def validate_topology_spread(constraints: list[Object] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for position, constraint in enumerate(constraints or []):
        where = path.index(position)
        errors += _spread(constraint, where)
        pair = (constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or "")
        if pair in seen:
            errors.append(duplicate(where.child("{topologyKey, whenUnsatisfiable}"), f"{{{pair[0]}, {pair[1]}}}"))
        seen.add(pair)
    return errors


def _spread(constraint: Object, path: Path) -> list[FieldError]:
    skew, key = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or ""
    unsatisfiable, domains = constraint.get("whenUnsatisfiable") or "", constraint.get("minDomains")
    errors: list[FieldError] = []
    if skew <= 0:
        errors.append(invalid(path.child("maxSkew"), skew, "must be greater than zero"))
    if not key:
        errors.append(required(path.child("topologyKey"), "can not be empty"))
    else:
        errors += [invalid(path.child("topologyKey"), key, why) for why in qualified_name(key)]
    if unsatisfiable not in _UNSATISFIABLE:
        errors.append(not_supported(path.child("whenUnsatisfiable"), unsatisfiable, _UNSATISFIABLE))
    if domains is not None:
        if domains <= 0:
            errors.append(invalid(path.child("minDomains"), domains, "must be greater than zero"))
        if unsatisfiable != "DoNotSchedule":
            errors.append(invalid(path.child("minDomains"), domains, "can only use minDomains if "
                                  f"whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}"))
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if constraint.get(name) not in (None, *_INCLUSION):
            errors.append(not_supported(path.child(name), constraint[name], _INCLUSION))
    errors += validate_label_selector(constraint.get("labelSelector"), path.child("labelSelector"))
    return errors + _match_keys(constraint, path)


def _match_keys(constraint: Object, path: Path) -> list[FieldError]:
    keys = constraint.get("matchLabelKeys") or []
    if not keys:
        return []
    where = path.child("matchLabelKeys")
    if constraint.get("labelSelector") is None:
        return [forbidden(where, "must not be specified when labelSelector is not set")]
    errors: list[FieldError] = []
    for position, key in enumerate(keys):
        errors += [invalid(where.index(position), key, why) for why in qualified_name(key)]
        rules = constraint["labelSelector"].get("matchExpressions") or []
        if any(rule.get("key") == key for rule in rules) or key in (
                constraint["labelSelector"].get("matchLabels") or {}):
            errors.append(invalid(where.index(position), key, "exists in both matchLabelKeys and labelSelector"))
    return errors


def validate_gates(spec: Object, path: Path) -> list[FieldError]:
    """Readiness gates and scheduling gates."""
    errors: list[FieldError] = []
    for position, gate in enumerate(spec.get("readinessGates") or []):
        kind = gate.get("conditionType") or ""
        errors += [invalid(path.child("readinessGates").index(position).child("conditionType"), kind, why)
                   for why in qualified_name(kind)]
    names: set[str] = set()
    for position, gate in enumerate(spec.get("schedulingGates") or []):
        where, name = path.child("schedulingGates").index(position), gate.get("name") or ""
        errors += [invalid(where, name, why) for why in qualified_name(name)]
        if name in names:
            errors.append(duplicate(where, name))
        names.add(name)
    return errors
