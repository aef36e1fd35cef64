"""A container's environment: service links, envFrom, env, in upstream's order, with `$(VAR)` expanded.

Later definitions win; a variable may refer to those before it and to service links. The result keeps the order of
first definition. Pure except for the lookup of ConfigMaps and Secrets, which the caller passes in.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.kubelet.downward import NodeFacts, field_value, resource_value
from sampan.kubelet.errors import ConfigError
from sampan.kubelet.expansion import expand

Lookup: TypeAlias = Callable[[Literal["configmap", "secret"], str, str], Awaitable[Object | None]]
"""(kind, namespace, name) -> the object, None if there is none."""


@dataclass(frozen=True, slots=True)
class EnvironmentInputs:
    """Everything besides the container's spec that its environment depends on."""

    pod: Object
    node: NodeFacts
    pod_ips: tuple[str, ...]
    services: tuple[Object, ...]
    lookup: Lookup


async def environment(container: Object, inputs: EnvironmentInputs) -> dict[str, str]:
    """Name to value. Raises ConfigError naming what is missing."""
    links = service_links(inputs.services, namespace_of(inputs.pod), enabled=_links_enabled(inputs.pod))
    result: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        result.update(await _from_source(source, inputs))
    known = {**links, **result}
    for variable in container.get("env") or []:
        value = await _value(variable, container, known, inputs)
        if value is None:
            continue
        result[variable["name"]] = known[variable["name"]] = value
    for name, value in links.items():
        result.setdefault(name, value)
    return result


def _links_enabled(pod: Object) -> bool:
    return pod["spec"].get("enableServiceLinks", True) is not False


def service_links(services: Iterable[Object], namespace: str, *, enabled: bool) -> dict[str, str]:
    """Docker-style variables of the namespace's services; those of default/kubernetes always."""
    chosen: dict[str, Object] = {}
    for service in services:
        ip = service["spec"].get("clusterIP")
        if not ip or ip == "None":
            continue
        is_master = namespace_of(service) == "default" and name_of(service) == "kubernetes"
        if enabled and namespace_of(service) == namespace:
            chosen[name_of(service)] = service
        elif is_master:
            chosen.setdefault(name_of(service), service)
    result: dict[str, str] = {}
    for name in sorted(chosen):
        if chosen[name]["spec"].get("ports"):
            result.update(_service_variables(chosen[name]))
    return result


def _service_variables(service: Object) -> dict[str, str]:
    prefix = name_of(service).upper().replace("-", "_")
    ip, ports = service["spec"]["clusterIP"], service["spec"]["ports"]
    host = f"[{ip}]" if ":" in ip else ip
    result = {f"{prefix}_SERVICE_HOST": ip, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            result[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for position, port in enumerate(ports):
        protocol = (port.get("protocol") or "TCP").lower()
        url = f"{protocol}://{host}:{port['port']}"
        if position == 0:
            result[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        result |= {stem: url, f"{stem}_PROTO": protocol, f"{stem}_PORT": str(port["port"]), f"{stem}_ADDR": ip}
    return result


async def _from_source(source: Object, inputs: EnvironmentInputs) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    kind: Literal["configmap", "secret"] = "configmap" if "configMapRef" in source else "secret"
    reference = source.get("configMapRef") or source.get("secretRef") or {}
    found = await inputs.lookup(kind, namespace_of(inputs.pod), reference.get("name", ""))
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind} "{reference.get("name", "")}" not found')
    return {prefix + key: value for key, value in _text_data(kind, found).items() if "=" not in key}


def _text_data(kind: str, obj: Object) -> dict[str, str]:
    data = obj.get("data") or {}
    if kind == "configmap":
        return dict(data)
    return {key: base64.b64decode(value or "").decode("utf-8", "replace") for key, value in data.items()}


async def _value(
    variable: Object, container: Object, known: dict[str, str], inputs: EnvironmentInputs
) -> str | None:
    """The variable's value; None for an optional reference to nothing."""
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if "fieldRef" in source:
        return field_value(inputs.pod, source["fieldRef"]["fieldPath"], inputs.node, inputs.pod_ips)
    if "resourceFieldRef" in source:
        return resource_value(inputs.pod, container, source["resourceFieldRef"], inputs.node)
    if "configMapKeyRef" in source:
        return await _key("configmap", source["configMapKeyRef"], inputs)
    if "secretKeyRef" in source:
        return await _key("secret", source["secretKeyRef"], inputs)
    raise ConfigError(f"environment variable {variable['name']} has an unsupported source")


async def _key(kind: Literal["configmap", "secret"], reference: Object, inputs: EnvironmentInputs) -> str | None:
    namespace, name, key = namespace_of(inputs.pod), reference.get("name", ""), reference["key"]
    found = await inputs.lookup(kind, namespace, name)
    if found is None:
        if reference.get("optional"):
            return None
        raise ConfigError(f'{kind} "{name}" not found')
    data = _text_data(kind, found)
    if key not in data:
        if reference.get("optional"):
            return None
        shown = "ConfigMap" if kind == "configmap" else "Secret"
        raise ConfigError(f"couldn't find key {key} in {shown} {namespace}/{name}")
    return data[key]
