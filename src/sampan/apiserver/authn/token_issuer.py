"""Signs ServiceAccount tokens."""

from __future__ import annotations

from typing import Any

from sampan.apimachinery.object import Object
from sampan.apiserver.authn.token_keys import PrivateKey, VerifyingKey, signing_key
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.seams import ServerParts


class TokenIssuer:
    """Signs with the key file's present content."""

    def __init__(self, key_file: str, issuer: str) -> None:
        self.issuer = issuer
        self._file = WatchedFile(key_file, _with_id)

    def sign(self, claims: Object) -> str:
        """A token with these claims; `iss` is added."""
        import jwt  # with the first token, not while the server starts

        key, public = self._file.get()
        payload: dict[str, Any] = {**claims, "iss": self.issuer}
        return jwt.encode(payload, key, algorithm=public.algorithm, headers={"kid": public.key_id})


def _with_id(pem: bytes) -> tuple[PrivateKey, VerifyingKey]:
    key = signing_key(pem)
    return key, VerifyingKey.of(key.public_key())


def build(parts: ServerParts) -> TokenIssuer | None:
    path = parts.config.service_account_signing_key_file
    return TokenIssuer(path, parts.config.service_account_issuer) if path else None
