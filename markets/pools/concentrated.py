"""Concentrated-liquidity pool: its state as arrays, the walk of a swap over initialised ticks.

State: initialised ticks sorted upward, each with sqrt price, net liquidity, number of positions
that use it and fee growth outside it; and a cursor, the number of initialised ticks at or below the
current one. The cursor, not the price, says which ranges are active (lower <= tick < upper): after
a fall that stops exactly on a tick, that tick has been crossed. Liquidity is an integer, so sums of
net liquidity cannot drift. Fee growth is input-token fee per unit of liquidity, in float64.
A quote is the very walk of the swap without writing (commit False), hence equal bit for bit.
When liquidity ends or the limit price is met the swap fills partially; gaps cost nothing to cross.
Rounding: none here; a venue floors outputs and ceils inputs. Prices are output per input.
Source: Uniswap/v3-core contracts/UniswapV3Pool.sol. Left out: protocol fee, observations; a stop
on an uninitialised tick does not report that tick less one.
"""

import math
from typing import NamedTuple

import numpy as np

from markets.kernel import kernel, njit
from markets.pools.swap_step import swap_step
from markets.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at, tick_at
from markets.rounding import PPM

SQRT_PRICE, GROWTH0, GROWTH1 = 0, 1, 2
CURSOR, COUNT, LIQUIDITY = 0, 1, 2
UNBOUNDED = 1e300
DUST = 2.0**-50


class ConcentratedPool(NamedTuple):
    """Arrays of one pool; the first COUNT slots of the tick arrays are in use."""

    tick: np.ndarray
    tick_sqrt_price: np.ndarray
    net_liquidity: np.ndarray
    references: np.ndarray
    outside: np.ndarray
    real: np.ndarray
    whole: np.ndarray


class Swap(NamedTuple):
    """What a swap pays and leaves: input with its fee, output, and the state it ends in."""

    amount_in: float
    amount_out: float
    fee: float
    sqrt_price: float
    liquidity: int
    cursor: int
    complete: bool


def empty_pool(sqrt_price: float, capacity: int = 64) -> ConcentratedPool:
    """A pool without liquidity at a sqrt price (atoms), with room for `capacity` ticks."""
    real = np.zeros(3)
    real[SQRT_PRICE] = sqrt_price
    whole, prices = np.zeros((3, capacity), np.int64), np.zeros(capacity)
    outside = np.zeros((2, capacity))
    return ConcentratedPool(
        whole[0].copy(),
        prices,
        whole[1].copy(),
        whole[2].copy(),
        outside,
        real,
        np.zeros(3, np.int64),
    )


def with_capacity(pool: ConcentratedPool, capacity: int) -> ConcentratedPool:
    """The same pool in new arrays with room for `capacity` ticks; ValueError if too few."""
    count = int(pool.whole[COUNT])
    if capacity < count:
        raise ValueError(f"capacity {capacity} is below the {count} ticks in use")
    larger = empty_pool(float(pool.real[SQRT_PRICE]), capacity)
    for new, old in zip(larger[:5], pool[:5], strict=True):
        new[..., :count] = old[..., :count]
    larger.real[:], larger.whole[:] = pool.real, pool.whole
    return larger


@njit(cache=True)
def current_tick(pool: ConcentratedPool) -> int:
    """Tick of the price, held inside the initialised ticks between which the cursor stands."""
    tick = tick_at(pool.real[SQRT_PRICE])
    cursor, count = pool.whole[CURSOR], pool.whole[COUNT]
    if cursor < count:
        tick = min(tick, pool.tick[cursor] - 1)
    if cursor > 0:
        tick = max(tick, pool.tick[cursor - 1])
    return tick


@kernel()
def _store(pool: ConcentratedPool, end: Swap, growth0: float, growth1: float) -> None:
    pool.real[SQRT_PRICE] = end.sqrt_price
    pool.real[GROWTH0], pool.real[GROWTH1] = growth0, growth1
    pool.whole[CURSOR], pool.whole[LIQUIDITY] = end.cursor, end.liquidity


