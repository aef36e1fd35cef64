"""What the certificate controllers ask of a CertificateSigningRequest: its state, and what its PKCS #10 part says."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from sampan.apimachinery.object import Object, dig
from sampan.controllers import times

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
API_CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"
_NODES, _NODE = "system:nodes", "system:node:"
_ENCIPHERMENT = "key encipherment"


@dataclass(frozen=True, slots=True)
class Asked:
    """The request as it was signed by whoever has the key."""

    document: x509.CertificateSigningRequest
    common_name: str
    organizations: tuple[str, ...]
    alternative_names: tuple[x509.GeneralName, ...]

    @property
    def names_a_host(self) -> bool:
        return any(isinstance(one, x509.DNSName | x509.IPAddress) for one in self.alternative_names)

    @property
    def names_only_hosts(self) -> bool:
        return all(isinstance(one, x509.DNSName | x509.IPAddress) for one in self.alternative_names)


def parse(request: Object) -> Asked:
    """Raises ValueError for what is no request, or one whose signature is wrong."""
    document = x509.load_pem_x509_csr(base64.b64decode(dig(request, "spec", "request", default="")))
    if not document.is_signature_valid:
        raise ValueError("the request's signature is not valid")
    try:
        names = tuple(document.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = ()
    return Asked(document, "".join(_of(document, NameOID.COMMON_NAME)), _of(document, NameOID.ORGANIZATION_NAME), names)


def _of(document: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(one.value) for one in document.subject.get_attributes_for_oid(oid))


def has(request: Object, *types: str) -> bool:
    """Whether it has a condition of one of these types."""
    return any(one.get("type") in types for one in dig(request, "status", "conditions", default=()))


def condition(kind: str, reason: str, message: str, now: datetime) -> Object:
    moment = times.text(now)
    return {
        "type": kind, "status": "True", "reason": reason, "message": message, "lastUpdateTime": moment,
        "lastTransitionTime": moment,
    }


def kubelet_client_problem(asked: Asked, usages: Sequence[str]) -> str:
    """Why this is not a kubelet's client certificate; empty if it is one."""
    problem = _node_problem(asked)
    if problem:
        return problem
    if asked.alternative_names:
        return "SubjectAlternativeNames are not allowed"
    return _usage_problem(usages, "client auth")


def kubelet_serving_problem(asked: Asked, usages: Sequence[str]) -> str:
    """Why this is not a kubelet's serving certificate; empty if it is one."""
    problem = _node_problem(asked)
    if problem:
        return problem
    if not asked.names_a_host or not asked.names_only_hosts:
        return "at least one DNS or IP subjectAltName is required, and no other kind is allowed"
    return _usage_problem(usages, "server auth")


def _node_problem(asked: Asked) -> str:
    if asked.organizations != (_NODES,):
        return f"subject organization is not {_NODES}"
    return "" if asked.common_name.startswith(_NODE) else f"subject common name does not begin with {_NODE}"


def _usage_problem(usages: Sequence[str], wanted: str) -> str:
    if set(usages) - {_ENCIPHERMENT} == {"digital signature", wanted}:
        return ""
    return f"usages did not match [digital signature, {wanted}]"
