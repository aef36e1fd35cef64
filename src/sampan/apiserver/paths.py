"""The paths of the server itself, beside its resources: discovery, OpenAPI, health, version."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.apimachinery.http import Response
from sampan.apiserver.authn import issuer_discovery
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.dispatch import PathHandler
from sampan.apiserver.handlers.discovery import Discovery
from sampan.apiserver.handlers.health import Health
from sampan.apiserver.handlers.openapi import OpenAPI
from sampan.apiserver.handlers.version import version


async def _issuer(ctx: RequestContext, backend: Backend) -> Response:
    """Rarely asked for, so it is built for each answer."""
    return issuer_discovery.IssuerDiscovery(backend.parts).handle(ctx.request.path)


def exact(discovery: Discovery, openapi: OpenAPI, health: Health) -> Mapping[str, PathHandler]:
    """Handlers by whole path."""
    return {
        "/": discovery.root, "/api": discovery.api, "/apis": discovery.apis, "/version": version,
        "/openapi/v2": openapi.v2, "/openapi/v3": openapi.v3_index,
        "/healthz": health, "/livez": health, "/readyz": health,
        issuer_discovery.CONFIGURATION: _issuer, issuer_discovery.KEYS: _issuer,
    }


def below(discovery: Discovery, openapi: OpenAPI, health: Health) -> Mapping[str, PathHandler]:
    """Handlers by what a path begins with."""
    return {
        "/api/": discovery.below, "/apis/": discovery.below, "/openapi/v3/": openapi.v3_document,
        "/healthz/": health, "/livez/": health, "/readyz/": health,
    }
