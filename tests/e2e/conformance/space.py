"""A namespace of the cluster under test and what may be asked of it: the API, and the streams of its pods."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import aiohttp

from sampan.api.resources import CONFIG_MAPS, CORE_EVENTS, NODES, PODS, SERVICE_ACCOUNTS
from sampan.apimachinery import errors
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client, lines
from sampan.client.kubeconfig import Credentials

Object = dict[str, Any]

IMAGE = "agnhost:1"
DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command in a container ended."""

    out: str
    error: str
    code: int


def container(script: str = "", name: str = "main", **fields: Any) -> Object:
    """A container that runs a shell script; without one it just stays."""
    made: Object = {"name": name, "image": IMAGE, **fields}
    if script:
        made["command"] = ["sh", "-c", script]
    return made


def program(*arguments: str, name: str = "main", **fields: Any) -> Object:
    """A container that runs one of the image's programs."""
    return {"name": name, "image": IMAGE, "args": list(arguments), **fields}


def pod(name: str, *containers: Object | str, labels: Object | None = None, annotations: Object | None = None,
        **spec: Any) -> Object:
    """A pod that ends quickly when it is deleted."""
    listed = [container(one) if isinstance(one, str) else one for one in containers] or [container()]
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}, "annotations": annotations or {}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": copy.deepcopy(listed), **spec},
    }


def once(name: str, *containers: Object | str, **spec: Any) -> Object:
    """A pod that runs to its end and stays."""
    return pod(name, *containers, restartPolicy="Never", **spec)


def status(shown: Object, index: int = 0, kind: str = "containerStatuses") -> Object:
    found = (shown.get("status") or {}).get(kind) or []
    return found[index] if index < len(found) else {}


def condition(shown: Object, kind: str) -> Object:
    return next((one for one in (shown.get("status") or {}).get("conditions") or [] if one["type"] == kind), {})


def is_ready(shown: Object) -> bool:
    return condition(shown, "Ready").get("status") == "True"


def waiting(shown: Object, index: int = 0) -> str:
    return str(((status(shown, index).get("state") or {}).get("waiting") or {}).get("reason", ""))


