"""BTC/USD of 12-13 March 2020, the built-in path of the scenarios of those days.

Anchors at the turning points (Bitstamp hourly prints, UTC): before and after each wave, the low,
the end. Scenarios join them by a Brownian bridge (`experiments.paths.Replay`).
"""

import numpy as np

from experiments.paths import History

_ANCHORS = (
    (0.0, 7934.57),
    (10.0, 7342.49),
    (10.75, 5965.24),
    (11.0, 6334.44),
    (15.0, 6124.91),
    (20.0, 5715.09),
    (23.0, 5801.77),
    (24.0, 4841.67),
    (26.25, 3850.00),
    (27.0, 5049.75),
    (34.0, 5842.71),
    (48.0, 5622.74),
)
"""Hours since 12 March 2020 00:00 UTC, and the price."""
FIRST_PRICE = _ANCHORS[0][1]


def crash_prices() -> History:
    """The two days."""
    hours, prices = zip(*_ANCHORS, strict=True)
    return History(np.array(hours) * 3600.0, np.array(prices))
