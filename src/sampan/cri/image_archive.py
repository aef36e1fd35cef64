"""Container images as archives, made without a daemon.

`build` turns a file tree into an archive that containerd, docker and podman import: an OCI image layout in a tar, one
layer, one manifest. File times are zero and entries are sorted, so the same input has the same digest everywhere.

A tree comes from files given one by one (`ImageSpec.files`) or from a directory on disk (`ImageSpec.root`).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of an image: contents or, when `link_to` is set, a symbolic link."""

    data: bytes = b""
    mode: int = 0o644
    link_to: str = ""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What an image holds and how it starts. `name` is the full reference, e.g. `docker.io/library/nginx:1.7.9`."""

    name: str
    files: Mapping[str, ImageFile] = field(default_factory=dict)
    root: Path | None = None
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    user: str = ""
    working_dir: str = "/"
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    machine: str = "x86_64"


def build(spec: ImageSpec) -> bytes:
    """The image as an OCI archive (a tar)."""
    layer = _layer(spec)
    compressed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = _encoded(_config(spec, _digest(layer)))
    manifest = _encoded({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", compressed)],
    })
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {
        "io.containerd.image.name": spec.name, "org.opencontainers.image.ref.name": spec.name.rpartition(":")[2],
    }
    entry["platform"] = {"architecture": _ARCHITECTURES[spec.machine], "os": "linux"}
    index = _encoded({"schemaVersion": 2, "manifests": [entry]})
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    members |= {f"blobs/sha256/{_hash(blob)}": blob for blob in (config, manifest, compressed)}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(members.items()):
            tar.addfile(_entry(name, len(data), 0o644), io.BytesIO(data))
    return archive.getvalue()


def _config(spec: ImageSpec, diff_id: str) -> dict[str, Any]:
    process: dict[str, Any] = {"Env": list(spec.env), "WorkingDir": spec.working_dir}
    if spec.entrypoint:
        process["Entrypoint"] = list(spec.entrypoint)
    if spec.command:
        process["Cmd"] = list(spec.command)
    if spec.user:
        process["User"] = spec.user
    if spec.exposed_ports:
        process["ExposedPorts"] = {port: {} for port in spec.exposed_ports}
    if spec.labels:
        process["Labels"] = dict(spec.labels)
    return {
        "architecture": _ARCHITECTURES[spec.machine], "os": "linux", "config": process,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}, "created": "1970-01-01T00:00:00Z",
    }


def _layer(spec: ImageSpec) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        seen: set[str] = set()
        if spec.root is not None:
            for info, path in _tree(spec.root):
                seen.add(info.name)
                if info.isreg():
                    with path.open("rb") as source:
                        tar.addfile(info, source)
                else:
                    tar.addfile(info)
        for name, file in sorted(spec.files.items()):
            _add_file(tar, name.strip("/"), file, seen)
    return out.getvalue()


def _tree(root: Path) -> Iterator[tuple[tarfile.TarInfo, Path]]:
    for directory, subdirectories, files in os.walk(root):
        subdirectories.sort()
        here = Path(directory)
        for name in sorted([*files, *subdirectories]):
            path = here / name
            status = path.lstat()
            info = _entry(str(path.relative_to(root)), 0, stat.S_IMODE(status.st_mode))
            info.uid, info.gid = status.st_uid, status.st_gid
            if stat.S_ISLNK(status.st_mode):
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
            elif stat.S_ISDIR(status.st_mode):
                info.type = tarfile.DIRTYPE
            elif stat.S_ISREG(status.st_mode):
                info.size = status.st_size
            else:
                continue
            yield info, path


def _add_file(tar: tarfile.TarFile, name: str, file: ImageFile, seen: set[str]) -> None:
    for parent in reversed(Path(name).parents):
        directory = str(parent)
        if directory != "." and directory not in seen:
            seen.add(directory)
            info = _entry(directory, 0, 0o755)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
    info = _entry(name, len(file.data), file.mode)
    if file.link_to:
        info.type, info.linkname, info.size = tarfile.SYMTYPE, file.link_to, 0
    tar.addfile(info, io.BytesIO(file.data))


def _entry(name: str, size_bytes: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size_bytes, mode, 0
    return info


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _encoded(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(data: bytes) -> str:
    return f"sha256:{_hash(data)}"
