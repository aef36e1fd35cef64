"""The client over a transport that is only a function."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sampan.api.resources import PODS
from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.http import Request, Response
from sampan.client.client import Client


class InPieces:
    """Answers as an aggregated server does in the same process: as a stream, also when it refuses."""

    def __init__(self, status: int, *pieces: bytes) -> None:
        self.status, self.pieces, self.read_to_the_end = status, pieces, False

    async def request(self, request: Request) -> Response:
        return Response(self.status, stream=self._stream())

    async def _stream(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        self.read_to_the_end = True

    async def close(self) -> None:
        pass


async def test_an_answer_that_comes_in_pieces_is_put_together() -> None:
    transport = InPieces(200, b'{"items"', b': [{"kind": "Pod"}]}')
    assert (await Client(transport).list(PODS))["items"] == [{"kind": "Pod"}]
    assert (await Client(transport).raw("GET", "/apis/x")).body == b'{"items": [{"kind": "Pod"}]}'
    assert transport.read_to_the_end


async def test_a_refusal_that_comes_in_pieces_keeps_its_words() -> None:
    transport = InPieces(404, b'{"kind": "Status", "reason": "NotFound", ', b'"message": "no such metric"}')
    with pytest.raises(NotFound, match="no such metric"):
        await Client(transport).raw("GET", "/apis/x")
    assert transport.read_to_the_end
