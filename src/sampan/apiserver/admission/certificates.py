"""Who may approve and sign certificate requests, and what may never be asked for.

    CertificateApproval              the verb `approve` on the signer, to change a request's approval
    CertificateSigning               the verb `sign` on the signer, to put a certificate, or a failure, into a request
    PodCertificateSigning            the same for the certificates of pods
    ClusterTrustBundleAttest         the verb `attest` on the signer, to publish what to trust in its name
    CertificateSubjectRestriction    no client certificate of the API server's signer for system:masters
    CertificateRequestor             who asks is who the API server knows it to be, whatever the request says
"""

from __future__ import annotations

import base64
import binascii
from typing import ClassVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from sampan.apimachinery.errors import APIError, invalid
from sampan.apimachinery.field import Path, forbidden
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import dig
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.authz.privileged import MASTERS
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Operation, ServerParts

_GROUP = "certificates.k8s.io"
_CSR = frozenset({(_GROUP, "certificatesigningrequests")})
_BUNDLES = frozenset({(_GROUP, "clustertrustbundles")})
_API_CLIENT = "kubernetes.io/kube-apiserver-client"


class _SignerVerb(Plugin):
    """Refuses whoever lacks a verb on the request's signer, or on all signers of its domain."""

    resources = _CSR
    operations: ClassVar[frozenset[Operation]] = frozenset({"UPDATE"})
    verb = ""
    what = "requests with signerName"

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts

    def touched(self, attributes: AdmissionAttributes) -> bool:
        return True

    def signer(self, attributes: AdmissionAttributes) -> str:
        return str(dig(attributes.old_object, "spec", "signerName", default=""))

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if not self.touched(attributes):
            return
        signer = self.signer(attributes)
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            verdict = await self._parts.authorize(Attributes(
                attributes.user, self.verb, group=_GROUP, version="*", resource="signers", name=name,
            ))
            if verdict.allowed:
                return
        raise self.refusal(attributes, signer)

    def refusal(self, attributes: AdmissionAttributes, signer: str) -> APIError:
        return refuse(attributes, f"user not permitted to {self.verb} {self.what} {quoted(signer)}")


class CertificateApproval(_SignerVerb):
    name = "CertificateApproval"
    subresources: ClassVar[frozenset[str]] = frozenset({"approval"})
    verb = "approve"


class CertificateSigning(_SignerVerb):
    name = "CertificateSigning"
    subresources: ClassVar[frozenset[str]] = frozenset({"status"})
    verb = "sign"

    def touched(self, attributes: AdmissionAttributes) -> bool:
        old, new = attributes.old_object, attributes.object
        return any(dig(old, "status", part) != dig(new, "status", part) for part in ("certificate", "conditions"))


class PodCertificateSigning(_SignerVerb):
    """The same for the certificates of pods; upstream has it in the strategy of their status."""

    name = "PodCertificateSigning"
    resources = frozenset({(_GROUP, "podcertificaterequests")})
    subresources: ClassVar[frozenset[str]] = frozenset({"status"})
    verb = "sign"

    def touched(self, attributes: AdmissionAttributes) -> bool:
        before, after = (dig(obj, "status", default={}) for obj in (attributes.old_object, attributes.object))
        return bool(before != after)

    def refusal(self, attributes: AdmissionAttributes, signer: str) -> APIError:
        detail = f'User {quoted(attributes.user.name)} is not permitted to "sign" for signer {quoted(signer)}'
        return invalid(attributes.kind.resource, attributes.name, [forbidden(Path("spec").child("signerName"), detail)])


class ClusterTrustBundleAttest(_SignerVerb):
    name = "ClusterTrustBundleAttest"
    resources = _BUNDLES
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    verb = "attest"
    what = "for signerName"

    def signer(self, attributes: AdmissionAttributes) -> str:
        return str(dig(attributes.object, "spec", "signerName", default=""))

    def touched(self, attributes: AdmissionAttributes) -> bool:
        """A bundle of no signer speaks in nobody's name."""
        old = attributes.old_object or {}
        return bool(self.signer(attributes)) and dig(attributes.object, "spec") != old.get("spec")


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"
    resources = _CSR

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if dig(attributes.object, "spec", "signerName") != _API_CLIENT:
            return
        try:
            pem = base64.b64decode(dig(attributes.object, "spec", "request", default=""))
            organizations = x509.load_pem_x509_csr(pem).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        except (binascii.Error, ValueError) as error:
            raise refuse(attributes, f"failed to parse CSR: {error}") from error
        if any(organization.value == MASTERS for organization in organizations):
            raise refuse(attributes, f"use of {_API_CLIENT} signer with {MASTERS} group is not allowed")


class CertificateRequestor(Plugin):
    """Signers grant by `spec.username` and its groups, so nobody may write them. Last in the chain, after webhooks."""

    name = "CertificateRequestor"
    resources = _CSR

    async def admit(self, attributes: AdmissionAttributes) -> None:
        assert attributes.object is not None
        spec, user = attributes.object.setdefault("spec", {}), attributes.user
        asker = {
            "username": user.name, "uid": user.uid, "groups": list(user.groups),
            "extra": {key: list(values) for key, values in user.extra.items()},
        }
        for field, value in asker.items():
            spec.pop(field, None)
            if value:
                spec[field] = value


def requestor(parts: ServerParts) -> CertificateRequestor:
    return CertificateRequestor()


def approval(parts: ServerParts) -> CertificateApproval | None:
    return CertificateApproval(parts) if parts.config.authorization else None


def signing(parts: ServerParts) -> CertificateSigning | None:
    return CertificateSigning(parts) if parts.config.authorization else None


def pod_certificate_signing(parts: ServerParts) -> PodCertificateSigning | None:
    return PodCertificateSigning(parts) if parts.config.authorization else None


def attestation(parts: ServerParts) -> ClusterTrustBundleAttest | None:
    return ClusterTrustBundleAttest(parts) if parts.config.authorization else None


def subjects(parts: ServerParts) -> CertificateSubjectRestriction:
    return CertificateSubjectRestriction()
