"""FlowSchema: which requests belong together, and to which priority level."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, NONE, at
from sampan.api.flowcontrol.flow_rules import validate_rules
from sampan.api.flowcontrol.mandatory import check_fixed
from sampan.api.kind import Column, Kind
from sampan.api.resources import FLOW_SCHEMAS
from sampan.api.strategy import create_with_generation, ensure, status_alone, update_with_generation
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.object import Object, dig, name_of

DEFAULT_PRECEDENCE, MAX_PRECEDENCE = 1000, 10000


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = DEFAULT_PRECEDENCE
    if spec.get("priorityLevelConfiguration") is None:
        spec["priorityLevelConfiguration"] = {"name": ""}


def validate(obj: Object) -> list[FieldError]:
    spec, path, name = obj.get("spec") or {}, Path("spec"), name_of(obj)
    precedence, at_precedence = spec.get("matchingPrecedence") or 0, path.child("matchingPrecedence")
    errors: list[FieldError] = []
    if precedence <= 0:
        errors.append(invalid(at_precedence, precedence, "must be a positive value"))
    elif precedence > MAX_PRECEDENCE:
        errors.append(invalid(at_precedence, precedence, f"must not be greater than {MAX_PRECEDENCE}"))
    elif precedence == 1 and name != "exempt":
        errors.append(invalid(at_precedence, precedence,
                              "only the schema named 'exempt' may have matchingPrecedence 1"))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        errors.append(not_supported(
            path.child("distinguisherMethod", "type"), method.get("type"), ("ByNamespace", "ByUser")
        ))
    if not dig(spec, "priorityLevelConfiguration", "name"):
        errors.append(required(path.child("priorityLevelConfiguration", "name"), "must reference a priority level"))
    return errors + validate_rules(spec.get("rules") or [], path.child("rules")) + check_fixed("FlowSchema", obj)


def missing_level(obj: Object, now: datetime) -> str:
    """What the Dangling condition says."""
    conditions = dig(obj, "status", "conditions", default=())
    return next((str(one.get("status", "?")) for one in conditions if one.get("type") == "Dangling"), "?")


FLOW_SCHEMA = Kind(
    resource=FLOW_SCHEMAS,
    definition="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    default=default,
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    validate=validate,
    columns=(
        NAME,
        Column("PriorityLevel", "string", at("spec", "priorityLevelConfiguration", "name"),
               doc="flowcontrol.v1.PriorityLevelConfigurationReference#name"),
        Column("MatchingPrecedence", "string", at("spec", "matchingPrecedence", default=0),
               doc="flowcontrol.v1.FlowSchemaSpec#matchingPrecedence"),
        Column("DistinguisherMethod", "string", at("spec", "distinguisherMethod", "type", default=NONE),
               doc="flowcontrol.v1.FlowSchemaSpec#distinguisherMethod"),
        AGE,
        Column("MissingPL", "string", missing_level, "references a broken or non-existent PriorityLevelConfiguration"),
    ),
    table_order=lambda obj: (dig(obj, "spec", "matchingPrecedence", default=0), name_of(obj)),
    subresources=status_alone(),
)
