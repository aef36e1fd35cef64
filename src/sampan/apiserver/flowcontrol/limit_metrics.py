"""The seats of each priority level, for `/metrics`, under upstream's names.

    apiserver_flowcontrol_nominal_limit_seats    what its shares come to
    apiserver_flowcontrol_lower_limit_seats      what is left when it has lent all that it may lend
    apiserver_flowcontrol_upper_limit_seats      what it has when it has borrowed all that it may borrow

They follow from the configuration alone, so they are there as soon as the level is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sampan.apiserver.flowcontrol.fairness import SEATS, Fairness
from sampan.apiserver.seams import Reader

if TYPE_CHECKING:  # loaded by the first scrape, not while the server starts
    from prometheus_client.core import Metric

_PREFIX: Final = "apiserver_flowcontrol_"


class LimitMetrics:
    """A Prometheus collector."""

    def __init__(self, reader: Reader) -> None:
        self._fairness = Fairness(reader)

    def collect(self) -> Iterator[Metric]:
        """As Prometheus' registry asks."""
        from prometheus_client.core import GaugeMetricFamily

        words = {
            "nominal": "Seats that the level's shares come to.",
            "lower": "Seats that are left when all are lent that may be.",
            "upper": "Seats when all are borrowed that may be.",
        }
        families = {
            name: GaugeMetricFamily(f"{_PREFIX}{name}_limit_seats", text, labels=("priority_level",))
            for name, text in words.items()
        }
        for name, level in sorted(self._fairness.configured().items()):
            borrowed = SEATS if level.borrowing_limit is None else level.borrowing_limit
            families["nominal"].add_metric((name,), level.seats)
            families["lower"].add_metric((name,), level.seats - level.lendable)
            families["upper"].add_metric((name,), min(SEATS, level.seats + borrowed))
        yield from families.values()
