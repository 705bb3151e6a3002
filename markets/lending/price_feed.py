"""A price feed: the outside price as an oracle publishes it, now and then.

The published price follows the outside one where the two are apart by more than the deviation, or
where the last publication is older than the heartbeat; with deviation 0 in every step. An asset
that has no outside price counts as 1 quote. Prices are quote per unit. Source: Chainlink data feeds
(deviation threshold and heartbeat). Left out: the delay between nodes' reports and the chain.
"""

import math
from collections.abc import Sequence

import numpy as np

from markets.assets import Asset
from markets.venue import Moment


class PriceFeed:
    """Prices of some assets; `prices` in quote a unit, NaN before the first is known."""

    def __init__(self, assets: Sequence[Asset], deviation: float, heartbeat_seconds: float) -> None:
        self._names = [asset.name for asset in assets]
        self._deviation, self._heartbeat = deviation, heartbeat_seconds
        self.prices = np.full(len(assets), math.nan)
        self._published = np.full(len(assets), -math.inf)

    def update(self, moment: Moment) -> None:
        """Publish what is due."""
        for at, name in enumerate(self._names):
            price = moment.reference.get(name, 1.0)
            if not (math.isfinite(price) and price > 0):
                continue
            known, age = self.prices[at], moment.seconds - self._published[at]
            if abs(price - known) <= self._deviation * known and age < self._heartbeat:
                continue
            self.prices[at], self._published[at] = price, moment.seconds
