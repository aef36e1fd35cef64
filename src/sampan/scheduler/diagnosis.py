"""Why a pod could not be placed, in the words of upstream's FailedScheduling event.

    0/3 nodes are available: 1 node(s) had untolerated taint {k: v}, 2 Insufficient cpu. preemption: 0/3 nodes …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.scheduler.framework.status import Status

NO_NODES = "no nodes available to schedule pods"


@dataclass(slots=True)
class Diagnosis:
    """`statuses` has each refusing node's verdict; `pre_filter_message` stands for all of them when it is set."""

    node_count: int
    statuses: dict[str, Status] = field(default_factory=dict)
    pre_filter_message: str = ""
    post_filter_message: str = ""
    plugins: set[str] = field(default_factory=set)
    """The plugins that refused: only what concerns one of them can help."""

    @property
    def message(self) -> str:
        if not self.node_count:
            return NO_NODES
        text = f"0/{self.node_count} nodes are available:"
        if self.pre_filter_message:
            text += f" {self.pre_filter_message}."
        elif self.statuses:
            text += f" {histogram(self.statuses)}."
        if self.post_filter_message:
            text += f" {self.post_filter_message}"
        return text


def histogram(statuses: Mapping[str, Status]) -> str:
    """`2 Insufficient cpu, 1 node(s) were unschedulable`: how many nodes have each reason, sorted as text."""
    counts = Counter(reason for status in statuses.values() for reason in status.reasons)
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
