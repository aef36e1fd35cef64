"""Why a pod could not be placed, in the words of upstream's FailedScheduling event.

    0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to …, preemption: …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.scheduler.framework.status import Status
from sampan.scheduler.framework.verdicts import NO_VERDICTS, Verdicts

NO_NODES = "no nodes available to schedule pods"


@dataclass(slots=True)
class Diagnosis:
    """`statuses` has each refusing node's verdict; `pre_filter_message` stands for all of them when it is set."""

    node_count: int
    statuses: Verdicts = field(default_factory=lambda: NO_VERDICTS)
    pre_filter_message: str = ""
    post_filter_message: str = ""
    plugins: set[str] = field(default_factory=set)
    """The plugins that refused: only what concerns one of them can help."""
    overruled: dict[str, Status] = field(default_factory=dict)
    """Nodes that fitted but were refused later, when the pod was to be reserved or bound there."""

    @property
    def message(self) -> str:
        if not self.node_count:
            return NO_NODES
        text = f"0/{self.node_count} nodes are available:"
        if self.pre_filter_message:
            text += f" {self.pre_filter_message}."
        elif self.statuses or self.overruled:
            text += f" {histogram(self.statuses.tally() + Counter(self.overruled.values()))}."
        if self.post_filter_message:
            text += f" {self.post_filter_message}"
        return text


def histogram(tally: Mapping[Status, int]) -> str:
    """`2 Insufficient cpu, 1 node(s) were unschedulable`: how many nodes have each reason, sorted as text."""
    counts: Counter[str] = Counter()
    for status, nodes in tally.items():
        for reason in status.reasons:
            counts[reason] += nodes
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
