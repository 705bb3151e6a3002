"""Settlement: closing all positions at one price, and what winners give up for losers' debts.

At a price S each account's contracts become claims, floor(value(c, S)), less a fee; the dust of the
floors, less than an atom a holder, is the fund's. Debts that are left are paid by the fund, and by
the winners of the period in proportion once it is empty (socialised loss):

    profit_i = equity_i - equity at the last settlement - net deposits,   cut_i = ceil-shares of
    rate*profit_i,   rate = min(1, deficit / sum of positive profits)

The cuts add up to what is charged exactly, and nobody gives more than the period's profit or than
he has; the log of liquidations has a row for each debt and each cut. A perpetual or a longer future
is settled the same way every period without closing: profit is realised and cut, positions stay.
Order: fee, fund, cut. Sources: OKEx rules until 2019, Deribit and Binance delivery. Left out: fees
to the referrer, partial settlement.
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.liquidation_log import CloseOuts
from markets.derivatives.liquidation_work import (
    ACCOUNT,
    BY,
    BY_CLAWBACK,
    BY_FUND,
    EQUITY,
    FEE,
    HELD,
    ROW,
)
from markets.derivatives.positions import (
    Integers,
    Positions,
    Terms,
    backing_column,
    equity_column,
    value_atoms,
)
from markets.outcomes import NO_FILLS, Flows, Reason, flows
from markets.rounding import PPM


class Settled(NamedTuple):
    """By account: fee charged and debt forgiven in atoms, and the dust that the fund got."""

    fees_atoms: Integers
    debts_atoms: Integers
    dust_atoms: int


class Settlement(NamedTuple):
    """Payments, who owed and who gave back, the sum of that, and the profits it was taken from."""

    flows: list[Flows]
    close_outs: CloseOuts
    cut_atoms: int
    profits_atoms: int


def _rows(by: int, who: Integers, equity: Integers, paid: Integers) -> Integers:
    """Close-outs without lots: who, what the account was worth, what it paid the fund."""
    rows = np.zeros((len(who), ROW), np.int64)
    rows[:, ACCOUNT], rows[:, BY] = who, by
    rows[:, EQUITY], rows[:, FEE] = equity[who], paid[who]
    return rows


def proportional(amount_atoms: int, weights: Integers) -> Integers:
    """`amount_atoms` split in proportion, by running ceilings, so that the parts add up exactly.

    Nobody's part exceeds his weight where the amount is at most their sum.
    """
    total = int(weights.sum())
    if total == 0 or amount_atoms <= 0:
        return np.zeros(len(weights), np.int64)
    running = np.cumsum(weights).tolist()
    ends = [-(-amount_atoms * upto // total) for upto in running]
    parts = np.array(ends, np.int64)
    parts[1:] -= parts[:-1].copy()
    return _within(parts, np.asarray(weights, np.int64))


def _within(parts: Integers, most: Integers) -> Integers:
    """The same sum with no part above its bound; the excess of rounding goes to the next in row."""
    over = np.maximum(parts - most, 0)
    parts = parts - over
    excess = int(over.sum())
    for place in np.flatnonzero(most > parts):
        if excess == 0:
            break
        added = min(excess, int(most[place] - parts[place]))
        parts[place] += added
        excess -= added
    return parts


def close_all(positions: Positions, terms: Terms, fee_ppm: int) -> Settled:
    """Turn every position into claims at the mark; debts become the fund's.

    In a group a claim below zero may be backed by something else, and is the house's to judge.
    """
    balances = positions.balances
    contracts = balances[:, terms.contract].copy()
    values = value_atoms(terms, contracts, terms.mark_ticks)
    balances[:, terms.margin] += values
    balances[:, terms.contract] = 0
    positions.entry_atoms[:] = 0
    balances[terms.fund, terms.margin] -= values.sum()
    own = np.zeros(len(balances), bool)
    own[[terms.vault, terms.fund, terms.fees]] = True
    claims = balances[:, terms.margin]
    whole, rest = np.divmod(np.abs(values), PPM)
    fees = whole * fee_ppm - (-(rest * fee_ppm) // PPM)
    backing = backing_column(positions, terms, np.arange(len(balances)))
    fees = np.where(own, 0, np.clip(fees, 0, np.maximum(backing, 0)))
    claims -= fees
    claims[terms.fees] += fees.sum()
    debts = np.where(own | terms.grouped, 0, np.maximum(-claims, 0))
    claims += debts
    claims[terms.fund] -= debts.sum()
    return Settled(fees, debts, -int(values.sum()))


def claw_back(positions: Positions, terms: Terms, most_atoms: Integers) -> Integers:
    """Cut what the fund owes from accounts in proportion to `most_atoms`, at most so much.

    Returns each account's cut. A fund with a position does not know what it owes: nothing is cut.
    """
    balances = positions.balances
    deficit = -int(balances[terms.fund, terms.margin])
    most = np.minimum(most_atoms, equity_column(positions, terms, np.arange(len(balances))))
    most = np.maximum(most, 0)
    most[[terms.vault, terms.fund]] = 0
    if balances[terms.fund, terms.contract]:
        deficit = 0
    cut = proportional(min(deficit, int(most.sum())), most)
    balances[:, terms.margin] -= cut
    balances[terms.fund, terms.margin] += cut.sum()
    return cut


def cover_deficit(positions: Positions, terms: Terms, profits: Integers) -> Integers:
    """Cover the fund's debt at the end: from profits, then the venue's fees, then all claims."""
    fees = np.zeros(len(profits), np.int64)
    fees[terms.fees] = positions.balances[terms.fees, terms.margin]
    users = profits.copy()
    users[terms.fees] = 0
    cut = claw_back(positions, terms, users)
    cut += claw_back(positions, terms, fees)
    return cut + claw_back(positions, terms, positions.balances[:, terms.margin].copy())


def settle_dated(positions: Positions, terms: Terms, fee_ppm: int) -> Settlement:
    """Close all at the mark, cover what is owed, pay everybody."""
    settled = close_all(positions, terms, fee_ppm)
    everybody = np.arange(len(positions.balances))
    fees = flows(everybody, terms.fees, terms.margin, settled.fees_atoms, Reason.FEE)
    claims = positions.balances[:, terms.margin].copy()
    fund_atoms = int(claims[terms.fund] + settled.debts_atoms.sum())
    if terms.grouped:
        nothing = CloseOuts(np.zeros((0, ROW), np.int64), NO_FILLS, terms, fund_atoms)
        return Settlement([fees], nothing, 0, 0)
    profits = claims - positions.deposited_atoms
    cut = cover_deficit(positions, terms, profits)
    owed = -settled.debts_atoms
    debts = _rows(BY_FUND, np.flatnonzero(owed), owed, np.zeros_like(owed))
    given = _rows(BY_CLAWBACK, np.flatnonzero(cut), claims, cut)
    pay_out(positions, terms)
    made = [
        fees,
        flows(terms.fund, everybody, terms.margin, settled.debts_atoms, Reason.INSURANCE),
        flows(everybody, terms.fund, terms.margin, cut, Reason.CLAWBACK),
    ]
    close_outs = CloseOuts(np.concatenate([debts, given]), NO_FILLS, terms, fund_atoms)
    return Settlement(made, close_outs, int(cut.sum()), int(np.maximum(profits, 0).sum()))


def settle_period(positions: Positions, terms: Terms) -> Settlement:
    """Realise profits at the mark, cut them for what the fund owes, and begin a new period."""
    everybody = np.arange(len(positions.balances))
    equity = equity_column(positions, terms, everybody)
    profits = equity - positions.deposited_atoms
    profits[[terms.vault, terms.fund, terms.fees]] = 0
    fund_atoms = int(equity[terms.fund])
    cut = claw_back(positions, terms, profits)
    contracts = positions.balances[:, terms.contract]
    positions.entry_atoms[:] = value_atoms(terms, contracts, terms.mark_ticks)
    positions.deposited_atoms[:] = equity - cut
    positions.deposited_atoms[terms.fund] += cut.sum()
    made = [flows(everybody, terms.fund, terms.margin, cut, Reason.CLAWBACK)]
    given = _rows(BY_CLAWBACK, np.flatnonzero(cut), equity, cut)
    given[:, HELD] = contracts[given[:, ACCOUNT]]
    close_outs = CloseOuts(given, NO_FILLS, terms, fund_atoms)
    return Settlement(made, close_outs, int(cut.sum()), int(np.maximum(profits, 0).sum()))


def pay_out(positions: Positions, terms: Terms) -> None:
    """Give every claim back as collateral, so that the vault holds none: after the last one."""
    balances = positions.balances
    claims = balances[:, terms.margin].copy()
    claims[terms.vault] = 0
    balances[:, terms.quote] += claims
    balances[:, terms.margin] -= claims
    balances[terms.vault, terms.quote] -= claims.sum()
    balances[terms.vault, terms.margin] += claims.sum()
