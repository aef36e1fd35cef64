"""Times and durations: RFC 3339, ages in tables, Go's notation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.duration import (
    age,
    format_go_duration,
    format_micro_time,
    format_time,
    human_duration,
    parse_go_duration,
    parse_time,
)

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(("seconds", "text"), [
    (-5, "<invalid>"), (-1.5, "0s"), (0, "0s"), (1.9, "1s"), (119, "119s"), (120, "2m"), (130, "2m10s"),
    (10 * MINUTE, "10m"), (10 * MINUTE + 5, "10m"), (179 * MINUTE, "179m"), (3 * HOUR, "3h"),
    (7 * HOUR + 59 * MINUTE, "7h59m"), (8 * HOUR, "8h"), (47 * HOUR, "47h"), (48 * HOUR, "2d"),
    (5 * DAY + 3 * HOUR, "5d3h"), (8 * DAY, "8d"), (729 * DAY, "729d"), (2 * YEAR, "2y"),
    (3 * YEAR + 45 * DAY, "3y45d"), (8 * YEAR, "8y"), (100 * YEAR, "100y"),
])
def test_an_age_has_two_units_at_most(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_the_age_of_an_object() -> None:
    now = datetime(2026, 1, 1, 0, 2, 10, tzinfo=UTC)
    assert age("2026-01-01T00:00:00Z", now) == "2m10s"
    assert age(None, now) == age("", now) == age("yesterday", now) == "<unknown>"


@pytest.mark.parametrize(("text", "expected"), [
    ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("2026-01-02T03:04:05.123456Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
    ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
    ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
    ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
])
def test_times_are_read(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["", "2026-01-02", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z", "now"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_times_read_back(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    if moment.year >= 1000:
        assert parse_time(format_micro_time(moment)) == moment
        assert parse_time(format_time(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize(("text", "seconds", "printed"), [
    ("0", 0, "0s"), ("1h2m3.5s", 3723.5, "1h2m3.5s"), ("90s", 90, "1m30s"), ("150ms", 0.15, "150ms"),
    ("-1.5h", -5400, "-1h30m0s"), ("1h", 3600, "1h0m0s"), (".5s", 0.5, "500ms"), ("5us", 5e-6, "5µs"),
])
def test_go_durations(text: str, seconds: float, printed: str) -> None:
    assert parse_go_duration(text) == timedelta(seconds=seconds)
    assert format_go_duration(parse_go_duration(text)) == printed


@pytest.mark.parametrize(("text", "message"), [
    ("", 'time: invalid duration ""'), ("1", 'time: missing unit in duration "1"'),
    ("1d", 'time: unknown unit "d" in duration "1d"'), ("x", 'time: invalid duration "x"'),
    ("1h5", 'time: missing unit in duration "1h5"'), ("-", 'time: invalid duration "-"'),
])
def test_what_is_no_duration_is_explained_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_go_duration(text)
    assert str(caught.value) == message
