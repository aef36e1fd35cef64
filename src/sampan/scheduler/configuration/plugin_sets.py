"""Which plugins a profile has, and where: `plugins` of a profile merged with the defaults, multiPoint expanded.

A plugin enabled under multiPoint takes part in every extension point that it implements. At one point, `disabled` takes
plugins away (`*` all of them) and `enabled` adds some or gives them another weight. The order at a point is upstream's:
plugins that are listed both there and under multiPoint, in the order of the point's list; those of multiPoint alone;
those of the point alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sampan.apimachinery.field import duplicate, invalid, required
from sampan.scheduler.config import PluginChoice
from sampan.scheduler.configuration.fields import Fields

POINTS: Final = (
    "preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore", "score", "reserve", "permit", "preBind",
    "bind", "postBind",
)
MULTI_POINT: Final = "multiPoint"
ALL: Final = "*"

Weights = dict[str, int]
"""Plugin names in order, each with its weight; 0 where none is given."""


@dataclass(frozen=True, slots=True)
class PluginSet:
    """`enabled` and `disabled` of one extension point or of multiPoint."""

    enabled: Weights = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()

    def over(self, defaults: Weights) -> PluginSet:
        """With the defaults that are not disabled first; one that is enabled anew keeps its place."""
        kept = {} if ALL in self.disabled else {
            name: self.enabled.get(name, weight) for name, weight in defaults.items() if name not in self.disabled
        }
        return PluginSet({**kept, **self.enabled}, self.disabled)


Plugins = Mapping[str, PluginSet]
"""By extension point; the one named `multiPoint` speaks of all."""


def read_plugins(fields: Fields) -> Plugins:
    found = {point: _read_set(fields.object(point)) for point in (MULTI_POINT, *POINTS) if point in fields}
    fields.done()
    return found


def _read_set(fields: Fields) -> PluginSet:
    enabled: Weights = {}
    for plugin in fields.objects("enabled"):
        name, weight = plugin.text("name"), plugin.integer("weight")
        plugin.done()
        if not name:
            plugin.errors.append(required(plugin.path.child("name"), ""))
        elif name in enabled:
            plugin.errors.append(duplicate(plugin.path.child("name"), name))
        elif weight < 0:
            plugin.errors.append(invalid(plugin.path.child("weight"), weight, "must not be negative"))
        enabled[name] = weight
    disabled = []
    for plugin in fields.objects("disabled"):
        disabled.append(plugin.text("name"))
        plugin.integer("weight")
        plugin.done()
    fields.done()
    return PluginSet(enabled, frozenset(disabled))


def choices(plugins: Plugins, defaults: Weights) -> tuple[PluginChoice, ...]:
    """What the profile's framework is made of, in order. `defaults` are the built-in plugins."""
    everywhere = plugins.get(MULTI_POINT, PluginSet()).over(defaults)
    if not any(point in plugins for point in POINTS):
        return tuple(PluginChoice(name, weight or 1) for name, weight in everywhere.enabled.items())
    return tuple(
        PluginChoice(name, weight or 1, frozenset((point,)), name in plugins.get(point, PluginSet()).enabled)
        for point in POINTS
        for name, weight in _at(plugins.get(point, PluginSet()), everywhere.enabled).items()
    )


def _at(here: PluginSet, everywhere: Weights) -> Weights:
    """The plugins of one point."""
    if ALL in here.disabled:
        return here.enabled
    both = {name: weight or everywhere[name] for name, weight in here.enabled.items() if name in everywhere}
    inherited = {
        name: weight for name, weight in everywhere.items() if name not in here.enabled and name not in here.disabled
    }
    alone = {name: weight for name, weight in here.enabled.items() if name not in everywhere}
    return {**both, **inherited, **alone}


def sorting(plugins: Plugins, defaults: Sequence[str]) -> tuple[str, ...]:
    """What is said of the queue's order: it must be the same in all profiles."""
    here = plugins.get("queueSort", PluginSet())
    return tuple(here.over(dict.fromkeys(defaults, 0)).enabled)
