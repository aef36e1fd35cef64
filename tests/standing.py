"""A clock that stands still, for tests that compare ages or times: seconds would go by between two looks."""

from __future__ import annotations

from datetime import datetime

from sampan import effects


class Standing(effects.SystemSource):
    """The system's source, with the time of day of the moment at which it was made."""

    def __init__(self) -> None:
        super().__init__()
        self._at = super().now()

    def now(self) -> datetime:
        return self._at
