"""How others verify this cluster's ServiceAccount tokens: the OpenID configuration and the public keys.

    /.well-known/openid-configuration    who issues, and where the keys are
    /openid/v1/jwks                      the keys (RFC 7517)
"""

from __future__ import annotations

import orjson

from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apiserver.authn import service_account
from sampan.apiserver.seams import ServerParts

CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"


class IssuerDiscovery:
    def __init__(self, parts: ServerParts) -> None:
        self._config = parts.config
        self._tokens = service_account.build(parts)

    def handle(self, path: str) -> Response | None:
        """The answer for one of the two paths, None for any other or when no keys are configured."""
        if self._tokens is None:
            return None
        if path.rstrip("/") == CONFIGURATION:
            return _answer("application/json", self._configuration())
        if path.rstrip("/") == KEYS:
            return _answer("application/jwk-set+json", {"keys": [key.jwk() for key in self._tokens.keys]})
        return None

    def _configuration(self) -> Object:
        config = self._config
        algorithms = sorted({key.algorithm for key in self._tokens.keys}) if self._tokens else []
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