@njit(cache=True)
def _beyond(sqrt_price: float, sqrt_limit: float, zero_for_one: bool) -> bool:
    return sqrt_price < sqrt_limit if zero_for_one else sqrt_price > sqrt_limit


@kernel()
def swap(
    pool: ConcentratedPool,
    fee_ppm: int,
    zero_for_one: bool,
    amount_specified: float,
    sqrt_limit: float,
    commit: bool,
) -> Swap:
    """Sell token0 (zero_for_one) or token1 until the amount or the limit price is met.

    `amount_specified` > 0: input with fee; < 0: output wanted. Only `commit` changes the pool. The
    arrays are held as locals and only numbers go to other functions: it is several times faster.
    """
    prices, nets, outside = pool.tick_sqrt_price, pool.net_liquidity, pool.outside
    sqrt_price, growth0, growth1 = pool.real[SQRT_PRICE], pool.real[GROWTH0], pool.real[GROWTH1]
    cursor, count, liquidity = pool.whole[CURSOR], pool.whole[COUNT], pool.whole[LIQUIDITY]
    exact_in, left = amount_specified > 0.0, abs(amount_specified)
    spent, gained, fees, stopped = 0.0, 0.0, 0.0, False
    if _beyond(sqrt_price, sqrt_limit, zero_for_one):
        return Swap(0.0, 0.0, 0.0, sqrt_price, liquidity, cursor, left == 0.0)
    while left > 0.0 and not stopped:
        slot = cursor - 1 if zero_for_one else cursor
        stopped = slot < 0 or slot >= count or _beyond(prices[slot], sqrt_limit, zero_for_one)
        target = sqrt_limit if stopped else prices[slot]
        sqrt_price, net, out, fee, reached = swap_step(
            sqrt_price, target, float(liquidity), left if exact_in else -left, fee_ppm
        )
        spent, gained, fees = spent + net + fee, gained + out, fees + fee
        if liquidity > 0 and zero_for_one:
            growth0 += fee / liquidity
        elif liquidity > 0:
            growth1 += fee / liquidity
        left -= net + fee if exact_in else out
        if not reached or left < DUST * abs(amount_specified):
            left = 0.0
        if reached and not stopped:
            if commit:
                outside[0, slot] = growth0 - outside[0, slot]
                outside[1, slot] = growth1 - outside[1, slot]
            liquidity -= nets[slot] if zero_for_one else -nets[slot]
            cursor += -1 if zero_for_one else 1
    if left == 0.0 and exact_in:
        spent = amount_specified
    elif left == 0.0:
        gained = -amount_specified
    end = Swap(spent, gained, fees, sqrt_price, liquidity, cursor, left == 0.0)
    if commit:
        _store(pool, end, growth0, growth1)
    return end


@njit(cache=True)
def marginal_price(pool: ConcentratedPool, fee_ppm: int, zero_for_one: bool) -> float:
    """Output per unit of an infinitesimal input; fee 0 gives the price of the curve itself."""
    square = pool.real[SQRT_PRICE] * pool.real[SQRT_PRICE]
    return (PPM - fee_ppm) / PPM * (square if zero_for_one else 1.0 / square)


@njit(cache=True)
def sqrt_limit_for(price_out_per_in: float, fee_ppm: int, zero_for_one: bool) -> float:
    """Sqrt price at which the next unit, fee paid, earns `price_out_per_in`."""
    low, high = sqrt_price_at(MIN_TICK), sqrt_price_at(MAX_TICK)
    if price_out_per_in <= 0.0:
        return low if zero_for_one else high
    square = price_out_per_in * PPM / (PPM - fee_ppm)
    return min(max(math.sqrt(square if zero_for_one else 1.0 / square), low), high)


@njit(cache=True)
def swap_until_price(
    pool: ConcentratedPool, fee_ppm: int, zero_for_one: bool, price_out_per_in: float, commit: bool
) -> Swap:
    """Swap until the next unit, fee paid, earns `price_out_per_in`; nothing if it already does."""
    limit = sqrt_limit_for(price_out_per_in, fee_ppm, zero_for_one)
    return swap(pool, fee_ppm, zero_for_one, UNBOUNDED, limit, commit)
