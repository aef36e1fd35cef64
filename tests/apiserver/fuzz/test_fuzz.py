"""Whatever is asked of any operation that the server's OpenAPI names, the answer is one, and no 5xx.

Each example is a new server and `REQUESTS` requests of it from one seed; at the end everything that was stored must
still be readable in every form. `make fuzz` runs SAMPAN_FUZZ_EXAMPLES examples; what CI runs is fewer, always the same.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apiserver.fuzz.requests import Operation, operations, request
from tests.apiserver.serving import call, serving

from sampan.api.kinds import KINDS
from sampan.apimachinery import protobuf
from sampan.apimachinery.http import Request, Response
from sampan.apiserver.server import APIServer

EXAMPLES = int(os.environ.get("SAMPAN_FUZZ_EXAMPLES", "12"))
REQUESTS = 50
ANSWER_S = 30.0
NO_WEBHOOKS = ("ServiceAccount", "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")
FORMS = (
    "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
)
_known: list[Operation] = []


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is made up may be connected to."""
    async def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"a connection to {args[2:]} was tried")

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", refuse)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES < 100, database=None)
@given(seed=st.integers(0, 2**48))
def test_every_request_has_an_answer(seed: int) -> None:
    asyncio.run(_example(seed))


async def _example(seed: int) -> None:
    rng = random.Random(seed)
    async with serving(disable_admission=NO_WEBHOOKS) as (server, _):
        if not _known:
            _known.extend(await operations(server))
        for _ in range(REQUESTS):
            made = request(rng, rng.choice(_known))
            async with asyncio.timeout(ANSWER_S):
                _check(made, await server.handle(made))
        await _check_readable(server)


def _check(made: Request, response: Response) -> None:
    """The answer to a made-up request; streams are not read, but closed."""
    said = f"{made.method} {made.path} {made.query} {dict(made.headers)} {made.body[:3000]!r}: {response.body[:2000]!r}"
    assert response.status < 500, said
    if response.stream is not None:
        return
    media = response.headers.get("content-type", "")
    if response.status >= 400 and media.startswith("application/json"):
        status = orjson.loads(response.body)
        assert status["kind"] == "Status" and status["code"] == response.status and status["message"], said
    elif media.startswith("application/json"):
        orjson.loads(response.body)
    elif media.startswith("application/vnd.kubernetes.protobuf") and response.body:
        protobuf.decode_object(response.body)


async def _check_readable(server: APIServer) -> None:
    for kind in KINDS:
        for accept in FORMS:
            target = kind.resource.path(None)
            response = await call(server, "GET", target, headers={"accept": accept})
            assert response.status == 200, f"{target} {accept} {response.body[:500]!r}"
