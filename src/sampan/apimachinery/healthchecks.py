"""What health checks said, for `/metrics/slis`: from it the availability of a component is counted.

Each look at `/healthz`, `/livez` or `/readyz` is noted check by check: the last result, and how
many there were of each.
"""

from __future__ import annotations

from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthFigures:
    """The results so far, by check and endpoint. Memory is bounded by the number of checks."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], bool] = {}
        self._counts: dict[tuple[str, str, str], int] = {}

    def note(self, name: str, endpoint: str, *, well: bool) -> None:
        """The check `name` was asked for by way of `endpoint` (healthz, livez, readyz)."""
        self._last[name, endpoint] = well
        counted = (name, "success" if well else "error", endpoint)
        self._counts[counted] = self._counts.get(counted, 0) + 1

    def exposition(self) -> bytes:
        """In Prometheus' text form."""
        lines = [
            "# HELP kubernetes_healthcheck This metric records the result of a single healthcheck.",
            "# TYPE kubernetes_healthcheck gauge",
            *(f'kubernetes_healthcheck{{name="{name}",type="{endpoint}"}} {int(well)}'
              for (name, endpoint), well in sorted(self._last.items())),
            "# HELP kubernetes_healthchecks_total This metric records the results of all healthcheck.",
            "# TYPE kubernetes_healthchecks_total counter",
            *(f'kubernetes_healthchecks_total{{name="{name}",status="{status}",type="{endpoint}"}} {count}'
              for (name, status, endpoint), count in sorted(self._counts.items())),
        ]
        return ("\n".join(lines) + "\n").encode()
