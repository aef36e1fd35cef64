"""The simulated network: every component reaches the API server over a link of its own, and links have trouble.

Requests and answers take a little time, each its own, so independent ones overtake each other. While faults are active
on a link (see `faults`) they take longer; they are lost before the server saw them, or after it did what they ask;
nothing passes at all; streams stall or break. The server handles a request in a task of its own, so a write goes on
although its sender has been killed, and is cut off when the server is. A quiet network is none: a request is a call.

Every draw comes from the network's own generator, so a run replays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import orjson

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.client.transport import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from sampan.effects.seeded import Generator, generator
from sampan.sim.cause import CAUSE, Cause, Life
from sampan.sim.stream import SimStream

Handle: TypeAlias = Callable[[Request], Awaitable[Response]]
BASE_LATENCY_S = (0.0002, 0.004)
LATE_SHARE, LATE_S = 0.02, 0.8
"""One in fifty takes longer, up to so much: a network without any fault."""
RECHECK_S = 0.1
REFUSED_AFTER_S = 0.001


class Trouble(Protocol):
    """What an active fault does to a link. Each method has a neutral default in `faults.kinds.LinkFault`."""

    def latency_s(self, rng: Generator) -> float: ...
    def loses_request(self, rng: Generator) -> bool: ...
    def loses_answer(self, rng: Generator) -> bool: ...
    def cuts(self) -> bool: ...
    def holds(self, path: str) -> bool: ...


@dataclass(slots=True)
class Link:
    """One component's way to the API server. `troubles` are the faults that are active on it."""

    name: str
    troubles: list[Trouble] = field(default_factory=list)
    streams: dict[SimStream, str] = field(default_factory=dict)
    expires: list[str] = field(default_factory=list)
    """Path endings of collections whose next watch is told that its version is gone."""
    troubled_since_s: float | None = None
    healthy_since_s: float = float("-inf")

    def cut(self) -> bool:
        return any(trouble.cuts() for trouble in self.troubles)

    def held(self, path: str) -> bool:
        return any(trouble.cuts() or trouble.holds(path) for trouble in self.troubles)

    def break_streams(self, why: str, ending: str = "") -> None:
        for stream, path in list(self.streams.items()):
            if path.endswith(ending):
                stream.break_off(why)

    def note(self, now_s: float) -> None:
        """Trouble began or ended, of the link or of the server."""
        if self.troubles and self.troubled_since_s is None:
            self.troubled_since_s = now_s
        elif not self.troubles and self.troubled_since_s is not None:
            self.healthy_since_s = now_s

    def informed_until(self, now_s: float, recovery_s: float) -> float:
        """The component knows everything that was written before this time, at the least."""
        if self.troubled_since_s is None:
            return now_s
        if not self.troubles and now_s - self.healthy_since_s > recovery_s:
            self.troubled_since_s = None
            return now_s
        return self.troubled_since_s


class Network:
    """All links, and the server at their other end (None: nobody listens). `quiet` promises that no fault will come."""

    def __init__(self, seed: int, *, quiet: bool = True) -> None:
        self.rng = generator(seed, "network")
        self.quiet = quiet
        self.links: dict[str, Link] = {}
        self.server: Handle | None = None
        self.requests = 0
        self._serving: dict[asyncio.Task[None], asyncio.Future[Response]] = {}

    def link(self, name: str) -> Link:
        if name not in self.links:
            self.links[name] = Link(name)
        return self.links[name]

    def connect(self, life: Life, user: UserInfo, link: str = "") -> SimTransport:
        """A transport for one life of a component."""
        return SimTransport(self, self.link(link or life.component), life, user)

    def hang_up(self, why: str) -> None:
        """The server is gone: every stream breaks, everything it was doing stops where it is."""
        self.server = None
        for task, answer in self._serving.items():
            task.cancel()
            _fail(answer, errors.ServiceUnavailable("connection reset by peer"))
        self._serving.clear()
        for link in self.links.values():
            link.break_streams(why)

    def serve(self, request: Request) -> asyncio.Future[Response]:
        """Let the server handle a request by itself; it goes on if nobody waits for the answer any more.

        Raises ServiceUnavailable if nobody listens, and the future does when the server goes meanwhile.
        """
        if self.server is None:
            raise errors.ServiceUnavailable("connection refused")
        self.requests += 1
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._serve(self.server, request, answer))
        self._serving[task] = answer
        return answer

    async def _serve(self, server: Handle, request: Request, answer: asyncio.Future[Response]) -> None:
        try:
            response = await server(request)
        except Exception as error:
            _fail(answer, error)
        else:
            if not answer.done():
                answer.set_result(response)
        task = asyncio.current_task()
        assert task is not None
        self._serving.pop(task, None)

    def latency_s(self, link: Link) -> float:
        late = self.rng.random() * LATE_S if self.rng.random() < LATE_SHARE else 0.0
        usual = self.rng.uniform(*BASE_LATENCY_S) + late
        return usual + sum(trouble.latency_s(self.rng) for trouble in link.troubles) if link.troubles else usual


