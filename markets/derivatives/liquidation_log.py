"""The liquidation log: one row for each close-out, in units, for people and tables.

`by` says who closed it: the account's own orders, the backstop, the fund; or the backstop or the
fund offering what they still have. A clawback closes nothing. At the mark, with E what the account
was worth there, a row says who paid whom:

    orders      account -> book and fee          fund = fee + what its order gained of book
    backstop    backstop = E - fund              below 0 it paid the account's debt
    fund        fund - socialised = E - book + adl
    holding     fund - socialised = -book + adl
    clawback    account -> fund                  -socialised = fee

book what the order book's makers gained against the mark, adl what deleveraged winners forwent,
fund the change of the fund's equity, and socialised what a loss leaves it below zero: for winners
of the period to give back, or for later steps. Linear contracts: exact; inverse ones: to an atom a
fill. Fills belong to rows by their count when the row was written (see `liquidation_work`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.contract_form import ContractForm
from markets.derivatives.liquidation_work import (
    ACCOUNT,
    ATOMS,
    BY,
    BY_BACKSTOP,
    BY_FUND,
    BY_HOLDING,
    BY_ORDERS,
    BY_UNWINDING,
    EQUITY,
    FEE,
    FILLED,
    HELD,
    LOTS,
    ROW,
    TAKER,
)
from markets.derivatives.liquidator import forgone_atoms
from markets.derivatives.positions import (
    Integers,
    Positions,
    Terms,
    equity_column,
    share_up,
    value_atoms,
)
from markets.outcomes import Fills, Reason

_STAGES = np.array(["orders", "backstop", "fund", "unwinding", "holding", "clawback"], dtype=object)


class CloseOuts(NamedTuple):
    """Rows as the kernels wrote them, the fills made, and the fund's equity before, in atoms."""

    rows: NDArray[np.int64]
    fills: Fills
    terms: Terms
    fund_atoms: int


@dataclass(frozen=True)
class LiquidationLog:
    """Columns: ledger rows, lots (long above 0) and sizes, prices, settlement amounts in units."""

    asset: str
    """The settlement asset."""
    account: NDArray[np.int64]
    by: NDArray[np.object_]
    lots: NDArray[np.int64]
    size: NDArray[np.float64]
    mark: NDArray[np.float64]
    price: NDArray[np.float64]
    """What the lots went for on average, in book and ADL together; NaN where none has gone."""
    bankruptcy_price: NDArray[np.float64]
    """At which the account was worth nothing; NaN where no positive price does that."""
    equity: NDArray[np.float64]
    """The account's at the mark before."""
    fee: NDArray[np.float64]
    book_size: NDArray[np.float64]
    book: NDArray[np.float64]
    adl_size: NDArray[np.float64]
    adl: NDArray[np.float64]
    backstop: NDArray[np.float64]
    fund: NDArray[np.float64]
    socialised: NDArray[np.float64]


class _Traded(NamedTuple):
    """By row: lots and quote atoms that went, and what the other side gained at the mark."""

    lots: Integers
    quote_atoms: Integers
    gained_atoms: Integers


def sold_by_order(
    positions: Positions, terms: Terms, fills: Fills, claim_atoms: int
) -> tuple[CloseOuts, int]:
    """Fills of the fund's order with takers, as a close-out of what it held; its claim then.

    Seen from the fund: it is the taker of the fills that are returned.
    """
    fund = np.array([terms.fund])
    change = int((-fills["side"] * fills["size_lots"]).sum())
    held = int(positions.balances[terms.fund, terms.contract]) - change
    row = np.zeros((1, ROW), np.int64)
    row[0, [ACCOUNT, LOTS, BY, HELD, TAKER]] = terms.fund, held, BY_HOLDING, held, terms.fund
    row[0, ATOMS] = -claim_atoms
    row[0, EQUITY] = claim_atoms + value_atoms(terms, held, terms.mark_ticks)
    left, claim = abs(held), claim_atoms
    for lots in fills["size_lots"].tolist():
        claim -= share_up(claim, lots, left)
        left -= lots
    before = equity_column(positions, terms, fund)[0] + forgone_atoms(fills, terms).sum()
    seen = fills.copy()
    seen["taker"], seen["maker"], seen["side"] = fills["maker"], fills["taker"], -fills["side"]
    return CloseOuts(row, seen, terms, int(before)), claim


