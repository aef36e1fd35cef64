"""gzip for large answers whose client asks for it, as upstream: from 128 KiB, at the fastest level.

Go's HTTP client always asks, so this is what most lists cost. ISA-L compresses about as fast as the kernel would copy
the plain text through a socket; zlib takes its place where it is missing. The answer is compressed while it is sent,
and is nowhere as a whole.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from sampan.apimachinery.http import CHUNK_BYTES, Pieces, Response

FROM_BYTES: Final = 128 * 1024
_LEVEL: Final = 1
_GZIP_FORMAT: Final = 31
_SEND_BYTES: Final = 16 * 1024
_CHUNKS_AT_ONCE: Final = 64


def compress(response: Response, request_headers: Mapping[str, str]) -> None:
    """Turn the body into a compressed stream, if it is large and the client wants that."""
    if response.stream is not None or response.upgrade is not None:
        return
    size_bytes = len(response.body) if response.pieces is None else response.pieces.size_bytes
    if size_bytes <= FROM_BYTES or "content-encoding" in response.headers:
        return
    if "gzip" not in request_headers.get("accept-encoding", ""):
        return
    pieces = response.pieces
    response.stream = _compressed(_cut(response.body) if pieces is None else pieces)
    response.headers["content-encoding"] = "gzip"
    response.headers["vary"] = "Accept-Encoding"


def _cut(body: bytes) -> Iterable[memoryview]:
    view = memoryview(body)
    return (view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES))


def _compressor() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:  # there are machines for which it has not been built
        return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    return isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_FORMAT)


async def _compressed(chunks: Iterable[bytes | memoryview] | Pieces) -> AsyncIterator[bytes]:
    packer = _compressor()
    ready: list[bytes] = []
    ready_bytes = 0
    for number, chunk in enumerate(chunks, 1):
        packed = packer.compress(chunk)
        ready.append(packed)
        ready_bytes += len(packed)
        if ready_bytes >= _SEND_BYTES:
            yield b"".join(ready)
            ready, ready_bytes = [], 0
        if not number % _CHUNKS_AT_ONCE:
            await asyncio.sleep(0)  # others want the loop, too
    yield b"".join((*ready, packer.flush()))
