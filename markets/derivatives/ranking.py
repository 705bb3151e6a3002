"""Ranking: the order in which opposite positions are deleveraged, from the venue's own columns.

The scores stand in `adl`; here a position (contracts c, claim m, cost e, mark P, k atoms of a lot
and tick) becomes what they ask for: entry = e/(c k), bankruptcy = -m/(c k), wallet = m + e, profit
= c k P - e; inverse, with K for k: entry = -c K/e, bankruptcy = c K/m, profit = -c K/P - e. Only
accounts worth more than nothing at the mark are ranked, and never the fund. Scores are float64;
equal ones keep the order of accounts. Rankings: BitMEX (leverage), Binance (margin), Hyperliquid
(notional). dYdX ranks nobody: it goes round all accounts from one that the block draws; here the
step does, its number being the seed of one draw of SplitMix64 (Steele, Lea, Flood 2014).
"""

from enum import StrEnum

import numpy as np

from markets.derivatives.adl import leverage_score, margin_score, notional_score, queue_order
from markets.derivatives.contract import INVERSE
from markets.derivatives.margin import Tiers, maintenance_margin
from markets.derivatives.positions import (
    Floats,
    Integers,
    Positions,
    Terms,
    backing_column,
    equity_column,
)


class Ranking(StrEnum):
    """Whose score orders the queue."""

    LEVERAGE = "leverage"
    MARGIN = "margin"
    NOTIONAL = "notional"
    ACCOUNT = "account"
    """No score: account by account."""
    DRAWN = "drawn"
    """The same round from one that the step draws (dYdX)."""
    PRO_RATA = "pro_rata"
    """No order: everybody in proportion to the position."""
    LARGEST = "largest"
    """The largest positions, ten unless told, or as many as it takes, in proportion (FTX)."""


_WORD = 2**64 - 1


def drawn(seed: int) -> int:
    """A whole number below 2**64 that looks random: the first that SplitMix64 gives for a seed."""
    word = (seed + 0x9E3779B97F4A7C15) & _WORD
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = ((word ^ (word >> shift)) * factor) & _WORD
    return word ^ (word >> 31)


def adl_queue(
    positions: Positions,
    terms: Terms,
    order: tuple[int, int],
    rule: Ranking,
    brackets: tuple[Tiers, int],
) -> Integers:
    """Accounts that hold a side, next in line first.

    order = (side, number of the step); brackets = (tiers, atoms in a quote unit).
    """
    side, step = order
    contracts = positions.balances[:, terms.contract]
    accounts = np.flatnonzero(side * contracts > 0)
    equity = equity_column(positions, terms, accounts)
    accounts = accounts[(equity > 0) & (accounts != terms.fund)]
    if rule is Ranking.DRAWN:
        return np.roll(accounts, -(drawn(step) % max(len(accounts), 1)))
    if rule in (Ranking.ACCOUNT, Ranking.PRO_RATA):
        return accounts
    if rule is Ranking.LARGEST:
        return accounts[queue_order(np.abs(contracts[accounts]))]
    scores = _scores(positions, terms, accounts, rule, brackets)
    return accounts[queue_order(scores)]


def _scores(
    positions: Positions,
    terms: Terms,
    accounts: Integers,
    rule: Ranking,
    brackets: tuple[Tiers, int],
) -> Floats:
    tiers, scale = brackets
    contracts = positions.balances[accounts, terms.contract].astype(np.float64)
    claims = backing_column(positions, terms, accounts).astype(np.float64)
    costs = positions.entry_atoms[accounts].astype(np.float64)
    side = np.sign(contracts)
    mark = float(terms.mark_ticks)
    entry = _price(terms, contracts, costs)
    if rule is Ranking.LEVERAGE:
        bankruptcy = _price(terms, contracts, -claims)
        return leverage_score(terms.form, side, entry, bankruptcy, mark)
    values = contracts * terms.notional_atoms * mark
    if terms.form == INVERSE:
        values = -contracts * terms.notional_atoms / mark
    if rule is Ranking.NOTIONAL:
        return notional_score(side, entry, mark, np.abs(values) / mark, claims + values)
    needed = maintenance_margin(tiers, np.abs(values) / scale)
    return margin_score((claims + costs) / scale, (values - costs) / scale, needed)


def _price(terms: Terms, contracts: Floats, values: Floats) -> Floats:
    """Price in ticks at which contracts come to signed values in atoms; inverse never: infinite."""
    if terms.form == INVERSE:
        some = values != 0.0
        price = -contracts * terms.notional_atoms / np.where(some, values, 1.0)
        return np.where(some, price, np.inf)
    return values / (contracts * terms.notional_atoms)
