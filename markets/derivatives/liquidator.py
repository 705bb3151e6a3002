"""The liquidator: finds unsafe accounts, runs the waterfall and ranks whom it asks for.

It holds what must outlive a step: the claim that came with lots the fund could not close. All
moving of money is done by the kernel in `waterfall`; what is reported here explains it at the mark:

    equity left at takeover     account -> fund     LIQUIDATION
    debt at takeover            fund -> account     INSURANCE
    profit forgone in ADL       winner -> fund      ADL
"""

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.brackets import whole_brackets
from markets.derivatives.contract import INVERSE
from markets.derivatives.desk import Desk
from markets.derivatives.margin import Tiers
from markets.derivatives.positions import Positions, Terms, find_unsafe, value_atoms
from markets.derivatives.ranking import Ranking, adl_queue
from markets.derivatives.waterfall import (
    HELD_CLAIM,
    PLACES,
    RANKED_LONGS,
    RANKED_SHORTS,
    TAKEN,
    Liquidation,
    Stop,
    run_waterfall,
)
from markets.outcomes import Fills, Flows, Reason, flows

_NOBODY = np.zeros(0, np.int64)

Takeovers = NDArray[np.int64]
"""Rows of account, signed lots, equity at the mark in atoms."""


class Liquidator:
    """Liquidation of one venue's accounts; `scale` is atoms in a quote unit."""

    def __init__(self, tiers: Tiers, scale: int, ranking: Ranking) -> None:
        self._tiers, self._scale, self._ranking = tiers, scale, ranking
        self._maintenance = whole_brackets(tiers, scale)
        self._held_claim = 0
        self._accounts = np.empty(0, np.int64)
        self._ratios = np.empty(0, np.float64)

    def unsafe(self, positions: Positions, terms: Terms) -> NDArray[np.int64]:
        """Accounts below maintenance or in debt, lowest margin ratio first."""
        rows = len(positions.balances)
        if len(self._accounts) != rows:
            self._accounts, self._ratios = np.empty(rows, np.int64), np.empty(rows, np.float64)
        found = find_unsafe(positions, terms, self._maintenance, self._accounts, self._ratios)
        order = np.argsort(self._ratios[:found], kind="stable")
        return self._accounts[:found][order]

    def run(self, desk: Desk, unsafe: NDArray[np.int64]) -> Takeovers:
        """Close the accounts and what the fund still holds; the desk must have room for fills."""
        progress = np.zeros(PLACES, np.int64)
        progress[HELD_CLAIM] = self._held_claim
        takeovers = np.zeros((len(unsafe), 3), np.int64)
        work = Liquidation(unsafe, self._maintenance, progress, takeovers)
        longs = shorts = _NOBODY
        while (stop := run_waterfall(desk, work, longs, shorts)) != Stop.DONE:
            if stop == Stop.RANK_LONGS:
                longs, progress[RANKED_LONGS] = self._queue(desk, 1), 1
            else:
                shorts, progress[RANKED_SHORTS] = self._queue(desk, -1), 1
        self._held_claim = int(progress[HELD_CLAIM])
        return takeovers[: progress[TAKEN]]

    def _queue(self, desk: Desk, side: int) -> NDArray[np.int64]:
        brackets = (self._tiers, self._scale)
        return adl_queue(desk.positions, desk.terms, side, self._ranking, brackets)


def most_fills(desk_orders: int, accounts: int, unsafe: int) -> int:
    """Upper bound of the fills of one run.

    A fill in the book ends an order, a close-out or what the fund can pay; one in ADL ends a
    position or a close-out, and a position can only come back by a fill in the book.
    """
    return 2 * (desk_orders + 2 * unsafe + 2) + accounts + unsafe


def liquidation_flows(takeovers: Takeovers, fills: Fills, terms: Terms) -> list[Flows]:
    """Who gained and lost at the mark, as FLOW rows in margin claims."""
    fund, margin = terms.fund, terms.margin
    accounts, equity = takeovers[:, 0], takeovers[:, 2]
    closed = fills[fills["reason"] == Reason.ADL]
    sign = np.where(terms.form == INVERSE, -1, 1) * closed["side"]
    forgone = -value_atoms(terms, -closed["side"] * closed["size_lots"], terms.mark_ticks)
    forgone = forgone - sign * closed["quote_atoms"]
    return [
        flows(accounts, fund, margin, np.maximum(equity, 0), Reason.LIQUIDATION),
        flows(fund, accounts, margin, np.maximum(-equity, 0), Reason.INSURANCE),
        flows(closed["maker"], fund, margin, forgone, Reason.ADL),
    ]
