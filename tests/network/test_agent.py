"""The agent turns Node objects into a CNI file, and takes changes as they come."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.meanwhile import meanwhile

from sampan.api.resources import NODES
from sampan.client.client import Client
from sampan.network.agent import NetworkConfig, run
from sampan.network.cni import FILE_NAME, CNIConfig


async def test_the_network_is_configured_as_soon_as_the_node_has_a_cidr(tmp_path: Path, fake_api: Any) -> None:
    fake_api.put(NODES, {"metadata": {"name": "a"}, "spec": {}})
    config = NetworkConfig("a", CNIConfig("sampan-t", tmp_path / "conf", tmp_path / "leases"))
    file = config.cni.conf_dir / FILE_NAME
    async with meanwhile(run(Client(fake_api), config)):
        fake_api.put(NODES, {"metadata": {"name": "a"}, "spec": {"podCIDR": "10.244.7.0/24"}})
        async with asyncio.timeout(60):
            while not file.exists():
                await asyncio.sleep(0.01)
        assert json.loads(file.read_text())["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.7.0/24"}]]
