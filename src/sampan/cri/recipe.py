"""Images from recipes: Debian packages and files become an image, without a daemon and without a registry.

A recipe is a small YAML document:

    name: nginx:1.7.9
    packages: [nginx-light]          # with everything they depend on, unpacked, not configured
    modules: [sampan, orjson]        # of the Python that runs sampan, for the image's python3
    distributions: [sampan]          # the same by pip's names, with everything they require
    users: {www-data: 33}            # accounts in /etc/passwd besides root and nobody
    files:
      /usr/share/nginx/html/index.html: {content: "hello"}
      /bin/busybox: {from: /bin/busybox, mode: "0755"}   # relative to the recipe's folder
      /bin/sh: {link: /bin/busybox}
    entrypoint: [nginx]
    command: ["-g", "daemon off;"]
    env: {LANG: C.UTF-8}
    user: "33"
    workdir: /
    ports: [80]

Packages are fetched by apt into a private folder with an empty package database, so that the image holds all it needs
and the machine's own packages stay as they are.
"""

from __future__ import annotations

import platform
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sampan.cri import installed_modules
from sampan.cri.image_archive import ImageFile, ImageSpec, build
from sampan.cri.images import normalized

_KEYS = {
    "name", "packages", "modules", "distributions", "users", "files", "entrypoint", "command", "env", "user", "workdir",
    "ports",
}
_PYTHON = ("modules", "distributions")
_FILE_KEYS = {"content", "from", "link", "mode"}


class RecipeError(Exception):
    """The recipe is wrong, or one of its packages or modules is not to be had."""


def build_recipe(path: Path) -> bytes:
    """The archive that a recipe file describes. Raises RecipeError."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: {error}") from None
    return build_document(document, path.parent)


def build_document(document: Any, base: Path) -> bytes:
    """The archive that a recipe describes; `base` is the folder that `from` is relative to. Raises RecipeError."""
    spec = parse(document, base)
    packages = [str(package) for package in document.get("packages") or []]
    if not packages:
        return build(spec)
    with tempfile.TemporaryDirectory(prefix="sampan-image-") as scratch:
        root = Path(scratch) / "root"
        _unpack(packages, Path(scratch), root)
        if any(document.get(key) for key in _PYTHON):
            _checked_version(root)
        return build(replace(spec, root=root))


def parse(document: Any, base: Path) -> ImageSpec:
    """The recipe as an ImageSpec, packages left out. `base` is the folder that `from` is relative to."""
    if not isinstance(document, dict) or not document.get("name"):
        raise RecipeError("a recipe is a mapping with at least a name")
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        raise RecipeError(f"unknown keys {', '.join(unknown)}; a recipe has {', '.join(sorted(_KEYS))}")
    files = {str(target): _file(str(target), entry, base) for target, entry in (document.get("files") or {}).items()}
    accounts = {"root": 0, **{str(k): int(v) for k, v in (document.get("users") or {}).items()}, "nobody": 65534}
    for key in _PYTHON:
        if document.get(key) and not document.get("packages"):
            raise RecipeError(f"{key}: they need a python3 among the packages")
    files = _python(document) | files
    files.setdefault("/etc/passwd", ImageFile("".join(_account(*item) for item in accounts.items()).encode()))
    files.setdefault("/etc/group", ImageFile("".join(f"{n}:x:{i}:\n" for n, i in accounts.items()).encode()))
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **(document.get("env") or {})}
    return ImageSpec(
        name=normalized(str(document["name"])), files=files, machine=platform.machine(),
        entrypoint=tuple(map(str, document.get("entrypoint") or ())),
        command=tuple(map(str, document.get("command") or ())),
        env=tuple(f"{key}={value}" for key, value in env.items()), user=str(document.get("user", "")),
        working_dir=str(document.get("workdir", "/")),
        exposed_ports=tuple(f"{port}/tcp" for port in document.get("ports") or ()),
    )


def _account(name: str, number: int) -> str:
    return f"{name}:x:{number}:{number}:{name}:/{'root' if name == 'root' else ''}:/bin/sh\n"


def _file(target: str, entry: Any, base: Path) -> ImageFile:
    if not isinstance(entry, dict) or set(entry) - _FILE_KEYS or len({"content", "from", "link"} & set(entry)) != 1:
        raise RecipeError(f"files.{target}: give one of content, from and link, and perhaps a mode")
    if "link" in entry:
        return ImageFile(link_to=str(entry["link"]))
    mode = int(str(entry.get("mode", "0644")), 8)
    if "content" in entry:
        return ImageFile(str(entry["content"]).encode(), mode)
    source = base / str(entry["from"])
    try:
        return ImageFile(source.read_bytes(), mode)
    except OSError as error:
        raise RecipeError(f"files.{target}: {error}") from None


def _python(document: Any) -> dict[str, ImageFile]:
    modules, distributions = (tuple(map(str, document.get(key) or ())) for key in _PYTHON)
    try:
        return installed_modules.files_of(modules) | installed_modules.files_of_distributions(distributions)
    except installed_modules.ModuleMissing as error:
        raise RecipeError(f"{'distributions' if distributions else 'modules'}: {error}") from None


def _checked_version(root: Path) -> None:
    try:
        installed_modules.check_version(root)
    except installed_modules.ModuleMissing as error:
        raise RecipeError(f"modules: {error}") from None


def _unpack(packages: list[str], scratch: Path, root: Path) -> None:
    archives = scratch / "archives"
    (archives / "partial").mkdir(parents=True)
    status = scratch / "status"
    status.touch()
    root.mkdir()
    _checked([
        "apt-get", "-q", "-y", "-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={archives}",
        "-o", "APT::Install-Recommends=false", "-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=root",
        "--download-only", "install", *packages,
    ])
    for archive in sorted(archives.glob("*.deb")):
        _checked(["dpkg-deb", "--extract", str(archive), str(root)])
    for clutter in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"):
        if (root / clutter).exists():
            _checked(["rm", "-r", str(root / clutter)])


def _checked(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RecipeError(f"{argv[0]}: {done.stderr.strip()[-800:]}")
