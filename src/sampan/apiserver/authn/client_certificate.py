"""Authentication by client certificate: the common name is the user, organisations are groups."""

from __future__ import annotations

from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn.certificate_authority import CertificateAuthority
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts


class ClientCertificates:
    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority

    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        der = ctx.request.peer_certificate
        if not der:
            return None
        certificate = self._authority.issued(der)
        if certificate is None or not certificate.user.name:
            return None
        if not certificate.valid_now():
            raise Unauthorized("Unauthorized")
        return certificate.completed


def build(parts: ServerParts) -> ClientCertificates | None:
    path = parts.config.client_ca_file
    return ClientCertificates(CertificateAuthority(path)) if path else None
