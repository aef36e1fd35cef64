"""Durations as kubectl writes them."""

from __future__ import annotations

import pytest

from sampan.cli import duration


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2m", 120), ("1h30m", 5400), ("0", 0), ("500ms", 0.5)])
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert duration.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "1x", "1m 30s", "soon"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        duration.seconds(text)
