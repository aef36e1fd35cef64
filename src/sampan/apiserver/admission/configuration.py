"""What admission plugins are told: an AdmissionConfiguration, as upstream's `--admission-control-config-file` names it.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AdmissionConfiguration
    plugins:
    - name: PodSecurity
      configuration: {…}          # the plugin's own document, or
      path: pod-security.yaml     # a file that holds it, beside this one

It is read once, when the server is made. Everything wrong is a ValueError that says where.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as File
from typing import Any, Final

from sampan.apimachinery.field import FieldError, Path
from sampan.apimachinery.object import Object
from sampan.apiserver import configuration_file
from sampan.apiserver.config import APIServerConfig

VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1")


def of(config: APIServerConfig, name: str) -> Object | None:
    """What is configured for a plugin; None for nothing. Raises ValueError, OSError."""
    if not config.admission_config_file:
        return None
    file = File(config.admission_config_file)
    document = configuration_file.parse(file.read_bytes(), "AdmissionConfiguration", VERSIONS)
    found = None
    for position, plugin in enumerate(document.get("plugins") or ()):
        where = f"{file.name}: plugins[{position}]"
        if not isinstance(plugin, dict) or not isinstance(plugin.get("name"), str):
            raise ValueError(f"{where}: a plugin has a name")
        if plugin["name"] != name:
            continue
        if found is not None:
            raise ValueError(f"{where}.name: Duplicate value: {name!r}")
        found = _document(file, plugin, where)
    return found


def _document(file: File, plugin: Object, where: str) -> Object | None:
    found = plugin.get("configuration")
    if found is None and plugin.get("path"):
        other = file.parent / plugin["path"]
        found = configuration_file.decoded(other.read_bytes())
        where = other.name
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"{where}: expected a document")
    return found


def checked(document: Object, kind: str, versions: tuple[str, ...]) -> Object:
    """The plugin's document, if it is of this kind. Raises ValueError."""
    if document.get("kind") != kind or document.get("apiVersion") not in versions:
        given = f"{document.get('apiVersion', '')} {document.get('kind', '')}".strip() or "neither kind nor apiVersion"
        raise ValueError(f"expected {versions[0]} {kind}, found {given}")
    return document


def refuse(name: str, wrong: list[FieldError]) -> None:
    """Raises ValueError if anything is wrong."""
    if wrong:
        raise ValueError(f"{name}: {'; '.join(map(str, wrong))}")


def strings(document: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    """A list of texts. Raises ValueError."""
    found = document.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{path.child(key)}: expected a list of strings")
    return tuple(found)
