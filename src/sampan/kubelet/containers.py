"""Does to containers and sandboxes what a plan says: create, start, kill, remove, with upstream's events.

Every start is: back-off, image, configuration, create, start, postStart hook. A step that fails raises `StartError` (or
ConfigError), whose reason becomes the container's waiting state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from sampan import effects
from sampan.apimachinery.object import Object, namespace_of, uid_of
from sampan.client.events import EventRecorder
from sampan.cri.runtime import AuthConfig, CRIError, Mount, Runtime, SandboxConfig
from sampan.kubelet import hosts_file, resources, sandbox_config, spec, termination_message
from sampan.kubelet.backoff import Backoff
from sampan.kubelet.cgroups import Cgroups
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.container_config import (
    GRACE_PERIOD,
    PRE_STOP,
    RESOURCES,
    ContainerInputs,
    container_config,
    propagation,
)
from sampan.kubelet.dns_config import ClusterDNS, dns_config
from sampan.kubelet.downward import NodeFacts
from sampan.kubelet.environment import EnvironmentInputs, environment
from sampan.kubelet.errors import ConfigError, StartError, go_code
from sampan.kubelet.expansion import expand, unresolved
from sampan.kubelet.hooks import HookFailed, run_hook
from sampan.kubelet.images import ImageManager, duration
from sampan.kubelet.objects import NodeObjects
from sampan.kubelet.pod_state import PodContainer, PodState
from sampan.kubelet.probes.check import Target
from sampan.kubelet.registry_auth import credentials
from sampan.kubelet.volumes import image, mounting, subpath
from sampan.kubelet.volumes.context import MountedVolume

log = logging.getLogger(__name__)

MINIMUM_GRACE_S = 2
HOOK_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What starting a container uses besides the runtime."""

    config: KubeletConfig
    recorder: EventRecorder
    objects: NodeObjects
    images: ImageManager
    cgroups: Cgroups
    backoff: Backoff
    dns: ClusterDNS
    services: Callable[[], Sequence[Object]]
    node: Callable[[], NodeFacts]
    memory_capacity_bytes: int


@dataclass(frozen=True, slots=True)
class StartContext:
    """One pod in one sandbox, about to start containers."""

    pod: Object
    state: PodState
    sandbox_id: str
    sandbox: SandboxConfig
    volumes: Mapping[str, MountedVolume]
    pod_ips: tuple[str, ...]


