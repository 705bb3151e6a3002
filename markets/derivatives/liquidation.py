"""Liquidation and bankruptcy prices: where margin runs out, in all the forms venues print.

The mark P at which equity equals maintenance, other positions held at their marks:

    linear   P = (W - M + U + cum - side*q*E) / (q*mmr - side*q)
    inverse  P = N*(mmr + side) / (W - M + U + cum + side*N/E)

W wallet, M other positions' maintenance, U their unrealised profit, q base size, N quote size,
E entry, cum the bracket's deduction. With M, mmr and cum zero the same solve is the bankruptcy
price. Margin frozen on the entry value (Bybit, OKX) is linear in 1/leverage instead. NaN where no
positive price exists, e.g. an inverse short whose coins cover it. dYdX splits equity by maintenance
weight: closing at its bankruptcy price leaves TNC/TMMR unchanged.
Nothing is rounded: venues round the trigger to the tick nearer to the entry, in their favour.
Sources: Binance, Bybit, BitMEX, Hyperliquid docs; dYdX v4-chain. Left out: closing fees, except in
the Bybit inverse cross form.
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import INVERSE, LINEAR, Column
from markets.derivatives.margin import Tiers, tier_of
from markets.derivatives.pnl import notional


class Backing(NamedTuple):
    """What stands behind one position, in its settlement asset; isolated: the others are 0."""

    wallet: Column
    maintenance_rate: Column = 0.0
    deduction: Column = 0.0
    other_maintenance: Column = 0.0
    other_profit: Column = 0.0


class EntryMargin(NamedTuple):
    """Margins frozen at entry and the prices that exhaust them."""

    initial_margin: Column
    maintenance_margin: Column
    liquidation_price: Column
    bankruptcy_price: Column


class EntryTerms(NamedTuple):
    """Leverage, maintenance rate, bracket deduction and margin added later (settlement asset)."""

    leverage: Column
    maintenance_rate: Column
    deduction: Column = 0.0
    extra_margin: Column = 0.0


class FillableRule(NamedTuple):
    """dYdX: how fast the bankruptcy rating grows, and its widest spread as a share of MM."""

    bankruptcy_adjustment: Column = 1.0
    spread_to_mm: Column = 1.5


class CoinCross(NamedTuple):
    """Bybit inverse cross account: coin free of order margin, maintenance and taker fee rates."""

    free_balance: Column
    maintenance_rate: Column
    taker_fee_rate: Column


class WeightedAccount(NamedTuple):
    """dYdX subaccount: total net collateral and total maintenance requirement, quote units."""

    net_collateral: Column
    requirement: Column


def positive_quotient(numerator: Column, denominator: Column) -> Column:
    """numerator/denominator where that is a positive price, else NaN."""
    sound = np.multiply(np.sign(numerator), np.sign(denominator)) > 0.0
    return np.where(sound, numerator / np.where(sound, denominator, 1.0), np.nan)


def liquidation_price(
    contract: int, side: Column, size: Column, entry: Column, backing: Backing
) -> Column:
    """Mark at which equity equals maintenance; `size` unsigned in the contract's unit."""
    spare = backing.wallet - backing.other_maintenance + backing.other_profit + backing.deduction
    if contract == INVERSE:
        return positive_quotient(
            size * (backing.maintenance_rate + side), spare + side * size / entry
        )
    return positive_quotient(spare - side * size * entry, size * (backing.maintenance_rate - side))


def bankruptcy_price(
    contract: int, side: Column, size: Column, entry: Column, backing: Backing
) -> Column:
    """Mark at which the whole account is worth zero: the maintenance terms are ignored."""
    bare = Backing(wallet=backing.wallet, other_profit=backing.other_profit)
    return liquidation_price(contract, side, size, entry, bare)


