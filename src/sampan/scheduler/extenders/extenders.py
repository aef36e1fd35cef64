"""All extenders of a scheduler: asked in their order between filtering and scoring, when preempting and when binding.

    filter      each sees the nodes that the plugins and the extenders before it left
    prioritize  all at once; a score of 0 to 10 counts ten times its extender's weight beside the plugins' 0 to 100
    preempt     each sees the candidates that are left, and may take away nodes or spare victims
    bind        the one that has the verb binds the pods that concern it

An extender that fails ends the attempt with an error, unless it is ignorable; prioritizing never does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.scheduler.cycle import Outside
from sampan.scheduler.extenders.documents import Victims
from sampan.scheduler.extenders.extender import Extender, ExtenderError
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.interface import MAX_NODE_SCORE, CycleState
from sampan.scheduler.framework.status import SKIP, Code, Status, unresolvable, unschedulable
from sampan.scheduler.plugins.preemption_candidates import Candidate
from sampan.scheduler.pod_info import PodInfo

log = logging.getLogger(__name__)

NAME = "Extender"
_SCALE = MAX_NODE_SCORE // 10


class Extenders:
    """What to ask about which pod."""

    def __init__(self, extenders: Sequence[Extender] = ()) -> None:
        self._all = tuple(extenders)
        binders = [extender for extender in self._all if extender.config.bind_verb]
        self.binder = ExtenderBinder(binders[0]) if binders else None

    async def __aenter__(self) -> Extenders:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for extender in self._all:
            await extender.close()

    def concern(self, pod: PodInfo) -> bool:
        """Whether one has to be asked before the pod is placed."""
        return any(
            extender.concerns(pod)
            and (extender.config.filter_verb or extender.config.prioritize_verb or extender.config.preempt_verb)
            for extender in self._all
        )

    async def ask(self, pod: PodInfo, nodes: Mapping[str, Object]) -> Outside:
        """What they say of the nodes that fit. Raises ExtenderError."""
        document = pod.obj or {}
        left, refused = dict(nodes), dict[str, Status]()
        for extender in self._of(pod):
            if not left or not extender.config.filter_verb:
                continue
            try:
                answer = await extender.filter(document, left)
            except ExtenderError as error:
                if not extender.config.ignorable:
                    raise
                log.warning("extender %s is ignored: %s", extender.name, error)
                continue
            for name in [name for name in left if name not in answer.nodes]:
                del left[name]
                refused[name] = _refusal(extender, answer.failed.get(name), answer.unresolvable.get(name))
        return Outside(frozenset(nodes), refused, await self._scores(pod, left) if len(left) > 1 else {})

    async def _scores(self, pod: PodInfo, nodes: Mapping[str, Object]) -> Mapping[str, int]:
        asked = [extender for extender in self._of(pod) if extender.config.prioritize_verb]
        answers = await asyncio.gather(
            *(extender.prioritize(pod.obj or {}, nodes) for extender in asked), return_exceptions=True
        )
        total: Counter[str] = Counter()
        for extender, answer in zip(asked, answers, strict=True):
            if isinstance(answer, ExtenderError):
                log.warning("the scores of extender %s are left out: %s", extender.name, answer)
                continue
            if isinstance(answer, BaseException):
                raise answer
            for name, score in answer.items():
                total[name] += score * extender.config.weight * _SCALE
        return total

    def preempting(self, pod: PodInfo) -> bool:
        """Whether one has to be asked before room is made for the pod."""
        return any(extender.config.preempt_verb for extender in self._of(pod))

    async def agreed(self, client: Client, pod: PodInfo, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates to which all agree, with the victims that are left of each. Raises ExtenderError."""
        left = list(candidates)
        for extender in self._of(pod):
            if not left or not extender.config.preempt_verb:
                continue
            names_only = extender.config.node_cache_capable
            sent = {
                one.node_name: ([await _document(client, victim, names_only) for victim in one.victims], one.violations)
                for one in left
            }
            try:
                answer = await extender.preempt(pod.obj or {}, sent)
            except ExtenderError as error:
                if not extender.config.ignorable:
                    raise
                log.warning("extender %s is ignored: %s", extender.name, error)
                continue
            left = [agreed for one in left if (agreed := _left_of(one, answer.get(one.node_name))) is not None]
        return left

    def _of(self, pod: PodInfo) -> list[Extender]:
        return [extender for extender in self._all if extender.concerns(pod)]


class ExtenderBinder:
    """The extender that binds, as the first plugin that does."""

    name: ClassVar[str] = NAME
    events: ClassVar[frozenset[ClusterEvent]] = frozenset(ClusterEvent)

    def __init__(self, extender: Extender) -> None:
        self._extender = extender

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        if not self._extender.concerns(pod):
            return SKIP
        try:
            await self._extender.bind(pod, node_name)
        except ExtenderError as error:
            return Status(Code.ERROR, (f"binding by extender: {error}",))
        return None


def _refusal(extender: Extender, failed_for: str | None, unresolvable_for: str | None) -> Status:
    """Why a node is not left. What an extender drops without a word, an eviction may bring back."""
    if unresolvable_for is not None:
        return unresolvable(unresolvable_for).of(NAME)
    return unschedulable(failed_for or f"node(s) were refused by extender {extender.name}").of(NAME)


def _left_of(candidate: Candidate, answer: Victims | None) -> Candidate | None:
    """What an extender leaves of a candidate: nothing if it does not name the node or any victim there."""
    if answer is None:
        return None
    uids = set(answer.uids)
    kept = tuple(victim for victim in candidate.victims if victim.uid in uids)
    return Candidate(candidate.node_name, kept, answer.violations) if kept else None


async def _document(client: Client, victim: PodInfo, uid_only: bool) -> Object:
    """A victim as the extender needs it; the scheduler itself keeps no documents of placed pods."""
    reference: Object = {"metadata": {"name": victim.name, "namespace": victim.namespace, "uid": victim.uid}}
    if uid_only:
        return reference
    try:
        return await client.get(PODS, victim.name, victim.namespace)
    except errors.NotFound:
        return reference