class Space:
    """One test's namespace."""

    def __init__(
        self, client: Client, credentials: Credentials, name: str, nodes: list[str], config: Path | None = None
    ) -> None:
        self.client = client
        self.name = name
        self.nodes = nodes
        self.config = config
        self._credentials = credentials

    def beside(self, name: str) -> Space:
        """The same for another namespace."""
        return Space(self.client, self._credentials, name, self.nodes, self.config)

    async def inhabitable(self) -> None:
        """Until controllers have added what pods need: the one lest they be refused, the other lest they begin late."""
        await self.until(SERVICE_ACCOUNTS, "default", bool, "the default ServiceAccount")
        await self.until(CONFIG_MAPS, "kube-root-ca.crt", bool, "the cluster's authority")

    async def kubectl(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """What kubectl prints, standard output and error, and with this exit code."""
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("kubectl")), "--kubeconfig", str(self.config), "-n", self.name,
            *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(stdin.encode())
        assert process.returncode == code, (arguments, process.returncode, out.decode())
        return out.decode()

    # --- objects ---

    async def create(self, resource: Resource, obj: Object) -> Object:
        return await self.client.create(resource, obj, self.name if resource.namespaced else None)

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.client.get(resource, name, self.name if resource.namespaced else None)

    async def items(self, resource: Resource, **selectors: str) -> list[Object]:
        return (await self.client.list(resource, self.name, **selectors))["items"]  # type: ignore[no-any-return]

    async def patch(self, resource: Resource, name: str, patch: Any, **how: Any) -> Object:
        return await self.client.patch(resource, name, patch, self.name if resource.namespaced else None, **how)

    async def delete(self, resource: Resource, name: str, **how: Any) -> None:
        await self.client.delete(resource, name, self.name if resource.namespaced else None, **how)

    async def until(
        self, resource: Resource, name: str, holds: Callable[[Object], Any], what: str = "",
        timeout_s: float = DEADLINE_S,
    ) -> Object:
        """The object once something holds of it; {} stands for an object that is not there."""
        last: Object = {}
        namespace = self.name if resource.namespaced else None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        last = await self.client.get(resource, name, namespace)
                    except errors.NotFound:
                        last = {}
                    if holds(last):
                        return last
                    version = (last.get("metadata") or {}).get("resourceVersion", "")
                    stream = self.client.watch(
                        resource, namespace, field_selector=f"metadata.name={name}", resource_version=version,
                        timeout_s=int(timeout_s) + 1, bookmarks=False,
                    )
                    async for event in stream:
                        last = {} if event.type == "DELETED" else event.object
                        if holds(last):
                            return last
        except TimeoutError:
            shown = json.dumps(last.get("status"))
            raise AssertionError(f"{what or holds} of {name}: not after {timeout_s} s; {shown}") from None

    async def eventually(self, check: Callable[[], Any], what: str = "", timeout_s: float = DEADLINE_S) -> Any:
        """The first true answer of an async question; refusals, and what is missing in an answer, count as no."""
        last: object = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        last = await check()
                        if last:
                            return last
                    except (AssertionError, errors.APIError, aiohttp.ClientError, LookupError, ValueError) as error:
                        last = error
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{what or check}: not after {timeout_s} s; last: {last}") from None

    # --- pods ---

    async def start(self, *pods: Object) -> list[Object]:
        """Create pods; them, once all are ready."""
        for one in pods:
            await self.create(PODS, one)
        return list(await asyncio.gather(*(self.ready(one["metadata"]["name"]) for one in pods)))

    async def ready(self, name: str) -> Object:
        return await self.until(PODS, name, is_ready, "readiness")

    async def ended(self, name: str, timeout_s: float = DEADLINE_S) -> Object:
        def has_ended(shown: Object) -> bool:
            return (shown.get("status") or {}).get("phase") in ("Succeeded", "Failed")

        return await self.until(PODS, name, has_ended, "the end", timeout_s)

    async def output(self, document: Object, container: str = "") -> str:
        """What a pod prints until its end, which must be a good one."""
        created = await self.create(PODS, document)
        shown = await self.ended(created["metadata"]["name"])
        printed = await self.logs(created["metadata"]["name"], container=container)
        assert shown["status"]["phase"] == "Succeeded", (printed, shown["status"])
        return printed

    async def gone(self, name: str) -> None:
        await self.until(PODS, name, lambda shown: not shown, "deletion")

    async def logs(self, name: str, **query: Any) -> str:
        """The log of a pod."""
        asked = {key: [str(value)] for key, value in query.items() if value != ""}
        answer = await self.client.raw("GET", PODS.path(self.name, name, "log"), asked)
        return "".join([line.decode() + "\n" async for line in lines(answer)])

    async def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about an object."""
        found = await self.items(CORE_EVENTS, field_selector=f"involvedObject.name={name}")
        return [(item["reason"], item.get("message", "")) for item in found]

    async def event(self, name: str, reason: str, words: str = "") -> str:
        """The message of an event, once it is there."""
        async def look() -> str:
            messages = [message for kind, message in await self.events(name) if kind == reason and words in message]
            return messages[0] if messages else ""

        return str(await self.eventually(look, f"event {reason} {words} of {name}"))

    async def run(self, name: str, *command: str, container: str = "main", stdin: bytes | None = None) -> Ran:
        """A command in a container, over WebSocket."""
        script = command if len(command) > 1 else ("sh", "-c", *command)
        query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", w) for w in script)]
        if stdin is not None:
            query.append(("stdin", "true"))
        found: dict[int, bytes] = {1: b"", 2: b"", 3: b""}
        async with self._socket(PODS.path(self.name, name, "exec"), query, "v5.channel.k8s.io") as stream:
            if stdin is not None:
                await stream.send_bytes(b"\x00" + stdin)
                await stream.send_bytes(b"\xff\x00")
            async for message in stream:
                if message.type is aiohttp.WSMsgType.BINARY and message.data:
                    found[message.data[0]] = found.get(message.data[0], b"") + message.data[1:]
        verdict = json.loads(found[3] or b"{}")
        causes = (verdict.get("details") or {}).get("causes") or []
        code = next((int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"), 0)
        if verdict.get("status") == "Failure" and not code:
            raise AssertionError(verdict)
        return Ran(found[1].decode(), found[2].decode(), code)

    async def says(self, name: str, *command: str, container: str = "main") -> str:
        """What a command that must succeed prints."""
        ran = await self.run(name, *command, container=container)
        assert ran.code == 0, ran
        return ran.out

    async def messages(self, path: str, protocol: str) -> bytes:
        """Everything that a WebSocket brings until it ends."""
        async with self._socket(path, [], protocol) as stream:
            return b"".join([m.data async for m in stream if m.type is aiohttp.WSMsgType.BINARY])

    def _socket(self, path: str, query: list[tuple[str, str]], protocol: str) -> Any:
        return _Socket(self._credentials, f"{path}?{urlencode(query)}", protocol)

    async def proxy(self, path: str, method: str = "GET") -> str:
        """An answer through the API server's proxy; `path` begins with pods/, services/ or /api."""
        whole = path if path.startswith("/") else f"/api/v1/namespaces/{self.name}/{path}"
        place, _, query = whole.partition("?")
        answer = await self.client.raw(method, place, parse_qs(query))
        return answer.body.decode()

    async def node(self, name: str) -> Object:
        return await self.client.get(NODES, name)

    async def addresses(self) -> list[str]:
        """The nodes' own addresses."""
        found = [await self.node(name) for name in self.nodes]
        return [
            item["address"] for node in found for item in node["status"]["addresses"] if item["type"] == "InternalIP"
        ]


class _Socket:
    """A WebSocket to the API server, as an async context."""

    def __init__(self, credentials: Credentials, target: str, protocol: str) -> None:
        self._credentials = credentials
        self._target = target
        self._protocol = protocol

    async def __aenter__(self) -> aiohttp.ClientWebSocketResponse:
        self._session = aiohttp.ClientSession()
        url = self._credentials.server.rstrip("/") + self._target
        try:
            self._stream = await self._session.ws_connect(
                url, ssl=self._credentials.ssl_context(), protocols=(self._protocol,), max_msg_size=0
            )
        except BaseException:
            await self._session.close()
            raise
        return self._stream

    async def __aexit__(self, *_: object) -> None:
        await self._stream.close()
        await self._session.close()