def entry_margin(
    contract: int, side: Column, size: Column, entry: Column, terms: EntryTerms
) -> EntryMargin:
    """Margins frozen on the entry value (Bybit, OKX), and the prices that exhaust them."""
    value = notional(contract, size, entry)
    initial = value / terms.leverage
    maintenance = value * terms.maintenance_rate - terms.deduction
    held = initial + terms.extra_margin
    prices = (
        shifted_entry(contract, side, size, entry, margin) for margin in (held - maintenance, held)
    )
    return EntryMargin(initial, maintenance, *prices)


def shifted_entry(
    contract: int, side: Column, size: Column, entry: Column, margin: Column
) -> Column:
    """Price at which the position alone has lost `margin`; a linear one at or below 0 never is."""
    if contract == INVERSE:
        return positive_quotient(size, size / entry + side * margin)
    return entry - side * margin / size


def step_price(
    side: Column, mark: Column, size: Column, margin_available: Column, maintenance_rate: Column
) -> Column:
    """Hyperliquid form, from the present mark and the margin above maintenance; linear."""
    return mark - side * margin_available / size / (1.0 - maintenance_rate * side)


def tiered_liquidation_price(
    side: Column, size: Column, entry: Column, wallet: Column, tiers: Tiers
) -> tuple[Column, Column]:
    """Linear liquidation price and the bracket that holds it (NaN and -1 if there is none).

    Every bracket is solved; the one whose own range holds size times its price is the answer.
    """
    side, size, entry, wallet = (
        np.atleast_1d(np.asarray(column, np.float64))[:, None]
        for column in (side, size, entry, wallet)
    )
    backing = Backing(wallet, tiers.rates, tiers.deductions)
    candidates = liquidation_price(LINEAR, side, size, entry, backing)
    held = tier_of(tiers, size * candidates) == np.arange(tiers.rates.size)
    held &= ~np.isnan(candidates)
    tier = np.where(held.any(axis=1), held.argmax(axis=1), -1)
    price = candidates[np.arange(tier.size), tier]
    return np.where(tier < 0, np.nan, price), tier


def coin_cross_prices(
    side: Column, size: Column, entry: Column, account: CoinCross
) -> tuple[Column, Column]:
    """Bybit inverse cross: liquidation and bankruptcy price, fee to close at bankruptcy kept."""
    fee = account.taker_fee_rate
    value = size / entry
    bankruptcy = positive_quotient((1.0 + side * fee) * size, value + side * account.free_balance)
    reserved = value * account.maintenance_rate + size * fee / bankruptcy
    liquidation = positive_quotient(size, value + side * (account.free_balance - reserved))
    return liquidation, bankruptcy


def weighted_account(
    quote_balance: float, sizes: Column, oracles: Column, maintenance_rates: Column
) -> WeightedAccount:
    """Totals of one dYdX subaccount from signed sizes at oracle prices."""
    notionals = np.multiply(sizes, oracles)
    requirement = np.sum(np.abs(notionals) * maintenance_rates)
    return WeightedAccount(quote_balance + np.sum(notionals), requirement)


def is_liquidatable(account: WeightedAccount) -> Column:
    """Whether a dYdX subaccount has less collateral than its requirement."""
    return (account.requirement > 0.0) & (account.net_collateral < account.requirement)


def bankruptcy_quote(
    account: WeightedAccount, side: Column, close_notional: Column, maintenance_rate: Column
) -> Column:
    """Quote received (+) or paid (-) for closing at bankruptcy: keeps TNC/TMMR unchanged."""
    share = close_notional * maintenance_rate / account.requirement
    return side * close_notional - account.net_collateral * share


def fillable_price(
    account: WeightedAccount, side: Column, oracle: Column, mm_rate: Column, rule: FillableRule
) -> Column:
    """Worst price of a dYdX liquidation order: the oracle, moved with the bankruptcy rating."""
    shortfall = 1.0 - account.net_collateral / account.requirement
    rating = np.clip(rule.bankruptcy_adjustment * shortfall, 0.0, 1.0)
    return oracle * (1.0 - side * rating * rule.spread_to_mm * mm_rate)
