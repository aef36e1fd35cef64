"""What a scheduler can be told: its profiles, each with a name, plugins and their arguments, and how to back off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sampan.scheduler.configuration.extender import ExtenderConfig


@dataclass(frozen=True, slots=True)
class PluginChoice:
    """A plugin that a profile enables, at some extension points (None: at all that it has).

    Points are named as in KubeSchedulerConfiguration: preEnqueue, queueSort, preFilter, filter, postFilter, preScore,
    score, reserve, permit, preBind, bind, postBind. A weight of 0 is the plugin's default.
    """

    name: str
    weight: int = 0
    points: frozenset[str] | None = None
    is_named_there: bool = False
    """The profile names the plugin at these points, so it must have them."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Schedules the pods whose spec.schedulerName is `scheduler_name`.

    `plugins` run in their order, the same plugin may be listed once for each set of points; None is the built-in table.
    `arguments` are by plugin name, as in KubeSchedulerConfiguration.
    """

    scheduler_name: str = "default-scheduler"
    plugins: tuple[PluginChoice, ...] | None = None
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Profiles work side by side on one queue; all must sort it alike."""

    profiles: tuple[Profile, ...] = (Profile(),)
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 10.0
    pops_from_backoff: bool = True
    """The feature gate SchedulerPopFromBackoffQ: when nothing is active, do not wait for the back-off to end."""
    extenders: tuple[ExtenderConfig, ...] = ()
    parallel_bindings: int = 16
    reporting_instance: str = ""
    """Which of several schedulers of a name this is, in its Events; without it the name alone."""
