"""Order split: how much of a purchase an automated pool should fill before a dealer's firm price.

A constant-product pool with base reserve Y, spot p and input fee c sells x base at the marginal
price p/((1 - c)(1 - x/Y)^2). It is used until that equals the dealer's price d:

    x = Y(1 - sqrt(p/((1 - c) d)))  within [0, quantity];   cost(x) = p Y x/((Y - x)(1 - c))

Prices quote per base, sizes base units. Nothing is rounded: a pool rounds the input up. Source:
equality of marginal prices, derived. Left out: gas of the pool, several pools (see `pools`).
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column


class Pool(NamedTuple):
    """Constant-product pool: base reserve, spot price (quote per base), input fee fraction."""

    base_reserve: Column
    spot: Column
    fee: Column


def pool_quantity(pool: Pool, desk_price: Column, quantity: Column) -> Column:
    """Base bought from the pool; the rest of `quantity` goes to the desk at its firm price."""
    ratio = pool.spot / ((1.0 - pool.fee) * desk_price)
    return np.clip(pool.base_reserve * (1.0 - np.sqrt(ratio)), 0.0, quantity)


def pool_cost(pool: Pool, bought: Column) -> Column:
    """Quote paid to the pool, fee included."""
    invariant = pool.spot * pool.base_reserve
    return invariant * bought / ((pool.base_reserve - bought) * (1.0 - pool.fee))


def split_cost(pool: Pool, desk_price: Column, quantity: Column) -> Column:
    """Quote paid in all for buying `quantity` from pool and desk."""
    from_pool = pool_quantity(pool, desk_price, quantity)
    return pool_cost(pool, from_pool) + (quantity - from_pool) * desk_price
