"""One server behind an APIService: where it is, how it is believed, and who it is told is asking.

It is dialled at its Service's address and must prove to be `NAME.NAMESPACE.svc` by the APIService's authority; this
server proves itself with the front proxy's client certificate and says in `X-Remote-*` headers who the user is. What
the client itself sent under such names, and its own credentials, stay here.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sampan.apimachinery.errors import ServiceUnavailable
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.seams import Reader
from sampan.apiserver.streams import upstream
from sampan.apiserver.streams.upstream import Target
from sampan.apiserver.webhooks.location import Unreachable, locate

if TYPE_CHECKING:
    from multidict import CIMultiDict

HOP_BY_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "host",
})
_PRIVATE: Final = ("impersonate-", "x-remote-")


def target(spec: Object, reader: Reader, config: APIServerConfig) -> Target:
    """Where the requests of an APIService go. Raises ServiceUnavailable."""
    try:
        location = locate({"service": spec["service"]}, reader)
    except Unreachable as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from None
    files = config.proxy_client_cert_file, config.proxy_client_key_file
    stamps = tuple(os.stat(path).st_mtime_ns for path in files if path)
    tls = _tls(str(spec.get("caBundle") or ""), bool(spec.get("insecureSkipTLSVerify")), files, stamps)
    return Target(location.host, location.port, tls, location.server_name)


@lru_cache(maxsize=64)
def _tls(bundle: str, insecure: bool, files: tuple[str, str], stamps: tuple[int, ...]) -> ssl.SSLContext:
    if insecure:
        context = upstream.insecure_tls()
    elif bundle:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=base64.b64decode(bundle).decode("ascii"))
        except (binascii.Error, ValueError, ssl.SSLError):
            raise ServiceUnavailable("unable to load root certificates: unable to parse bytes as PEM block") from None
    else:
        context = ssl.create_default_context()
    certificate, key = files
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context


def is_private(name: str) -> bool:
    """Whether a header would say who asks; some servers take an underscore in its name for a hyphen."""
    return name.replace("_", "-").startswith(_PRIVATE)


def headers_for(user: UserInfo, sent: dict[str, str], remote: str) -> CIMultiDict[str]:
    """The request's headers as the server behind gets them."""
    from multidict import CIMultiDict

    found: CIMultiDict[str] = CIMultiDict()
    for name, value in sent.items():
        lower = name.lower()
        if lower not in HOP_BY_HOP and lower not in ("authorization", "cookie") and not is_private(lower):
            found[lower] = value
    found["X-Remote-User"] = _clean(user.name)
    if user.uid:
        found["X-Remote-Uid"] = _clean(user.uid)
    for group in user.groups:
        found.add("X-Remote-Group", _clean(group))
    for key, values in user.extra.items():
        for value in values:
            found.add(f"X-Remote-Extra-{quote(key, safe='')}", _clean(value))
    if remote:
        found["X-Forwarded-For"] = f"{found['x-forwarded-for']}, {remote}" if "x-forwarded-for" in found else remote
    return found


def _clean(value: str) -> str:
    """A header value cannot have control characters; who has them in a name is nobody that we pass on."""
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ServiceUnavailable("the user's name cannot be passed on")
    return value
