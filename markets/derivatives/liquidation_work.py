"""One step's liquidations in progress: what the kernels share, and how far they have come.

The kernels cannot rank (that takes floats and sorting), so they stop, say whom they need, and go on
when called again; all that they must remember stands in `progress`. Each close-out writes a row of
`rows`: who, how many signed lots, equity at the mark before, by which stage, the settlement amount
that the lots went for (taken over: at bankruptcy), what the fund got besides (or paid, below 0),
the signed lots that the equity is of, how many fills had been made, and who took the lots. Lots
that the fund still holds from before have a row of its own, written when they are taken up again.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.brackets import Brackets
from markets.derivatives.close_rule import CloseRule
from markets.derivatives.positions import Floats, Integers

PLACES = 24
STARTED, NEXT, WRITTEN, SIDE, SIZE, CLOSED, CLAIM, HELD_CLAIM = range(8)
RANKED_LONGS, RANKED_SHORTS, HEAD_LONGS, HEAD_SHORTS, STAGE = range(8, 13)
EXTRA, EXTRA_FROM, VOLUME, PREMATURE, SWEPT = range(13, 18)
FLOOR, STOP_ABOVE, ADL_ON, ADL_TO, IN_TIME, WAITS = range(18, PLACES)
"""Places of the progress: whether the step has begun, next unsafe account, rows written; side,
lots, lots closed and claim in hand; claim that came with what the fund could not close before;
whether longs and shorts are ranked, the first row of either queue that is not done with; stage of
what is in hand; what the fund adds to the claim in ADL, and the lots closed before; volume that
orders have made; whether ADL ran while the book could be paid; whether all that is held has been
offered to the winners together; cash below which the fund spends nothing, value of the fund above
which ADL stops, whether ADL is on (`drawdown`), lots closed at which ADL stops; whether it is too
early for the fund to spend, whether lots in hand wait in its order (`fund_order`)."""

ACCOUNT, LOTS, EQUITY, BY, ATOMS, FEE, HELD, FILLED, TAKER = range(9)
ROW = 9
BY_ORDERS, BY_BACKSTOP, BY_FUND, BY_UNWINDING, BY_HOLDING, BY_CLAWBACK = range(6)
"""Columns of a close-out, and its stages."""

MOST_PASSES = 8
"""Close-outs that may pass over a winner whom they would ruin, before he is left out of a step."""


class Stop(IntEnum):
    """Why the kernel came back: all done, or longs or shorts must be ranked for ADL."""

    DONE = 0
    RANK_LONGS = 1
    RANK_SHORTS = 2


class Liquidation(NamedTuple):
    """One step's work: accounts worst first, the rule, the time, and when each was last forced."""

    unsafe: Integers
    maintenance: Brackets
    rule: CloseRule
    seconds: float
    last_forced: Floats
    progress: Integers
    rows: NDArray[np.int64]
