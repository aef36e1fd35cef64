"""Authentication by a front proxy: it has a certificate of its own authority and says in headers who the user is.

Headers that come without such a certificate mean nothing; they are ignored.
"""

from __future__ import annotations

from urllib.parse import unquote

from sampan.apimachinery.errors import Unauthorized
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authn.certificate_authority import CertificateAuthority
from sampan.apiserver.authn.headers import prefixed, values
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts

_USER, _UID, _GROUP, _EXTRA = "x-remote-user", "x-remote-uid", "x-remote-group", "x-remote-extra-"


class RequestHeaders:
    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority

    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        headers, der = ctx.request.headers, ctx.request.peer_certificate
        name = headers.get(_USER, "")
        if not name or not der:
            return None
        proxy = self._authority.issued(der)
        if proxy is None:
            return None
        if not proxy.valid_now():
            raise Unauthorized("Unauthorized")
        extra = {unquote(key): values(headers, header) for key, header in prefixed(headers, _EXTRA)}
        return UserInfo(name, headers.get(_UID, ""), values(headers, _GROUP), extra)


def build(parts: ServerParts) -> RequestHeaders | None:
    path = parts.config.requestheader_client_ca_file
    return RequestHeaders(CertificateAuthority(path)) if path else None
