"""Expiry: the calendar of dated futures, and the mean of the index that settles them.

    weekly        next Friday 08:00 UTC            bi-weekly    the Friday after it
    quarterly     last Friday of March, June, September, December, 08:00 UTC

A ladder lists the nearest of each; where two fall on one day the longer contract is listed. Times
are Unix seconds here; a run counts from its own start, so a scenario subtracts its epoch. The
settlement price is the time-weighted mean of the index over the window before expiry: an index
known from t to t' counts for the part of [t, t'] inside the window. Sources: OKEx 2018, Deribit and
Binance contract rules (windows of 1 h and 30 min). Left out: daily contracts, holidays.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isnan, nan

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
_HOUR = 8
_FRIDAY = 4


def next_weekly(unix_seconds: float) -> int:
    """First Friday 08:00 UTC after a moment."""
    now = datetime.fromtimestamp(unix_seconds, UTC)
    friday = now.replace(hour=_HOUR, minute=0, second=0, microsecond=0)
    friday += timedelta(days=(_FRIDAY - now.weekday()) % 7)
    if friday <= now:
        friday += timedelta(days=7)
    return int(friday.timestamp())


def quarterlies(unix_seconds: float) -> Iterator[int]:
    """Last Fridays of quarters, 08:00 UTC, after a moment, without end."""
    year = datetime.fromtimestamp(unix_seconds, UTC).year
    month = 3
    while True:
        turn = datetime(year + month // 12, month % 12 + 1, 1, _HOUR, tzinfo=UTC)
        last = turn - timedelta(days=1)
        last -= timedelta(days=(last.weekday() - _FRIDAY) % 7)
        if last.timestamp() > unix_seconds:
            yield int(last.timestamp())
        month += 3
        if month > 12:
            year, month = year + 1, 3


def expiry_ladder(unix_seconds: float, quarters: int = 2) -> dict[str, int]:
    """Expiries by name: weekly, bi_weekly, quarterly, next_quarterly, ...; each day only once."""
    weekly = next_weekly(unix_seconds)
    listed = {"weekly": weekly, "bi_weekly": weekly + WEEK_SECONDS}
    far = quarterlies(unix_seconds)
    for number in range(quarters):
        expiry = next(far)
        listed = {name: at for name, at in listed.items() if at != expiry}
        listed["next_" * number + "quarterly"] = expiry
    return listed


def roll_seconds(expiry_seconds: float, days_before: float) -> float:
    """When a holder that rolls so many days before expiry closes near and opens far."""
    return expiry_seconds - days_before * DAY_SECONDS


class SettlementWindow:
    """Time-weighted mean of the index over the last seconds before expiry."""

    def __init__(self, expiry_seconds: float, window_seconds: float) -> None:
        self._begin, self._end = expiry_seconds - window_seconds, expiry_seconds
        self._sum = self._weight = 0.0
        self._since = self._index = nan

    def add(self, seconds: float, index: float) -> None:
        """From `seconds` on the index is this; NaN keeps the last one."""
        if not isnan(self._index):
            inside = min(seconds, self._end) - max(self._since, self._begin)
            if inside > 0.0:
                self._sum += inside * self._index
                self._weight += inside
        self._since = seconds
        if not isnan(index):
            self._index = index

    @property
    def mean(self) -> float:
        """The mean so far; the last index where none was known inside, NaN before any."""
        return self._sum / self._weight if self._weight > 0.0 else self._index
