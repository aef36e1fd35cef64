"""Taints of devices, in ResourceSlices and DeviceTaintRules: when they were added, and what is refused."""

from __future__ import annotations

import pytest

from sampan.api.resource.devicetaintrule import DEVICE_TAINT_RULE
from sampan.api.resource.resourceslice import RESOURCE_SLICE
from sampan.apimachinery.object import Object

OLD = "2026-01-02T03:04:05Z"


def slice_with(*taints: Object) -> Object:
    return {"metadata": {"name": "s"}, "spec": {
        "driver": "d.example.com", "pool": {"name": "p", "resourceSliceCount": 1}, "allNodes": True,
        "devices": [{"name": "a", "taints": list(taints)}, {"name": "b"}],
    }}


def rule(effect: str, added: str = OLD) -> Object:
    return {"metadata": {"name": "r", "generation": 1}, "spec": {
        "deviceSelector": {"driver": "d.example.com"}, "taint": {"key": "k", "effect": effect, "timeAdded": added},
    }}


def test_a_taint_that_does_not_say_since_when_it_is_there_is_told_so_when_it_is_written() -> None:
    document = slice_with({"key": "k", "effect": "NoExecute"}, {"key": "l", "effect": "None", "timeAdded": OLD})
    assert RESOURCE_SLICE.default is not None
    RESOURCE_SLICE.default(document)
    first, second = document["spec"]["devices"][0]["taints"]
    assert first["timeAdded"] > OLD and second["timeAdded"] == OLD
    assert document["spec"]["devices"][1] == {"name": "b"}


@pytest.mark.parametrize(("taint", "errors"), [
    ({"key": "k", "effect": "NoExecute"}, []),
    ({"effect": "NoSchedule"}, ["spec.devices[0].taints[1].key: Required value"]),
    ({"key": "k"}, ["spec.devices[0].taints[1].effect: Required value"]),
    ({"key": "k", "effect": "Evict"}, [
        'spec.devices[0].taints[1].effect: Unsupported value: "Evict": supported values: "NoExecute", "NoSchedule", '
        '"None"']),
])
def test_a_taint_of_a_device_has_a_key_and_a_known_effect(taint, errors) -> None:
    assert RESOURCE_SLICE.validate is not None
    found = RESOURCE_SLICE.validate(slice_with({"key": "good", "effect": "None"}, taint))
    assert [str(one) for one in found] == errors


@pytest.mark.parametrize(("before", "after", "is_new"), [
    (rule("None"), rule("NoExecute"), True),
    (rule("NoExecute"), rule("NoExecute"), False),
    (rule("None"), rule("NoExecute", "2026-02-02T03:04:05Z"), False),
])
def test_an_effect_that_changes_begins_then_unless_the_client_says_when(before, after, is_new) -> None:
    said = after["spec"]["taint"]["timeAdded"]
    assert DEVICE_TAINT_RULE.prepare_update is not None
    DEVICE_TAINT_RULE.prepare_update(after, before)
    assert (after["spec"]["taint"]["timeAdded"] != said) == is_new
    assert after["metadata"]["generation"] == 1 + (before["spec"] != after["spec"])
