"""Which devices claims get: selectors, counts, constraints, taints, alternatives, shared counters, pools in parts."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.apimachinery.object import Object
from sampan.scheduler.devices.allocator import Inventory, allocate
from sampan.scheduler.devices.device import pools_of
from sampan.scheduler.devices.request import MissingClass, requests_of
from sampan.scheduler.devices.result import allocation
from sampan.scheduler.devices.selector import SelectorError, Selectors
from sampan.scheduler.node_info import NodeInfo

DRIVER = "gpu.example.com"


def device(
    name: str, *, taints: list[Object] | None = None, uses: dict[str, str] | None = None, **attributes: Any
) -> Object:
    kinds = {str: "string", int: "int", bool: "bool"}
    found: Object = {
        "name": name, "attributes": {key: {kinds[type(value)]: value} for key, value in attributes.items()},
        "capacity": {"memory": {"value": "40Gi"}}, "taints": taints or [],
    }
    if uses:
        counters = {key: {"value": value} for key, value in uses.items()}
        found["consumesCounters"] = [{"counterSet": "card", "counters": counters}]
    return found


def slice_of(
    *devices: Object, node: str = "n1", pool: str = "p", generation: int = 1, slices: int = 1, **spec: Any
) -> Object:
    place: Object = {} if {"allNodes", "nodeSelector"} & spec.keys() else {"nodeName": node}
    return {"metadata": {"name": f"{pool}-{generation}"}, "spec": {
        "driver": DRIVER, "pool": {"name": pool, "generation": generation, "resourceSliceCount": slices},
        "devices": list(devices), **place, **spec,
    }}


def exactly(count: int = 1, *expressions: str, **fields: Any) -> Object:
    selectors = [{"cel": {"expression": text}} for text in expressions]
    return {"deviceClassName": "gpu", "count": count, "allocationMode": "ExactCount", "selectors": selectors, **fields}


def claim(*requests: Object, name: str = "c", constraints: list[Object] | None = None, **devices: Any) -> Object:
    named = [{"name": f"r{n}", **request} for n, request in enumerate(requests)]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"devices": {"requests": named, "constraints": constraints or [], **devices}},
    }


CLASSES: dict[str, Object] = {
    "gpu": {"metadata": {"name": "gpu"}, "spec": {
        "selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}],
        "config": [{"opaque": {"driver": DRIVER, "parameters": {"from": "class"}}}],
    }},
}


def node(name: str = "n1", **labels: str) -> NodeInfo:
    info = NodeInfo(name)
    info.set_node({"metadata": {"name": name, "labels": labels}})
    return info


def names(
    slices: list[Object], *claims: Object, on: NodeInfo | None = None, taken: tuple[str, ...] = (),
    rules: tuple[Object, ...] = (),
) -> list[list[str]] | None:
    """The names of the devices for each claim."""
    inventory = Inventory(pools_of(slices, rules), frozenset((DRIVER, "p", name) for name in taken), Selectors())
    found = allocate(inventory, [requests_of(one, CLASSES.get) for one in claims], on or node())
    return None if found is None else [[chosen.device.id[2] for chosen in one] for one in found]


def test_a_request_gets_as_many_devices_as_it_asks_for() -> None:
    slices = [slice_of(device("a"), device("b"), device("c"))]
    assert names(slices, claim({"exactly": exactly(2)})) == [["a", "b"]]
    assert names(slices, claim({"exactly": exactly(4)})) is None


def test_devices_of_other_claims_are_not_given_out_again() -> None:
    slices = [slice_of(device("a"), device("b"))]
    assert names(slices, claim({"exactly": exactly()}), taken=("a",)) == [["b"]]
    two = [claim({"exactly": exactly()}, name=name) for name in "xy"]
    assert names(slices, *two) == [["a"], ["b"]]


def test_selectors_of_class_and_request_must_all_hold() -> None:
    slices = [slice_of(device("a", model="old"), device("b", model="new"))]
    model = f'device.attributes["{DRIVER}"].model == "new"'
    memory = f'device.capacity["{DRIVER}"].memory.compareTo(quantity("30Gi")) >= 0'
    assert names(slices, claim({"exactly": exactly(1, model, memory)})) == [["b"]]


def test_a_choice_is_taken_back_when_the_rest_would_not_fit() -> None:
    slices = [slice_of(device("a", model="new"), device("b", model="old"))]
    picky = exactly(1, f'device.attributes["{DRIVER}"].model == "new"')
    assert names(slices, claim({"exactly": exactly()}, {"exactly": picky})) == [["b", "a"]]


def test_devices_agree_on_an_attribute() -> None:
    slices = [slice_of(device("a", numa=0), device("b", numa=1), device("c", numa=1), device("d"))]
    same = [{"matchAttribute": f"{DRIVER}/numa"}]
    assert names(slices, claim({"exactly": exactly(2)}, constraints=same)) == [["b", "c"]]
    assert names(slices, claim({"exactly": exactly(3)}, constraints=same)) is None


def test_devices_differ_in_an_attribute() -> None:
    slices = [slice_of(device("a", numa=1), device("b", numa=1), device("c", numa=2))]
    distinct = [{"distinctAttribute": f"{DRIVER}/numa"}]
    assert names(slices, claim({"exactly": exactly(2)}, constraints=distinct)) == [["a", "c"]]


def test_a_constraint_concerns_the_requests_that_it_names() -> None:
    slices = [slice_of(device("a", numa=0), device("b", numa=1), device("c", numa=1))]
    same = [{"matchAttribute": f"{DRIVER}/numa", "requests": ["r1", "r2"]}]
    wanted = claim(*({"exactly": exactly()} for _ in range(3)), constraints=same)
    assert names(slices, wanted) == [["a", "b", "c"]]


def test_the_first_alternative_that_can_be_had_is_taken() -> None:
    slices = [slice_of(device("a", model="old"), device("b", model="old"))]
    first = {"name": "new", **exactly(1, f'device.attributes["{DRIVER}"].model == "new"')}
    request = {"firstAvailable": [first, {"name": "many", **exactly(2)}, {"name": "one", **exactly(1)}]}
    assert names(slices, claim(request)) == [["a", "b"]]
    assert names(slices, claim(request), taken=("a",)) == [["b"]]


def test_all_means_every_matching_device_and_none_of_them_taken() -> None:
    slices = [slice_of(device("a"), device("b"))]
    everything = {"exactly": {"deviceClassName": "gpu", "allocationMode": "All"}}
    assert names(slices, claim(everything)) == [["a", "b"]]
    assert names(slices, claim(everything), taken=("b",)) is None
    assert names([slice_of(device("a"), slices=2)], claim(everything)) is None


def test_administrative_access_takes_nothing_and_minds_nobody() -> None:
    slices = [slice_of(device("a"))]
    admin = {"exactly": exactly(1, adminAccess=True)}
    assert names(slices, claim(admin), taken=("a",)) == [["a"]]
    assert names(slices, claim(admin, name="x"), claim({"exactly": exactly()}, name="y")) == [["a"], ["a"]]


def test_only_the_newest_generation_counts() -> None:
    slices = [slice_of(device("old"), generation=1), slice_of(device("new"), generation=2)]
    assert names(slices, claim({"exactly": exactly()})) == [["new"]]


def test_devices_are_where_their_slices_are() -> None:
    assert names([slice_of(device("a"), node="n2")], claim({"exactly": exactly()})) is None
    assert names([slice_of(device("a"), allNodes=True)], claim({"exactly": exactly()})) == [["a"]]
    expression = {"key": "rack", "operator": "In", "values": ["r1"]}
    wide = slice_of(device("a"), nodeSelector={"nodeSelectorTerms": [{"matchExpressions": [expression]}]})
    assert names([wide], claim({"exactly": exactly()}), on=node(rack="r1")) == [["a"]]
    assert names([wide], claim({"exactly": exactly()}), on=node(rack="r2")) is None


def test_tainted_devices_are_for_those_who_tolerate_them() -> None:
    taint = {"key": "broken", "effect": "NoSchedule"}
    slices = [slice_of(device("a", taints=[taint]), device("b"))]
    assert names(slices, claim({"exactly": exactly()})) == [["b"]]
    tolerating = exactly(1, tolerations=[{"key": "broken", "operator": "Exists"}])
    assert names(slices, claim({"exactly": tolerating})) == [["a"]]
    rule = {"spec": {"deviceSelector": {"pool": "p", "device": "b"}, "taint": taint}}
    assert names(slices, claim({"exactly": exactly()}), rules=(rule,)) is None


def test_parts_of_one_card_share_its_counters() -> None:
    counters = [{"name": "card", "counters": {"memory": {"value": "40Gi"}}}]
    whole = device("whole", uses={"memory": "40Gi"})
    half = [device(f"half-{n}", uses={"memory": "20Gi"}) for n in range(3)]
    slices = [slice_of(whole, *half, sharedCounters=counters)]
    assert names(slices, claim({"exactly": exactly()})) == [["whole"]]
    assert names(slices, claim({"exactly": exactly(2)})) == [["half-0", "half-1"]]
    assert names(slices, claim({"exactly": exactly(3)})) is None
    assert names(slices, claim({"exactly": exactly()}), taken=("half-0",)) == [["half-1"]]
    assert names(slices, claim({"exactly": exactly()}), taken=("whole",)) is None


@pytest.mark.parametrize("expression", ["device.nonsense(", f'device.attributes["{DRIVER}"].unknown == 1'])
def test_a_wrong_selector_says_whose_it_is(expression: str) -> None:
    with pytest.raises(SelectorError, match="claim default/c: request r0: selector #0"):
        names([slice_of(device("a"))], claim({"exactly": exactly(1, expression)}))


def test_a_class_that_does_not_exist_is_told() -> None:
    with pytest.raises(MissingClass, match="request r0: device class tpu does not exist"):
        names([], claim({"exactly": {**exactly(), "deviceClassName": "tpu"}}))


def test_a_result_carries_configuration_and_place() -> None:
    config = [{"requests": ["r0"], "opaque": {"driver": DRIVER, "parameters": {"from": "claim"}}}]
    wanted = requests_of(claim({"exactly": exactly()}, config=config), CLASSES.get)
    inventory = Inventory(pools_of([slice_of(device("a"))]), frozenset(), Selectors())
    found = allocate(inventory, [wanted], node())
    assert found is not None
    result = allocation(wanted, found[0], "n1")
    assert result["devices"]["results"] == [{"request": "r0", "driver": DRIVER, "pool": "p", "device": "a"}]
    assert [(one["source"], one["opaque"]["parameters"]["from"]) for one in result["devices"]["config"]] == [
        ("FromClass", "class"), ("FromClaim", "claim"),
    ]
    [term] = result["nodeSelector"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
