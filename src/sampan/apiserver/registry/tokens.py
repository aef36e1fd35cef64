"""The `continue` token of a list: the revision that the whole list shows, and the key after which to go on."""

from __future__ import annotations

import base64
import binascii

import orjson

from sampan.apimachinery.errors import BadRequest

INCONSISTENT = -1
"""As revision: go on with what is there now, since what was is gone."""


def encode(revision: int, last_key: str) -> str:
    document = {"v": "meta.k8s.io/v1", "rv": revision, "start": f"{last_key}\0"}
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def decode(token: str) -> tuple[int, str]:
    """(revision, last key); raises BadRequest."""
    try:
        document = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, revision, start = document["v"], document["rv"], document["start"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise BadRequest("continue key is not valid: incorrect encoding") from None
    if version != "meta.k8s.io/v1":
        raise BadRequest("continue key is not valid: unrecognized version")
    if not isinstance(revision, int) or not isinstance(start, str) or not start.endswith("\0") or ".." in start:
        raise BadRequest("continue key is not valid: invalid start key")
    if revision == 0:
        raise BadRequest("continue key is not valid: incorrect encoding start resourceVersion (version meta.k8s.io/v1)")
    return revision, start[:-1]
