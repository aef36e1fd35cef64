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
_NOT_OF_NODES = f"subject organization is not {_NODES}"
_NO_NODE = f"subject common name does not begin with {_NODE}"
_KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS", x509.RFC822Name: "Email", x509.IPAddress: "IP", x509.UniformResourceIdentifier: "URI",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The request as it was signed by whoever has the key."""

    document: x509.CertificateSigningRequest
    common_name: str
    organizations: tuple[str, ...]
    alternative_names: tuple[x509.GeneralName, ...]

    def names(self, *kinds: type[x509.GeneralName]) -> bool:
        """Whether one of its alternative names is of these kinds."""
        return any(isinstance(one, kinds) for one in self.alternative_names)


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
    if asked.organizations != (_NODES,):
        return _NOT_OF_NODES
    for kind, name in _KINDS.items():
        if asked.names(kind):
            return f"{name} subjectAltNames are not allowed"
    if not asked.common_name.startswith(_NODE):
        return _NO_NODE
    return _usage_problem(usages, "client auth")


def kubelet_serving_problem(asked: Asked, usages: Sequence[str]) -> str:
    """Why this is not a kubelet's serving certificate; empty if it is one."""
    if asked.organizations != (_NODES,):
        return _NOT_OF_NODES
    if not asked.names(x509.DNSName, x509.IPAddress):
        return "DNS or IP subjectAltName is required"
    for kind in (x509.RFC822Name, x509.UniformResourceIdentifier):
        if asked.names(kind):
            return f"{_KINDS[kind]} subjectAltNames are not allowed"
    return _usage_problem(usages, "server auth") or ("" if asked.common_name.startswith(_NODE) else _NO_NODE)


def api_client_problem(usages: Sequence[str]) -> str:
    """Why this is not a client certificate for the API server; empty if it is one."""
    for usage in usages:
        if usage not in ("digital signature", _ENCIPHERMENT, "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _usage_problem(usages: Sequence[str], wanted: str) -> str:
    if set(usages) - {_ENCIPHERMENT} == {"digital signature", wanted}:
        return ""
    return f"usages did not match [{' '.join(sorted((wanted, 'digital signature', _ENCIPHERMENT)))}]"
