"""Every backend against the published suite, and random walks against the model."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.testing.check_store import CHECKS, Backend, Check
from sampan.testing.store_model import Operation, walk

KEYS = st.sampled_from(["/a", "/a/1", "/a/2", "/b/1", "/b/2", "/b", "/ä"])
OPERATIONS = st.lists(
    st.builds(
        Operation,
        st.sampled_from(
            ["create"] * 4 + ["update"] * 5 + ["delete"] * 3 + ["get", "list", "list", "compact", "watch"]
            + ["reopen", "restore"]
        ),
        KEYS,
        st.binary(max_size=3),
        st.integers(0, 9).map(lambda n: n == 0),
        st.integers(0, 12),
        st.integers(0, 3),
    ),
    max_size=60,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(backend: Backend, check: Check) -> None:
    await check(backend)


def test_random_walks_agree_with_the_model(backend: Backend) -> None:
    examples = 8 if backend.name == "etcd" else 150  # a server is started for each

    @given(operations=OPERATIONS)
    @settings(max_examples=examples, deadline=None)
    def agree(operations: list[Operation]) -> None:
        asyncio.run(walk(backend, operations))

    agree()