class SimTransport:
    """See `apimachinery.http.Transport`. Belongs to one life: when that is over, nothing is sent any more."""

    def __init__(self, network: Network, link: Link, life: Life, user: UserInfo) -> None:
        self._network = network
        self._link = link
        self._life = life
        self._user = user

    async def request(self, request: Request) -> Response:
        network = self._network
        if request.user is None:
            request.user = self._user
        now = asyncio.get_running_loop().time()
        cause = Cause(self._life, request.user.name, request.method, request.path, now, query=request.query)
        token = CAUSE.set(cause)
        try:
            if not network.quiet:
                return await self._carry(request, cause)
            if network.server is None:
                raise errors.ServiceUnavailable("connection refused")
            network.requests += 1
            response = await network.server(request)
            cause.acknowledged = True
            return response
        finally:
            CAUSE.reset(token)

    async def close(self) -> None:
        """Nothing is held open."""

    async def _carry(self, request: Request, cause: Cause) -> Response:
        try:
            response = await self._there_and_back(request, cause)
        except BaseException:
            cause.failed = True
            raise
        cause.acknowledged = True
        return response

    async def _there_and_back(self, request: Request, cause: Cause) -> Response:
        network, link = self._network, self._link
        await self._may_die("before", request)
        if link.troubles:
            await self._wait_while_cut(CONNECT_TIMEOUT_S)
        await asyncio.sleep(network.latency_s(link))
        if link.troubles and any(trouble.loses_request(network.rng) for trouble in link.troubles):
            raise errors.ServiceUnavailable("connection reset by peer")
        if self._life.over:
            raise errors.ServiceUnavailable("the process is gone")
        if network.server is None:
            await asyncio.sleep(REFUSED_AFTER_S)
        answer = network.serve(request)
        await self._may_die("inside", request)
        response = await answer
        if response.stream is not None:
            return self._streaming(request, response)
        await self._may_die("after", request)
        await asyncio.sleep(network.latency_s(link))
        if link.troubles:
            await self._wait_while_cut(READ_TIMEOUT_S)
        if link.troubles and any(trouble.loses_answer(network.rng) for trouble in link.troubles):
            raise errors.ServiceUnavailable("unexpected EOF")
        return response

    async def _may_die(self, phase: str, request: Request) -> None:
        """A crash point. Who is killed here makes no further step."""
        if self._life.over:
            raise errors.ServiceUnavailable("the process is gone")
        crash_point = self._life.crash_point
        if request.method != "GET" and crash_point is not None and crash_point(phase):
            await asyncio.get_running_loop().create_future()

    async def _wait_while_cut(self, timeout_s: float) -> None:
        waited_s = 0.0
        while self._link.cut():
            if waited_s >= timeout_s:
                raise errors.ServiceUnavailable("timed out")
            await asyncio.sleep(RECHECK_S)
            waited_s += RECHECK_S

    def _streaming(self, request: Request, response: Response) -> Response:
        assert response.stream is not None
        network, link, path = self._network, self._link, request.path
        inner = response.stream
        if request.param("watch") and request.param("resourceVersion") not in ("", "0"):
            for ending in link.expires:
                if path.endswith(ending):
                    link.expires.remove(ending)
                    inner = _gone(inner)
                    break
        stream = SimStream(inner, lambda: network.latency_s(link), lambda: link.held(path))
        link.streams[stream] = path
        return Response(response.status, response.headers, stream=_registered(stream, link))


def _fail(answer: asyncio.Future[Response], error: Exception) -> None:
    """Tell whoever still waits."""
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # nobody may wait any more, and that is no oversight


async def _registered(stream: SimStream, link: Link) -> AsyncIterator[bytes]:
    try:
        async for chunk in stream:
            yield chunk
    finally:
        link.streams.pop(stream, None)
        await stream.aclose()


async def _gone(inner: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What a server says whose history was compacted meanwhile."""
    close = getattr(inner, "aclose", None)
    if close is not None:
        await close()
    status = errors.Expired("too old resource version").to_status()
    yield orjson.dumps({"type": "ERROR", "object": status}) + b"\n"
