"""One worker a pod: brings what runs in line with what is wanted, until the pod is gone.

    syncing ──(deleted, finished, evicted, removed)──▶ ending ──▶ ended ──(gone from the API)──▶ finished

The worker wakes when the pod, the runtime or a probe says so, and at the next time something is due (a back-off, a
deadline, a refresh of volumes). A step that is under way is abandoned when the pod must end, or end sooner; every step
starts from what the runtime says, so abandoning one, or the whole kubelet, at any instant is safe.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from sampan import effects
from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, name_of, namespace_of, uid_of
from sampan.client.client import Client
from sampan.cri.runtime import CRIError
from sampan.kubelet import resize, sandbox_config, spec, termination_message
from sampan.kubelet.cgroups import Cgroups
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.container_status import ContainerFacts
from sampan.kubelet.containers import Containers, StartContext
from sampan.kubelet.downward import NodeFacts
from sampan.kubelet.errors import KubeletError, VolumeError
from sampan.kubelet.images import ImageManager
from sampan.kubelet.mirror_pods import MirrorPods
from sampan.kubelet.plan import Kill, Plan, plan_pod
from sampan.kubelet.pleg import PLEG
from sampan.kubelet.pod_state import PodContainer, PodState
from sampan.kubelet.probes.prober import Prober
from sampan.kubelet.resize import Applied, Grant
from sampan.kubelet.status import OWNED, TERMINAL, PodFacts, phase, pod_status
from sampan.kubelet.status_manager import StatusManager
from sampan.kubelet.verdict import Verdict
from sampan.kubelet.volumes.context import MountedVolume
from sampan.kubelet.volumes.manager import VolumeManager

log = logging.getLogger(__name__)

RETRY_S = 1.0
RETRY_LIMIT_S = 10.0
VOLUME_RETRY_S = 0.5
VOLUME_RETRY_LIMIT_S = 120.0
NETWORK_RETRY_S = 2.0
AFTER_FAILED_PULL_S = 3.0
CONFIG_ERROR = "CreateContainerConfigError"
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True, slots=True)
class Workplace:
    """Everything on the node that a worker works with."""

    client: Client
    config: KubeletConfig
    containers: Containers
    images: ImageManager
    pleg: PLEG
    prober: Prober
    statuses: StatusManager
    volumes: VolumeManager
    cgroups: Cgroups
    mirrors: MirrorPods
    node: Callable[[], NodeFacts]
    network_error: Callable[[], str]
    runtime_name: Callable[[], str]
    sandbox_slots: asyncio.Semaphore
    room: Callable[[str], tuple[Object, list[Object]]]
    """(pod's uid) -> the node and its other active pods."""
    before_start: Callable[[Object, tuple[str, ...]], Awaitable[None]]
    """(pod, its addresses): called between a pod's network and its first container."""


class PodWorker:
    """`run` returns when nothing of the pod is left. The other methods may be called at any time."""

    def __init__(self, place: Workplace, pod: Object) -> None:
        self._place = place
        self._asked = pod
        self._grant = Grant(pod)
        self.pod = self._grant.of(pod)
        self.uid = uid_of(pod)
        self._wake = asyncio.Event()
        self._step: asyncio.Task[float | None] | None = None
        self._reasons: dict[str, tuple[str, str]] = {}
        self._retry_at: dict[str, float] = {}
        self._removed = False
        self._verdict: Verdict | None = None
        self._is_terminal = spec.is_terminal(pod)
        self._has_ended = False
        self._finished = False
        self._volume_retry_s = VOLUME_RETRY_S
        self._applied = Applied()
        self._volumes: dict[str, MountedVolume] | None = None
        self._volumes_due = 0.0
        self._volumes_show: object = None
        self._failures = 0

    @property
    def must_end(self) -> bool:
        return self._removed or self._is_terminal or self._verdict is not None or is_being_deleted(self.pod)

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more and it takes no resources."""
        return self._has_ended

    @property
    def waits_for_room(self) -> bool:
        """Whether it asks for more than the node had to give."""
        return self._grant.pending is not None

    def update(self, pod: Object) -> None:
        """A newer version of the pod."""
        before, grace_before = self.must_end, self._grace_s()
        self._asked, pod = pod, self._grant.of(pod)
        if _shown(pod) != _shown(self.pod):  # what kept a container from starting may be mended
            self._retry_at = {
                name: due for name, due in self._retry_at.items() if self._reasons.get(name, ("",))[0] != CONFIG_ERROR
            }
        self.pod = pod
        self._interrupt_if(self.must_end and (not before or self._grace_s() < grace_before))

    def remove(self) -> None:
        """The pod is gone from its source."""
        before = self.must_end
        self._removed = True
        self._interrupt_if(not before)

    def end(self, verdict: Verdict) -> None:
        """Evict or reject it."""
        if self._verdict is None and not self._is_terminal:
            before = self.must_end
            self._verdict = verdict
            self._interrupt_if(not before)

    def wake(self) -> None:
        self._wake.set()

    def refresh_volumes(self) -> None:
        """What they show may have changed."""
        self._volumes_due = 0.0
        self.wake()

    def _interrupt_if(self, condition: bool) -> None:
        if condition and self._step is not None and not self._has_ended:
            self._step.cancel()
        self._wake.set()

    def _grace_s(self) -> int:
        if self._verdict is not None and self._verdict.grace_s is not None:
            return self._verdict.grace_s
        return max(spec.grace_period_s(self.pod), 1)

    async def run(self) -> None:
        """Work until the pod is gone."""
        while not self._finished:
            self._wake.clear()
            delay = await self._run_step()
            if not self._finished:
                try:
                    await asyncio.wait_for(self._wake.wait(), delay)
                except TimeoutError:
                    continue

    async def _run_step(self) -> float | None:
        """One step, abandoned if it is interrupted; seconds until the next one is due."""
        self._step = asyncio.create_task(self._work(), name=f"sync {key_of(self.pod)}")
        try:
            await asyncio.wait([self._step])
        except asyncio.CancelledError:
            self._step.cancel()
            await asyncio.gather(self._step, return_exceptions=True)
            raise
        step: asyncio.Task[float | None] = self._step
        self._step = None
        if step.cancelled():
            return 0.0
        error = step.exception()
        if error is None:
            self._failures = 0
            return step.result()
        self._failures += 1
        if isinstance(error, (CRIError, KubeletError, errors.APIError, OSError)):
            log.warning("pod %s: %s", key_of(self.pod), error)
        else:
            log.error("pod %s: the step failed", key_of(self.pod), exc_info=error)
        return min(RETRY_S * self._failures, RETRY_LIMIT_S)

    async def _work(self) -> float | None:
        if self.must_end:
            if not self._has_ended:
                await self._end()
            elif not self._removed:
                self.report()  # the runtime may have noted more about the end
            return await self._finish()
        return await self._sync()

    # --- while it is meant to run ---

    async def _sync(self) -> float | None:
        pod, place = self.pod, self._place
        if spec.is_static(pod):
            await place.mirrors.ensure(pod)
        self._check_deadline()
        if self._grant.differs(self._asked) or self.waits_for_room:
            self._grant.decide(self._asked, *place.room(self.uid))
            self.pod = self._grant.of(self._asked)
        state = place.pleg.state(self.uid)
        self._watch_probes(state)
        self.report()
        if self.must_end:
            return 0.0
        network_error = place.network_error()
        if network_error and not spec.uses_host_network(pod) and state.ready_sandbox is None:
            message = f"network is not ready: {network_error}"
            place.containers.record(pod, None, "Warning", "NetworkNotReady", message)
            return NETWORK_RETRY_S
        volumes = await self._mount_volumes(state)
        if volumes is None:
            return self._volume_retry_s
        if self._applied.unfinished(self.pod, state):
            await self._resize(state)
            self.report()
        plan = plan_pod(pod, state, place.prober.facts(self.uid))
        if not plan.is_empty:
            await self._execute(plan, state, volumes)
            await place.pleg.refresh(self.uid)
            self._watch_probes(place.pleg.state(self.uid))
            self.report()
        return 0.0 if self.must_end else self._next_delay_s()

    def _check_deadline(self) -> None:
        remaining_s = self._deadline_s()
        if remaining_s is not None and remaining_s <= 0 and self._verdict is None:
            self._place.containers.record(self.pod, None, "Normal", "DeadlineExceeded", DEADLINE_MESSAGE)
            self._verdict = Verdict("DeadlineExceeded", DEADLINE_MESSAGE)

    def _deadline_s(self) -> float | None:
        """Seconds until activeDeadlineSeconds are over; None without a deadline."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        started = dig(self._known_status(), "startTime")
        if limit is None or not started:
            return None
        age_s = (effects.now() - datetime.fromisoformat(started)).total_seconds()
        return float(limit) - age_s

    def _watch_probes(self, state: PodState) -> None:
        ips = self._pod_ips(state)
        self._place.prober.sync(self.pod, state, ips[0] if ips else "127.0.0.1")

    def _pod_ips(self, state: PodState) -> tuple[str, ...]:
        return self._place.node().ips if spec.uses_host_network(self.pod) else state.ips

    async def _mount_volumes(self, state: PodState) -> dict[str, MountedVolume] | None:
        """None when it has to be tried again; the event says why. What is mounted is refreshed now and then."""
        place = self._place
        shown = _shown(self.pod)[1:]
        if self._volumes is not None and self._volumes_due > effects.monotonic() and self._volumes_show == shown:
            return self._volumes
        place.config.pod_dir(self.uid).mkdir(parents=True, exist_ok=True)
        try:
            volumes = await place.volumes.mount(self.pod, place.node(), self._pod_ips(state))
        except VolumeError as error:
            place.containers.record(self.pod, None, "Warning", "FailedMount", str(error))
            self._volume_retry_s = min(self._volume_retry_s * 2, VOLUME_RETRY_LIMIT_S)
            return self._volumes
        self._volume_retry_s = VOLUME_RETRY_S
        self._volumes, self._volumes_show = volumes, shown
        self._volumes_due = effects.monotonic() + place.config.volume_refresh_interval_s - 1
        return volumes

    async def _resize(self, state: PodState) -> None:
        """Bring running containers to resources that were changed in place."""
        for container, run in self._applied.unfinished(self.pod, state):
            if await self._place.containers.resize(self.pod, container, run):
                self._applied.note(container, run)

    async def _execute(self, plan: Plan, state: PodState, volumes: dict[str, MountedVolume]) -> None:
        """Kills, then a new sandbox if one is needed, then starts in order."""
        place = self._place
        await asyncio.gather(*(self._kill(kill) for kill in plan.kills))
        sandbox_id = plan.sandbox_id
        if plan.create_sandbox:
            if state.sandboxes:
                message = "Pod sandbox changed, it will be killed and re-created."
                place.containers.record(self.pod, None, "Normal", "SandboxChanged", message)
                for box in state.sandboxes:
                    await place.containers.stop_sandbox(box.sandbox.id)
            place.cgroups.ensure_pod(self.pod)
            async with place.sandbox_slots:
                sandbox_id = await place.containers.create_sandbox(self.pod, plan.attempt)
        if plan.create_sandbox or plan.kills:
            await place.pleg.refresh(self.uid)
            state = place.pleg.state(self.uid)
        if plan.create_sandbox:
            await place.before_start(self.pod, state.ips)
        attempt = next((box.sandbox.attempt for box in state.sandboxes if box.sandbox.id == sandbox_id), plan.attempt)
        context = StartContext(
            self._with_known_status(), state, sandbox_id, place.containers.sandbox_config(self.pod, attempt), volumes,
            self._pod_ips(state),
        )
        for name in plan.start:
            await self._start(context, name)

    async def _kill(self, kill: Kill) -> None:
        container = spec.container_named(self.pod, kill.container.name) or {}
        probe = container.get(kill.reason) if kill.reason else None
        grace_s = (probe or {}).get("terminationGracePeriodSeconds")
        await self._place.containers.kill(self.pod, kill.container, kill.message, grace_s)

    async def _start(self, context: StartContext, name: str) -> None:
        """Start one container, or keep the reason why not."""
        container = spec.container_named(self.pod, name)
        if container is None or self._retry_at.get(name, 0.0) > effects.monotonic():
            return
        try:
            await self._place.containers.start(context, container)
            self._reasons.pop(name, None)
            self._retry_at.pop(name, None)
        except CRIError as error:
            self._failed_start(name, "CreateContainerError", error.message)
        except KubeletError as error:
            if error.reason == "ErrImagePull":
                self._place.containers.record(self.pod, container, "Warning", "Failed", "Error: ErrImagePull")
            elif error.reason == "ImagePullBackOff":
                self._place.containers.record(self.pod, container, "Warning", "Failed", "Error: ImagePullBackOff")
            elif error.reason in ("ErrImageNeverPull", "InvalidImageName"):
                self._place.containers.record(self.pod, container, "Warning", "Failed", f"Error: {error.reason}")
            self._failed_start(name, error.reason, error.message)

    def _failed_start(self, name: str, reason: str, message: str) -> None:
        """Keep the reason. Back-offs time themselves; anything else is not tried again at the next stir."""
        self._reasons[name] = (reason, message)
        if reason not in ("CrashLoopBackOff", "ImagePullBackOff"):
            pause_s = AFTER_FAILED_PULL_S if reason == "ErrImagePull" else self._place.config.backoff_initial_s
            self._retry_at[name] = effects.monotonic() + pause_s

    def _next_delay_s(self) -> float:
        """When something is due even if nothing happens."""
        place = self._place
        state = place.pleg.state(self.uid)
        due = [place.config.sync_interval_s * (1 + 0.5 * effects.rng().random())]
        if place.volumes.live_volumes(self.pod):
            due.append(place.config.volume_refresh_interval_s)
        deadline_s = self._deadline_s()
        if deadline_s is not None:
            due.append(max(deadline_s, 0.0))
        for name, (reason, _) in self._reasons.items():
            container, run = spec.container_named(self.pod, name), state.latest(name)
            if container is None:
                continue
            if reason == "CrashLoopBackOff" and run is not None:
                due.append(max(place.containers.back_off_remaining_s(self.pod, container, run), 0.1))
            elif reason == "ImagePullBackOff":
                due.append(max(place.images.pull_wait_s(self.pod, container.get("image", "")), 0.1))
            else:
                due.append(max(self._retry_at.get(name, 0.0) - effects.monotonic(), 0.1))
        return min(due)

    # --- status ---

    def _known_status(self) -> Object:
        """The newest status: what was noted last, with the conditions that others wrote to the API meanwhile."""
        api = self._api_pod()
        current = (api or self.pod).get("status") or {}
        noted = self._place.statuses.get(uid_of(api)) if api is not None else None
        if not noted:
            return dict(current)
        mine = {item["type"]: item for item in noted.get("conditions") or []}
        theirs = {item["type"]: item for item in current.get("conditions") or []}
        merged = {**mine, **{key: item for key, item in theirs.items() if key not in OWNED}}
        return {**current, **noted, "conditions": list(merged.values())}

    def _with_known_status(self) -> Object:
        return {**self.pod, "status": self._known_status()}

    def _api_pod(self) -> Object | None:
        """The pod in the API; for a static pod its mirror, if there is one."""
        return self._place.mirrors.mirror_of(self.pod) if spec.is_static(self.pod) else self.pod

    def report(self) -> None:
        """Compute the status and have it written."""
        place = self._place
        state = place.pleg.state(self.uid)
        pod = self._with_known_status()
        ending = self.must_end
        facts = PodFacts(
            ContainerFacts(
                self._reasons, place.prober.ready(self.uid), place.prober.facts(self.uid).started,
                lambda run: termination_message.read(place.config.pod_dir(self.uid), run), place.runtime_name(), ending,
                self._applied.resources,
            ),
            place.node().ips, effects.timestamp(),
            ("Failed", self._verdict.reason, self._verdict.message) if self._verdict else None, ending,
            (*resize.conditions(
                self._grant.pending, in_progress=not ending and bool(self._applied.unfinished(self.pod, state))
            ), *(self._verdict.conditions if self._verdict else ())),
        )
        status = pod_status(pod, state, facts)
        self._is_terminal = self._is_terminal or (
            self._verdict is None and bool({status["phase"], phase(pod, status)} & {*TERMINAL})
        )
        api = self._api_pod()
        if api is not None:
            place.statuses.set(api, status)

    # --- when it must end ---

    async def _end(self) -> None:
        """Stop everything of the pod and give back what it used."""
        place = self._place
        place.prober.end_pod(self.uid)
        await place.pleg.refresh(self.uid)
        state = place.pleg.state(self.uid)
        self.report()
        reports = asyncio.create_task(self._report_while_ending(), name=f"end of {key_of(self.pod)}")
        try:
            await self._kill_containers(state)
        finally:
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)
        place.prober.forget(self.uid)
        for box in state.sandboxes:
            await place.containers.stop_sandbox(box.sandbox.id)
        await place.pleg.refresh(self.uid)
        while place.pleg.state(self.uid).is_live:  # its end may reach the runtime's records a moment later
            await asyncio.sleep(0.05)
            await place.pleg.refresh(self.uid)
        self.report()
        await place.containers.release_images(self.uid)
        place.volumes.unmount(self.uid)
        place.cgroups.remove_pod(self.uid)
        self._has_ended = True

    async def _report_while_ending(self) -> None:
        """Readiness, and who has exited, as they change."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self.report()

    async def _kill_containers(self, state: PodState) -> None:
        """Containers together, then sidecars in reverse order, all within one grace period."""
        sidecars = [item["name"] for item in spec.sidecars(self.pod)]
        began, grace_s = effects.monotonic(), self._grace_s()
        first = [run for run in state.running if run.name not in sidecars]
        await asyncio.gather(*(self._kill_in(run, grace_s) for run in first))
        for name in reversed(sidecars):
            for run in [run for run in state.running if run.name == name]:
                await self._kill_in(run, max(0, grace_s - int(effects.monotonic() - began)))

    async def _kill_in(self, run: PodContainer, grace_s: int) -> None:
        await self._place.containers.kill(self.pod, run, f"Stopping container {run.name}", grace_s)

    async def _finish(self) -> float | None:
        """Once ended: have the API forget a deleted pod; once it has, remove the last traces."""
        place = self._place
        if not self._removed:
            if not is_being_deleted(self.pod):
                return None
            await place.statuses.flush(self.uid)
            try:
                await place.client.delete(
                    PODS, name_of(self.pod), namespace_of(self.pod), grace_period_s=0, uid=self.uid
                )
            except (errors.NotFound, errors.Conflict):
                log.debug("pod %s is gone already", key_of(self.pod))
            return RETRY_LIMIT_S
        await place.containers.remove(place.pleg.state(self.uid))
        await place.pleg.refresh(self.uid)
        if spec.is_static(self.pod):
            await place.mirrors.delete(self.pod)
        place.volumes.remove_pod_dir(self.uid)
        shutil.rmtree(sandbox_config.log_directory(place.config.pod_logs_dir, self.pod), ignore_errors=True)
        place.prober.forget(self.uid)
        place.statuses.forget(self.uid)
        self._finished = True
        return None


def _shown(pod: Object) -> tuple[object, ...]:
    """What of a pod its containers' configuration depends on."""
    return pod["spec"], pod["metadata"].get("labels"), pod["metadata"].get("annotations")
