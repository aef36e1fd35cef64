"""What has to be done now and then: dead containers and sandboxes, orphans, logs that grew, images nobody uses.

Orphans are pods that run here and are in no source: their pod was deleted while this kubelet was away. They are ended
with the grace period that their containers carry. Nothing is judged before the API's pods are known.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from sampan import effects
from sampan.cri.runtime import CRIError, Image, Runtime
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.logs import files_of
from sampan.kubelet.machine import disk
from sampan.kubelet.pod_set import PodSet
from sampan.kubelet.pod_state import PodState
from sampan.kubelet.pod_worker import Workplace

log = logging.getLogger(__name__)

INTERVAL_S = 5.0
SLOW_EVERY = 12
KEPT_DEAD_RUNS = 1


class Housekeeper:
    """`run` does a round every few seconds, the slower chores once a minute."""

    def __init__(self, config: KubeletConfig, runtime: Runtime, pods: PodSet, place: Workplace) -> None:
        self._config = config
        self._runtime = runtime
        self._pods = pods
        self._place = place
        self._seen_images: dict[str, float] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        rounds = 0
        try:
            while True:
                await asyncio.sleep(INTERVAL_S)
                rounds += 1
                await self._guarded(self.fast_round)
                if rounds % SLOW_EVERY == 0:
                    await self._guarded(self.slow_round)
        finally:
            for task in self._ending.values():
                task.cancel()

    async def _guarded(self, chore: Callable[[], Awaitable[None]]) -> None:
        try:
            await chore()
        except (CRIError, OSError) as error:
            log.warning("housekeeping: %s", error)

    async def fast_round(self) -> None:
        """Orphans and dead containers."""
        if not self._pods.is_synced:
            return
        self._place.cgroups.balance(worker.pod for worker in self._pods.workers() if not worker.has_ended)
        for state in self._place.pleg.states():
            worker = self._pods.get(state.uid)
            if worker is None:
                self._end_orphan(state)
            elif not worker.has_ended:
                await self._remove_dead(state)
        for mirror in self._place.mirrors.orphans(self._pods.static_names()):
            await self._place.mirrors.remove_orphan(mirror)

    async def slow_round(self) -> None:
        """Directories, cgroups, logs, images."""
        if self._pods.is_synced:
            await self._remove_leftovers()
        await self.rotate_logs()
        await self.collect_images()

    def _end_orphan(self, state: PodState) -> None:
        if state.uid in self._ending and not self._ending[state.uid].done():
            return
        log.info("ending orphan %s/%s (%s)", state.namespace, state.name, state.uid)
        self._ending[state.uid] = asyncio.create_task(self._end(state), name=f"orphan {state.uid}")
        self._ending[state.uid].add_done_callback(lambda task: self._ending.pop(state.uid, None))

    async def _end(self, state: PodState) -> None:
        containers = self._place.containers
        try:
            await asyncio.gather(*(containers.kill(None, run, "") for run in state.running))
            await containers.remove(state)
            await self._place.pleg.relist()
        except CRIError as error:
            log.warning("orphan %s: %s", state.uid, error)

    async def _remove_dead(self, state: PodState) -> None:
        """All but the newest dead run of each container, and sandboxes that no container belongs to."""
        names = {run.name for run in state.containers}
        removed: set[str] = set()
        for name in names:
            dead = [run for run in state.all_named(name)[1:] if run.has_exited]
            for run in dead[KEPT_DEAD_RUNS:]:
                await self._place.containers.remove_container(run.id)
                removed.add(run.id)
                with contextlib.suppress(OSError):
                    os.unlink(run.status.log_path)
        owners = {run.sandbox_id for run in state.containers if run.id not in removed}
        for box in state.sandboxes[1:]:
            if box.sandbox.state != "READY" and box.sandbox.id not in owners:
                await self._place.containers.remove_sandbox(box.sandbox.id)

    async def _remove_leftovers(self) -> None:
        """Directories and cgroups of pods that neither run nor are wanted."""
        living = {state.uid for state in self._place.pleg.states()}
        for uid in self._place.volumes.pod_uids() | self._place.cgroups.pod_uids():
            if uid not in living and self._pods.get(uid) is None:
                await self._place.containers.release_images(uid)
                self._place.volumes.remove_pod_dir(uid)
                self._place.cgroups.remove_pod(uid)
        for directory in self._config.pod_logs_dir.iterdir():
            uid = directory.name.rsplit("_", 1)[-1]
            if uid not in living and self._pods.get(uid) is None:
                shutil.rmtree(directory, ignore_errors=True)

    async def rotate_logs(self) -> None:
        """Give every running container whose log is too long a new file, and keep only so many old ones."""
        for state in self._place.pleg.states():
            for run in state.running:
                path = Path(run.status.log_path)
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_size > self._config.log_max_size_bytes:
                        await self._rotate(path, run.id)

    async def _rotate(self, path: Path, container_id: str) -> None:
        old = files_of(path)[:-1]
        for file in old[: max(0, len(old) - (self._config.log_max_files - 2))]:
            file.unlink(missing_ok=True)
        for file in old:
            if file.suffix != ".gz" and file.exists():
                _compress(file)
        rotated = path.with_name(f"{path.name}.{effects.now().strftime('%Y%m%d-%H%M%S')}")
        path.rename(rotated)
        try:
            await self._runtime.reopen_log(container_id)
        except CRIError:
            rotated.rename(path)  # the runtime still writes to it
            raise

    async def collect_images(self) -> None:
        """When the disk is too full, remove unused images, least recently used first."""
        limits = self._config.image_gc
        filesystems = await self._runtime.image_filesystems()
        if not filesystems:
            return
        room = disk(Path(filesystems[0].mountpoint))
        used = room.capacity_bytes - room.available_bytes
        if used < limits.high_fraction * room.capacity_bytes:
            return
        to_free = used - int(limits.low_fraction * room.capacity_bytes)
        for image in await self._unused_images():
            if to_free <= 0:
                return
            log.info("removing image %s (%d bytes) to free disk space", image.id, image.size_bytes)
            await self._runtime.remove_image(image.id)
            to_free -= image.size_bytes

    async def _unused_images(self) -> list[Image]:
        """Images that no container uses and that have been here for a while, least recently used first."""
        now = effects.monotonic()
        images = await self._runtime.list_images()
        in_use = {ref for item in await self._runtime.list_containers() for ref in (item.image_ref, item.image)}
        self._seen_images = {image.id: self._seen_images.get(image.id, now) for image in images}
        last_used = self._place.images.last_used

        def unused(image: Image) -> bool:
            names = {image.id, *image.repo_digests, *image.repo_tags}
            is_old = now - self._seen_images[image.id] > self._config.image_gc.minimum_age_s
            return not image.pinned and is_old and not names & in_use and "/pause:" not in " ".join(image.repo_tags)

        candidates = [image for image in images if unused(image)]
        return sorted(candidates, key=lambda image: last_used.get(image.id, self._seen_images[image.id]))


def _compress(file: Path) -> None:
    temporary = file.with_name(file.name + ".tmp")
    with file.open("rb") as source, gzip.open(temporary, "wb") as target:
        shutil.copyfileobj(source, target)
    temporary.rename(file.with_name(file.name + ".gz"))
    file.unlink()
