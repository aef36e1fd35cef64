"""KubeSchedulerConfiguration: a document or file read as a whole; every error in it is reported at once.

`percentageOfNodesToScore` and `parallelism` are read, validated and then not needed: every node is scored, all at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, Final

import yaml

from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, required
from sampan.scheduler.config import Profile, SchedulerConfig
from sampan.scheduler.configuration.component import (
    ClientConnection,
    LeaderElection,
    read_client_connection,
    read_leader_election,
)
from sampan.scheduler.configuration.extender import ExtenderConfig, read_extenders
from sampan.scheduler.configuration.fields import ConfigurationError, Fields
from sampan.scheduler.configuration.plugin_arguments import READERS, Arguments, defaults, read_arguments
from sampan.scheduler.configuration.plugin_sets import Plugins, choices, read_plugins, sorting
from sampan.scheduler.plugins.table import SCHEDULER_PLUGINS

API_VERSION: Final = "kubescheduler.config.k8s.io/v1"
KIND: Final = "KubeSchedulerConfiguration"
DEFAULT_SCHEDULER: Final = "default-scheduler"
WEIGHTS: Final[Mapping[str, int]] = {entry.name: entry.weight for entry in SCHEDULER_PLUGINS}


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration with all defaults."""

    profiles: tuple[Profile, ...] = (Profile(),)
    extenders: tuple[ExtenderConfig, ...] = ()
    leader_election: LeaderElection = field(default_factory=LeaderElection)
    client_connection: ClientConnection = field(default_factory=ClientConnection)
    pod_initial_backoff_s: float = 1.0
    pod_max_backoff_s: float = 10.0


def load(file: str | os.PathLike[str]) -> Configuration:
    """Read a file of YAML or JSON. Raises ConfigurationError and OSError."""
    try:
        document = yaml.safe_load(FilePath(file).read_bytes())
    except yaml.YAMLError as error:
        raise ConfigurationError([invalid(Path(), "", f"not YAML: {error}")]) from error
    return from_document(document)


def from_document(document: Any) -> Configuration:
    """Raises ConfigurationError."""
    document = document if isinstance(document, dict) else {}
    found = (document.get("apiVersion"), document.get("kind"))
    if found != (API_VERSION, KIND):
        raise ConfigurationError([invalid(Path("kind"), list(found), f"expected {KIND} of {API_VERSION}")])
    errors: list[FieldError] = []
    unknown: list[str] = []
    configuration = _read(Fields(document, Path(), errors, unknown))
    if errors or unknown:
        raise ConfigurationError(errors, unknown)
    return configuration


def _read(fields: Fields) -> Configuration:
    for name in ("kind", "apiVersion"):
        fields.text(name)
    for name in ("enableProfiling", "enableContentionProfiling", "delayCacheUntilActive"):
        fields.boolean(name)
    connection = read_client_connection(fields.object("clientConnection"))
    election = read_leader_election(fields.object("leaderElection"))
    _check_parallelism(fields)
    profiles = _read_profiles(fields)
    _check_percentage(fields)
    initial_s, max_s = fields.integer("podInitialBackoffSeconds", 1), fields.integer("podMaxBackoffSeconds", 10)
    if initial_s <= 0:
        fields.errors.append(invalid(Path("podInitialBackoffSeconds"), initial_s, "must be greater than 0"))
    if max_s < initial_s:
        detail = "must be greater than or equal to PodInitialBackoffSeconds"
        fields.errors.append(invalid(Path("podMaxBackoffSeconds"), max_s, detail))
    extenders = read_extenders(fields.objects("extenders"), Path("extenders"))
    fields.done()
    return Configuration(profiles, extenders, election, connection, float(initial_s), float(max_s))


def _check_parallelism(fields: Fields) -> None:
    parallelism = fields.integer("parallelism", 16)
    if parallelism <= 0:
        detail = "should be an integer value greater than zero"
        fields.errors.append(invalid(fields.path.child("parallelism"), parallelism, detail))


def _check_percentage(fields: Fields) -> None:
    percentage = fields.integer("percentageOfNodesToScore")
    if not 0 <= percentage <= 100:
        path = fields.path.child("percentageOfNodesToScore")
        fields.errors.append(invalid(path, percentage, "not in valid range [0-100]"))


def _read_profiles(fields: Fields) -> tuple[Profile, ...]:
    """One without a name is the default scheduler, if it is the only one."""
    items = fields.objects("profiles")
    if not items:
        return (Profile(arguments=_with_defaults({})),)
    found: list[Profile] = []
    orders: list[tuple[str, ...]] = []
    for item in items:
        profile, order = _read_profile(item, DEFAULT_SCHEDULER if len(items) == 1 else "")
        names = [one.scheduler_name for one in found]
        if profile.scheduler_name in names:
            same = fields.path.child("profiles").index(names.index(profile.scheduler_name)).child("schedulerName")
            fields.errors.append(duplicate(item.path.child("schedulerName"), str(same)))
        found.append(profile)
        orders.append(order)
    fields.errors += _check_orders(fields.path.child("profiles"), orders)
    return tuple(found)


def _check_orders(path: Path, orders: Sequence[tuple[str, ...]]) -> list[FieldError]:
    """There is one queue."""
    return [
        invalid(path.index(position).child("plugins", "queueSort"), list(order), "has to match for all profiles")
        for position, order in enumerate(orders) if order != orders[0]
    ]


def _read_profile(fields: Fields, default_name: str) -> tuple[Profile, tuple[str, ...]]:
    name = fields.text("schedulerName") or default_name
    if not name:
        fields.errors.append(required(fields.path.child("schedulerName"), ""))
    _check_percentage(fields)
    plugins: Plugins = read_plugins(fields.object("plugins"))
    arguments = _read_plugin_config(fields)
    fields.done()
    chosen = choices(plugins, dict(WEIGHTS)) if plugins else None
    return Profile(name, chosen, arguments), sorting(plugins, list(WEIGHTS))


def _read_plugin_config(fields: Fields) -> Mapping[str, Arguments]:
    found: dict[str, Arguments] = {}
    for item in fields.objects("pluginConfig"):
        name = item.text("name")
        if not name:
            item.errors.append(required(item.path.child("name"), ""))
        elif name in found:
            item.errors.append(duplicate(item.path, name))
        found[name] = read_arguments(name, item.object("args"))
        item.done()
    return _with_defaults(found)


def _with_defaults(arguments: Mapping[str, Arguments]) -> Mapping[str, Arguments]:
    return {**{name: defaults(name) for name in READERS if name not in arguments}, **arguments}


def scheduler_config(configuration: Configuration) -> SchedulerConfig:
    """What the scheduler itself needs of it. What extenders manage alone, NodeResourcesFit leaves alone."""
    managed = [resource for extender in configuration.extenders for resource in extender.managed_resources]
    ignored = [resource.name for resource in managed if resource.ignored_by_scheduler]
    profiles = tuple(_ignoring(profile, ignored) if ignored else profile for profile in configuration.profiles)
    return SchedulerConfig(
        profiles, configuration.pod_initial_backoff_s, configuration.pod_max_backoff_s,
        extenders=configuration.extenders,
    )


def _ignoring(profile: Profile, resources: list[str]) -> Profile:
    fit = profile.arguments.get("NodeResourcesFit", {})
    fit = {**fit, "ignoredResources": [*(fit.get("ignoredResources") or ()), *resources]}
    return replace(profile, arguments={**profile.arguments, "NodeResourcesFit": fit})
