"""All pods of the node, from both sources, and their workers.

API pods come from the informer, static ones from files; a mirror pod is only noted. A pod that the node cannot take is
refused when it arrives, in order of arrival, so that later ones see what earlier ones use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sampan.apimachinery.object import Object, is_being_deleted, key_of, name_of, namespace_of, uid_of
from sampan.kubelet import spec
from sampan.kubelet.admission import admit
from sampan.kubelet.pod_worker import PodWorker, Workplace
from sampan.kubelet.verdict import Verdict

log = logging.getLogger(__name__)


class PodSet:
    """Workers by pod uid."""

    def __init__(self, place: Workplace, node: Callable[[], Object]) -> None:
        self._place = place
        self._node = node
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._static: dict[str, Object] = {}
        self.is_synced = False

    def sources_synced(self) -> None:
        """Node and API pods are known; from now on unknown pods may be ended, and static ones have mirrors."""
        self.is_synced = True
        for uid in self._static:
            self.wake(uid)

    def get(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def workers(self) -> list[PodWorker]:
        return list(self._workers.values())

    def named(self, namespace: str, name: str) -> Object | None:
        """The present pod of this name."""
        found = [
            worker.pod for worker in self._workers.values()
            if name_of(worker.pod) == name and namespace_of(worker.pod) == namespace
        ]
        return found[-1] if found else None

    def documents(self) -> list[Object]:
        """The pods with their newest statuses."""
        return [
            {**worker.pod, "status": self._place.statuses.get(worker.uid) or worker.pod.get("status") or {}}
            for worker in self._workers.values()
        ]

    def wake(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def show(self, uid: str) -> None:
        """Contents of the pod's volumes may have changed."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.refresh_volumes()

    # --- the API ---

    def add_from_api(self, pod: Object) -> None:
        if spec.is_mirror(pod):
            self._note_mirror(pod)
        else:
            self._add(pod)

    def update_from_api(self, pod: Object) -> None:
        worker = self._workers.get(uid_of(pod))
        if spec.is_mirror(pod):
            self._note_mirror(pod)
        elif worker is None:
            self._add(pod)
        else:
            worker.update(pod)

    def remove_from_api(self, pod: Object) -> None:
        if spec.is_mirror(pod):
            self._place.mirrors.gone(pod)
            self._wake_static(pod)
            return
        worker = self._workers.get(uid_of(pod))
        if worker is not None:
            worker.update(pod)
            worker.remove()

    def _note_mirror(self, pod: Object) -> None:
        self._place.mirrors.note(pod)
        self._wake_static(pod)

    def _wake_static(self, mirror: Object) -> None:
        for pod in self._static.values():
            if key_of(pod) == key_of(mirror):
                self.wake(uid_of(pod))

    # --- files ---

    def set_static(self, pods: list[Object]) -> None:
        """These are the static pods now."""
        wanted = {uid_of(pod): pod for pod in pods}
        for uid in [known for known in self._static if known not in wanted]:
            del self._static[uid]
            worker = self._workers.get(uid)
            if worker is not None:
                worker.remove()
        for uid, pod in wanted.items():
            if uid not in self._static:
                self._static[uid] = pod
                self._add(pod)

    def static_names(self) -> set[tuple[str, str]]:
        return {(namespace_of(pod), name_of(pod)) for pod in self._static.values()}

    # --- workers ---

    def _add(self, pod: Object) -> None:
        uid = uid_of(pod)
        if uid in self._workers:
            self._workers[uid].update(pod)
            return
        worker = self._workers[uid] = PodWorker(self._place, pod)
        self._admit(worker)
        task = self._tasks[uid] = asyncio.create_task(worker.run(), name=f"pod {key_of(pod)}")
        task.add_done_callback(lambda done: self._ended(uid, done))

    def _admit(self, worker: PodWorker) -> None:
        """Refuse a pod that does not fit; one that has already been started is never refused."""
        pod = worker.pod
        if worker.must_end or is_being_deleted(pod) or self._place.pleg.state(worker.uid).containers:
            return
        node, others = self.room(worker.uid)
        refusal = admit(pod, node, others, self._place.config.allowed_unsafe_sysctls)
        if refusal is not None:
            self._place.containers.record(pod, None, "Warning", refusal.reason, refusal.message)
            worker.end(Verdict(refusal.reason, f"Pod was rejected: {refusal.message}"))

    def room(self, uid: str) -> tuple[Object, list[Object]]:
        """The node, and its active pods besides one."""
        return self._node(), [
            other.pod for other in self._workers.values()
            if other.uid != uid and not other.has_ended and not spec.is_terminal(other.pod)
        ]

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(uid, None)
        worker = self._workers.pop(uid, None)
        if not task.cancelled() and task.exception() is not None and worker is not None:
            log.error("worker of pod %s failed", key_of(worker.pod), exc_info=task.exception())
        for other in self._workers.values():
            if other.waits_for_room:
                other.wake()

    async def close(self) -> None:
        """Stop working; containers go on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
