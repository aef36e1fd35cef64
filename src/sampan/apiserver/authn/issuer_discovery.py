"""How others verify this cluster's ServiceAccount tokens: the OpenID configuration and the public keys.

    /.well-known/openid-configuration    who issues, and where the keys are
    /openid/v1/jwks                      the keys (RFC 7517)
"""

from __future__ import annotations

import orjson

from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apiserver.authn import service_account
from sampan.apiserver.seams import ServerParts

CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"


class IssuerDiscovery:
    """Answers for one server; `handle` raises NotFound when no keys are configured."""

    def __init__(self, parts: ServerParts) -> None:
        self._config = parts.config
        self._tokens = service_account.build(parts)

    def handle(self, path: str) -> Response:
        if self._tokens is None:
            raise NotFound("the server could not find the requested resource", {})
        keys = self._tokens.keys
        if path.rstrip("/") == KEYS:
            return _answer("application/jwk-set+json", {"keys": [key.jwk() for key in keys]})
        return _answer("application/json", self._configuration(sorted({key.algorithm for key in keys})))

    def _configuration(self, algorithms: list[str]) -> Object:
        config = self._config
        return {
            "issuer": config.service_account_issuer,
            "jwks_uri": f"https://{config.advertise_address}:{config.advertise_port}{KEYS}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }


def _answer(content_type: str, document: Object) -> Response:
    headers = {"content-type": content_type, "cache-control": "public, max-age=3600"}
    return Response(200, headers, orjson.dumps(document))
