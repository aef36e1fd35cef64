"""Python modules as files of an image: those that the running Python would import under the names given.

A module is found the way `import` finds it, so that it does not matter whether it was installed or lies in a working
copy, and copied as it is to where Debian's python3 looks. Modules with compiled parts fit one version of Python only:
`check_version` refuses an image whose python3 is another.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sampan.cri.image_archive import ImageFile

TARGET = Path("/usr/lib/python3/dist-packages")


class ModuleMissing(Exception):
    """No such module can be imported here."""


def files_of(names: Iterable[str]) -> dict[str, ImageFile]:
    """Path in the image → file, for top-level modules and packages. Raises ModuleMissing."""
    return {
        str(TARGET / relative): ImageFile(path.read_bytes())
        for name in names
        for path, relative in _sources(name)
    }


def check_version(root: Path) -> None:
    """Raises ModuleMissing if the python3 unpacked at `root` is not of this Python's version."""
    program = root / "usr" / "bin" / "python3"
    wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = os.readlink(program) if program.is_symlink() else "none"
    if Path(found).name != wanted:
        raise ModuleMissing(f"the modules here are those of {wanted}; the image's python3 is {found}")


def _sources(name: str) -> Iterator[tuple[Path, Path]]:
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None:
        raise ModuleMissing(f"there is no module {name!r} here to copy")
    if spec.submodule_search_locations is None:
        yield Path(str(spec.origin)), Path(Path(str(spec.origin)).name)
        return
    for location in map(Path, spec.submodule_search_locations):
        for path in sorted(location.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path, Path(name) / path.relative_to(location)
