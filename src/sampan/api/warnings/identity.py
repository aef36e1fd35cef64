"""ServiceAccounts, Secrets with certificates, and nodes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from sampan.api.warnings.addresses import cidr_warnings
from sampan.apimachinery.object import Object, annotations_of, dig

_ENFORCE: Final = "kubernetes.io/enforce-mountable-secrets"
_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")


def service_account(new: Object, old: Object | None) -> Iterator[str]:
    if _ENFORCE in annotations_of(new) and _ENFORCE not in annotations_of(old or {}):
        yield f"metadata.annotations[{_ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access " \
              "to mounted secrets"


def node(new: Object, old: Object | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for position, cidr in enumerate(spec.get("podCIDRs") or ()):
        yield from cidr_warnings(f"spec.podCIDRs[{position}]", cidr)


def secret(new: Object, old: Object | None) -> Iterator[str]:
    """Of a Secret for TLS: whether certificate and key belong together, in the words of Go's library."""
    if new.get("type") == "kubernetes.io/tls":
        try:
            certificate, key = (
                base64.b64decode(dig(new, "data", name, default=""), validate=True) for name in ("tls.crt", "tls.key")
            )
        except (ValueError, binascii.Error):
            return
        if why := key_pair_problem(certificate, key):
            yield why


def key_pair_problem(certificate: bytes, key: bytes) -> str:
    """Why this is not a certificate with its private key; empty if it is."""
    blocks, key_blocks = ([found.decode() for found in _BEGIN.findall(text)] for text in (certificate, key))
    if not blocks:
        return "tls: failed to find any PEM data in certificate input"
    if "CERTIFICATE" not in blocks:
        if len(blocks) == 1 and blocks[0].endswith("PRIVATE KEY"):
            return "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM " \
                   "inputs may have been switched"
        return 'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the ' \
               f"following types: [{' '.join(blocks)}]"
    if not key_blocks:
        return "tls: failed to find any PEM data in key input"
    if not any(block.endswith("PRIVATE KEY") for block in key_blocks):
        if key_blocks == ["CERTIFICATE"]:
            return "tls: found a certificate rather than a key in the PEM for the private key"
        return 'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM ' \
               f"blocks of the following types: [{' '.join(key_blocks)}]"
    return _mismatch(certificate, key)


def _mismatch(certificate: bytes, key: bytes) -> str:
    # Only whoever stores such a Secret needs the library.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return "x509: malformed certificate"
    try:
        own = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    return "" if own == public else "tls: private key does not match public key"
