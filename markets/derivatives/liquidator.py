"""The liquidator: finds unsafe accounts, runs the waterfall and ranks whom it asks for.

It holds what must outlive a step: the claim that came with lots the fund could not close, and when
an account was last forced. All moving of money is done by the kernels; what is reported here
explains it at the mark:

    equity left at takeover, fees of orders     account -> fund or backstop     LIQUIDATION
    debt at takeover, or of an order's price    fund or backstop -> account     INSURANCE
    profit forgone in ADL                       winner -> fund                  ADL

and is proved each time: with the gains of the fund's own trades against the mark these sum to the
change of the fund's equity. Since debt at takeover is what the fund did not get, the profit that
winners forgo is then the bad debt left after the book and the fund, to the atom (an inverse
contract: to an atom a row, for its values at the mark are floored).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.backstop import turn_clocks
from markets.derivatives.brackets import whole_brackets
from markets.derivatives.close_rule import CloseRule, close_rule, in_step
from markets.derivatives.contract import INVERSE
from markets.derivatives.deleveraging import Queue, queue_of
from markets.derivatives.desk import Desk
from markets.derivatives.drawdown import Drawdown, drawdown_of
from markets.derivatives.fund_order import offer_held
from markets.derivatives.liquidation_work import (
    ACCOUNT,
    ADL_ON,
    BY,
    BY_BACKSTOP,
    BY_FUND,
    EQUITY,
    FEE,
    FLOOR,
    HELD_CLAIM,
    IN_TIME,
    PLACES,
    PREMATURE,
    RANKED_LONGS,
    RANKED_SHORTS,
    ROW,
    STARTED,
    STOP_ABOVE,
    SWEPT,
    TAKER,
    WRITTEN,
    Liquidation,
    Stop,
)
from markets.derivatives.margin import Tiers
from markets.derivatives.perpetual_params import PerpetualParams
from markets.derivatives.positions import (
    Positions,
    Terms,
    equity_column,
    find_unsafe,
    value_atoms,
)
from markets.derivatives.ranking import Ranking, adl_queue
from markets.derivatives.waterfall import run_waterfall
from markets.errors import BrokenInvariant
from markets.outcomes import Fills, Flows, Reason, flows
from markets.venue import Moment

_NOBODY = queue_of(np.zeros(0, np.int64))

Rows = NDArray[np.int64]
"""Close-outs; the columns stand in `liquidation_work`."""


class Rule(NamedTuple):
    """What a liquidator goes by: the rule for kernels, brackets, atoms in a unit, the ranking."""

    close: CloseRule
    tiers: Tiers
    scale: int
    ranking: Ranking


class Liquidator:
    """Liquidation of one venue's accounts."""

    def __init__(self, rule: Rule, drawdown: Drawdown, accounts: int) -> None:
        self._rule, self._drawdown = rule, drawdown
        self.maintenance = whole_brackets(rule.tiers, rule.scale)
        self.held_claim = 0
        """Claim of the fund that came with lots which it could not close."""
        self._accounts, self._ratios = np.empty(accounts, np.int64), np.empty(accounts, np.float64)
        self._last_forced = np.full(accounts, -np.inf)
        self._waiting = np.zeros(0, np.int64)
        self._held_since = np.inf
        """When the fund last began to hold lots."""

    def unsafe(self, positions: Positions, terms: Terms) -> NDArray[np.int64]:
        """Accounts below maintenance or in debt, lowest margin ratio first."""
        found = find_unsafe(positions, terms, self.maintenance, self._accounts, self._ratios)
        order = np.argsort(self._ratios[:found], kind="stable")
        return self._accounts[:found][order]

    def begin_step(self, unsafe: NDArray[np.int64], fund_atoms: int, moment: Moment) -> None:
        """Value the fund; who is safe again is treated afresh when next he is not."""
        turn_clocks(self._rule.close.backstops, moment.seconds, moment.step_seconds)
        if self._rule.close.adl_trigger_ppm > 0:
            self._drawdown.sample(moment.seconds, fund_atoms)
        if len(self._waiting):
            self._last_forced[np.setdiff1d(self._waiting, unsafe)] = -np.inf
        self._waiting = unsafe

    def run(
        self, desk: Desk, unsafe: NDArray[np.int64], moment: Moment, debts: bool = False
    ) -> Rows:
        """Close the accounts and what the fund still holds; the desk must have room for fills.

        Once that is done, `debts` are left to be taken over, of accounts without position.
        """
        progress = np.zeros(PLACES, np.int64)
        progress[[STARTED, SWEPT]] = debts
        progress[HELD_CLAIM] = self.held_claim
        close, drawdown = self._rule.close, self._drawdown
        held_since = self._held_since if self._holds(desk) else moment.seconds
        progress[IN_TIME] = moment.seconds - held_since < close.rest_seconds
        progress[ADL_ON] = drawdown.on
        progress[[FLOOR, STOP_ABOVE]] = drawdown.levels()
        most_rows = (2 + len(close.backstops)) * (len(unsafe) + 1) + 1
        work = Liquidation(
            unsafe,
            self.maintenance,
            in_step(close, moment.step_seconds),
            moment.seconds,
            self._last_forced,
            progress,
            np.zeros((most_rows, ROW), np.int64),
        )
        before = self._fund(desk)
        longs = shorts = _NOBODY
        while (stop := run_waterfall(desk, work, longs, shorts)) != Stop.DONE:
            if stop == Stop.RANK_LONGS:
                longs, progress[RANKED_LONGS] = self._queue(desk, (1, moment.step)), 1
            else:
                shorts, progress[RANKED_SHORTS] = self._queue(desk, (-1, moment.step)), 1
        self.held_claim, drawdown.on = int(progress[HELD_CLAIM]), bool(progress[ADL_ON])
        self._held_since = held_since if self._holds(desk) else np.inf
        rows = work.rows[: progress[WRITTEN]]
        if progress[PREMATURE]:
            raise BrokenInvariant("deleveraged while the fund could pay", "", "", 0)
        _prove(desk, rows, self._fund(desk) - before)
        return rows

    def offer_held(self, desk: Desk) -> None:
        """Let the fund's order rest, where the rule has one; the book must have room for it."""
        if self._rule.close.rest_seconds > 0:
            offer_held(desk, self.held_claim, not self._drawdown.on)

    def _holds(self, desk: Desk) -> bool:
        return bool(desk.positions.balances[desk.terms.fund, desk.terms.contract])

    def _fund(self, desk: Desk) -> int:
        fund = np.array([desk.terms.fund])
        return int(equity_column(desk.positions, desk.terms, fund)[0])

    def _queue(self, desk: Desk, order: tuple[int, int]) -> Queue:
        rule = self._rule
        brackets = (rule.tiers, rule.scale)
        return queue_of(adl_queue(desk.positions, desk.terms, order, rule.ranking, brackets))