def _traded(made: CloseOuts, fills: Fills, place: Integers) -> _Traded:
    """The fills summed over the rows that they belong to."""
    sums = np.zeros((3, len(made.rows)), np.int64)
    gained = -forgone_atoms(fills, made.terms)
    columns = (fills["size_lots"], fills["quote_atoms"], gained)
    for total, column in zip(sums, columns, strict=True):
        np.add.at(total, place, column)
    return _Traded(*sums)


def _rows_of(rows: NDArray[np.int64], fills: Fills, fund: int) -> Integers:
    """The row of each fill: the fund's come after their row is written, all others before."""
    number = np.arange(len(fills))
    by, place = rows[:, BY], np.zeros(len(fills), np.int64)
    own = fills["taker"] == fund
    before = np.flatnonzero((by == BY_FUND) | (by == BY_HOLDING))
    after = np.flatnonzero((by == BY_ORDERS) | (by == BY_UNWINDING))
    at = np.searchsorted(rows[before, FILLED], number[own], side="right") - 1
    place[own] = before[at]
    place[~own] = after[np.searchsorted(rows[after, FILLED], number[~own], side="right")]
    return place


def _log_of(made: CloseOuts, form: ContractForm) -> tuple[NDArray[np.generic], ...]:
    """The columns of one run of the waterfall."""
    rows, fills, terms, before = made
    by, lots, equity = rows[:, BY], rows[:, LOTS], rows[:, EQUITY]
    place = _rows_of(rows, fills, terms.fund)
    deleveraged = fills["reason"] == Reason.ADL
    book = _traded(made, fills[~deleveraged], place[~deleveraged])
    adl = _traded(made, fills[deleveraged], place[deleveraged])
    takes = (by == BY_FUND) | (by == BY_HOLDING)
    rested = fills["maker"] == terms.fund
    change = np.where(by == BY_FUND, equity, 0) + rows[:, FEE]
    change += np.where(takes, -book.gained_atoms - adl.gained_atoms, 0)
    change += _traded(made, fills[rested], place[rested]).gained_atoms
    after = before + np.cumsum(change)
    debt = np.maximum(-np.concatenate([[before], after]), 0)
    backstop = np.where(by == BY_BACKSTOP, equity - rows[:, FEE], 0)
    backstop -= np.where(by == BY_UNWINDING, book.gained_atoms, 0)
    claims = np.where(
        takes | (by == BY_BACKSTOP),
        -rows[:, ATOMS],
        equity - value_atoms(terms, rows[:, HELD], terms.mark_ticks),
    )
    against = np.sign(lots) * (1 if form.is_inverse else -1)
    went = _ticks(form, book.lots + adl.lots, book.quote_atoms + adl.quote_atoms)
    mark = np.full(len(rows), form.instrument.to_price(float(terms.mark_ticks)))
    paid = (rows[:, FEE], -adl.gained_atoms, backstop, change + np.diff(debt), np.diff(debt))
    fee, forgone, backstop_units, fund, socialised = (form.settlement.to_units(x) for x in paid)
    return (
        rows[:, ACCOUNT],
        _STAGES[by],
        lots,
        form.to_base(np.abs(lots), mark),
        mark,
        form.instrument.to_price(went),
        form.instrument.to_price(_ticks(form, np.abs(rows[:, HELD]), against * claims)),
        form.settlement.to_units(equity),
        fee,
        form.to_base(book.lots, mark),
        form.settlement.to_units(book.gained_atoms),
        form.to_base(adl.lots, mark),
        forgone,
        backstop_units,
        fund,
        socialised,
    )


def _ticks(form: ContractForm, lots: Integers, atoms: Integers) -> NDArray[np.float64]:
    """Price in ticks at which lots cost so many atoms, both above 0; NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if form.is_inverse:
            ticks = lots.astype(np.float64) * form.notional_atoms / atoms
        else:
            ticks = atoms / (lots.astype(np.float64) * form.notional_atoms)
    return np.where(np.isfinite(ticks) & (ticks > 0), ticks, np.nan)


def liquidation_log(made: list[CloseOuts], form: ContractForm) -> LiquidationLog:
    """The log of the close-outs of some runs of the waterfall, in order."""
    parts = [_log_of(each, form) for each in made]
    return LiquidationLog(
        form.settlement.name, *(np.concatenate(columns) for columns in zip(*parts, strict=True))
    )
