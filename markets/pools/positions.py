"""Positions of a concentrated-liquidity pool: ranges, liquidity and the fees they have earned.

    inside = global - below - above;    owed += (inside - inside at the last touch) x liquidity

below is the growth outside the lower tick if that tick is at or below the current one, else global
less it; above likewise for the upper tick. Every change of a position touches it first; a change of
zero is the poke that credits fees. A tick lives as long as a position with liquidity uses it (a
count, not a sum that vanishes); one created at or below the current tick starts with all growth
outside. Amounts of a range off the price use expm1, exact for narrow ranges.
Rounding: none here; a venue ceils what a mint pays, floors what a burn or collect pays.
Source: Uniswap/v3-core contracts/libraries/Position.sol, Tick.sol. Left out: limit of liquidity per
tick, protocol fee. Fee growth inside is a difference: its error is 1e-16 of the global growth.
"""

from typing import NamedTuple

import numpy as np

from markets.kernel import njit
from markets.pools.concentrated import (
    COUNT,
    CURSOR,
    GROWTH0,
    LIQUIDITY,
    SQRT_PRICE,
    ConcentratedPool,
    current_tick,
)
from markets.pools.swap_step import amounts_between
from markets.pools.ticks import relative_width, sqrt_price_at


class Positions(NamedTuple):
    """Arrays with a row per position: ticks (lower, upper), liquidity, growth last, fees owed."""

    bounds: np.ndarray
    liquidity: np.ndarray
    inside: np.ndarray
    owed: np.ndarray


def empty_positions(capacity: int) -> Positions:
    """Room for `capacity` positions, none of which has liquidity; fill `bounds` to open one."""
    return Positions(
        np.zeros((2, capacity), np.int64),
        np.zeros(capacity, np.int64),
        np.zeros((2, capacity)),
        np.zeros((2, capacity)),
    )


@njit(cache=True)
def slot_of(pool: ConcentratedPool, tick: int) -> int:
    """Slot of an initialised tick, or where it would be inserted."""
    return int(np.searchsorted(pool.tick[: pool.whole[COUNT]], tick))


@njit(cache=True)
def _insert(pool: ConcentratedPool, slot: int, tick: int) -> None:
    count = pool.whole[COUNT]
    if count >= pool.tick.size:
        raise IndexError("no room for another tick: enlarge the pool first")
    below = tick <= current_tick(pool)
    for k in range(count, slot, -1):
        _move(pool, k - 1, k)
    pool.tick[slot], pool.tick_sqrt_price[slot] = tick, sqrt_price_at(tick)
    pool.net_liquidity[slot], pool.references[slot] = 0, 0
    for token in range(2):
        pool.outside[token, slot] = pool.real[GROWTH0 + token] if below else 0.0
    pool.whole[COUNT] = count + 1
    pool.whole[CURSOR] += 1 if below else 0


@njit(cache=True)
def _remove(pool: ConcentratedPool, slot: int) -> None:
    pool.whole[COUNT] -= 1
    for k in range(slot, pool.whole[COUNT]):
        _move(pool, k + 1, k)
    if slot < pool.whole[CURSOR]:
        pool.whole[CURSOR] -= 1


@njit(cache=True)
def _move(pool: ConcentratedPool, source: int, target: int) -> None:
    pool.tick[target], pool.references[target] = pool.tick[source], pool.references[source]
    pool.tick_sqrt_price[target] = pool.tick_sqrt_price[source]
    pool.net_liquidity[target] = pool.net_liquidity[source]
    pool.outside[0, target] = pool.outside[0, source]
    pool.outside[1, target] = pool.outside[1, source]


@njit(cache=True)
def _ensure_tick(pool: ConcentratedPool, tick: int) -> None:
    slot = slot_of(pool, tick)
    if slot >= pool.whole[COUNT] or pool.tick[slot] != tick:
        _insert(pool, slot, tick)


@njit(cache=True)
def growth_inside(pool: ConcentratedPool, token: int, lower: int, upper: int) -> float:
    """Fee growth of a token between two slots (not ticks) of initialised ticks."""
    total, cursor = pool.real[GROWTH0 + token], pool.whole[CURSOR]
    below, above = pool.outside[token, lower], pool.outside[token, upper]
    if lower >= cursor:
        below = total - below
    if upper < cursor:
        above = total - above
    return total - below - above


@njit(cache=True)
def range_amounts(
    pool: ConcentratedPool, tick_lower: int, tick_upper: int, liquidity: float
) -> tuple[float, float]:
    """Token0 and token1 that liquidity over a range is worth at the current tick and price."""
    tick, width = current_tick(pool), relative_width(tick_lower, tick_upper)
    if tick < tick_lower:
        return liquidity * width / sqrt_price_at(tick_upper), 0.0
    if tick >= tick_upper:
        return 0.0, liquidity * width * sqrt_price_at(tick_lower)
    sqrt_price = pool.real[SQRT_PRICE]
    token0 = amounts_between(sqrt_price, sqrt_price_at(tick_upper), liquidity)[0]
    return token0, amounts_between(sqrt_price_at(tick_lower), sqrt_price, liquidity)[1]


@njit(cache=True)
def liquidity_for(
    pool: ConcentratedPool, tick_lower: int, tick_upper: int, amount0: float, amount1: float
) -> float:
    """Greatest liquidity over a range that two amounts pay for at the current price."""
    per0, per1 = range_amounts(pool, tick_lower, tick_upper, 1.0)
    if per0 <= 0.0:
        return amount1 / per1
    if per1 <= 0.0:
        return amount0 / per0
    return min(amount0 / per0, amount1 / per1)


@njit(cache=True)
def change_liquidity(
    pool: ConcentratedPool, positions: Positions, row: int, change: int
) -> tuple[float, float]:
    """Mint (change > 0), burn (< 0) or poke (0) a position; fees earned so far become owed.

    Gives token0 and token1 from the pool's side: positive is paid in, negative is released. The
    caller checks change >= -liquidity and lower < upper; IndexError when tick arrays are full.
    """
    tick_lower, tick_upper = positions.bounds[0, row], positions.bounds[1, row]
    before = positions.liquidity[row]
    if before == 0 and change == 0:
        return 0.0, 0.0
    _ensure_tick(pool, tick_lower)
    _ensure_tick(pool, tick_upper)
    lower, upper = slot_of(pool, tick_lower), slot_of(pool, tick_upper)
    for token in range(2):
        inside = growth_inside(pool, token, lower, upper)
        positions.owed[token, row] += (inside - positions.inside[token, row]) * before
        positions.inside[token, row] = inside
    pool.net_liquidity[lower] += change
    pool.net_liquidity[upper] -= change
    if lower < pool.whole[CURSOR] <= upper:
        pool.whole[LIQUIDITY] += change
    amount0, amount1 = range_amounts(pool, tick_lower, tick_upper, float(change))
    positions.liquidity[row] = before + change
    if before == 0 or before + change == 0:
        users = 1 if before == 0 else -1
        pool.references[lower] += users
        pool.references[upper] += users
    if pool.references[upper] == 0:
        _remove(pool, upper)
    if pool.references[lower] == 0:
        _remove(pool, lower)
    return amount0, amount1


@njit(cache=True)
def collect(positions: Positions, row: int) -> tuple[float, float]:
    """Take the fees owed of both tokens, as of the last touch; nothing is owed afterwards."""
    owed0, owed1 = positions.owed[0, row], positions.owed[1, row]
    positions.owed[0, row] = positions.owed[1, row] = 0.0
    return owed0, owed1