def liquidator_of(
    params: PerpetualParams, scale: int, backstops: NDArray[np.int64], accounts: int
) -> Liquidator:
    """The liquidator of a venue with so many accounts; `scale` is atoms in a settlement unit."""
    rule = params.liquidation
    ranking = rule.value("ranking") or params.adl_ranking
    close = close_rule(rule, scale, backstops, ranking, params.market_band_ppm)
    tiers, _ = params.tiers
    return Liquidator(Rule(close, tiers, scale, ranking), drawdown_of(rule, scale), accounts)


def most_fills(desk_orders: int, accounts: int, unsafe: int) -> int:
    """Upper bound of the fills of one run.

    A fill in the book ends an order, a close-out or what the fund can pay; one in ADL ends a
    position or a close-out, and a position can only come back by a fill in the book.
    """
    return 2 * (desk_orders + 4 * unsafe + 4) + 2 * accounts + unsafe


def liquidation_flows(rows: Rows, fills: Fills, terms: Terms) -> list[Flows]:
    """Who gained and lost at the mark, as FLOW rows in margin claims."""
    fund, margin = terms.fund, terms.margin
    closed = fills[fills["reason"] == Reason.ADL]
    taken = rows[(rows[:, BY] == BY_FUND) | (rows[:, BY] == BY_BACKSTOP)]
    passed_on = taken[:, EQUITY] - taken[:, FEE]
    made = [flows(closed["maker"], fund, margin, forgone_atoms(closed, terms), Reason.ADL)]
    for accounts, takers, atoms in (
        (rows[:, ACCOUNT], np.full(len(rows), fund), rows[:, FEE]),
        (taken[:, ACCOUNT], taken[:, TAKER], passed_on),
    ):
        made += [
            flows(accounts, takers, margin, np.maximum(atoms, 0), Reason.LIQUIDATION),
            flows(takers, accounts, margin, np.maximum(-atoms, 0), Reason.INSURANCE),
        ]
    return made


def forgone_atoms(fills: Fills, terms: Terms) -> NDArray[np.int64]:
    """What the makers of fills lost against the mark; below 0 where they gained."""
    sign = np.where(terms.form == INVERSE, -1, 1) * fills["side"]
    made = value_atoms(terms, -fills["side"] * fills["size_lots"], terms.mark_ticks)
    forgone: NDArray[np.int64] = -made - sign * fills["quote_atoms"]
    return forgone


def _prove(desk: Desk, rows: Rows, change_atoms: int) -> None:
    """Raise unless takeovers, fees, ADL and the fund's trades explain the change of the fund."""
    fills = desk.fills[: desk.fill_count[0]]
    own = fills[fills["taker"] == desk.terms.fund]
    rested = fills[fills["maker"] == desk.terms.fund]
    explained = int(forgone_atoms(own, desk.terms).sum() + rows[:, FEE].sum())
    explained -= int(forgone_atoms(rested, desk.terms).sum())
    explained += int(rows[rows[:, BY] == BY_FUND, EQUITY].sum())
    slack = 2 * (len(own) + len(rested) + len(rows) + 1) if desk.terms.form == INVERSE else 0
    if abs(change_atoms - explained) > slack:
        rule = "the fund's change is not what liquidations explain"
        raise BrokenInvariant(rule, "", "", change_atoms - explained)
