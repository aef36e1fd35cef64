"""A container runtime in memory. Containers run until the test ends them, or follow a script by container name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sampan import effects
from sampan.cri.runtime import (
    AuthConfig,
    Condition,
    Container,
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    CRIError,
    ExecResult,
    Filesystem,
    Image,
    Resources,
    RuntimeEvent,
    Sandbox,
    SandboxConfig,
    SandboxStatus,
    Streams,
    Version,
)
from sampan.kubelet.volumes import mounting


@dataclass
class Script:
    """How a container behaves: it ends by itself after `seconds` with `exit_code`; it takes `dies_after_s` to stop."""

    seconds: float | None = None
    exit_code: int = 0
    dies_after_s: float = 0.0


@dataclass
class _Box:
    sandbox: Sandbox
    config: SandboxConfig
    ip: str


@dataclass
class _Run:
    item: Container
    config: ContainerConfig
    started_ns: int = 0
    finished_ns: int = 0
    exit_code: int = 0
    log_dir: str = ""
    timer: asyncio.TimerHandle | None = None


@dataclass
class FakeRuntime:
    """`scripts` by container name; `calls` is everything that changed something, in order."""

    images: dict[str, Image] = field(default_factory=lambda: {"app:1": Image("sha256:app", ("app:1",), (), 1000)})
    pullable: set[str] = field(default_factory=set)
    scripts: dict[str, Script] = field(default_factory=dict)
    exec_results: dict[str, ExecResult] = field(default_factory=dict)
    network_ready: bool = True
    with_events: bool = True
    sandbox_error: str = ""

    def __post_init__(self) -> None:
        self.boxes: dict[str, _Box] = {}
        self.runs: dict[str, _Run] = {}
        self.calls: list[str] = []
        self.handlers: list[str] = []
        self.numbers = 0
        self.listeners: list[asyncio.Queue[RuntimeEvent]] = []
        self.down = False

    def _number(self, prefix: str) -> str:
        self.numbers += 1
        return f"{prefix}{self.numbers}"

    def _check(self) -> None:
        if self.down:
            raise CRIError("UNAVAILABLE", "connection refused")

    def emit(self, topic: str, container_id: str) -> None:
        for queue in self.listeners:
            queue.put_nowait(RuntimeEvent(topic, container_id))

    # what a test does to it

    def run_of(self, name: str) -> _Run:
        """The newest run of this container."""
        return [run for run in self.runs.values() if run.item.name == name][-1]

    def finish(self, name: str, exit_code: int = 0) -> None:
        self._finish(self.run_of(name).item.id, exit_code)

    def lose_sandbox(self, name: str) -> None:
        """As after a reboot: the pod's sandbox and containers are there, but dead."""
        for box in self.boxes.values():
            if box.sandbox.name == name:
                box.sandbox = replace(box.sandbox, state="NOTREADY")
                for run in self.runs.values():
                    if run.item.sandbox_id == box.sandbox.id and run.item.state == "RUNNING":
                        self._finish(run.item.id, 137)
                self.emit("/tasks/exit", box.sandbox.id)

    def _finish(self, container_id: str, exit_code: int) -> None:
        run = self.runs.get(container_id)
        if run is None or run.item.state == "EXITED":
            return
        if run.timer is not None:
            run.timer.cancel()
        run.item = replace(run.item, state="EXITED")
        run.finished_ns, run.exit_code = _now_ns(), exit_code
        self.emit("/tasks/exit", container_id)

    # Runtime

    async def version(self) -> Version:
        self._check()
        return Version("containerd", "1.0", "v1")

    async def status(self) -> Sequence[Condition]:
        self._check()
        network = Condition("NetworkReady", self.network_ready, "" if self.network_ready else "NetworkPluginNotReady",
                            "" if self.network_ready else "cni plugin not initialized")
        return [Condition("RuntimeReady", True), network]

    async def update_pod_cidr(self, pod_cidr: str) -> None:
        return None

    async def run_sandbox(self, config: SandboxConfig, runtime_handler: str = "") -> str:
        self._check()
        if self.sandbox_error:
            raise CRIError("UNKNOWN", self.sandbox_error)
        key = self._number("box")
        self.handlers += [runtime_handler] if runtime_handler else []
        self.calls.append(f"run_sandbox {config.name}")
        sandbox = Sandbox(key, config.name, config.namespace, config.uid, config.attempt, "READY", _now_ns(),
                          dict(config.labels), dict(config.annotations))
        self.boxes[key] = _Box(sandbox, config, f"10.0.0.{self.numbers}")
        return key

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._check()
        box = self.boxes.get(sandbox_id)
        if box is None:
            raise CRIError("NOT_FOUND", "no such sandbox")
        if box.sandbox.state == "READY":
            self.calls.append(f"stop_sandbox {box.sandbox.name}")
            box.sandbox = replace(box.sandbox, state="NOTREADY")
        for run in self.runs.values():
            if run.item.sandbox_id == sandbox_id and run.item.state == "RUNNING":
                self._finish(run.item.id, 137)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self.boxes.pop(sandbox_id, None)

    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[Sandbox]:
        self._check()
        return [box.sandbox for box in self.boxes.values() if _carries(box.sandbox.labels, labels)]

    async def sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        self._check()
        box = self.boxes.get(sandbox_id)
        if box is None:
            raise CRIError("NOT_FOUND", "no such sandbox")
        network = box.config.namespaces.network
        return SandboxStatus(box.sandbox, () if network == "NODE" else (box.ip,), network)

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        self._check()
        key = self._number("c")
        self.calls.append(f"create {config.name}#{config.attempt}")
        item = Container(key, sandbox_id, config.name, config.attempt, config.image, config.image, "CREATED", _now_ns(),
                         dict(config.labels), dict(config.annotations))
        self.runs[key] = _Run(item, config, log_dir=sandbox.log_directory)
        return key

    async def start_container(self, container_id: str) -> None:
        run = self.runs[container_id]
        self.calls.append(f"start {run.item.name}#{run.item.attempt}")
        run.item, run.started_ns = replace(run.item, state="RUNNING"), _now_ns()
        script = self.scripts.get(run.item.name, Script())
        if script.seconds is not None:
            loop = asyncio.get_running_loop()
            run.timer = loop.call_later(script.seconds, self._finish, container_id, script.exit_code)

    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        self._check()
        run = self.runs.get(container_id)
        if run is None:
            raise CRIError("NOT_FOUND", "no such container")
        self.calls.append(f"stop {run.item.name}#{run.item.attempt} {timeout_s}s")
        wanted = self.scripts.get(run.item.name, Script()).dies_after_s
        await asyncio.sleep(min(wanted, timeout_s))
        self._finish(container_id, 143 if wanted <= timeout_s else 137)

    async def remove_container(self, container_id: str) -> None:
        self.runs.pop(container_id, None)

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[Container]:
        self._check()
        return [run.item for run in self.runs.values() if _carries(run.item.labels, labels)]

    async def container_status(self, container_id: str) -> ContainerStatus:
        self._check()
        run = self.runs.get(container_id)
        if run is None:
            raise CRIError("NOT_FOUND", "no such container")
        item = run.item
        return ContainerStatus(
            item.id, item.name, item.attempt, item.state, item.created_at_ns, run.started_ns, run.finished_ns,
            run.exit_code, "docker.io/library/app:1", item.image_ref, labels=item.labels, annotations=item.annotations,
            log_path=str(Path(run.log_dir) / run.config.log_path),
        )

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        self.calls.append(f"update {self.runs[container_id].item.name} {resources.memory_limit_bytes}")

    async def reopen_log(self, container_id: str) -> None:
        self.calls.append(f"reopen_log {container_id}")

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float = 0) -> ExecResult:
        self._check()
        self.calls.append(f"exec {' '.join(command)}")
        return self.exec_results.get(command[0], ExecResult(b"", b"", 0))

    async def exec(self, container_id: str, command: Sequence[str], streams: Streams) -> str:
        return "http://127.0.0.1:1/exec"

    async def attach(self, container_id: str, streams: Streams) -> str:
        return "http://127.0.0.1:1/attach"

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str:
        return "http://127.0.0.1:1/portforward"

    async def mount_image(self, image: str, target: str) -> None:
        self._check()
        self.calls.append(f"mount {image}")
        mounting.mount_tmpfs(Path(target), 0)

    async def unmount_image(self, target: str) -> None:
        self.calls.append("unmount image")
        mounting.unmount(Path(target))

    async def list_images(self) -> Sequence[Image]:
        return list(self.images.values())

    async def image_status(self, image: str) -> Image | None:
        self._check()
        return self.images.get(image)

    async def pull_image(self, image: str, auth: AuthConfig | None, sandbox: SandboxConfig | None) -> str:
        self.calls.append(f"pull {image}" + (f" as {auth.username}" if auth else ""))
        if image not in self.pullable:
            raise CRIError("UNKNOWN", f"failed to resolve reference {image}: not found")
        self.images[image] = Image(f"sha256:{image}", (image,), (), 5)
        return self.images[image].id

    async def remove_image(self, image: str) -> None:
        self.calls.append(f"remove_image {image}")

    async def image_filesystems(self) -> Sequence[Filesystem]:
        return []

    async def list_stats(self) -> Sequence[ContainerStats]:
        return []

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        if not self.with_events:
            raise CRIError("UNIMPLEMENTED", "no events")
        queue: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self.listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.listeners.remove(queue)

    async def close(self) -> None:
        return None


def _carries(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return all(labels.get(key) == value for key, value in (wanted or {}).items())


def _now_ns() -> int:
    return int(effects.now().timestamp() * 1e9)
