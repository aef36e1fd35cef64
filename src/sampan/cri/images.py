"""Images in containerd's store: import archives, list, remove; the pause image.

CRI can pull, list and remove images but not import them, so importing goes through `ctr`, which Debian ships with
containerd. References are completed as docker does: `nginx` means `docker.io/library/nginx:latest`.
"""

from __future__ import annotations

import asyncio
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sampan.cri import pause
from sampan.cri.containerd import PAUSE_IMAGE
from sampan.cri.image_archive import ImageFile, ImageSpec, build

_NAMESPACE = "k8s.io"
"""containerd's namespace for what Kubernetes runs."""


class ImageError(Exception):
    """containerd refused; the message is its own."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A reference, the digest of what it names, and the size on disk as containerd words it."""

    name: str
    digest: str
    size: str


def normalized(reference: str) -> str:
    """The full form of an image reference: registry, repository, and a tag or digest.

    >>> normalized("nginx:1.7.9")
    'docker.io/library/nginx:1.7.9'
    """
    domain, slash, rest = reference.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost"):
        domain, rest = "docker.io", reference
    if domain == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    if "@" not in rest and ":" not in rest.rpartition("/")[2]:
        rest = f"{rest}:latest"
    return f"{domain}/{rest}"


def pause_archive(machine: str = "") -> bytes:
    """The infra container's image as an archive; the same bytes everywhere."""
    machine = machine or platform.machine()
    files = {"/pause": ImageFile(pause.binary(machine), 0o755)}
    return build(ImageSpec(PAUSE_IMAGE, files, entrypoint=("/pause",), user="65535:65535", machine=machine))


async def load(socket: Path, archive: bytes | Path) -> list[str]:
    """Import an archive made by docker save, podman save, or `image_archive.build`; the names that it brought."""
    source = "-" if isinstance(archive, bytes) else str(archive)
    out = await ctr(
        socket, "images", "import", "--no-unpack=false", "--all-platforms=false", source,
        stdin=archive if isinstance(archive, bytes) else None,
    )
    return [line.split()[1] for line in out.splitlines() if line.startswith("unpacking ")]


async def listed(socket: Path) -> list[StoredImage]:
    """All images that have a name (not the digests' own entries)."""
    out = await ctr(socket, "images", "ls")
    images = []
    for line in out.splitlines()[1:]:
        name, _media_type, digest, number, unit, *_ = line.split()
        if not name.startswith("sha256:") and "@" not in name:
            images.append(StoredImage(name, digest, f"{number} {unit}"))
    return images


async def copy(source: Path, target: Path) -> list[str]:
    """Bring every named image of one containerd's store into another's; the names that it brought."""
    held = {image.name for image in await listed(target)}
    missing = [image.name for image in await listed(source) if image.name not in held]
    if not missing:
        return []
    with tempfile.TemporaryDirectory(prefix="sampan-images-") as scratch:
        archive = Path(scratch) / "images.tar"
        await ctr(source, "images", "export", str(archive), *missing)
        return await load(target, archive)


async def remove(socket: Path, reference: str) -> None:
    """Remove a name and, when it was the last, the image. Raises ImageError when there is no such name."""
    names = {image.name: image.digest for image in await listed(socket)}
    name = normalized(reference)
    if name not in names:
        raise ImageError(f"no image {name}")
    digest = names.pop(name)
    doomed = [name]
    if digest not in names.values():
        everything = await ctr(socket, "images", "ls", "-q")
        doomed += [line for line in everything.splitlines() if line == digest or line.endswith(f"@{digest}")]
    await ctr(socket, "images", "rm", "--sync", *doomed)


async def ensure_pause(socket: Path) -> None:
    """Import the pause image unless it is there."""
    if PAUSE_IMAGE not in (await ctr(socket, "images", "ls", "-q")).split():
        await load(socket, pause_archive())


async def ctr(socket: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """What a command of containerd's own tool prints. Raises ImageError."""
    process = await asyncio.create_subprocess_exec(
        "ctr", "--address", str(socket), "--namespace", _NAMESPACE, *arguments,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    if process.returncode:
        raise ImageError(err.decode().strip() or f"ctr {arguments[0]} exited with {process.returncode}")
    return out.decode()
