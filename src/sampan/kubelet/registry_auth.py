"""Which credentials fit an image: from a pod's imagePullSecrets to AuthConfigs, best match first. Pure."""

from __future__ import annotations

import base64
import fnmatch
from collections.abc import Iterable

import orjson

from sampan.apimachinery.object import Object
from sampan.cri.runtime import AuthConfig

DEFAULT_REGISTRY = "docker.io"
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


def registry_and_path(image: str) -> tuple[str, str]:
    """`quay.io/a/b:1` -> (`quay.io`, `a/b`); a name without a host belongs to docker.io."""
    name = image.split("@", 1)[0]
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = DEFAULT_REGISTRY, name
    path = rest.rsplit(":", 1)[0] if ":" in rest.rsplit("/", 1)[-1] else rest
    return first, path


def credentials(image: str, secrets: Iterable[Object]) -> list[AuthConfig]:
    """The entries of the secrets' Docker configurations that match, the longest match first."""
    registry, path = registry_and_path(image)
    found: list[tuple[int, AuthConfig]] = []
    for secret in secrets:
        for pattern, entry in _entries(secret).items():
            if _matches(pattern, registry, path):
                found.append((len(pattern), _auth(entry)))
    found.sort(key=lambda item: -item[0])
    return [auth for _, auth in found]


def _entries(secret: Object) -> dict[str, Object]:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            return orjson.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
        if ".dockercfg" in data:
            return orjson.loads(base64.b64decode(data[".dockercfg"])) or {}
    except ValueError:
        return {}
    return {}


def _matches(pattern: str, registry: str, path: str) -> bool:
    """`https://host/v1/`, `host`, `*.host/path`: the host part by part, the path as a prefix."""
    bare = pattern.split("://", 1)[-1]
    host, _, prefix = bare.partition("/")
    prefix = prefix.strip("/")
    if host in _DOCKER_HUB:
        return registry in _DOCKER_HUB
    if host.count(".") != registry.count(".") or not fnmatch.fnmatchcase(registry, host):
        return False
    return prefix in ("", "v1", "v2") or path == prefix or path.startswith(prefix + "/")


def _auth(entry: Object) -> AuthConfig:
    """No server address: the entry was chosen for this image, and containerd takes only whole URLs for one."""
    username, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth") and not username:
        username, _, password = base64.b64decode(entry["auth"]).decode("utf-8", "replace").partition(":")
    return AuthConfig(
        username=username, password=password, identity_token=entry.get("identitytoken", ""),
        registry_token=entry.get("registrytoken", ""),
    )
