"""mount(2) and umount2(2): tmpfs for emptyDir with medium Memory, bind mounts for subPath."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MS_RDONLY = 0x1
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    status = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def mount_tmpfs(target: Path, size_bytes: int) -> None:
    """An empty file system in memory; `size_bytes` 0 leaves it to the kernel."""
    _mount("tmpfs", str(target), "tmpfs", 0, f"size={size_bytes}" if size_bytes else "")


def bind(source: str, target: Path) -> None:
    """Show `source` (a file or directory) at `target`, with what is mounted below it."""
    _mount(source, str(target), "", MS_BIND | MS_REC, "")


def unmount(target: Path) -> None:
    """Detach; nothing happens if nothing is mounted there."""
    if _libc.umount2(str(target).encode(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0:
        number = ctypes.get_errno()
        if number not in (22, 2):  # EINVAL: not a mount point; ENOENT
            raise OSError(number, os.strerror(number), str(target))


def mounts_below(directory: Path) -> list[Path]:
    """Mount points at or below `directory`, deepest first."""
    prefix = f"{directory}/"
    found: list[str] = []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            point = line.split(" ")[4].replace("\\040", " ")
            if point == str(directory) or point.startswith(prefix):
                found.append(point)
    return [Path(point) for point in sorted(found, key=len, reverse=True)]


def is_mount_point(path: Path) -> bool:
    """Exact, for bind mounts too."""
    return any(point == path for point in mounts_below(path))


def is_own_filesystem(path: Path) -> bool:
    """Whether a file system such as a tmpfs starts here; much cheaper than reading the mount table."""
    return path.stat().st_dev != path.parent.stat().st_dev
