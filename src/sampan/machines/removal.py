"""Removes a directory with all that is in it, many files at a time.

A file system that tells its device of every block set free (ext4 mounted with `discard`) answers an unlink only after
milliseconds, and ten thousand of them, which is one container image, take half a minute. They wait for each other
only if they are asked one after another.

Links are removed, never followed. What cannot be removed stays, and so do the directories above it: the caller looks
at what is left, as after any sweep.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

AT_A_TIME: Final = 32


def remove_tree(top: Path) -> None:
    """Remove `top`, a directory, as far as that is possible. Nothing is raised, not even when it is not there."""
    files, levels = _contents(top)
    with ThreadPoolExecutor(AT_A_TIME, "removal") as pool:
        _all(pool, os.unlink, files)
        for depth in sorted(levels, reverse=True):
            _all(pool, os.rmdir, levels[depth])
    shutil.rmtree(top, ignore_errors=True)  # what lay deeper than a path can say


def _contents(top: Path) -> tuple[list[str], dict[int, list[str]]]:
    """All that is no directory, and the directories by how deep they lie."""
    files: list[str] = []
    levels: defaultdict[int, list[str]] = defaultdict(list)
    open_ends = [(str(top), 0)]
    while open_ends:
        directory, depth = open_ends.pop()
        levels[depth].append(directory)
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    open_ends.append((entry.path, depth + 1))
                else:
                    files.append(entry.path)
    return files, levels


def _all(pool: ThreadPoolExecutor, remove: Callable[[str], None], paths: Iterable[str]) -> None:
    def attempt(path: str) -> None:
        with contextlib.suppress(OSError):
            remove(path)

    for _ in pool.map(attempt, paths):
        pass
