"""Profiles at work: a framework for each profile, over one snapshot and one queue.

Plugins come from the built-in table and from packages that offer some under the entry point group
`sampan.scheduler.plugins` (the entry point's name is the plugin's, its value a factory as in the table). A profile that
lists no plugins has those of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from sampan.scheduler.config import PluginChoice, Profile
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.framework import Enabled, Framework, has_point
from sampan.scheduler.framework.handle import Handle, PluginFactory
from sampan.scheduler.framework.interface import Plugin
from sampan.scheduler.framework.status import Status
from sampan.scheduler.plugins.table import SCHEDULER_PLUGINS
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot

ENTRY_POINTS = "sampan.scheduler.plugins"


class UnknownPlugin(ValueError):
    """A profile names a plugin that nobody offers, or at a point that it does not have."""


class Profiles:
    """Frameworks by scheduler name; also what the queue asks (`queue.QueueRules`).

    `make_handle` makes a handle for each profile, whose plugins share it.
    """

    def __init__(self, profiles: tuple[Profile, ...], make_handle: Callable[[], Handle]) -> None:
        assert profiles, "a scheduler has a profile"
        self.frameworks: Mapping[str, Framework] = {
            profile.scheduler_name: make_framework(profile, make_handle()) for profile in profiles
        }
        self._first = next(iter(self.frameworks.values()))

    def of(self, pod: PodInfo) -> Framework:
        """The framework that schedules the pod."""
        return self.frameworks[pod.signature.scheduler_name]

    def sort_key(self, pod: PodInfo, queued_at: float) -> tuple[Any, ...]:
        return self._first.sort_key(pod, queued_at)

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        return self.of(pod).pre_enqueue(pod)

    def concerns(self, scheduler_name: str, plugin: str, event: ClusterEvent) -> bool:
        return self.frameworks[scheduler_name].concerns(plugin, event)

    def treats_alike(self, scheduler_name: str, plugin: str) -> bool:
        return self.frameworks[scheduler_name].treats_alike(plugin)

    def nominated_node(self, pod: PodInfo) -> str:
        return self._first.snapshot.nominated_node(pod.key)

    def hint(self, pod: PodInfo, plugin: str, event: ClusterEvent, old: Any, new: Any) -> bool:
        return self.of(pod).hint(plugin, pod, event, old, new)


def check(profiles: tuple[Profile, ...]) -> None:
    """Raise what is wrong with the profiles, which their plugins know best: they are made once, for nobody."""
    Profiles(profiles, lambda: Handle(Snapshot()))


def make_framework(profile: Profile, handle: Handle) -> Framework:
    """Make the profile's plugins, each once, and the framework that runs them."""
    weights = {entry.name: entry.weight for entry in SCHEDULER_PLUGINS}
    choices = profile.plugins
    if choices is None:
        choices = tuple(PluginChoice(entry.name) for entry in SCHEDULER_PLUGINS)
    factories = known_plugins()
    made: dict[str, Plugin] = {}
    for name in dict.fromkeys(choice.name for choice in choices):
        if name not in factories:
            raise UnknownPlugin(f'profile "{profile.scheduler_name}": there is no plugin "{name}"')
        made[name] = factories[name](handle, profile.arguments.get(name, {}))
    for choice in choices:
        for point in choice.points or () if choice.is_named_there else ():
            if not has_point(made[choice.name], point):
                kind = f"{point[0].upper()}{point[1:]}Plugin"
                raise UnknownPlugin(
                    f'profile "{profile.scheduler_name}": plugin "{choice.name}" does not extend {kind} plugin'
                )
    first = [] if handle.binder is None else [Enabled(handle.binder)]
    return Framework([*first, *(
        Enabled(made[choice.name], choice.weight or weights.get(choice.name, 1), choice.points) for choice in choices
    )], handle)


def known_plugins() -> dict[str, PluginFactory]:
    """Every factory by name; a built-in plugin cannot be replaced from outside."""
    found: dict[str, PluginFactory] = {
        entry.name: entry.load() for entry in metadata.entry_points(group=ENTRY_POINTS)
    }
    return found | {entry.name: entry.make for entry in SCHEDULER_PLUGINS}
