"""Definitions to test with, and waiting for them."""

from __future__ import annotations

import asyncio
from typing import Any

from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery import errors
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client

NAME = "crontabs.stable.example.com"
CRONTABS = Resource("stable.example.com", "v1", "crontabs", "CronTab")
CRON_SPEC = {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"}


def schema(spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A root with `spec` as given."""
    return {"type": "object", "properties": {
        "spec": spec if spec is not None else {"type": "object", "properties": {
            "cronSpec": CRON_SPEC, "image": {"type": "string"},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        }},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}},
    }, **more}


def version(name: str = "v1", *, storage: bool = True, served: bool = True, **more: Any) -> dict[str, Any]:
    found = {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema()}}
    return {**found, **more}


def of(spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A version whose objects' `spec` has this schema."""
    return version(schema={"openAPIV3Schema": schema(spec)}, **more)


def definition(
    *versions: dict[str, Any], plural: str = "crontabs", kind: str = "CronTab", **spec: Any
) -> dict[str, Any]:
    names = {"plural": plural, "kind": kind, **spec.pop("names", {})}
    return {
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": f"{plural}.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced", "names": names,
                 "versions": list(versions or (version(),)), **spec},
    }


def crontab(name: str = "a", *, api_version: str = "stable.example.com/v1", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "CronTab", "apiVersion": api_version, "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    }


async def until(check: Any, deadline_s: float = 60.0) -> Any:
    """The first true answer of an async function."""
    async with asyncio.timeout(deadline_s):
        while not (found := await check()):
            await asyncio.sleep(0.001)
    return found


def condition(crd: dict[str, Any], type: str) -> dict[str, Any] | None:
    return next((one for one in crd["status"].get("conditions") or [] if one["type"] == type), None)


async def conditioned(client: Client, type: str, status: str = "True", name: str = NAME) -> dict[str, Any]:
    """The definition, once a condition is so."""
    async def check() -> dict[str, Any] | None:
        crd = await client.get(CRDS, name)
        found = condition(crd, type)
        return crd if found and found["status"] == status else None

    return await until(check)  # type: ignore[no-any-return]


async def establish(client: Client, *versions: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Create a definition and wait until it is served."""
    crd = await client.create(CRDS, definition(*versions, **spec))
    return await conditioned(client, "Established", name=crd["metadata"]["name"])


async def gone(client: Client, name: str = NAME) -> None:
    async def check() -> bool:
        try:
            await client.get(CRDS, name)
        except errors.NotFound:
            return True
        return False

    await until(check)
