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
from sampan.sim.reads import Reads
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
    def repeats(self, rng: Generator) -> bool: ...


@dataclass(frozen=True, slots=True)
class Carried:
    """What a stream is: a watch of this path at that server."""

    path: str
    server: int


@dataclass(slots=True)
class Link:
    """One component's way to the API server. `troubles` are the faults that are active on it."""

    name: str
    troubles: list[Trouble] = field(default_factory=list)
    home: int = 0
    """The API server that it is connected to."""
    moves: list[int] = field(default_factory=list)
    """Those that it was moved to meanwhile; the last holds."""
    streams: dict[SimStream, Carried] = field(default_factory=dict)
    expires: list[str] = field(default_factory=list)
    """Path endings of collections whose next watch is told that its version is gone."""
    troubled_since_s: float | None = None
    healthy_since_s: float = float("-inf")

    def cut(self) -> bool:
        return any(trouble.cuts() for trouble in self.troubles)

    def held(self, path: str) -> bool:
        return any(trouble.cuts() or trouble.holds(path) for trouble in self.troubles)

    def break_streams(self, why: str, ending: str = "", server: int | None = None) -> None:
        """Those of paths with that ending, and from that server."""
        for stream, carried in list(self.streams.items()):
            if carried.path.endswith(ending) and server in (None, carried.server):
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
    """All links, and the servers at their other end (None: nobody listens). `quiet` promises that no fault will come.

    Links are spread over the servers; who finds its own away goes to another.
    """

    def __init__(self, seed: int, *, servers: int = 1, quiet: bool = True) -> None:
        self.rng = generator(seed, "network")
        self.quiet = quiet
        self.links: dict[str, Link] = {}
        self.servers: list[Handle | None] = [None] * servers
        self.requests = 0
        self.reads: Reads | None = None
        """What everyone has read, if somebody wants to know whether it ever goes back in time."""
        self._serving: dict[asyncio.Task[None], tuple[int, asyncio.Future[Response]]] = {}

    def link(self, name: str) -> Link:
        if name not in self.links:
            self.links[name] = Link(name, home=len(self.links) % len(self.servers))
        return self.links[name]

    def server_of(self, link: Link) -> int:
        """Where the link's next request goes."""
        wanted = link.moves[-1] if link.moves else link.home
        if self.servers[wanted] is not None:
            return wanted
        return next((number for number, handle in enumerate(self.servers) if handle is not None), wanted)

    def connect(self, life: Life, user: UserInfo, link: str = "") -> SimTransport:
        """A transport for one life of a component."""
        return SimTransport(self, self.link(link or life.component), life, user)

    def hang_up(self, server: int, why: str) -> None:
        """A server is gone: every stream from it breaks, everything it was doing stops where it is."""
        self.servers[server] = None
        for task, (at, answer) in list(self._serving.items()):
            if at == server:
                del self._serving[task]
                task.cancel()
                _fail(answer, errors.ServiceUnavailable("connection reset by peer"))
        for link in self.links.values():
            link.break_streams(why, server=server)

    def serve(self, server: int, request: Request) -> asyncio.Future[Response]:
        """Let a server handle a request by itself; it goes on if nobody waits for the answer any more.

        Raises ServiceUnavailable if nobody listens, and the future does when the server goes meanwhile.
        """
        handle = self.servers[server]
        if handle is None:
            raise errors.ServiceUnavailable("connection refused")
        self.requests += 1
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._serve(handle, request, answer))
        self._serving[task] = server, answer
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

    def repeats(self, link: Link) -> bool:
        """Whether an event that is sent now comes twice."""
        return any(trouble.repeats(self.rng) for trouble in link.troubles)


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
            handle = network.servers[network.server_of(self._link)]
            if handle is None:
                raise errors.ServiceUnavailable("connection refused")
            network.requests += 1
            response = await handle(request)
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
        known = network.reads.known(link.name) if network.reads is not None else 0
        await self._may_die("before", request)
        if link.troubles:
            await self._wait_while_cut(CONNECT_TIMEOUT_S)
        await asyncio.sleep(network.latency_s(link))
        if link.troubles and any(trouble.loses_request(network.rng) for trouble in link.troubles):
            raise errors.ServiceUnavailable("connection reset by peer")
        if self._life.over:
            raise errors.ServiceUnavailable("the process is gone")
        server = network.server_of(link)
        if network.servers[server] is None:
            await asyncio.sleep(REFUSED_AFTER_S)
            server = network.server_of(link)
        answer = network.serve(server, request)
        await self._may_die("inside", request)
        response = await answer
        if response.stream is not None:
            return self._streaming(request, response, server)
        await self._may_die("after", request)
        await asyncio.sleep(network.latency_s(link))
        if link.troubles:
            await self._wait_while_cut(READ_TIMEOUT_S)
        if link.troubles and any(trouble.loses_answer(network.rng) for trouble in link.troubles):
            raise errors.ServiceUnavailable("unexpected EOF")
        if network.reads is not None and request.method == "GET":
            network.reads.listed(link.name, request.path, response.body, known)
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

    def _streaming(self, request: Request, response: Response, server: int) -> Response:
        assert response.stream is not None
        network, link, path = self._network, self._link, request.path
        inner = response.stream
        if request.param("watch") and request.param("resourceVersion") not in ("", "0"):
            for ending in link.expires:
                if path.endswith(ending):
                    link.expires.remove(ending)
                    inner = _gone(inner)
                    break
        stream = SimStream(
            inner, lambda: network.latency_s(link), lambda: link.held(path), lambda: network.repeats(link),
        )
        link.streams[stream] = Carried(path, server)
        chunks = _registered(stream, link)
        if network.reads is not None:
            chunks = network.reads.watched(link.name, path, chunks)
        return Response(response.status, response.headers, stream=chunks)


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
