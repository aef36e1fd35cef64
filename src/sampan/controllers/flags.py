"""FLAGS: what may be set of the controller manager on a command line, under kube-controller-manager's names.

One literal: each flag, the setting that it changes, and the form of its value. `configured` makes a configuration of
what was said, `shown` says what holds, for /flagz. A value that makes no sense is refused with the flag's name.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from sampan.apimachinery.duration import format_go_duration, parse_go_duration
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.nodes.node_ranges import ranges_of
from sampan.controllers.table import CONTROLLERS, selected

Form: TypeAlias = Callable[[str], Any]
"""Makes a value of a text. Raises argparse.ArgumentTypeError."""


@dataclass(frozen=True, slots=True)
class Flag:
    """`--name`, and the field of the configuration, or of a part of it, that it sets."""

    name: str
    field: str
    form: Form
    part: str = ""
    help: str = ""


def truth(text: str) -> bool:
    """As Go reads it."""
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def seconds(text: str) -> float:
    """A duration of Go, as 40s or 1m30s, which is not negative."""
    try:
        found = parse_go_duration(text).total_seconds()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than nothing")
    return found


def period(text: str) -> float:
    """A duration that is longer than nothing."""
    if not (found := seconds(text)):
        raise argparse.ArgumentTypeError(f"{text!r} must be greater than zero")
    return found


def whole_seconds(text: str) -> int:
    if (found := period(text)) != int(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of whole seconds")
    return int(found)


def number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or found < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return found


def whole(text: str) -> int:
    """Negative ones too: a threshold of finished pods that is not positive keeps them all."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def workers(text: str) -> int:
    if (found := whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be at least 1")
    return found


def content(text: str) -> bytes:
    """What is in a file."""
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


FLAGS: tuple[Flag, ...] = (
    Flag("controllers", "controllers", str, help="* all that are on by default, foo on, -foo off"),
    Flag("cluster-cidr", "cluster_cidr", str, help="where pods have their addresses"),
    Flag("service-cluster-ip-range", "service_cidr", str, help="where Services have theirs"),
    Flag("allocate-node-cidrs", "allocate_node_cidrs", truth, help="whether nodes get a part of --cluster-cidr"),
    Flag("node-cidr-mask-size", "node_cidr_mask_size", whole),
    Flag("node-cidr-mask-size-ipv4", "node_cidr_mask_size_ipv4", whole),
    Flag("node-cidr-mask-size-ipv6", "node_cidr_mask_size_ipv6", whole),
    Flag("node-monitor-period", "node_monitor_period_s", period, help="how often nodes are looked at"),
    Flag("node-monitor-grace-period", "node_monitor_grace_s", period, help="how long a node may be silent"),
    Flag("node-startup-grace-period", "node_startup_grace_s", period, help="and before its first sign of life"),
    Flag("node-eviction-rate", "node_eviction_per_s", number, help="nodes a second of a zone that are evacuated"),
    Flag("secondary-node-eviction-rate", "secondary_node_eviction_per_s", number, help="in a zone that is lost"),
    Flag("large-cluster-size-threshold", "large_cluster_size", whole),
    Flag("unhealthy-zone-threshold", "unhealthy_zone_threshold", number, help="from which part on a zone is lost"),
    Flag("terminated-pod-gc-threshold", "terminated_pod_threshold", whole, help="how many finished pods are kept"),
    Flag("disable-force-detach-on-timeout", "disable_force_detach_on_timeout", truth),
    Flag("root-ca-file", "root_ca", content, help="published to every namespace"),
    Flag("service-account-private-key-file", "service_account_key", Path, help="signs tokens that Secrets hold"),
    Flag("cluster-signing-cert-file", "signing_cert", Path, help="the CA that signs certificate requests"),
    Flag("cluster-signing-key-file", "signing_key", Path),
    Flag("cluster-signing-duration", "signing_duration_s", period, help="how long a certificate holds at most"),
    Flag("horizontal-pod-autoscaler-sync-period", "sync_period_s", period, "autoscaling"),
    Flag("horizontal-pod-autoscaler-downscale-stabilization", "downscale_stabilization_s", seconds, "autoscaling"),
    Flag("horizontal-pod-autoscaler-tolerance", "tolerance", number, "autoscaling"),
    Flag("horizontal-pod-autoscaler-cpu-initialization-period", "cpu_initialization_s", seconds, "autoscaling"),
    Flag("horizontal-pod-autoscaler-initial-readiness-delay", "initial_readiness_delay_s", seconds, "autoscaling"),
    Flag("concurrent-cron-job-syncs", "cronjob-controller", workers, "workers"),
    Flag("concurrent-daemonset-syncs", "daemonset-controller", workers, "workers"),
    Flag("concurrent-deployment-syncs", "deployment-controller", workers, "workers"),
    Flag("concurrent-device-taint-eviction-syncs", "device-taint-eviction-controller", workers, "workers"),
    Flag("concurrent-endpoint-syncs", "endpoints-controller", workers, "workers"),
    Flag("concurrent-ephemeralvolume-syncs", "ephemeral-volume-controller", workers, "workers"),
    Flag("concurrent-gc-syncs", "garbage-collector-controller", workers, "workers"),
    Flag("concurrent-horizontal-pod-autoscaler-syncs", "horizontal-pod-autoscaler-controller", workers, "workers"),
    Flag("concurrent-job-syncs", "job-controller", workers, "workers"),
    Flag("concurrent-namespace-syncs", "namespace-controller", workers, "workers"),
    Flag("concurrent-rc-syncs", "replicationcontroller-controller", workers, "workers"),
    Flag("concurrent-replicaset-syncs", "replicaset-controller", workers, "workers"),
    Flag("concurrent-resource-quota-syncs", "resourcequota-controller", workers, "workers"),
    Flag("concurrent-service-endpoint-syncs", "endpointslice-controller", workers, "workers"),
    Flag("concurrent-serviceaccount-token-syncs", "serviceaccount-token-controller", workers, "workers"),
    Flag("concurrent-statefulset-syncs", "statefulset-controller", workers, "workers"),
    Flag("concurrent-resource-claim-syncs", "resourceclaim-controller", workers, "workers"),
    Flag("concurrent-ttl-after-finished-syncs", "ttl-after-finished-controller", workers, "workers"),
    Flag("concurrent-validating-admission-policy-status-syncs", "validatingadmissionpolicy-status-controller", workers,
         "workers"),
    Flag("mirroring-concurrent-service-endpoint-syncs", "endpointslice-mirroring-controller", workers, "workers"),
    Flag("leader-elect", "leader_elect", truth, help="whether of several one works"),
    Flag("leader-elect-lease-duration", "lease_s", whole_seconds, "lease"),
    Flag("leader-elect-renew-deadline", "renew_deadline_s", period, "lease"),
    Flag("leader-elect-retry-period", "retry_s", period, "lease"),
    Flag("leader-elect-resource-name", "leader_name", str),
    Flag("leader-elect-resource-namespace", "leader_namespace", str),
)
"""Every other flag of upstream's concerns what sampan does not have."""

_WORKERS: Mapping[str, int] = {loop.name: loop.workers for loop in CONTROLLERS}


def add_to(
    parser: argparse.ArgumentParser, leave_out: Sequence[str] = (), defaults: ControllerManagerConfig | None = None
) -> None:
    """Every flag, but for those named; with `defaults`, what holds without it stands in its help."""
    held = shown(defaults) if defaults is not None else {}
    for flag in FLAGS:
        if flag.name not in leave_out:
            switch: dict[str, Any] = {"nargs": "?", "const": True, "metavar": "true|false"} if flag.form is truth else {
                "metavar": _METAVARS.get(flag.form, "TEXT")
            }
            default = f"(default {held[flag.name]})" if held.get(flag.name) else ""
            text = f"{flag.help} {default}".strip().replace("%", "%%")
            parser.add_argument(f"--{flag.name}", type=flag.form, help=text, **switch)


def configured(given: argparse.Namespace, base: ControllerManagerConfig) -> ControllerManagerConfig:
    """`base` with what was said. Raises ValueError for what does not fit together."""
    changes: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for flag in FLAGS:
        value = getattr(given, flag.name.replace("-", "_"), None)
        if value is not None:
            (parts.setdefault(flag.part, {}) if flag.part else changes)[flag.field] = value
    if counts := parts.pop("workers", None):
        changes["workers"] = {**base.workers, **counts}
    for part, values in parts.items():
        changes[part] = dataclasses.replace(getattr(base, part), **values)
    config = dataclasses.replace(base, **changes)
    _check(config)
    return config


def parsed(
    words: Sequence[str], base: ControllerManagerConfig, leave_out: Sequence[str] = ()
) -> ControllerManagerConfig:
    """`base` with flags as they stand on a command line. Raises ValueError, with words for who typed them."""
    parser = _Parser(prog="", add_help=False, allow_abbrev=False)
    add_to(parser, leave_out)
    return configured(parser.parse_args(normalised(words)), base)


def normalised(words: Sequence[str]) -> list[str]:
    """Names of flags with dashes, where they may have underscores: `--concurrent_rc_syncs=3`."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        found.append((name.replace("_", "-") if name.startswith("--") else name) + equals + value)
    return found


def shown(config: ControllerManagerConfig) -> dict[str, str]:
    """Every flag with what holds. What a file holds is not shown, only whether there is any."""
    return {flag.name: _text(flag, value_of(flag, config)) for flag in FLAGS}


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


_METAVARS: Mapping[Form, str] = {
    seconds: "5m", period: "5s", whole_seconds: "15s", number: "NUMBER", whole: "NUMBER", workers: "NUMBER",
    content: "FILE", Path: "FILE",
}


def _check(config: ControllerManagerConfig) -> None:
    selected(config)
    if config.allocate_node_cidrs:
        ranges_of(config)
    if (config.signing_cert is None) != (config.signing_key is None):
        raise ValueError("--cluster-signing-cert-file and --cluster-signing-key-file go together")
    if config.node_monitor_grace_s <= config.node_monitor_period_s:
        raise ValueError("--node-monitor-grace-period must be greater than --node-monitor-period")
    lease = config.lease
    if lease.lease_s <= lease.renew_deadline_s:
        raise ValueError("--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline")
    if lease.renew_deadline_s <= 1.2 * lease.retry_s:
        raise ValueError("--leader-elect-renew-deadline must be greater than 1.2 times --leader-elect-retry-period")


def is_duration(flag: Flag) -> bool:
    return flag.form in (seconds, period, whole_seconds)


def value_of(flag: Flag, config: ControllerManagerConfig) -> Any:
    """What a configuration holds for it."""
    if flag.part == "workers":
        return config.workers.get(flag.field, _WORKERS[flag.field])
    return getattr(getattr(config, flag.part) if flag.part else config, flag.field)


def _text(flag: Flag, value: Any) -> str:
    if flag.form is content:
        return "given" if value else ""
    if is_duration(flag):
        return format_go_duration(timedelta(seconds=value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