class Containers:
    """The hands of the pod workers."""

    def __init__(self, runtime: Runtime, around: Surroundings) -> None:
        self._runtime = runtime
        self._around = around

    def record(self, pod: Object, container: Object | None, type: str, reason: str, message: str) -> None:
        """An event on the pod, or on one of its containers."""
        path = spec.field_path(pod, container) if container is not None else ""
        self._around.recorder.event(pod, type, reason, message, field_path=path)

    def sandbox_config(self, pod: Object, attempt: int) -> SandboxConfig:
        """Raises StartError."""
        config = self._around.config
        return sandbox_config.sandbox_config(
            pod, attempt, logs=config.pod_logs_dir, dns=dns_config(pod, self._around.dns),
            cgroup=self._around.cgroups.pod_path(pod), domain=config.cluster_domain,
        )

    async def create_sandbox(self, pod: Object, attempt: int) -> str:
        """A new sandbox's id. Raises StartError after the event that tells."""
        try:
            config = self.sandbox_config(pod, attempt)
            handler = await self._runtime_handler(pod)
            Path(config.log_directory).mkdir(parents=True, exist_ok=True)
            return await self._runtime.run_sandbox(config, handler)
        except CRIError as error:
            text = f"Failed to create pod sandbox: rpc error: code = {go_code(error.code)} desc = {error.message}"
            self.record(pod, None, "Warning", "FailedCreatePodSandBox", text)
            raise StartError("CreatePodSandboxError", text) from error
        except StartError as error:
            self.record(pod, None, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            raise

    async def _runtime_handler(self, pod: Object) -> str:
        """What the pod's RuntimeClass calls its runtime; empty for the default one. Raises StartError."""
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        try:
            found = await self._around.objects.get("runtimeclass", "", name)
        except ConfigError as error:
            raise StartError("CreatePodSandboxError", str(error)) from error
        if found is None:
            raise StartError("CreatePodSandboxError", f'failed to get RuntimeClass "{name}": not found')
        return str(found.get("handler") or "")

    async def start(self, context: StartContext, container: Object) -> str:
        """Start a container of the pod; its id. Raises StartError or ConfigError."""
        pod, name = context.pod, container["name"]
        self._back_off(context, container)
        own = await self._around.images.ensure(
            pod, container, await self._credentials(pod, container), context.sandbox,
            lambda type, reason, message: self.record(pod, container, type, reason, message),
        )
        await self._mount_images(context, container)
        attempt = _next_attempt(context, name)
        try:
            variables = await self._environment(context, container)
            inputs = ContainerInputs(
                own, attempt, variables, self._mounts(context, container, variables, attempt),
                self._around.memory_capacity_bytes, _target_id(context, container),
            )
            config = container_config(pod, container, inputs)
        except ConfigError as error:
            self.record(pod, container, "Warning", "Failed", f"Error: {error}")
            raise
        (Path(context.sandbox.log_directory) / name).mkdir(parents=True, exist_ok=True)
        try:
            container_id = await self._runtime.create_container(context.sandbox_id, config, context.sandbox)
        except CRIError as error:
            self.record(pod, container, "Warning", "Failed", f"Error: {error.message}")
            raise StartError("CreateContainerError", error.message) from error
        self.record(pod, container, "Normal", "Created", "Container created")
        try:
            await self._runtime.start_container(container_id)
        except CRIError as error:
            self.record(pod, container, "Warning", "Failed", f"Error: {error.message}")
            raise StartError("RunContainerError", error.message) from error
        self.record(pod, container, "Normal", "Started", "Container started")
        await self._post_start(context, container, container_id)
        return container_id

    async def _mount_images(self, context: StartContext, container: Object) -> None:
        """The image volumes that the container mounts. Raises StartError, with the reasons of any image."""
        pod, used = context.pod, {item["name"] for item in container.get("volumeMounts") or []}
        for volume in pod["spec"].get("volumes") or []:
            if volume.get("image") is None or volume["name"] not in used or volume["name"] not in context.volumes:
                continue
            path = context.volumes[volume["name"]].path
            if mounting.is_mount_point(path):
                continue
            source = {"image": volume["image"].get("reference", ""),
                      "imagePullPolicy": volume["image"].get("pullPolicy")}
            await self._around.images.ensure(
                pod, source, await self._credentials(pod, source), context.sandbox,
                lambda type, reason, message: self.record(pod, None, type, reason, message),
            )
            try:
                await self._runtime.mount_image(source["image"], str(path))
            except CRIError as error:
                self.record(pod, None, "Warning", "FailedMount", error.message)
                raise StartError("CreateContainerError", error.message) from error

    async def release_images(self, uid: str) -> None:
        """Take down a pod's image volumes."""
        for path in image.mounted_below(self._around.config.pod_dir(uid)):
            if mounting.is_mount_point(path):
                await self._runtime.unmount_image(str(path))

    def _back_off(self, context: StartContext, container: Object) -> None:
        """Raises StartError CrashLoopBackOff while a container that ended must wait; else notes this try."""
        latest = context.state.latest(container["name"])
        if latest is None or not latest.has_exited:
            return
        key = f"{uid_of(context.pod)}/{container['name']}/{spec.container_hash(container)}"
        since_s = max(0.0, effects.now().timestamp() - latest.status.finished_at_ns / 1e9)
        if self._around.backoff.remaining_s(key, since_s) > 0:
            full_name = spec.full_name(context.pod)
            self.record(
                context.pod, container, "Warning", "BackOff",
                f"Back-off restarting failed container {container['name']} in pod {full_name}",
            )
            wait = _go_duration(self._around.backoff.wait_s(key))
            raise StartError(
                "CrashLoopBackOff",
                f"back-off {wait} restarting failed container={container['name']} pod={full_name}",
            )
        self._around.backoff.next(key)

    def back_off_remaining_s(self, pod: Object, container: Object, run: PodContainer) -> float:
        """How long a crashed container still has to wait."""
        key = f"{uid_of(pod)}/{container['name']}/{spec.container_hash(container)}"
        since_s = max(0.0, effects.now().timestamp() - run.status.finished_at_ns / 1e9)
        return self._around.backoff.remaining_s(key, since_s)

    async def _credentials(self, pod: Object, container: Object) -> list[AuthConfig]:
        secrets: list[Object] = []
        for reference in pod["spec"].get("imagePullSecrets") or []:
            secret = await self._around.objects.get("secret", namespace_of(pod), reference.get("name", ""))
            if secret is None:
                self.record(
                    pod, None, "Warning", "FailedToRetrieveImagePullSecret",
                    f"Unable to retrieve some image pull secrets ({reference.get('name', '')}); "
                    "attempting to pull the image may not succeed.",
                )
            else:
                secrets.append(secret)
        return credentials(container.get("image", ""), secrets)

    async def _environment(self, context: StartContext, container: Object) -> dict[str, str]:
        inputs = EnvironmentInputs(
            context.pod, self._around.node(), context.pod_ips, tuple(self._around.services()),
            self._around.objects.lookup,
        )
        return await environment(container, inputs)

    def _mounts(
        self, context: StartContext, container: Object, variables: Mapping[str, str], attempt: int
    ) -> tuple[Mount, ...]:
        """The container's volumes, then /etc/hosts and the termination message file unless it mounts its own there."""
        pod_dir = self._around.config.pod_dir(uid_of(context.pod))
        mounts: list[Mount] = []
        for position, item in enumerate(container.get("volumeMounts") or []):
            volume = context.volumes.get(item["name"])
            if volume is None:
                where = f'to mount into container "{container["name"]}"'
                raise ConfigError(f'cannot find volume "{item["name"]}" {where}')
            path = volume.path
            sub = _subpath(item, variables)
            if sub:
                target = pod_dir / "volume-subpaths" / item["name"] / container["name"] / str(position)
                try:
                    path = subpath.mount(volume.path, sub, target)
                except (ConfigError, OSError) as error:
                    where = f'volumeMount "{item["name"]}" of container "{container["name"]}"'
                    text = f"failed to prepare subPath for {where}"
                    log.warning("%s: %s", text, error)
                    raise ConfigError(text) from error
            readonly = bool(item.get("readOnly")) or volume.readonly
            mounts.append(Mount(item["mountPath"], str(path), readonly, propagation(item)))
        taken = {mount.container_path.rstrip("/") for mount in mounts}
        if "/etc/hosts" not in taken:
            mounts.append(Mount("/etc/hosts", str(self._hosts_file(context, pod_dir))))
        message_path = container.get("terminationMessagePath") or "/dev/termination-log"
        if message_path not in taken:
            mounts.append(Mount(message_path, str(termination_message.create(pod_dir, container, attempt))))
        return tuple(mounts)

    def _hosts_file(self, context: StartContext, pod_dir: Path) -> Path:
        config, pod = self._around.config, context.pod
        aliases = pod["spec"].get("hostAliases") or []
        if spec.uses_host_network(pod):
            try:
                node_file = config.host_etc_hosts.read_text()
            except OSError:
                node_file = ""
            text = hosts_file.host_network_hosts_file(node_file, config.node_ip, config.node_name, aliases)
        else:
            hostname, domain = spec.hostname_and_domain(pod, config.cluster_domain)
            text = hosts_file.hosts_file(context.pod_ips, hostname, domain, aliases)
        path = pod_dir / "etc-hosts"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    async def _post_start(self, context: StartContext, container: Object, container_id: str) -> None:
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        target = Target(container, container_id, context.pod_ips[0] if context.pod_ips else "")
        try:
            await run_hook(self._runtime, hook, target, HOOK_TIMEOUT_S)
        except (HookFailed, ConfigError) as error:
            log.warning("postStart of %s in %s: %s", container["name"], spec.full_name(context.pod), error)
            self.record(context.pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed")
            self.record(context.pod, container, "Normal", "Killing", "FailedPostStartHook")
            await self._runtime.stop_container(container_id, spec.grace_period_s(context.pod))
            raise StartError("PostStartHookError", str(error)) from error

    async def kill(self, pod: Object | None, run: PodContainer, message: str, grace_s: int | None = None) -> None:
        """End a container: event, preStop hook, signal, and SIGKILL when its grace is over.

        Without a pod (it is gone from the API) the container's own annotations say how.
        """
        notes = run.status.annotations
        container = spec.container_named(pod, run.name) if pod is not None else None
        if grace_s is None:
            grace_s = spec.grace_period_s(pod) if pod is not None else int(notes.get(GRACE_PERIOD, "30"))
        if pod is not None:
            self.record(pod, container or {"name": run.name}, "Normal", "Killing",
                        message or f"Stopping container {run.name}")
        began = effects.monotonic()
        if grace_s > 0:
            hook = (container.get("lifecycle") or {}).get("preStop") if container is not None else None
            if hook is None and PRE_STOP in notes:
                hook = orjson.loads(notes[PRE_STOP])
            if hook:
                await self._pre_stop(pod, container or {"name": run.name}, run, hook, grace_s)
        remaining_s = max(min(grace_s, MINIMUM_GRACE_S), grace_s - int(effects.monotonic() - began))
        try:
            await self._runtime.stop_container(run.id, remaining_s)
        except CRIError as error:
            if error.code != "NOT_FOUND":
                raise

    async def _pre_stop(
        self, pod: Object | None, container: Object, run: PodContainer, hook: Object, grace_s: int
    ) -> None:
        ip = ""
        try:
            ip = next(iter((await self._runtime.sandbox_status(run.sandbox_id)).ips), "")
            target = Target(container, run.id, ip)
            await asyncio.wait_for(run_hook(self._runtime, hook, target, grace_s), grace_s)
        except (HookFailed, ConfigError, CRIError, TimeoutError) as error:
            log.warning("preStop of %s: %s", run.name, error)
            if pod is not None:
                self.record(pod, container, "Warning", "FailedPreStopHook", "PreStopHook failed")

    async def resize(self, pod: Object, container: Object, run: PodContainer) -> bool:
        """Give a running container its new limits; False when it was ended since its resizePolicy wants a restart."""
        before = {"resources": orjson.loads(run.status.annotations.get(RESOURCES, "{}"))}
        policies = {item["resourceName"]: item["restartPolicy"] for item in container.get("resizePolicy") or []}
        changed = [
            name for name in ("cpu", "memory") for section in ("limits", "requests")
            if resources.quantity(before, section, name) != resources.quantity(container, section, name)
        ]
        self._around.cgroups.ensure_pod(pod)
        if any(policies.get(name) == "RestartContainer" for name in changed):
            await self.kill(pod, run, f"Container {run.name} resize requires restart")
            return False
        wanted = resources.container_resources(pod, container, self._around.memory_capacity_bytes)
        await self._runtime.update_resources(run.id, wanted)
        return True

    async def stop_sandbox(self, sandbox_id: str) -> None:
        try:
            await self._runtime.stop_sandbox(sandbox_id)
        except CRIError as error:
            if error.code != "NOT_FOUND":
                raise

    async def remove_container(self, container_id: str) -> None:
        await _gone(self._runtime.remove_container(container_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await _gone(self._runtime.remove_sandbox(sandbox_id))

    async def remove(self, state: PodState) -> None:
        """Remove every container and sandbox of a pod that has ended."""
        for run in state.containers:
            await _gone(self._runtime.remove_container(run.id))
        for box in state.sandboxes:
            await _gone(self._runtime.stop_sandbox(box.sandbox.id))
            await _gone(self._runtime.remove_sandbox(box.sandbox.id))


async def _gone(pending: Awaitable[None]) -> None:
    """Await a removal; that it is gone already is as good."""
    try:
        await pending
    except CRIError as error:
        if error.code != "NOT_FOUND":
            raise


def _next_attempt(context: StartContext, name: str) -> int:
    """How often it was started before: by the runtime's records, or the API's where those are lost."""
    latest = context.state.latest(name)
    if latest is not None:
        return latest.status.attempt + 1
    for key in ("containerStatuses", "initContainerStatuses"):
        for status in (context.pod.get("status") or {}).get(key) or []:
            if status["name"] == name and status.get("containerID"):
                return int(status.get("restartCount", 0)) + 1
    return 0


def _target_id(context: StartContext, container: Object) -> str:
    """The container whose processes an ephemeral container wants to see."""
    name = container.get("targetContainerName")
    if not name:
        return ""
    run = context.state.latest(name)
    if run is None or not run.is_running:
        raise ConfigError(f"unable to find target container {name}")
    return run.id


def _subpath(mount: Object, variables: Mapping[str, str]) -> str:
    template = mount.get("subPathExpr")
    if not template:
        return str(mount.get("subPath") or "")
    missing = unresolved(template, variables)
    if missing:
        raise ConfigError(f"missing value for \"{missing[0]}\"")
    return expand(template, variables)


def _go_duration(seconds: float) -> str:
    """`10s`, `2m40s`, `5m0s`."""
    return duration(float(int(seconds)))
