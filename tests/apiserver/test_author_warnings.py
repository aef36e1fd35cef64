"""`Warning:` headers about objects that are valid all the same, and about kinds that are deprecated."""

from __future__ import annotations

from typing import Any

from tests.apiserver.serving import call, document, serving

from sampan.apimachinery.http import Request
from sampan.apiserver.context import RequestContext

SERVICES = "/api/v1/namespaces/default/services"


def service(**spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web"}, "spec": {
        "ports": [{"port": 80}], **spec}}


async def test_authors_are_told_of_what_they_wrote_and_of_nothing_else() -> None:
    words = '299 - "spec.externalName is ignored when spec.type is not \\"ExternalName\\""'
    async with serving() as (server, _):
        for query in ("?dryRun=All", ""):
            answer = await call(server, "POST", SERVICES + query, service(externalName="x.example"))
            assert (answer.status, answer.headers.get("warning")) == (201, words)
        found = document(await call(server, "GET", f"{SERVICES}/web"))
        answer = await call(server, "PUT", f"{SERVICES}/web", found)
        assert (answer.status, answer.headers.get("warning")) == (200, words)
        answer = await call(server, "PUT", f"{SERVICES}/web/status", document(answer))
        assert (answer.status, answer.headers.get("warning")) == (200, None)
        answer = await call(server, "GET", f"{SERVICES}/web")
        assert answer.headers.get("warning") is None
        answer = await call(server, "PUT", f"{SERVICES}/web", {**found, "spec": {**found["spec"], "ports": []}})
        assert (answer.status, answer.headers.get("warning")) == (422, None)


async def test_whoever_uses_a_deprecated_kind_is_told() -> None:
    words = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    async with serving() as (server, _):
        for target in ("/api/v1/endpoints", "/api/v1/namespaces/default/endpoints/none"):
            assert (await call(server, "GET", target)).headers.get("warning") == words


def test_the_audit_log_says_so_too() -> None:
    ctx = RequestContext(Request("GET", "/api/v1/endpoints"))
    ctx.deprecate("is deprecated")
    assert (ctx.warnings, ctx.audit_annotations) == (["is deprecated"], {"k8s.io/deprecated": "true"})
