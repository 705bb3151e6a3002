"""The figures of a perpetual's step: what has traded and been closed, and the columns they become.

A tally begins with each step and takes fills and close-outs as they are made. Sizes are base units;
those of lots that had no price of their own are counted at the mark. Depth is what rests within 1 %
of the mid. Deleveraging is no trade: neither the tape nor the closing prices know of it.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.liquidation_work import (
    ACCOUNT,
    BY,
    BY_BACKSTOP,
    BY_FUND,
    BY_ORDERS,
    LOTS,
)
from markets.derivatives.perpetual_view import PerpetualView
from markets.derivatives.positions import Integers
from markets.outcomes import FILL, Fills, Reason
from markets.spot.book import NO_PRICE

_DEPTH = 0.01


class Tally:
    """What has happened since the step began; the last trade and the volume before outlive it."""

    def __init__(self) -> None:
        self.last_ticks, self.last_volume_lots = NO_PRICE, 0
        self.volume_lots = 0
        self._tape: deque[Fills] = deque(maxlen=64)
        self._closes: deque[int] = deque(maxlen=4096)
        self.begin()

    def begin(self) -> None:
        """A new step."""
        self.last_volume_lots = self.volume_lots
        self._closes.append(self.last_ticks)
        self.trades = self.volume_lots = self.adl_lots = self.liquidated_lots = 0
        self._liquidated: set[int] = set()

    def add_fills(self, fills: Fills) -> None:
        """Trades, and deleveraging apart from them."""
        traded = fills["reason"] != Reason.ADL
        self.trades += int(traded.sum())
        self.volume_lots += int(fills["size_lots"][traded].sum())
        self.adl_lots += int(fills["size_lots"][~traded].sum())
        if traded.any():
            self.last_ticks = int(fills["price_ticks"][traded][-1])
            self._tape.append(fills[traded])

    def tape(self, count: int) -> Fills:
        """The last trades, oldest first; not all where they came in more than 64 batches."""
        fills = np.concatenate([np.zeros(0, FILL), *self._tape])
        return fills[len(fills) - min(count, len(fills)) :]

    def closes(self, count: int) -> NDArray[np.float64]:
        """The last price at the end of each of the last steps, without those before any trade."""
        ticks = np.array(self._closes, np.float64)[-count:]
        return ticks[ticks > 0]

    def add_close_outs(self, rows: Integers) -> None:
        """Accounts that were forced; not the backstop or the fund with what they have."""
        forced = rows[np.isin(rows[:, BY], (BY_ORDERS, BY_BACKSTOP, BY_FUND))]
        self._liquidated |= set(forced[:, ACCOUNT].tolist())
        self.liquidated_lots += int(np.abs(forced[:, LOTS]).sum())

    def figures(
        self, view: PerpetualView, mark_price: float, long_lots: int, fund: float
    ) -> dict[str, float]:
        """The step's columns; `fund` is the insurance fund's equity in settlement units."""

        def base(lots: int) -> float:
            return float(view.form.to_base(lots, mark_price))

        bid_depth, ask_depth = _depth(view)
        return {
            "mid": view.mid,
            "bid": view.bid,
            "ask": view.ask,
            "bid_depth": bid_depth,
            "ask_depth": ask_depth,
            "volume": base(self.volume_lots),
            "trades": self.trades,
            "mark": view.mark,
            "index": view.index_price,
            "funding_rate": view.funding_rate,
            "open_interest": base(long_lots),
            "insurance_fund": fund,
            "liquidations": len(self._liquidated),
            "liquidated": base(self.liquidated_lots),
            "adl": base(self.adl_lots),
        }


def _depth(view: PerpetualView) -> tuple[float, float]:
    """Base units bid and offered near the mid; NaN where there is no mid."""
    if math.isnan(view.mid):
        return math.nan, math.nan
    mid_ticks = (view.bid_ticks + view.ask_ticks) / 2
    bids = view.depth_lots(1, math.ceil(mid_ticks * (1 - _DEPTH)))
    asks = view.depth_lots(-1, math.floor(mid_ticks * (1 + _DEPTH)))
    mid = view.instrument.to_price(mid_ticks)
    return float(view.form.to_base(bids, mid)), float(view.form.to_base(asks, mid))
