"""The public keys of an issuer, found through its discovery document and read again when a token names an unknown one.

Only HTTPS, only the configured authority (the system's when none is), no redirects, bounded answers. An issuer that
cannot be reached fails the tokens that need it and is asked again after `RETRY_S` at the earliest.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from sampan import effects

if TYPE_CHECKING:
    from jwt import PyJWK

DISCOVERY: Final = "/.well-known/openid-configuration"
MAX_BYTES: Final = 1024 * 1024
TIMEOUT_S: Final = 10.0
RETRY_S: Final = 1.0
_SIGNS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")

log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """The issuer does not tell its keys; `str` says why."""


class IssuerKeys:
    """`discovery_url` is the whole URL of the discovery document where it is not below the issuer's."""

    def __init__(self, issuer_url: str, discovery_url: str, authority_pem: str) -> None:
        self._issuer_url = issuer_url
        self._url = discovery_url or issuer_url.rstrip("/") + DISCOVERY
        self._authority_pem = authority_pem
        self._keys: list[PyJWK] = []
        self._asked_s: float | None = None
        self._lock = asyncio.Lock()
        self._tls: ssl.SSLContext | None = None

    async def candidates(self, key_id: str, algorithm: str) -> list[PyJWK]:
        """Keys that may have signed a token with this header. Raises KeysUnavailable."""
        if algorithm not in _SIGNS:
            return []
        found = self._matching(key_id, algorithm)
        if found:
            return found
        async with self._lock:
            found = self._matching(key_id, algorithm)
            if found or (self._asked_s is not None and effects.monotonic() - self._asked_s < RETRY_S):
                return found
            self._asked_s = effects.monotonic()
            self._keys = await self._fetch()
        return self._matching(key_id, algorithm)

    def _matching(self, key_id: str, algorithm: str) -> list[PyJWK]:
        return [
            key for key in self._keys
            if (not key_id or key.key_id == key_id) and key.algorithm_name[:2] in (algorithm[:2], _family(algorithm))
        ]

    async def _fetch(self) -> list[PyJWK]:
        import jwt

        discovered = await self._document(self._url)
        if discovered.get("issuer") != self._issuer_url:
            found = discovered.get("issuer")
            raise KeysUnavailable(f"issuer did not match: expected {self._issuer_url!r}, got {found!r}")
        keys = await self._document(str(discovered.get("jwks_uri") or ""))
        usable = []
        for key in keys.get("keys") or ():
            if key.get("use") in (None, "sig") and key.get("kty") in ("RSA", "EC"):
                try:
                    usable.append(jwt.PyJWK(key))
                except jwt.PyJWTError as error:
                    log.warning("%s: a key is of no use: %s", self._issuer_url, error)
        return usable

    async def _document(self, url: str) -> dict[str, Any]:
        import aiohttp

        if urlsplit(url).scheme != "https":
            raise KeysUnavailable(f"{url!r} is no HTTPS URL")
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(url, ssl=self._context(), allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise KeysUnavailable(f"{url} answered {answer.status}")
                found = orjson.loads(await answer.content.read(MAX_BYTES))
        except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
            raise KeysUnavailable(f"{url}: {error or type(error).__name__}") from error
        if not isinstance(found, dict):
            raise KeysUnavailable(f"{url}: not a JSON object")
        return found

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cadata=self._authority_pem or None)
        return self._tls


def _family(algorithm: str) -> str:
    """A key made for RS256 may sign PS256: both are RSA."""
    return {"PS": "RS", "RS": "PS"}.get(algorithm[:2], algorithm[:2])
