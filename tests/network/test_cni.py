"""The CNI list is what Debian's plugins accept, and is rewritten only when it changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sampan.network.cni import FILE_NAME, CNIConfig, conflist, write


def config(place: Path) -> CNIConfig:
    return CNIConfig("sampan-t-net", place / "conf", place / "leases")


def test_pods_get_addresses_of_the_nodes_cidr_and_the_bridge_is_their_gateway(tmp_path: Path) -> None:
    document = conflist(config(tmp_path), ["10.244.3.0/24"])
    bridge, portmap = document["plugins"]
    assert (bridge["type"], bridge["bridge"]) == ("bridge", "cni0")
    assert bridge["isGateway"] and bridge["hairpinMode"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}]]
    assert bridge["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    assert bridge["ipam"]["dataDir"] == str(tmp_path / "leases")
    assert portmap["capabilities"] == {"portMappings": True}


def test_a_dual_stack_node_gets_an_address_of_each_family(tmp_path: Path) -> None:
    ipam = conflist(config(tmp_path), ["10.244.3.0/24", "fd00:3::/64"])["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd00:3::/64"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_the_file_is_replaced_only_when_its_content_changes(tmp_path: Path) -> None:
    place = config(tmp_path)
    assert write(place, ["10.244.3.0/24"])
    assert not write(place, ["10.244.3.0/24"])
    assert write(place, ["10.244.4.0/24"])
    assert [file.name for file in place.conf_dir.iterdir()] == [FILE_NAME]
    assert json.loads((place.conf_dir / FILE_NAME).read_text())["name"] == "sampan-t-net"


@pytest.mark.parametrize("cidrs", [[], ["10.244.3.1/24"], ["nonsense"]])
def test_a_wrong_cidr_is_refused(tmp_path: Path, cidrs: list[str]) -> None:
    with pytest.raises(ValueError):
        conflist(config(tmp_path), cidrs)
