"""subPath: one file or directory inside a volume, shown to a container.

A container can write to its volumes, so it could plant a symbolic link where the kubelet is about to look. Therefore
the path is resolved, checked to lie inside the volume, opened component by component without following links, and
bind-mounted through the open file descriptor: what was checked is what is mounted (CVE-2017-1002101, CVE-2021-25741).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sampan.kubelet.errors import ConfigError
from sampan.kubelet.volumes import mounting


def mount(volume: Path, subpath: str, target: Path) -> Path:
    """Bind `volume/subpath` to `target` and return it. Raises ConfigError when it leaves the volume.

    A target that shows an older file, since the volume changed meanwhile, is bound anew.
    """
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise ConfigError(f"subPath {subpath} must be a relative path without '..'")
    _create_missing(volume, subpath)
    root = volume.resolve()
    resolved = Path(os.path.realpath(root / subpath))
    if resolved != root and root not in resolved.parents:
        raise ConfigError(f'subPath "{subpath}" is not inside volume "{volume}"')
    descriptor = _open_inside(root, resolved.relative_to(root))
    try:
        source = f"/proc/self/fd/{descriptor}"
        if target.exists() and mounting.is_mount_point(target):
            if os.path.samestat(os.fstat(descriptor), target.stat()):
                return target
            mounting.unmount(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.isdir(source):
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mounting.bind(source, target)
    finally:
        os.close(descriptor)
    return target


def _open_inside(root: Path, relative: Path) -> int:
    """An O_PATH descriptor reached without following any link below `root`."""
    current = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in relative.parts:
        try:
            following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
        except OSError as error:
            raise ConfigError(f"failed to prepare subPath: {error.strerror}: {part}") from error
        finally:
            os.close(current)
        current = following
    if stat.S_ISLNK(os.fstat(current).st_mode):
        os.close(current)
        raise ConfigError("failed to prepare subPath: it became a symbolic link")
    return current


def _create_missing(volume: Path, subpath: str) -> None:
    """Make the directories of a subPath that does not exist yet, each with the volume's mode, never through a link."""
    mode = volume.stat().st_mode & 0o7777
    current = os.open(volume.resolve(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in Path(subpath).parts:
            try:
                os.stat(part, dir_fd=current, follow_symlinks=False)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=current)
                os.chmod(part, mode, dir_fd=current)
            try:
                following = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current)
            except OSError:
                return  # a file or a link: the resolved path is checked afterwards
            os.close(current)
            current = following
    finally:
        os.close(current)
