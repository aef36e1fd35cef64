"""hostPath: a path of the node, checked (or made) as its `type` says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sampan.kubelet.errors import ConfigError
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext

_KINDS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


async def mount(context: VolumeContext) -> MountedVolume:
    """Raises ConfigError when the path is not what `type` asks for."""
    source = context.volume["hostPath"]
    return MountedVolume(check(Path(source["path"]), source.get("type") or ""))


def check(path: Path, kind: str) -> Path:
    """The path, after making it (…OrCreate) or checking it."""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        except OSError as error:
            raise ConfigError(f"hostPath type check failed: {path}: {error.strerror}") from error
    wanted = _KINDS.get(kind.removesuffix("OrCreate"))
    if wanted is not None:
        is_right, word = wanted
        if not path.exists() or not is_right(path.stat().st_mode):
            raise ConfigError(f"hostPath type check failed: {path} is not a {word}")
    return path
