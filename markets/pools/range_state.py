"""State of a concentrated pool with its positions, and the margins that keep its roundings safe.

    margin of token1 = L s 2^-51,    of token0 = L/s 2^-51        (atoms; s: square root of price)

The kernels round s, and amounts that are differences of s, to about 2^-52 of s: on liquidity L that
is worth L s or L/s times as much, however small the trade. So a swap feeds the curve its input less
the margin and pays its output less the margin, both on the peak (the greatest liquidity active at
any price); a deposit pays it on top, a withdrawal goes without it, fees owed lose 2^-49 of all
growth at each touch. What is kept back belongs to nobody and covers every later rounding: positions
can always be paid in full. Below L s = 10^14 that is less than a tenth of an atom.
A position is found by (account, lower tick, upper tick); its slot is used again once it is empty.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.kernel import njit
from markets.pools.concentrated import (
    COUNT,
    CURSOR,
    GROWTH0,
    LIQUIDITY,
    SQRT_PRICE,
    ConcentratedPool,
    empty_pool,
    with_capacity,
)
from markets.pools.positions import (
    Positions,
    change_liquidity,
    empty_positions,
    growth_inside,
    range_amounts,
    slot_of,
)
from markets.pools.ticks import sqrt_price_at
from markets.rounding import floor_atoms

MARGIN = 2.0**-51
GROWTH_MARGIN = 2.0**-49
NOBODY = -1
NO_POSITION = -1


class RangeState(NamedTuple):
    """Ticks, positions, the account of each position (NOBODY: free slot), and the peak."""

    pool: ConcentratedPool
    positions: Positions
    owners: NDArray[np.int64]
    peak: NDArray[np.int64]


def empty_state(sqrt_price: float, capacity: int = 16) -> RangeState:
    """No position, at a square root of price in quote atoms per base atom."""
    owners = np.full(capacity, NOBODY, np.int64)
    pool, positions = empty_pool(sqrt_price, 2 * capacity), empty_positions(capacity)
    return RangeState(pool, positions, owners, np.zeros(1, np.int64))


def with_room(state: RangeState, new_positions: int) -> RangeState:
    """The same state, in larger arrays where so many new positions might not fit."""
    used, slots = int((state.owners != NOBODY).sum()), len(state.owners)
    ticks = int(state.pool.whole[COUNT]) + 2 * new_positions
    if used + new_positions <= slots and ticks <= len(state.pool.tick):
        return state
    slots = max(slots, 2 * (used + new_positions))
    positions, owners = empty_positions(slots), np.full(slots, NOBODY, np.int64)
    for new, old in zip(positions, state.positions, strict=True):
        new[..., : old.shape[-1]] = old
    owners[: len(state.owners)] = state.owners
    pool = with_capacity(state.pool, max(2 * ticks, len(state.pool.tick)))
    return RangeState(pool, positions, owners, state.peak)


def copied(state: RangeState) -> RangeState:
    """A deep copy."""
    pool = ConcentratedPool(*[array.copy() for array in state.pool])
    positions = Positions(*[array.copy() for array in state.positions])
    return RangeState(pool, positions, state.owners.copy(), state.peak.copy())


@njit(cache=True)
def find(state: RangeState, account: int, lower_tick: int, upper_tick: int) -> int:
    """Slot of a position, or NO_POSITION."""
    bounds = state.positions.bounds
    for slot in range(state.owners.size):
        same = bounds[0, slot] == lower_tick and bounds[1, slot] == upper_tick
        if same and state.owners[slot] == account:
            return slot
    return NO_POSITION


@njit(cache=True)
def open_position(state: RangeState, account: int, lower_tick: int, upper_tick: int) -> int:
    """Slot of a position, opened if need be; the caller has made room."""
    slot = find(state, account, lower_tick, upper_tick)
    if slot == NO_POSITION:
        slot = 0
        while state.owners[slot] != NOBODY:
            slot += 1
        state.owners[slot] = account
        state.positions.bounds[0, slot], state.positions.bounds[1, slot] = lower_tick, upper_tick
        for token in range(2):
            state.positions.inside[token, slot] = state.positions.owed[token, slot] = 0.0
    return slot


@njit(cache=True)
def range_margins(
    state: RangeState, lower_tick: int, upper_tick: int, liquidity: float
) -> tuple[float, float]:
    """Margins of token0 and token1 for liquidity over a range."""
    low, high = sqrt_price_at(lower_tick), sqrt_price_at(upper_tick)
    root = min(max(state.pool.real[SQRT_PRICE], low), high)
    return liquidity / root * MARGIN, liquidity * root * MARGIN


@njit(cache=True)
def released(
    state: RangeState, lower_tick: int, upper_tick: int, liquidity: int
) -> tuple[int, int]:
    """Token0 and token1 atoms that taking liquidity out of a range pays."""
    amounts = range_amounts(state.pool, lower_tick, upper_tick, float(liquidity))
    margins = range_margins(state, lower_tick, upper_tick, float(liquidity))
    return (
        floor_atoms(max(amounts[0] - margins[0], 0.0)),
        floor_atoms(max(amounts[1] - margins[1], 0.0)),
    )


@njit(cache=True)
def change(state: RangeState, slot: int, liquidity: int) -> None:
    """Add or take liquidity, or touch with 0: fees become owed, less their margin."""
    positions, before = state.positions, float(state.positions.liquidity[slot])
    change_liquidity(state.pool, positions, slot, liquidity)
    for token in range(2):
        kept = before * state.pool.real[GROWTH0 + token] * GROWTH_MARGIN
        positions.owed[token, slot] = max(positions.owed[token, slot] - kept, 0.0)
    active, peak = 0, 0
    for tick in range(state.pool.whole[COUNT]):
        active += state.pool.net_liquidity[tick]
        peak = max(peak, active)
    state.peak[0] = peak


@njit(cache=True)
def earned(state: RangeState, slot: int, lp_share: float) -> tuple[int, int]:
    """Fees of token0 and token1 in atoms that a position could collect now."""
    pool, positions = state.pool, state.positions
    size, owed = float(positions.liquidity[slot]), positions.owed[:, slot]
    fees0, fees1 = owed[0], owed[1]
    if positions.liquidity[slot] > 0:
        lower, upper = (
            slot_of(pool, positions.bounds[0, slot]),
            slot_of(pool, positions.bounds[1, slot]),
        )
        gained0 = growth_inside(pool, 0, lower, upper) - positions.inside[0, slot]
        gained1 = growth_inside(pool, 1, lower, upper) - positions.inside[1, slot]
        fees0 += gained0 * size - size * pool.real[GROWTH0] * GROWTH_MARGIN
        fees1 += gained1 * size - size * pool.real[GROWTH0 + 1] * GROWTH_MARGIN
    return floor_atoms(max(fees0, 0.0) * lp_share), floor_atoms(max(fees1, 0.0) * lp_share)


@njit(cache=True)
def _claim(state: RangeState, slot: int, lp_share: float) -> tuple[int, int, int, int]:
    """What a position could withdraw and collect now: token0, token1, fees of both."""
    bounds, size = state.positions.bounds, state.positions.liquidity[slot]
    amounts = released(state, bounds[0, slot], bounds[1, slot], size)
    fees = earned(state, slot, lp_share)
    return amounts[0], amounts[1], fees[0], fees[1]


@njit(cache=True)
def position_at(
    state: RangeState, account: int, lower_tick: int, upper_tick: int, lp_share: float
) -> tuple[int, int, int, int, int]:
    """Liquidity and claim of a position; zeros where there is none."""
    slot = find(state, account, lower_tick, upper_tick)
    if slot == NO_POSITION:
        return 0, 0, 0, 0, 0
    token0, token1, fees0, fees1 = _claim(state, slot, lp_share)
    return state.positions.liquidity[slot], token0, token1, fees0, fees1


@njit(cache=True)
def claims(state: RangeState, lp_share: float) -> NDArray[np.int64]:
    """Token0 and token1 that each slot could withdraw and collect now."""
    found = np.zeros((2, state.owners.size), np.int64)
    for slot in range(state.owners.size):
        if state.owners[slot] != NOBODY:
            token0, token1, fees0, fees1 = _claim(state, slot, lp_share)
            found[0, slot], found[1, slot] = token0 + fees0, token1 + fees1
    return found


@njit(cache=True)
def audit(state: RangeState, lp_share: float) -> tuple[int, int, int, int]:
    """Net liquidity in all, that below the cursor less the active, and both sums of claims."""
    pool, total, below = state.pool, 0, 0
    for tick in range(pool.whole[COUNT]):
        total += pool.net_liquidity[tick]
        if tick < pool.whole[CURSOR]:
            below += pool.net_liquidity[tick]
    claimed = claims(state, lp_share)
    return total, below - pool.whole[LIQUIDITY], claimed[0].sum(), claimed[1].sum()
