"""Which release this is: `/version`'s document, and the figure `kubernetes_build_info` that every component shows."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import sampan
from sampan.apimachinery.object import Object

if TYPE_CHECKING:  # loaded by the first scrape
    from prometheus_client.core import Metric

_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_LABELS: Final = {
    "build_date": "buildDate", "compiler": "compiler", "git_commit": "gitCommit", "git_tree_state": "gitTreeState",
    "git_version": "gitVersion", "go_version": "goVersion", "major": "major", "minor": "minor", "platform": "platform",
}


def info() -> Object:
    """As `k8s.io/apimachinery/pkg/version.Info`."""
    major, minor, *_ = sampan.KUBERNETES_VERSION.lstrip("v").split(".")
    machine = _MACHINES.get(platform.machine(), platform.machine())
    return {
        "major": major, "minor": minor, "gitVersion": f"v{sampan.KUBERNETES_VERSION.lstrip('v')}+sampan",
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{sys.version_info[0]}.{sys.version_info[1]}", "compiler": "cpython",
        "platform": f"linux/{machine}",
    }


class BuildInfo:
    """A Prometheus collector of one figure, always 1, whose labels say what runs."""

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(
            "kubernetes_build_info", "A metric with a constant '1' value labeled by major, minor, git version, git "
            "commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and "
            "platform on which it is running.", labels=tuple(_LABELS),
        )
        found = info()
        family.add_metric([str(found[key]) for key in _LABELS.values()], 1.0)
        yield family
