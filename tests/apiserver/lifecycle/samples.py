"""A small valid object of every built-in kind, two of each; samples.yaml holds them."""

from __future__ import annotations

import base64
import copy
import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sampan.api.kind import Kind
from sampan.api.kinds import KINDS

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


@functools.cache
def _cryptographic() -> dict[str, str]:
    """Requests and bundles that the kinds of certificates.k8s.io insist on."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "t")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    bare = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    now = datetime.now(UTC)
    authority = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )
    return {
        "CertificateSigningRequest": base64.b64encode(request.public_bytes(PEM)).decode(),
        "PodCertificateRequest": base64.b64encode(bare.public_bytes(DER)).decode(),
        "ClusterTrustBundle": authority.public_bytes(PEM).decode(),
    }


@functools.cache
def _documents() -> dict[tuple[str, str], Any]:
    documents = yaml.safe_load(Path(__file__).with_name("samples.yaml").read_text())
    return {(document["apiVersion"], document["kind"]): document for document in documents}


def _put(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _put(child, old, new) for key, child in value.items()}
    if isinstance(value, list):
        return [_put(child, old, new) for child in value]
    return new if value == old else value


def sample(kind: Kind, place: int = 0) -> dict[str, Any]:
    """The sample of a kind, labelled; `place` 0 and 1 are different objects."""
    obj = copy.deepcopy(_documents()[kind.resource.api_version, kind.resource.kind])
    names = (obj.pop("metadata", None) or {}).get("names") or ["sample-a", "sample-b"]
    name = names[place]
    obj["metadata"] = {"name": name, "labels": {"sample": "yes"}}
    plural, _, group = name.partition(".")
    made = _cryptographic().get(kind.resource.kind, "")
    blanks = {"PLURAL": plural, "KIND": plural.title(), "GROUP": group, "REQUEST": made, "BUNDLE": made}
    for old, new in blanks.items():
        obj = _put(obj, old, new)
    if kind.resource.kind == "ServiceCIDR":
        obj["spec"]["cidrs"] = [f"10.3.{place}.0/24"]
    return obj


def identity(kind: Kind) -> str:
    return f"{kind.resource.qualified}/{kind.resource.version}"


ALL = sorted(KINDS, key=identity)
