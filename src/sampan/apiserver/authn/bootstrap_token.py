"""Bootstrap tokens, with which new nodes introduce themselves: Secrets in kube-system, `ID.SECRET` on the wire.

Source: "Authenticating with Bootstrap Tokens" in the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from datetime import datetime

from sampan import effects
from sampan.api.resources import SECRETS
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, is_being_deleted
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Reader, ServerParts

TYPE = "bootstrap.kubernetes.io/token"
GROUP = "system:bootstrappers"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    knows_audiences = False

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def authenticate_token(self, token: str, ctx: RequestContext) -> UserInfo | None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        identity, secret = match.groups()
        document = self._reader.get(SECRETS, f"bootstrap-token-{identity}", "kube-system")
        if document is None or document.get("type") != TYPE or is_being_deleted(document):
            return None
        data = _decoded(document)
        if not hmac.compare_digest(data.get("token-secret", ""), secret) or data.get("token-id") != identity:
            return None
        if data.get("usage-bootstrap-authentication") != "true" or _expired(data.get("expiration", "")):
            return None
        groups = [group.strip() for group in data.get("auth-extra-groups", "").split(",") if group.strip()]
        if not all(_EXTRA_GROUP.fullmatch(group) for group in groups):
            return None
        return UserInfo(f"system:bootstrap:{identity}", groups=(*dict.fromkeys((GROUP, *groups)),))


def _decoded(secret: Object) -> dict[str, str]:
    try:
        return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError):
        return {}


def _expired(text: str) -> bool:
    if not text:
        return False
    try:
        return datetime.fromisoformat(text) <= effects.now()
    except (ValueError, TypeError):
        return True


def build(parts: ServerParts) -> BootstrapTokens:
    return BootstrapTokens(parts.reader)
