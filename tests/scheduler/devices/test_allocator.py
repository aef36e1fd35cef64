"""Which devices claims get: selectors, counts, constraints, taints, alternatives, shared counters, pools in parts."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.apimachinery.object import Object
from sampan.apimachinery.quantity import Quantity
from sampan.scheduler.devices.allocator import Inventory, OutOfTime, allocate
from sampan.scheduler.devices.capacity import CapacityError, consumption
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
    rules: tuple[Object, ...] = (), consumed: dict[str, dict[str, str]] | None = None,
) -> list[list[str]] | None:
    """The names of the devices for each claim."""
    used = {
        (DRIVER, "p", name): {f"{DRIVER}/{kind}": Quantity.parse(amount).nanos for kind, amount in amounts.items()}
        for name, amounts in (consumed or {}).items()
    }
    inventory = Inventory(pools_of(slices, rules), frozenset((DRIVER, "p", name) for name in taken), Selectors(), used)
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


@pytest.mark.parametrize(("expression", "found"), [
    ('!has(device.attributes["other.example.com"].model)', ["a"]),
    ('has(device.capacity["other.example.com"].x)', None),
    ('"other.example.com" in device.attributes', None), (f'"{DRIVER}" in device.attributes', ["a"]),
])
def test_a_domain_that_a_device_knows_nothing_of_is_empty(expression: str, found: list[str] | None) -> None:
    chosen = names([slice_of(device("a", model="new"))], claim({"exactly": exactly(1, expression)}))
    assert chosen == (None if found is None else [found])


def test_an_attribute_of_such_a_domain_is_not_there() -> None:
    with pytest.raises(SelectorError, match="no such key: model"):
        names([slice_of(device("a"))], claim({"exactly": exactly(1, 'device.attributes["other"].model == "x"')}))


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


def test_a_selector_that_is_too_dear_is_wrong_for_the_device() -> None:
    loop = f"[{', '.join(map(str, range(80)))}]"
    dear = f"{loop}.all(x, {loop}.all(y, {loop}.all(z, x + y + z >= 0)))"
    with pytest.raises(SelectorError, match="selector #0: operation cancelled: actual cost limit exceeded"):
        names([slice_of(device("a"))], claim({"exactly": exactly(1, dear)}))


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


def shared(name: str, policy: Object | None = None, value: str = "10Gi", **more: Any) -> Object:
    """A device that may be allocated several times."""
    capacity: Object = {"value": value}
    if policy is not None:
        capacity["requestPolicy"] = policy
    made = device(name, **more)
    return {**made, "allowMultipleAllocations": True, "capacity": {"memory": capacity}}


def asking(memory: str, count: int = 1, name: str = "memory") -> Object:
    return {"exactly": exactly(count, capacity={"requests": {name: memory}})}


def test_a_shared_device_is_given_out_until_its_capacity_is_consumed() -> None:
    slices = [slice_of(shared("a"))]
    claims = [claim(asking("4Gi"), name=name) for name in "xyz"]
    assert names(slices, *claims[:2]) == [["a"], ["a"]]
    assert names(slices, *claims) is None
    assert names(slices, claims[0], consumed={"a": {"memory": "6Gi"}}) == [["a"]]
    assert names(slices, claims[0], consumed={"a": {"memory": "7Gi"}}) is None


def test_one_request_may_get_several_shares_of_a_device() -> None:
    slices = [slice_of(shared("a"))]
    assert names(slices, claim(asking("5Gi", 2))) == [["a", "a"]]
    assert names(slices, claim(asking("5Gi", 3))) is None


def test_distinct_attributes_make_shares_come_from_different_devices() -> None:
    slices = [slice_of(shared("a", card=1), shared("b", card=2))]
    distinct = [{"distinctAttribute": f"{DRIVER}/card"}]
    assert names(slices, claim(asking("1Gi"), asking("1Gi"))) == [["a", "a"]]
    assert names(slices, claim(asking("1Gi"), asking("1Gi"), constraints=distinct)) == [["a", "b"]]
    assert names(slices, claim(asking("1Gi", 3), constraints=distinct)) is None


def test_who_asks_for_nothing_gets_the_default_or_everything() -> None:
    two = [claim({"exactly": exactly()}, name=name) for name in "xy"]
    assert names([slice_of(shared("a"))], *two) is None
    default = {"default": "2Gi", "validRange": {"min": "1Gi"}}
    assert names([slice_of(shared("a", default))], *two) == [["a"], ["a"]]


@pytest.mark.parametrize(("policy", "asked", "consumed"), [
    (None, "3Gi", "3Gi"),
    ({"default": "2Gi", "validRange": {"min": "2Gi", "step": "2Gi", "max": "8Gi"}}, "1Gi", "2Gi"),
    ({"default": "2Gi", "validRange": {"min": "2Gi", "step": "2Gi", "max": "8Gi"}}, "5Gi", "6Gi"),
    ({"default": "2Gi", "validRange": {"min": "2Gi", "max": "8Gi"}}, "5Gi", "5Gi"),
    ({"default": "2Gi", "validRange": {"min": "2Gi", "step": "2Gi", "max": "8Gi"}}, "9Gi", None),
    ({"default": "1Gi", "validValues": ["1Gi", "4Gi"]}, "2Gi", "4Gi"),
    ({"default": "1Gi", "validValues": ["1Gi", "4Gi"]}, "4Gi", "4Gi"),
    ({"default": "1Gi", "validValues": ["1Gi", "4Gi"]}, "5Gi", None),
    (None, "11Gi", None),
    ({"default": "100m", "validRange": {"min": "100m", "step": "100m"}}, "250m", "300m"),
])
def test_what_is_asked_is_rounded_up_as_the_policy_says(
    policy: Object | None, asked: str, consumed: str | None
) -> None:
    [pool] = pools_of([slice_of(shared("a", policy))])
    found = consumption(pool.devices[0], {"memory": asked})
    assert (None if found is None else str(found[f"{DRIVER}/memory"])) == consumed


def test_capacity_is_found_with_and_without_the_drivers_domain() -> None:
    slices = [slice_of(shared("a"))]
    assert names(slices, claim(asking("1Gi", name=f"{DRIVER}/memory"))) == [["a"]]
    assert names(slices, claim(asking("1Gi", name="other.example.com/memory"))) is None
    assert names(slices, claim(asking("1Gi", name="bandwidth"))) is None
    both = {"exactly": exactly(capacity={"requests": {"memory": "1Gi", f"{DRIVER}/memory": "2Gi"}})}
    with pytest.raises(CapacityError, match=f'capacity "memory" requested both as "memory" and as "{DRIVER}/memory"'):
        names(slices, claim(both))


def test_the_capacity_of_a_device_that_is_not_shared_has_to_be_there() -> None:
    slices = [slice_of(device("a"), device("b"))]
    assert names(slices, claim(asking("30Gi", 2))) == [["a", "b"]]
    assert names(slices, claim(asking("50Gi"))) is None


def test_all_of_shared_devices_means_a_share_of_each() -> None:
    slices = [slice_of(shared("a"), shared("b"))]
    everything = {"exactly": {
        "deviceClassName": "gpu", "allocationMode": "All", "capacity": {"requests": {"memory": "4Gi"}},
    }}
    assert names(slices, claim(everything)) == [["a", "b"]]
    assert names(slices, claim(everything), consumed={"b": {"memory": "7Gi"}}) is None


def test_a_shared_device_consumes_its_counters_once() -> None:
    counters = [{"name": "card", "counters": {"memory": {"value": "40Gi"}}}]
    slices = [slice_of(
        shared("a", uses={"memory": "30Gi"}), device("b", uses={"memory": "20Gi"}), sharedCounters=counters
    )]
    two = [claim(asking("1Gi"), name=name) for name in "xy"]
    assert names(slices, *two) == [["a"], ["a"]]
    only_b = claim({"exactly": exactly(1, f'device.capacity["{DRIVER}"].memory.compareTo(quantity("40Gi")) == 0')})
    assert names(slices, only_b, consumed={"a": {"memory": "1Gi"}}) is None
    assert names(slices, two[0], taken=("b",)) is None


def test_a_share_is_told_with_what_it_consumes() -> None:
    wanted = requests_of(claim(asking("3Gi", 2)), CLASSES.get)
    policy = {"default": "2Gi", "validRange": {"min": "2Gi", "step": "2Gi"}}
    slices = [slice_of(shared("a", policy), skipNodeOperations=["Prepare"])]
    found = allocate(Inventory(pools_of(slices), frozenset(), Selectors()), [wanted], node())
    assert found is not None
    first, second = allocation(wanted, found[0], "n1")["devices"]["results"]
    assert first["consumedCapacity"] == second["consumedCapacity"] == {"memory": "4Gi"}
    assert first["shareID"] != second["shareID"]
    assert first["skipNodeOperations"] == ["Prepare"]


def test_lists_agree_if_they_share_a_value_and_differ_if_they_share_none() -> None:
    def listed(name: str, *values: str) -> Object:
        return {**device(name), "attributes": {"racks": {"strings": list(values)}}}

    slices = [slice_of(listed("a", "r1", "r2"), listed("b", "r3"), listed("c", "r2"))]
    same, distinct = ([{kind: f"{DRIVER}/racks"}] for kind in ("matchAttribute", "distinctAttribute"))
    assert names(slices, claim({"exactly": exactly(2)}, constraints=same)) == [["a", "c"]]
    assert names(slices, claim({"exactly": exactly(2)}, constraints=distinct)) == [["a", "b"]]
    assert names(slices, claim({"exactly": exactly(3)}, constraints=distinct)) is None


def test_what_binds_to_a_node_is_for_that_node() -> None:
    bound = {**device("a"), "bindsToNode": True, "bindingConditions": ["Attached"], "bindingFailureConditions": ["Bad"]}
    wanted = requests_of(claim({"exactly": exactly()}), CLASSES.get)
    found = allocate(Inventory(pools_of([slice_of(bound, allNodes=True)]), frozenset(), Selectors()), [wanted], node())
    assert found is not None
    result = allocation(wanted, found[0], "n1")
    [one] = result["devices"]["results"]
    assert (one["bindingConditions"], one["bindingFailureConditions"]) == (["Attached"], ["Bad"])
    [term] = result["nodeSelector"]["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]


def test_a_search_that_takes_too_long_is_given_up() -> None:
    slices = [slice_of(*(device(f"d{n}", numa=n) for n in range(24)))]
    same = [{"matchAttribute": f"{DRIVER}/other"}]
    hard = [*({"exactly": exactly(3)} for _ in range(7)), {"exactly": exactly(4)}]
    wanted = requests_of(claim(*hard, constraints=[{**same[0], "requests": ["r7"]}]), CLASSES.get)
    with pytest.raises(OutOfTime):
        allocate(Inventory(pools_of(slices), frozenset(), Selectors()), [wanted], node(), 0.05)
