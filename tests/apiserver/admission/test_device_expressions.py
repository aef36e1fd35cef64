"""The CEL selectors of device classes: what they may cost, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.serving import serving

from sampan.api.resources import DEVICE_CLASSES
from sampan.apimachinery.cel.environment import OBJECT, environment
from sampan.apimachinery.errors import Invalid
from sampan.apiserver.admission.device_expressions import cost_of

ATTRIBUTES = 'device.attributes["dra.example.com"]'


def device_class(expression: str) -> dict[str, Any]:
    selectors = [{"cel": {"expression": expression}}]
    return {"kind": "DeviceClass", "apiVersion": "resource.k8s.io/v1", "metadata": {"name": "gpu"},
            "spec": {"selectors": selectors}}


@pytest.mark.parametrize(("text", "cost"), [
    # what Kubernetes' own tests expect of these
    ("true", 0), ('"no-such-domain" in device.attributes', 3), ('device.driver == ""', 2),
    ('device.driver == "dra.example.com"', 4), (f'{ATTRIBUTES}["name"]', 4), (f"{ATTRIBUTES}.name > 0", 5),
    (f'{ATTRIBUTES}.name.isGreaterThan(quantity("0"))', 6), (f'{ATTRIBUTES}.name == "fish"', 5),
    (f"cel.bind(dra, {ATTRIBUTES}, dra.name)", 15), (f"{ATTRIBUTES}.names.exists(x, x > 0)", 5 + 6 * 64),
    (f"{ATTRIBUTES}.names.size() == 2", 6),
    (f'{ATTRIBUTES}.names.all(x, x.isGreaterThan(semver("0.0.1")))', 5 + 6 * 64),
])
def test_what_a_selector_may_cost(text: str, cost: int) -> None:
    assert cost_of(environment(("device", OBJECT)).compile(text)) == cost


async def test_a_selector_that_is_too_dear_is_refused() -> None:
    loop = "device.attributes.exists({0}, {1})"
    dear = loop.format("a", loop.format("b", loop.format("c", loop.format("d", "a == b && c == d"))))
    async with serving() as (_, client):
        with pytest.raises(Invalid) as caught:
            await client.create(DEVICE_CLASSES, device_class(dear))
        assert caught.value.message == (
            'DeviceClass.resource.k8s.io "gpu" is invalid: spec.selectors[0].cel.expression: Forbidden: too complex, '
            "exceeds cost limit"
        )
        await client.create(DEVICE_CLASSES, device_class(loop.format("a", "a != ''")))
