"""What a container finds in its files: hosts, resolv.conf, volumes that change all at once, subPath."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.kubelet.world import pod

from sampan.cri.runtime import DNSConfig
from sampan.kubelet.dns_config import ClusterDNS, dns_config, read_resolv_conf
from sampan.kubelet.errors import ConfigError
from sampan.kubelet.hosts_file import host_network_hosts_file, hosts_file
from sampan.kubelet.sandbox_config import sandbox_hostname
from sampan.kubelet.spec import hostname_and_domain
from sampan.kubelet.volumes import atomic_writer, host_path, mounting, subpath
from sampan.kubelet.volumes.atomic_writer import File

CLUSTER = ClusterDNS(("10.96.0.10",), "cluster.local", DNSConfig(("9.9.9.9",), ("lan",), ("rotate",)))


def test_the_hosts_file_is_upstreams() -> None:
    aliases = [{"ip": "1.1.1.1", "hostnames": ["a", "b"]}]
    assert hosts_file(["10.0.0.2"], "web-0", "db.default.svc.cluster.local", aliases) == (
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
        "10.0.0.2\tweb-0.db.default.svc.cluster.local\tweb-0\n"
        "\n# Entries added by HostAliases.\n1.1.1.1\ta\tb\n"
    )
    header = "# Kubernetes-managed hosts file (host network).\n"
    assert host_network_hosts_file("127.0.0.1 me\n", "10.1.1.1", "n1", []) == f"{header}127.0.0.1 me\n10.1.1.1\tn1\n"
    assert host_network_hosts_file("10.1.1.1 n1\n", "10.1.1.1", "n1", []) == f"{header}10.1.1.1 n1\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, DNSConfig(("10.96.0.10",), ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"),
                       ("ndots:5",))),
        ({"dnsPolicy": "Default"}, CLUSTER.host),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, CLUSTER.host),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.2.3.4"], "searches": ["x"],
                                             "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}},
         DNSConfig(("1.2.3.4",), ("x",), ("ndots:2", "edns0"))),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True, "dnsConfig": {
            "options": [{"name": "ndots", "value": "1"}]}},
         DNSConfig(("10.96.0.10",), ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"),
                   ("ndots:1",))),
    ],
)
def test_resolv_conf_by_policy(spec: dict[str, Any], expected: DNSConfig) -> None:
    assert dns_config(pod(**spec), CLUSTER) == expected


def test_the_nodes_resolv_conf_is_read(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# c\nnameserver 1.1.1.1\nsearch a b .\noptions rotate ndots:3\n")
    assert read_resolv_conf(file) == DNSConfig(("1.1.1.1",), ("a", "b"), ("rotate", "ndots:3"))
    assert read_resolv_conf(tmp_path / "none") == DNSConfig()


def test_hostnames() -> None:
    assert hostname_and_domain(pod("x" * 70), "cluster.local") == ("x" * 63, "")
    made = pod("web-0", hostname="h", subdomain="db", setHostnameAsFQDN=True)
    assert hostname_and_domain(made, "cluster.local") == ("h", "db.default.svc.cluster.local")
    assert sandbox_hostname(made, "cluster.local") == "h.db.default.svc.cluster.local"
    assert sandbox_hostname(pod(hostNetwork=True), "cluster.local") == ""


def test_a_volume_changes_all_at_once_and_only_when_it_must(tmp_path: Path) -> None:
    assert atomic_writer.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)})
    assert (tmp_path / "a").read_text() == "1" and (tmp_path / "d/b").read_text() == "2"
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert (tmp_path / "d/b").stat().st_mode & 0o777 == 0o600
    first = os.readlink(tmp_path / "..data")
    assert not atomic_writer.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)})
    assert os.readlink(tmp_path / "..data") == first
    assert atomic_writer.write(tmp_path, {"a": File(b"3", 0o644)})
    assert (tmp_path / "a").read_text() == "3" and not (tmp_path / "d").exists()
    assert not (tmp_path / first).exists()


def test_a_planted_link_does_not_lead_the_writer_out_of_its_volume(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    atomic_writer.write(volume, {"a": File(b"1", 0o644)})
    (volume / "..data").unlink()
    (volume / "..data").symlink_to("../outside")
    assert atomic_writer.write(volume, {"a": File(b"2", 0o644)})
    assert (outside / "precious").read_text() == "x" and sorted(os.listdir(outside)) == ["precious"]
    assert (volume / "a").read_text() == "2"


def test_host_paths_are_checked_or_made(tmp_path: Path) -> None:
    assert host_path.check(tmp_path / "new/dir", "DirectoryOrCreate").is_dir()
    assert host_path.check(tmp_path / "file", "FileOrCreate").is_file()
    assert host_path.check(tmp_path / "anything", "") == tmp_path / "anything"
    with pytest.raises(ConfigError, match=r"hostPath type check failed: .* is not a directory"):
        host_path.check(tmp_path / "file", "Directory")
    with pytest.raises(ConfigError, match="is not a socket"):
        host_path.check(tmp_path / "none", "Socket")


@pytest.mark.skipif(os.geteuid() != 0, reason="bind mounts need root")
def test_a_subpath_is_mounted_and_cannot_lead_out_of_its_volume(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    (volume / "in").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("x")
    (volume / "in/file").write_text("y")
    target = subpath.mount(volume, "in/file", tmp_path / "mounts/0")
    try:
        assert target.read_text() == "y"
        (volume / "in/file.new").write_text("z")
        (volume / "in/file.new").rename(volume / "in/file")
        assert target.read_text() == "y" and subpath.mount(volume, "in/file", target).read_text() == "z"
        made = subpath.mount(volume, "fresh/deep", tmp_path / "mounts/1")
        assert made.is_dir() and (volume / "fresh/deep").is_dir()
        (volume / "link").symlink_to(outside)
        (volume / "inner").symlink_to("in")
        assert (subpath.mount(volume, "inner", tmp_path / "mounts/2") / "file").read_text() == "z"
        for way_out in ("link", "link/secret", "../outside", "/etc", "link/new"):
            with pytest.raises(ConfigError):
                subpath.mount(volume, way_out, tmp_path / "mounts/3")
        assert not (outside / "new").exists()
    finally:
        for point in mounting.mounts_below(tmp_path):
            mounting.unmount(point)
