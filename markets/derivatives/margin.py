"""Margin: what a position must hold, from brackets to unified accounts.

    brackets     MM = notional*rate_k - cum_k,  cum_k = cum_{k-1} + floor_k*(rate_k - rate_{k-1})
                 (Hyperliquid: rate_k = 1/(2*max_leverage_k); BitMEX risk limits: cum_k = 0)
    open OI      IMF from base to 100 % between two open-interest caps      dYdX v4
    size         IMF = max(1/L, f*sqrt(size)), MMF = max(3 %, 0.6*f*sqrt)   FTX, Backpack
    unified      equity = sum min(net*rate, net)*index;  uniMMR = equity/MM Binance

Notional and MM in quote units; tier k holds (floor_k, floor_{k+1}]. Brackets make MM continuous
and increasing. Nothing is rounded; venues round requirements up. Sources: Binance (2021-03-18
table), Hyperliquid docs, dYdX v4-chain, FTX margin page, Deribit standard margin (secondary).
Left out: scenario (SPAN-like) portfolio margin.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from markets.derivatives.contract import Column


class Tiers(NamedTuple):
    """Margin brackets: notional floors, maintenance rates, deductions in quote units."""

    floors: NDArray[np.float64]
    rates: NDArray[np.float64]
    deductions: NDArray[np.float64]


class MarginState(IntEnum):
    """Standing of a unified account, from best to worst."""

    FREE = 0
    REMINDER = 1
    REDUCE_ONLY = 2
    LIQUIDATION = 3


UNIFIED_RATIOS = (1.5, 1.2, 1.05)  # above: free, reminder, reduce-only; else liquidation


def bracket_tiers(floors: ArrayLike, rates: ArrayLike) -> Tiers:
    """Brackets with the deductions that make the requirement continuous; floors start at 0."""
    floor = np.asarray(floors, np.float64)
    rate = np.asarray(rates, np.float64)
    return Tiers(floor, rate, np.cumsum(floor * np.diff(rate, prepend=0.0)))


def tier_of(tiers: Tiers, notional: Column) -> Column:
    """Tier number from 0; a notional equal to a floor still belongs to the tier below."""
    return np.maximum(np.searchsorted(tiers.floors, notional, side="left") - 1, 0)


def maintenance_margin(tiers: Tiers, notional: Column) -> Column:
    """Marginal-bracket requirement in quote units of an absolute notional."""
    tier = tier_of(tiers, notional)
    return notional * tiers.rates[tier] - tiers.deductions[tier]


def open_interest_rate(
    base_rate: Column, open_notional: Column, lower_cap: Column, upper_cap: Column
) -> Column:
    """dYdX initial margin rate, scaled up with the market's open notional; upper cap 0 is off."""
    width = np.where(np.greater(upper_cap, lower_cap), np.subtract(upper_cap, lower_cap), 1.0)
    share = np.clip((open_notional - lower_cap) / width, 0.0, 1.0)
    share = np.where(np.greater_equal(open_notional, upper_cap), 1.0, share)
    share = np.where(np.less_equal(open_notional, lower_cap), 0.0, share)
    return np.where(np.equal(upper_cap, 0.0), base_rate, base_rate + share * (1.0 - base_rate))


def size_rates(factor: Column, open_size: Column, max_leverage: Column) -> tuple[Column, Column]:
    """Initial and maintenance rates that grow with the square root of the open size in coins."""
    root = factor * np.sqrt(open_size)
    return np.maximum(1.0 / max_leverage, root), np.maximum(0.03, 0.6 * root)


def collateral_value(net_balance: Column, index: Column, collateral_rate: Column) -> Column:
    """Quote value of a net balance: assets are cut by the rate, liabilities are not."""
    return np.minimum(net_balance * collateral_rate, net_balance) * index


def margin_ratio(equity: Column, requirement: Column) -> Column:
    """Equity over maintenance requirement; infinite when nothing is required."""
    needed = np.greater(requirement, 0.0)
    return np.where(needed, equity / np.where(needed, requirement, 1.0), np.inf)


def margin_state(ratio: Column) -> Column:
    """`MarginState` codes of unified margin ratios (an exact threshold belongs to the worse)."""
    return sum(np.less_equal(ratio, threshold).astype(np.int64) for threshold in UNIFIED_RATIOS)


def short_option_margin(
    is_call: Column, underlying: Column, strike: Column, option_mark: Column
) -> tuple[Column, Column]:
    """Deribit initial and maintenance margin of one short coin-settled option, in coin."""
    moneyness = np.where(is_call, np.subtract(strike, underlying), np.subtract(underlying, strike))
    out_of_money = np.maximum(0.0, moneyness) / underlying
    initial = np.maximum(0.15 - out_of_money, 0.1) + option_mark
    put_rate = np.maximum(0.075, 0.075 * np.asarray(option_mark))
    maintenance = np.where(is_call, 0.075, put_rate) + option_mark
    return np.where(is_call, initial, np.maximum(initial, maintenance)), maintenance
