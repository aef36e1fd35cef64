"""What a scheduler can be told: which pods are its own, how long to back off, which plugins with which arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """`plugin_arguments` are by plugin name, as in KubeSchedulerConfiguration; `disabled` plugins are left out."""

    scheduler_name: str = "default-scheduler"
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 10.0
    parallel_bindings: int = 32
    plugin_arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
