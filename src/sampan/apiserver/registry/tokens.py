"""The `continue` token of a list: the revision that the whole list shows, and the key after which to go on."""

from __future__ import annotations

import base64
import binascii
import posixpath

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
        raise _invalid("") from None
    if version != "meta.k8s.io/v1":
        raise _invalid(f": server does not recognize this encoded version {version}")
    if not isinstance(revision, int) or revision == 0:
        raise _invalid(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _invalid(": encoded start key empty (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start.endswith("\0") or posixpath.normpath(f"/{start}") != f"/{start}":
        raise _invalid(f": {start}")
    return revision, start[:-1]


def _invalid(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid{why}")
