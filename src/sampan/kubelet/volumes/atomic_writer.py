"""Files that change all at once: how ConfigMap, Secret, projected and downward volumes reach a container.

    volume/
      ..2026_11_23_02_03_04.000000123/   the payload
      ..data -> ..2026_11_23_…           swapped by rename(2), so a reader sees all old or all new
      key -> ..data/key                  what the container opens

Nothing is written when the payload on disk is already the wanted one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sampan import effects

DATA = "..data"


@dataclass(frozen=True, slots=True)
class File:
    """Contents and permission bits; `owner` is a uid to give it to."""

    content: bytes
    mode: int
    owner: int | None = None


def write(directory: Path, files: Mapping[str, File], group: int | None = None) -> bool:
    """Make the volume show exactly `files` (relative paths), owned by `group` if given; whether it changed."""
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / DATA
    if current.is_symlink() and _holds(current, files):
        return False
    payload = directory / f"..{effects.now().strftime('%Y_%m_%d_%H_%M_%S')}.{effects.rng().randrange(10**9):09d}"
    payload.mkdir(mode=0o755)
    for name, file in files.items():
        _write_file(payload, payload / name, file, group)
    if group is not None:
        os.chown(payload, -1, group)
    previous = _previous(directory, current)
    temporary = directory / "..data_tmp"
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(payload.name)
    temporary.rename(current)
    _link_names(directory, {name.split("/", 1)[0] for name in files})
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)
    return True


def _previous(directory: Path, current: Path) -> Path | None:
    """The payload that is about to be replaced; only ever a directory right here."""
    if not current.is_symlink():
        return None
    name = os.readlink(current)
    found = directory / name
    return found if name.startswith("..2") and "/" not in name and not found.is_symlink() else None


def _holds(current: Path, files: Mapping[str, File]) -> bool:
    root = current.resolve()
    present = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return present == set(files) and all((root / name).read_bytes() == file.content for name, file in files.items())


def _write_file(payload: Path, path: Path, file: File, group: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    mode = file.mode
    if group is not None:
        mode |= 0o440 if mode & 0o400 else 0
        for parent in path.relative_to(payload).parents:
            os.chown(payload / parent, -1, group)
    if file.owner is not None or group is not None:
        os.chown(path, file.owner if file.owner is not None else -1, group if group is not None else -1)
    path.chmod(mode)


def _link_names(directory: Path, wanted: set[str]) -> None:
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
