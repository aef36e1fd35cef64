"""NetworkPolicy: which traffic the pods of a namespace accept and send."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, selector_cell
from sampan.api.kind import Column, Kind
from sampan.api.resources import NETWORK_POLICIES
from sampan.api.strategy import count_generation, ensure, setdefault, start_generation
from sampan.apimachinery.object import Object


def default(obj: Object) -> None:
    """A policy restricts ingress, and egress as well when it has egress rules; ports are TCP."""
    spec = ensure(obj, "spec")
    spec.setdefault("podSelector", {})
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            setdefault(port, "protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


NETWORK_POLICY = Kind(
    resource=NETWORK_POLICIES,
    definition="io.k8s.api.networking.v1.NetworkPolicy",
    singular="networkpolicy",
    short_names=("netpol",),
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    columns=(
        NAME,
        Column("Pod-Selector", "string", selector_cell("spec", "podSelector"), "The pods that the policy selects."),
        AGE,
    ),
)
