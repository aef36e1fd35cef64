"""The key that seals Secrets at rest: an EncryptionConfiguration with one AES-256-GCM key, made when it is missing.

To rotate, put another key before the present one in the file; the API server reads it again by itself and seals what
was sealed before anew at its next start. Whoever loses the file loses the Secrets.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from sampan import effects
from sampan.pki.files import SECRET_MODE, write_atomically

NAME = "encryption-config.json"
KEY_BYTES = 32


def ensure(directory: Path) -> Path:
    """Where the configuration is; written with a new key, readable by its owner only, unless it is there."""
    path = directory / NAME
    if not path.exists():
        key = {"name": "key1", "secret": base64.b64encode(effects.secret(KEY_BYTES)).decode()}
        document = {
            "kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
            "resources": [{
                "resources": ["secrets"], "providers": [{"aesgcm": {"keys": [key]}}, {"identity": {}}],
            }],
        }
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(document, indent=2).encode() + b"\n", SECRET_MODE)
    return path
