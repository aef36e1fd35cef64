"""Python modules as files of an image: what the running Python has, copied to where Debian's python3 looks.

`files_of` takes modules by the names under which they are imported, found the way `import` finds them, so that it does
not matter whether one was installed or lies in a working copy. `files_of_distributions` takes what pip calls packages,
each with everything it requires. Modules with compiled parts fit one version of Python only: `check_version` refuses
an image whose python3 is another.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from sampan.cri.image_archive import ImageFile

TARGET = Path("/usr/lib/python3/dist-packages")
_ORIGIN = "direct_url.json"
"""Where a distribution was installed from; there if it was not an index."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class ModuleMissing(Exception):
    """No such module or distribution is here."""


def files_of(names: Iterable[str]) -> dict[str, ImageFile]:
    """Path in the image → file, for top-level modules and packages. Raises ModuleMissing."""
    return {
        str(TARGET / relative): ImageFile(path.read_bytes())
        for name in names
        for path, relative in _sources(name)
    }


def files_of_distributions(names: Iterable[str]) -> dict[str, ImageFile]:
    """Path in the image → file, for distributions and all that they require. Raises ModuleMissing."""
    return {
        str(TARGET / relative): ImageFile(path.read_bytes())
        for distribution in required(names)
        for path, relative in _distributed(distribution)
    }


def required(names: Iterable[str]) -> list[Distribution]:
    """The distributions named and those that they require, each once. Raises ModuleMissing for one that is named."""
    found: dict[str, Distribution] = {}
    named = list(names)
    waiting = list(named)
    while waiting:
        name = waiting.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except PackageNotFoundError:
            if name in named:
                raise ModuleMissing(f"there is no distribution {name!r} here to copy") from None
            continue  # required on other systems or Pythons only: pip would have installed it
        found[key] = distribution
        for requirement in distribution.requires or ():
            match = _NAME.match(requirement)
            if match is not None and "extra ==" not in requirement:
                waiting.append(match[0])
    return list(found.values())


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


def _distributed(distribution: Distribution) -> Iterator[tuple[Path, Path]]:
    """Its files below site-packages, metadata included. A working copy's modules are where `import` finds them."""
    for file in distribution.files or ():
        path = Path(str(distribution.locate_file(file)))
        own = ".." not in file.parts and "__pycache__" not in file.parts and file.name != _ORIGIN
        if own and file.suffix != ".pth" and path.is_file():
            yield path, Path(file)
    if json.loads(distribution.read_text(_ORIGIN) or "{}").get("dir_info", {}).get("editable"):
        yield from _sources(distribution.metadata["Name"])
