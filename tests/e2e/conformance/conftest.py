"""One cluster of two nodes for everything in this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.conformance.board import Board, keys_of
from tests.e2e.kubectl import MANIFESTS, sampan, up

NAME = "conformance"
STANDING = os.environ.get("SAMPAN_CONFORMANCE_CLUSTER", "")
"""A cluster of two nodes that is up already, with the images loaded: for whoever writes these tests."""


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[Path]:
    """The kubeconfig of the cluster."""
    name = STANDING or NAME
    if not STANDING:
        sampan("down", "--name", name)
        up(name, "--nodes", "2")
        recipes = (Path(__file__).with_name("agnhost.yaml"), MANIFESTS / "nginx-1.7.9.yaml")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda recipe: sampan("image", "build", "--name", name, str(recipe)), recipes))
    yield Path(sampan("kubeconfig", "path", "--name", name).strip())
    if not STANDING and not os.environ.get("SAMPAN_KEEP"):
        sampan("down", "--name", name)


@pytest.fixture(scope="session")
def board(two_nodes: Path, request: pytest.FixtureRequest) -> Board:
    return Board(two_nodes, keys_of(request.session.items))
