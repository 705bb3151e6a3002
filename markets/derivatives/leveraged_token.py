"""Leveraged tokens: a basket of cash and perpetual units kept near a target leverage.

    nav      = cash + units*price            quote per token
    leverage = units*price/nav               signed
    trade    = target*nav/price - units      base units per token, times tokens outstanding

A token rebalances once a day, and within the day when |leverage| exceeds a limit (a third above the
target at FTX). Rebalancing buys after rises and sells after falls whatever the sign of the target:
a flow of target*(target - 1)*move*nav. Units are signed base units, no fees; a venue rounds trades
to lots toward the target and keeps the rest in cash. Source: FTX leveraged-token help pages. Left
out: creation and redemption, fund fees.
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column


class Basket(NamedTuple):
    """Holdings behind one token: quote cash and signed base units."""

    cash: Column
    units: Column


def net_asset_value(basket: Basket, price: Column) -> Column:
    """Quote value of one token."""
    return basket.cash + basket.units * price


def leverage(basket: Basket, price: Column) -> Column:
    """Signed exposure over net asset value; infinite when nothing is left."""
    value = net_asset_value(basket, price)
    alive = np.greater(value, 0.0)
    exposure = basket.units * price
    return np.where(alive, exposure / np.where(alive, value, 1.0), np.copysign(np.inf, exposure))


def desired_units(basket: Basket, price: Column, target: Column) -> Column:
    """Base units per token at the target leverage; none when nothing is left."""
    return target * np.maximum(0.0, net_asset_value(basket, price)) / price


def must_rebalance(basket: Basket, price: Column, daily: Column, limit: Column) -> Column:
    """Whether the daily stamp or the intraday limit asks for a trade."""
    return np.asarray(daily, bool) | (np.abs(leverage(basket, price)) > limit)


def rebalanced(basket: Basket, price: Column, target: Column) -> Basket:
    """Basket after trading to the target at `price` without fees."""
    units = desired_units(basket, price, target)
    return Basket(net_asset_value(basket, price) - units * price, units)


def rebalancing_flow(target: Column, move: Column, value: Column) -> Column:
    """Quote notional traded after a price move from the target, a fraction: pro-cyclical."""
    return target * (target - 1.0) * move * value
