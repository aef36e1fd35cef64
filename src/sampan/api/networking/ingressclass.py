"""IngressClass: which controller serves the Ingresses that name the class."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import INGRESS_CLASSES
from sampan.api.strategy import count_generation, setdefault, start_generation
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required, too_long
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.names import domain_prefixed_path
from sampan.apimachinery.object import Object, dig

IS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"


def default(obj: Object) -> None:
    parameters = (obj.get("spec") or {}).get("parameters")
    if isinstance(parameters, dict):
        setdefault(parameters, "scope", "Cluster")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    controller = spec.get("controller") or ""
    errors: list[FieldError] = []
    if len(controller) > 250:
        errors.append(too_long(path.child("controller"), 250))
    errors += [invalid(path.child("controller"), controller, why) for why in domain_prefixed_path(controller)]
    parameters = spec.get("parameters")
    if parameters is not None:
        errors += _parameters(parameters, path.child("parameters"))
    return errors


def _parameters(parameters: Object, path: Path) -> list[FieldError]:
    errors = [required(path.child(key)) for key in ("kind", "name") if not parameters.get(key)]
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        errors.append(required(path.child("scope")))
    elif scope not in ("Cluster", "Namespace"):
        errors.append(not_supported(path.child("scope"), scope, ("Cluster", "Namespace")))
    elif scope == "Namespace" and not namespace:
        errors.append(required(path.child("namespace"), "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Cluster" and namespace is not None:
        errors.append(forbidden(path.child("namespace"), "`parameters.scope` is set to 'Cluster'"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return immutable(dig(new, "spec", "controller"), dig(old, "spec", "controller"), Path("spec").child("controller"))


def parameters_text(obj: Object, now: datetime) -> str:
    parameters = dig(obj, "spec", "parameters")
    if not parameters:
        return "<none>"
    kind, group = parameters.get("kind", ""), parameters.get("apiGroup")
    return f"{kind}.{group}/{parameters.get('name', '')}" if group else f"{kind}/{parameters.get('name', '')}"


INGRESS_CLASS = Kind(
    resource=INGRESS_CLASSES,
    definition="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Controller", "string", at("spec", "controller"), "Controller that is responsible for handling this "
                                                                 "class"),
        Column("Parameters", "string", parameters_text, "A reference to a resource with additional parameters"),
        AGE,
    ),
)
