"""Writing secrets to disk: all or nothing, never readable by others on the way."""

from __future__ import annotations

import os
from pathlib import Path

from sampan import effects

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


def write_atomically(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Replace a file so that a reader, or a crash, sees the old content or the new, under the final mode throughout.

    `owner` is (uid, gid); None leaves the writer's. The parent directory must exist.
    """
    temporary = path.with_name(f".{path.name}.{effects.secret(6).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """A rename is durable only once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
