"""PriorityLevelConfiguration: how many requests of a priority run at once, and how the others wait."""

from __future__ import annotations

import math

from sampan.api.columns import AGE, NAME, NONE, Cell, at
from sampan.api.flowcontrol.mandatory import check_fixed
from sampan.api.kind import Column, Kind
from sampan.api.resources import PRIORITY_LEVEL_CONFIGURATIONS
from sampan.api.strategy import create_with_generation, ensure, setdefault, status_alone, update_with_generation
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.object import Object

SHARES, QUEUES, HAND_SIZE, QUEUE_LENGTH = 30, 64, 8, 50
MAX_QUEUES, MAX_ENTROPY_BITS = 10_000_000, 60


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if spec.get("type") == "Exempt" and exempt is None:
        exempt = spec["exempt"] = {}
    if isinstance(exempt, dict):
        setdefault(exempt, "nominalConcurrencyShares", 0)
        setdefault(exempt, "lendablePercent", 0)
    if isinstance(limited, dict):
        setdefault(limited, "nominalConcurrencyShares", SHARES)
        setdefault(limited, "lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if isinstance(queuing, dict):
            for key, value in (("handSize", HAND_SIZE), ("queues", QUEUES), ("queueLengthLimit", QUEUE_LENGTH)):
                if not queuing.get(key):
                    queuing[key] = value


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = check_fixed("PriorityLevelConfiguration", obj)
    kind, limited, exempt = spec.get("type"), spec.get("limited"), spec.get("exempt")
    if kind not in ("Exempt", "Limited"):
        return [*errors, not_supported(path.child("type"), kind or "", ("Exempt", "Limited"))]
    if kind == "Exempt":
        if limited is not None:
            errors.append(forbidden(path.child("limited"), "must be nil if the type is not Limited"))
        return errors + _shares(exempt or {}, path.child("exempt"))
    if exempt is not None:
        errors.append(forbidden(path.child("exempt"), "must be nil if the type is Limited"))
    if limited is None:
        return [*errors, required(path.child("limited"), "must not be empty when type is Limited")]
    return errors + _shares(limited, path.child("limited")) + _response(
        limited.get("limitResponse") or {}, path.child("limited", "limitResponse")
    )


def _shares(section: Object, path: Path) -> list[FieldError]:
    errors, shares, lendable = [], section.get("nominalConcurrencyShares"), section.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.append(invalid(path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer"))
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(invalid(path.child("lendablePercent"), lendable, "must be between 0 and 100, inclusive"))
    borrowing = section.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        errors.append(invalid(path.child("borrowingLimitPercent"), borrowing,
                              "if specified, must be a non-negative integer"))
    return errors


def _response(response: Object, path: Path) -> list[FieldError]:
    kind, queuing = response.get("type"), response.get("queuing")
    if kind == "Reject":
        return [] if queuing is None else [
            forbidden(path.child("queuing"), "must be nil if limited.limitResponse.type is not Limited")
        ]
    if kind != "Queue":
        return [not_supported(path.child("type"), kind or "", ("Queue", "Reject"))]
    if queuing is None:
        return [required(path.child("queuing"), "must not be empty if limited.limitResponse.type is Limited")]
    return _queuing(queuing, path.child("queuing"))


def _queuing(queuing: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    queues, hand, length = (queuing.get(key) or 0 for key in ("queues", "handSize", "queueLengthLimit"))
    if length <= 0:
        errors.append(invalid(path.child("queueLengthLimit"), length, "must be positive"))
    if queues <= 0:
        errors.append(invalid(path.child("queues"), queues, "must be positive"))
    elif queues > MAX_QUEUES:
        errors.append(invalid(path.child("queues"), queues, f"must not be greater than {MAX_QUEUES}"))
    if hand <= 0:
        errors.append(invalid(path.child("handSize"), hand, "must be positive"))
    elif hand > queues:
        errors.append(invalid(path.child("handSize"), hand,
                              f"should not be greater than queues ({queues})"))
    elif (bits := entropy_bits(queues, hand)) > MAX_ENTROPY_BITS:
        errors.append(invalid(path.child("handSize"), hand,
                              f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater "
                              f"than {MAX_ENTROPY_BITS}, is {bits}"))
    return errors


def entropy_bits(deck: int, hand: int) -> int:
    """How many random bits it takes to deal a hand."""
    return math.ceil(sum(math.log2(deck - dealt) for dealt in range(min(hand, deck))))


def queuing_cell(key: str) -> Cell:
    return at("spec", "limited", "limitResponse", "queuing", key, default=NONE)


PRIORITY_LEVEL_CONFIGURATION = Kind(
    resource=PRIORITY_LEVEL_CONFIGURATIONS,
    definition="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    singular="prioritylevelconfiguration",
    default=default,
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    validate=validate,
    columns=(
        NAME,
        Column("Type", "string", at("spec", "type"), doc="flowcontrol.v1.PriorityLevelConfigurationSpec#type"),
        Column("NominalConcurrencyShares", "string", at("spec", "limited", "nominalConcurrencyShares", default=NONE),
               doc="flowcontrol.v1.LimitedPriorityLevelConfiguration#nominalConcurrencyShares"),
        Column("Queues", "string", queuing_cell("queues"), doc="flowcontrol.v1.QueuingConfiguration#queues"),
        Column("HandSize", "string", queuing_cell("handSize"), doc="flowcontrol.v1.QueuingConfiguration#handSize"),
        Column("QueueLengthLimit", "string", queuing_cell("queueLengthLimit"),
               doc="flowcontrol.v1.QueuingConfiguration#queueLengthLimit"),
        AGE,
    ),
    subresources=status_alone(),
)
