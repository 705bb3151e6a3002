"""Backstops: accounts with capital of their own that take over what orders could not close.

A vault (Hyperliquid's liquidator) is one with a capital and a loss after which it takes no more; a
provider of FTX's programme has a capacity a minute and an hour besides (at least 100,000 and
300,000 US dollars, with 500,000 of balances). Of several each takes in proportion to what he still
may; amounts in units of the settlement asset, 0: no limit. A row of the table that kernels work on
is one backstop: its account, limits in atoms, the notional left in the minute and hour at hand,
which begin at whole multiples from the start (a step longer than that has so much more), and, for
kernels, the lots that it may take, and takes, at the moment.
Sources: FTX backstop liquidity provider page; Hyperliquid HLP. Left out: vault shares, quotes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from markets.params import Params

ACCOUNT, MOST, FLOOR, PER_MINUTE, PER_HOUR = range(5)
LEFT_MINUTE, LEFT_HOUR, MINUTE, HOUR, CAPACITY, SHARE = range(5, 11)
_COLUMNS = 11
_WITHOUT_LIMIT = 2**62
_MINUTE_SECONDS, _HOUR_SECONDS = 60.0, 3_600.0


class Backstop(Params):
    """One backstop."""

    capital: float = Field(gt=0)
    """What it holds at the start, brought in from outside."""
    most: float = Field(default=0.0, ge=0)
    """Largest notional of its position."""
    loss: float = Field(default=0.0, ge=0)
    """Loss of capital after which it takes no more."""
    per_minute: float = Field(default=0.0, ge=0)
    """Notional that it takes in a minute."""
    per_hour: float = Field(default=0.0, ge=0)
    """Notional that it takes in an hour."""

    @model_validator(mode="after")
    def _loses_what_it_has(self) -> "Backstop":
        if self.loss > self.capital:
            raise ValueError("loss must be at most capital")
        return self


def backstop_rows(
    backstops: Sequence[Backstop], accounts: NDArray[np.int64], scale: int
) -> NDArray[np.int64]:
    """The table for kernels; `scale` is atoms in a settlement unit."""
    rows = np.zeros((len(accounts), _COLUMNS), np.int64)
    rows[:, ACCOUNT] = accounts
    rows[:, [MINUTE, HOUR]] = -1
    for row, backstop in zip(rows, backstops, strict=False):
        row[MOST] = round(backstop.most * scale)
        row[FLOOR] = round((backstop.capital - backstop.loss) * scale) if backstop.loss else 0
        row[PER_MINUTE] = round(backstop.per_minute * scale)
        row[PER_HOUR] = round(backstop.per_hour * scale)
    return rows


def turn_clocks(rows: NDArray[np.int64], seconds: float, step_seconds: float) -> None:
    """Give new capacity where a minute or an hour begins."""
    for place, left, limit, length in (
        (MINUTE, LEFT_MINUTE, PER_MINUTE, _MINUTE_SECONDS),
        (HOUR, LEFT_HOUR, PER_HOUR, _HOUR_SECONDS),
    ):
        now = int(seconds / length + 1e-9)
        periods = max(1, int(step_seconds / length + 1e-9))
        begins = rows[:, place] != now
        new = np.minimum(rows[:, limit], _WITHOUT_LIMIT // periods) * periods
        new[rows[:, limit] == 0] = _WITHOUT_LIMIT
        rows[begins, left] = new[begins]
        rows[:, place] = now
