"""A delayed price: what an oracle reads now comes into force at its next reading, not before.

    every `interval_seconds`:    price in force <- queued price,    queued price <- outside price

so that the price in force is between one and two intervals old, and everybody can see the next one.
The first reading is in force at once. Readings that are no number are passed over. Prices are quote
per base. Source: Maker's Oracle Security Module (osm.sol, 2019: one hour). Left out: the median
over the feeds that are read, readings that come late because the chain is full.
"""

import math


class DelayedPrice:
    """The price in force and the one that follows it, NaN before the first reading."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._due = -math.inf
        self.price, self.queued = math.nan, math.nan

    def update(self, outside: float, seconds: float) -> None:
        """Read where a reading is due; readings stand on multiples of the interval."""
        if seconds < self._due or not (math.isfinite(outside) and outside > 0):
            return
        self.price = outside if math.isnan(self.queued) else self.queued
        self.queued = outside
        self._due = (math.floor(seconds / self._interval + 1e-9) + 1) * self._interval
