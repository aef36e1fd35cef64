"""`/version`: which release of the API this is."""

from __future__ import annotations

from sampan.apimachinery import release
from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext


async def version(ctx: RequestContext, backend: Backend) -> Response:
    """As `k8s.io/apimachinery/pkg/version.Info`."""
    return answers.document(release.info())
