"""containerd as a private child: its own root, state and socket, so that it shares nothing with one already there.

This module only says what to run: `render` is the configuration file, `argv` the command. A supervisor (sampan.cmd)
starts it inside the node's network namespace and keeps it running. Containers belong to their shims and survive it.

Two settings are not containerd's defaults and matter: the CNI plugins' directory (Debian's), and
`restrict_oom_score_adj`, without which runc fails where lowering oom_score_adj is not permitted.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

PAUSE_IMAGE = "sampan.local/pause:1"
"""The infra container's image; built by `sampan.cri.images.pause_archive`, never pulled."""

CNI_BIN_DIRS = ("/usr/lib/cni", "/opt/cni/bin")


@dataclass(frozen=True, slots=True)
class ContainerdConfig:
    """Where this containerd lives. All directories are its own; `registry_dir` may hold hosts.toml files."""

    root_dir: Path
    state_dir: Path
    cni_conf_dir: Path
    registry_dir: Path
    max_concurrent_downloads: int = 3

    @property
    def socket(self) -> Path:
        return self.state_dir / "containerd.sock"

    @property
    def config_file(self) -> Path:
        return self.root_dir / "config.toml"


def render(config: ContainerdConfig) -> str:
    """The configuration file, version 2, understood by containerd 1.6 and 1.7."""
    q = json.dumps
    return f"""version = 2
root = {q(str(config.root_dir))}
state = {q(str(config.state_dir))}
disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs"]

[grpc]
  address = {q(str(config.socket))}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {q(PAUSE_IMAGE)}
  restrict_oom_score_adj = true
  disable_apparmor = {_bool(not os.path.exists("/sys/kernel/security/apparmor"))}
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  stream_idle_timeout = "4h0m0s"
  max_container_log_line_size = 16384
  max_concurrent_downloads = {config.max_concurrent_downloads}
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {q(cni_bin_dir())}
    conf_dir = {q(str(config.cni_conf_dir))}
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {q(str(config.registry_dir))}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def cni_bin_dir() -> str:
    """Where this machine keeps CNI plugins."""
    return next((path for path in CNI_BIN_DIRS if os.path.exists(f"{path}/bridge")), CNI_BIN_DIRS[0])


def prepare(config: ContainerdConfig) -> None:
    """Create the directories and write the configuration file."""
    for directory in (config.root_dir, config.state_dir, config.cni_conf_dir, config.registry_dir):
        directory.mkdir(parents=True, exist_ok=True)
    config.config_file.write_text(render(config))


def argv(config: ContainerdConfig) -> list[str]:
    """The command that runs it in the foreground."""
    return ["containerd", "--config", str(config.config_file), "--log-level", "warn"]


def answers(config: ContainerdConfig) -> bool:
    """Whether somebody accepts connections at its socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(config.socket))
        except OSError:
            return False
    return True


def _bool(value: bool) -> str:
    return "true" if value else "false"
