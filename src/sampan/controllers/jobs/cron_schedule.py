"""Cron schedules with time zones: when a CronJob is next due, and which of its times have passed.

Five fields as in crontab, the macros `@hourly`, `@daily`, … and `@every <duration>`, which counts from the last time
that was served. Times are computed in the CronJob's `timeZone`, so `30 2 * * *` is half past two where that zone is,
summer and winter; a zone that the schedule itself begins with (`TZ=UTC 0 * * * *`, as old ones do) goes before it. As
with robfig/cron, which upstream uses, a time that a change to summer time leaps over is left out, and one that a change
back repeats comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from sampan.apimachinery.duration import parse_go_duration

MANY_MISSED = 100
_REMEMBERED: Final = 1024
"""As many schedules are parsed once: a CronJob is looked at many times for each of its times."""
_AROUND_A_CHANGE = timedelta(hours=3)
_ZONES = ("TZ=", "CRON_TZ=")
_MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}


class UnknownTimeZone(ValueError):
    """The zone's name is not in the tz database."""


class BadSchedule(ValueError):
    """The schedule cannot be parsed."""


class NeverDue(BadSchedule):
    """The schedule can be read, but no such day comes (`0 0 31 2 *`)."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The latest of the times that have passed, and how many passed in all (counted up to `MANY_MISSED` + 1)."""

    latest: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed schedule in a zone."""

    text: str
    zone: ZoneInfo
    every: timedelta | None = None

    @classmethod
    @lru_cache(_REMEMBERED)
    def parse(cls, text: str, zone: str | None = None) -> Schedule:
        """Raises UnknownTimeZone, BadSchedule, NeverDue."""
        found = zone_of(zone or "UTC")
        if text.startswith(_ZONES):
            own, _, text = text.partition("=")[2].partition(" ")
            try:
                found = zone_of(own)
            except UnknownTimeZone as problem:
                raise BadSchedule(f"provided bad location {own}: {problem}") from problem
            text = text.strip()
        if text.startswith("@every "):
            return cls(text, found, _duration(text.removeprefix("@every ")))
        fields = _MACROS.get(text, text).replace("?", "*")
        try:
            _parsed(fields)
        except CronSimError as problem:
            if _is_read(_in_any_month(fields)):
                raise NeverDue("time difference between two schedules is less than 1 second") from problem
            raise BadSchedule(str(problem)) from problem
        return cls(fields, found)

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`, in UTC; None if there is none in the next fifty years."""
        return next(self._times(moment), None)

    def following(self, since: datetime, now: datetime) -> datetime | None:
        """The first time later than `now` of those that come after `since`."""
        if self.every is not None and now >= since:
            return _whole(since + (int((now - since) / self.every) + 1) * self.every)
        return self.after(max(since, now))

    def missed(self, since: datetime, now: datetime) -> Missed | None:
        """What has come due after `since` and by `now`."""
        if self.every is not None:
            count = int((now - since) / self.every)
            return Missed(_whole(since + count * self.every), count) if count > 0 else None
        passed: list[datetime] = []
        for moment in self._times(since):
            if moment > now:
                break
            passed.append(moment)
            if len(passed) > MANY_MISSED:
                return Missed(self._latest(now), len(passed))
        return Missed(passed[-1], len(passed)) if passed else None

    def _latest(self, now: datetime) -> datetime:
        """The last time not after `now`; there is one. Looks back in growing steps."""
        span = timedelta(hours=1)
        while True:
            found: datetime | None = None
            for moment in self._times(now - span):
                if moment > now:
                    break
                found = moment
            if found is not None:
                return found
            span *= 4

    def _times(self, moment: datetime) -> Iterator[datetime]:
        if self.every is not None:
            while True:
                moment = _whole(moment + self.every)
                yield moment
        try:
            for found in self._local_times(moment):
                if found > moment:
                    yield found
        except CronSimError:
            return

    def _local_times(self, moment: datetime) -> Iterator[datetime]:
        """The schedule by the clock on the wall, each of its times as often as that shows it: never, once or twice."""
        start, earlier, later = (
            (moment + span).astimezone(self.zone) for span in (timedelta(), -_AROUND_A_CHANGE, _AROUND_A_CHANGE)
        )
        if earlier.utcoffset() != later.utcoffset():
            start = earlier
        again: list[datetime] = []
        walls = copy(_parsed(self.text))
        walls.dt = start.replace(tzinfo=None, microsecond=0)
        for wall in walls:
            first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            if first > second:
                continue  # the clock leaps over it
            if first == second:
                yield from again
                again = []
            else:
                again.append(second)
            yield first


def _in_any_month(fields: str) -> str:
    parts = fields.split()
    return " ".join([*parts[:3], "*", *parts[4:]])


def _is_read(fields: str) -> bool:
    try:
        _parsed(fields)
    except CronSimError:
        return False
    return True


def zone_of(name: str) -> ZoneInfo:
    """Raises UnknownTimeZone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise UnknownTimeZone(f"unknown time zone {name}") from problem


@lru_cache(_REMEMBERED)
def _parsed(fields: str) -> CronSim:
    """To be copied, and begun anywhere. Raises CronSimError."""
    return CronSim(fields, datetime(2000, 1, 1))


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _duration(text: str) -> timedelta:
    """As `1h30m`, at least a second and in whole ones."""
    try:
        found = parse_go_duration(text)
    except ValueError as problem:
        raise BadSchedule(f"failed to parse duration @every {text}: {problem}") from problem
    return timedelta(seconds=max(int(found.total_seconds()), 1))
