"""A network namespace of its own for each test that needs one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.ports import free_port

from sampan.machines import namespace


@pytest.fixture
def network_namespace() -> Iterator[str]:
    name = f"t-proxy-{os.getpid()}"
    namespace.create(name)
    try:
        yield name
    finally:
        namespace.delete(name)


@pytest.fixture
def unused_port() -> int:
    return free_port()
