"""Configuration documents of the API server, as upstream's flags name them: YAML or JSON, with kind and apiVersion.

EncryptionConfiguration, audit Policy, AuthenticationConfiguration and AuthorizationConfiguration are read with this.
Everything wrong is a ValueError that says where, so that `WatchedFile` keeps the last good content.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from sampan.apimachinery.object import Object


def parse(content: bytes, kind: str, versions: Sequence[str]) -> Object:
    """The document, if it is of `kind` in one of `versions` (whole apiVersions). Raises ValueError."""
    document = decoded(content)
    if not isinstance(document, dict):
        raise ValueError(f"expected a {kind} document")
    if document.get("kind") != kind or document.get("apiVersion") not in versions:
        found = f"{document.get('apiVersion', '')} {document.get('kind', '')}".strip() or "neither kind nor apiVersion"
        raise ValueError(f"expected {versions[0]} {kind}, found {found}")
    return document


def decoded(content: bytes) -> object:
    """JSON or YAML. Raises ValueError."""
    try:
        found: object = orjson.loads(content)
        return found
    except orjson.JSONDecodeError:
        import yaml  # few files are YAML, and the server starts without

        try:
            return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
