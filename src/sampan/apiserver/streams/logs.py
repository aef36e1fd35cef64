"""`pods/NAME/log`: a container's output, from the kubelet, streamed while it comes when `follow` is asked for."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported
from sampan.apimachinery.http import Duplex, Response
from sampan.apimachinery.object import dig
from sampan.apimachinery.resource import Resource
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts
from sampan.apiserver.streams import location, upstream, websocket
from sampan.apiserver.streams.splice import first_of

POD_LOG_OPTIONS = Resource("", "v1", "podlogoptions", "PodLogOptions")
_BINARY: Final = "binary.k8s.io"
_BASE64: Final = "base64.binary.k8s.io"
_BOOLEANS: Final = ("follow", "previous", "timestamps", "insecureSkipTLSVerifyBackend")
_NUMBERS: Final = ("sinceSeconds", "tailLines", "limitBytes")
_STREAMS: Final = ("All", "Stdout", "Stderr")
_TO_KUBELET: tuple[str, ...] = (
    "follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream",
)


async def log(ctx: RequestContext, parts: ServerParts) -> Response:
    """The log as plain text."""
    options = _options(ctx)
    pod = await location.find_pod(ctx, parts)
    container = location.choose_container(pod, ctx.request.param("container"))
    if not dig(pod, "spec", "nodeName"):
        await parts.reader.fresh(PODS)  # what is read here may be older than what the caller has seen
        pod = await location.find_pod(ctx, parts)
    if not dig(pod, "spec", "nodeName"):
        return Response(200, {"content-type": "text/plain"})
    kubelet = await location.kubelet_of(pod, parts)
    tls = upstream.kubelet_tls(parts.config)
    if options.get("insecureSkipTLSVerifyBackend") == "true":
        tls = upstream.insecure_tls()
    query = urlencode({name: options[name] for name in _TO_KUBELET if name in options})
    path = f"/containerLogs/{quote(ctx.namespace)}/{quote(ctx.name)}/{quote(container)}"
    body = await upstream.request(
        upstream.Target(kubelet.host, kubelet.port, tls), "GET", f"{path}?{query}" if query else path
    )
    if body.answer.status != 200:
        raise upstream.refusal(body.answer.status, await body.text())
    if websocket.is_upgrade(ctx.request.headers):
        return _over_websocket(ctx, body)
    return Response(200, {"content-type": "text/plain", "cache-control": "no-cache, private"}, stream=body)


def _over_websocket(ctx: RequestContext, body: upstream.Body) -> Response:
    """The same bytes as binary messages, or as text in base64. Raises BadRequest for another sub-protocol."""
    protocol = websocket.chosen_protocol(ctx.request.headers, ("", _BINARY, _BASE64))
    if protocol is None:
        raise BadRequest(f"websocket: the sub-protocol must be {_BINARY} or {_BASE64}")
    answer = websocket.handshake(ctx.request.headers, protocol)

    async def run(client: Duplex) -> None:
        socket = websocket.WebSocket(client)

        async def send() -> None:
            async for piece in body:
                await socket.send(base64.b64encode(piece) if protocol == _BASE64 else piece, text=protocol == _BASE64)
            await socket.close()

        async def listen() -> None:
            async for _ in socket.messages():  # a reader of logs has nothing to say; but its close ends this
                continue

        try:
            await first_of(send(), listen())
        finally:
            await body.aclose()

    return Response(101, answer, upgrade=run)


def _options(ctx: RequestContext) -> dict[str, str]:
    """The query's options, checked. Raises BadRequest for what cannot be parsed, Invalid for what makes no sense."""
    found: dict[str, str] = {}
    for name in _BOOLEANS:
        value = ctx.request.param(name)
        if value and value.lower() not in ("true", "false", "1", "0", "t", "f"):
            raise BadRequest(f'strconv.ParseBool: parsing "{value}": invalid syntax')
        if value.lower() in ("true", "1", "t"):
            found[name] = "true"
    for name in _NUMBERS:
        value = ctx.request.param(name)
        if value and not value.removeprefix("-").isdigit():
            raise BadRequest(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        if value:
            found[name] = value
    for name in ("sinceTime", "stream"):
        value = ctx.request.param(name)
        if value:
            found[name] = value
    if "sinceTime" in found:
        _check_time(found["sinceTime"])
    problems = _problems(found)
    if problems:
        raise errors.invalid(POD_LOG_OPTIONS, ctx.name, problems)
    return found


def _check_time(value: str) -> None:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise BadRequest(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse') from None


def _problems(options: dict[str, str]) -> list[FieldError]:
    found: list[FieldError] = []
    for name, least, words in (
        ("tailLines", 0, "must be greater than or equal to 0"), ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ):
        if name in options and int(options[name]) < least:
            found.append(invalid(Path(name), int(options[name]), words))
    if "sinceSeconds" in options and "sinceTime" in options:
        found.append(forbidden(Path(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    stream = options.get("stream", "All")
    if stream not in _STREAMS:
        found.append(not_supported(Path("stream"), stream, _STREAMS))
    elif stream != "All" and "tailLines" in options:
        found.append(forbidden(Path(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
    return found
