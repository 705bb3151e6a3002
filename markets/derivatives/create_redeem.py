"""Creation and redemption: the primary channel that ties a fund or token to its net asset value.

    create  n*(price*(1 - trade) - nav*(1 + variable)) - fixed      sell n shares, deliver assets
    redeem  n*(nav*(1 - variable) - price*(1 + trade)) - fixed      buy n shares, receive assets
    break-even premium  (1 + variable + fixed/(n*nav))/(1 - trade) - 1

n shares (units times shares per unit), price and nav in quote per share, costs plain fractions,
fixed fee in quote per order. An authorised participant acts when the profit is positive; out of
hours he also wants z*sigma*sqrt(delay) for the inventory he must carry. Nothing is rounded.
Sources: ETF prospectuses on EDGAR (ARK 21Shares, Grayscale Mini); the risk band is ours. Left out:
cut-off times and settlement lag, which belong to the channel's clock.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column


class Action(IntEnum):
    """What an authorised participant does."""

    NONE = 0
    CREATE = 1
    REDEEM = 2


class ChannelCosts(NamedTuple):
    """Variable cost of the primary market, quote fee per order, cost of the secondary trade."""

    variable_cost: Column
    fixed_fee: Column
    trade_cost: Column


def create_profit(shares: Column, price: Column, nav: Column, costs: ChannelCosts) -> Column:
    """Quote profit of selling new shares in the market."""
    proceeds = price * (1.0 - costs.trade_cost)
    return shares * (proceeds - nav * (1.0 + costs.variable_cost)) - costs.fixed_fee


def redeem_profit(shares: Column, price: Column, nav: Column, costs: ChannelCosts) -> Column:
    """Quote profit of buying shares in the market and handing them in."""
    outlay = price * (1.0 + costs.trade_cost)
    return shares * (nav * (1.0 - costs.variable_cost) - outlay) - costs.fixed_fee


def break_even_premium(shares: Column, nav: Column, costs: ChannelCosts) -> Column:
    """Premium over net asset value at which creating pays nothing, a fraction."""
    unit_cost = 1.0 + costs.variable_cost + costs.fixed_fee / (shares * nav)
    return unit_cost / (1.0 - costs.trade_cost) - 1.0


def best_action(created: Column, redeemed: Column) -> Column:
    """`Action` codes: the channel with a positive profit, else none."""
    redeem = np.where(np.greater(redeemed, 0.0), Action.REDEEM, Action.NONE)
    return np.where(
        np.greater(created, 0.0) & np.greater_equal(created, redeemed), Action.CREATE, redeem
    )


def risk_band(volatility: Column, delay_years: Column, risk: Column) -> Column:
    """Extra premium wanted for carrying inventory until the primary market opens, a fraction."""
    return risk * volatility * np.sqrt(delay_years)
