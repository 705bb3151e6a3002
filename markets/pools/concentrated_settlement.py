"""Settlement of a concentrated pool: rows of intents against ticks, positions and the ledger.

A swap is quoted by the walk of the curve without writing, checked against the sender's limit and
balance, and then walked again for good; so a reject moves nothing. The curve is fed the input less
its margin (see `range_state`); what comes out is paid less the margin of the other token. An exact
output feeds the output and its margin, and asks for the input and its margin. The contract rounds
at every step of its walk, by up to two atoms of input and one of output; as much is kept back here
for each tick crossed, so that no swap is ever better than the contract's. A deposit takes the most
liquidity for which the amounts, margins included and rounded up, stay within both maxima.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.intents import (
    ADD_RANGE,
    BUY,
    COLLECT,
    REMOVE_RANGE,
    SELL,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
    TICK_LIMIT,
)
from markets.kernel import kernel, njit
from markets.ledger import Matrix
from markets.outcomes import Code, Fills
from markets.pools import concentrated as curve
from markets.pools import positions as ranges
from markets.pools.concentrated import CURSOR, SQRT_PRICE
from markets.pools.pool import (
    BEYOND_LIMIT,
    DONE,
    INSUFFICIENT,
    INVALID,
    LARGEST,
    NO_LIQUIDITY,
    settle_swap,
    way_of,
    write_fill,
)
from markets.pools.range_state import (
    MARGIN,
    NO_POSITION,
    NOBODY,
    RangeState,
    change,
    earned,
    find,
    open_position,
    range_margins,
    released,
)
from markets.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at
from markets.rounding import PPM, ceil_atoms, floor_atoms, ppm_up

PARTLY_FILLED = int(Code.PARTLY_FILLED)
OUT_OF_RANGE = int(Code.OUT_OF_RANGE)
UNKNOWN_POSITION = int(Code.UNKNOWN_ORDER)
RELATIVE = 2.0**-49
_ROUNDS = 64


class Place(NamedTuple):
    """Rows and columns of the pool's money, tick spacing, and the protocol's part of fees."""

    pool: int
    protocol: int
    base: int
    quote: int
    tick_spacing: int
    protocol_denominator: int


class Trade(NamedTuple):
    """A swap as quoted: code, atoms paid and received, fee, and what the curve is fed."""

    code: int
    input_atoms: int
    output_atoms: int
    fee_atoms: float
    fed: float


@njit(cache=True)
def sqrt_limit(flags: int, limit_tick: int, down: bool) -> float:
    """Where a swap stops: at the tick it names, or at the end of all ticks."""
    tick = MIN_TICK if down else MAX_TICK
    if flags & TICK_LIMIT:
        tick = max(limit_tick, tick) if down else min(limit_tick, tick)
    return sqrt_price_at(tick)


@kernel()
def _margins(state: RangeState) -> tuple[float, float]:
    """Margins of base and quote for a swap from the price, on the peak."""
    peak, root = float(state.peak[0]), state.pool.real[SQRT_PRICE]
    return peak / root * MARGIN, peak * root * MARGIN


@kernel()
def _quote_out(
    state: RangeState, fee_ppm: int, down: bool, output_atoms: int, limit: float
) -> Trade:
    """A swap for an exact output."""
    base_margin, quote_margin = _margins(state)
    margin_in, margin_out = (base_margin, quote_margin) if down else (quote_margin, base_margin)
    fed = -(output_atoms + output_atoms * RELATIVE + margin_out)
    end = curve.swap(state.pool, fee_ppm, down, fed, limit, False)
    crossed = abs(end.cursor - state.pool.whole[CURSOR])
    square = end.sqrt_price * end.sqrt_price
    rounded = (crossed + 1) * (1.0 + PPM / (PPM - fee_ppm))
    rounded += crossed * (1.0 / square if down else square)
    paid = end.amount_in + end.amount_in * RELATIVE + margin_in + rounded
    if not paid < LARGEST:
        return Trade(NO_LIQUIDITY, 0, 0, 0.0, 0.0)
    if end.complete:
        return Trade(DONE, ceil_atoms(paid), output_atoms, end.fee, fed)
    output = floor_atoms(max(end.amount_out - margin_out - crossed - 1.0, 0.0))
    if output <= 0:
        return Trade(NO_LIQUIDITY, 0, 0, 0.0, 0.0)
    return Trade(PARTLY_FILLED, ceil_atoms(paid), output, end.fee, fed)


@kernel()
def _quote_in(state: RangeState, fee_ppm: int, down: bool, input_atoms: int, limit: float) -> Trade:
    """A swap of an exact input."""
    base_margin, quote_margin = _margins(state)
    margin_in, margin_out = (base_margin, quote_margin) if down else (quote_margin, base_margin)
    net = float(input_atoms - ppm_up(input_atoms, fee_ppm))
    fed = (net - net * RELATIVE) * PPM / (PPM - fee_ppm) - margin_in
    if fed <= 0.0:
        return Trade(NO_LIQUIDITY, 0, 0, 0.0, 0.0)
    square = state.pool.real[SQRT_PRICE] * state.pool.real[SQRT_PRICE]
    end = curve.swap(state.pool, fee_ppm, down, fed, limit, False)
    crossed = abs(end.cursor - state.pool.whole[CURSOR])
    paid = input_atoms
    if not end.complete:
        per_step = 1.0 + PPM / (PPM - fee_ppm)
        taken = end.amount_in + end.amount_in * RELATIVE + margin_in + (crossed + 1) * per_step
        paid = min(paid, ceil_atoms(taken))
    kept = margin_out + crossed * (1.0 + 2.0 * (square if down else 1.0 / square))
    output = floor_atoms(max(end.amount_out - kept, 0.0))
    if output <= 0:
        return Trade(NO_LIQUIDITY, 0, 0, 0.0, 0.0)
    return Trade(DONE if end.complete else PARTLY_FILLED, paid, output, end.fee, fed)


@kernel()
def quote(state: RangeState, fee_ppm: int, down: bool, specified: int, limit: float) -> Trade:
    """A swap of `specified` > 0 input or < 0 output atoms, nothing changed."""
    if specified > 0:
        return _quote_in(state, fee_ppm, down, specified, limit)
    return _quote_out(state, fee_ppm, down, -specified, limit)


@njit(cache=True)
def _code(row: Any, trade: Trade) -> int:
    """What the sender's limits make of a quote."""
    if trade.code < 0:
        return trade.code
    if row.action == SWAP_EXACT_IN:
        return trade.code if trade.output_atoms >= row.limit else BEYOND_LIMIT
    if trade.code == PARTLY_FILLED and not row.flags & TICK_LIMIT:
        return NO_LIQUIDITY
    return trade.code if trade.input_atoms <= row.limit else BEYOND_LIMIT


@kernel()
def _way(row: Any) -> tuple[int, int]:
    """Coin paid and coin received; a swap that names a tick says so by its side."""
    if not row.flags & TICK_LIMIT:
        return way_of(row, 2)
    if row.side == BUY:
        return 1, 0
    return (0, 1) if row.side == SELL else (-1, -1)


@kernel()
def _swap(
    row: Any, balances: Matrix, place: Place, fee_ppm: int, state: RangeState, fill: Any
) -> int:
    """One swap; fills in `fill` and moves both amounts where the code is above 0."""
    way = _way(row)
    if way[0] < 0 or row.size <= 0 or row.size >= LARGEST:
        return INVALID
    down = way[0] == 0
    limit = sqrt_limit(row.flags, row.first, down)
    specified = row.size if row.action == SWAP_EXACT_IN else -row.size
    trade = quote(state, fee_ppm, down, specified, limit)
    code = _code(row, trade)
    if code < 0:
        return code
    columns = (place.base, place.quote) if down else (place.quote, place.base)
    rows, amounts = (row.account, place.pool), (trade.input_atoms, trade.output_atoms)
    if trade.input_atoms >= LARGEST:
        return INVALID
    settled = settle_swap(balances, rows, columns, amounts)
    if settled != DONE:
        return settled
    curve.swap(state.pool, fee_ppm, down, trade.fed, limit, True)
    if place.protocol_denominator > 0:
        atoms = floor_atoms(trade.fee_atoms / place.protocol_denominator)
        balances[place.pool, columns[0]] -= atoms
        balances[place.protocol, columns[0]] += atoms
    write_fill(fill, rows, way, amounts, ppm_up(trade.input_atoms, fee_ppm))
    return code


@njit(cache=True)
def deposit_for(
    state: RangeState, ticks: tuple[int, int], maxima: tuple[int, int]
) -> tuple[int, int, int]:
    """Liquidity that two maxima pay for over a range, and the base and quote atoms it costs."""
    lower, upper = ticks
    wanted = ranges.liquidity_for(state.pool, lower, upper, float(maxima[0]), float(maxima[1]))
    if not 1.0 <= wanted < LARGEST:
        return 0, 0, 0
    liquidity, less = floor_atoms(wanted), 1
    for _ in range(_ROUNDS):
        amounts = ranges.range_amounts(state.pool, lower, upper, float(liquidity))
        margins = range_margins(state, lower, upper, float(liquidity))
        base, quote_ = ceil_atoms(amounts[0]), ceil_atoms(amounts[1])
        base = ceil_atoms(amounts[0] + margins[0]) if amounts[0] > 0.0 else base
        quote_ = ceil_atoms(amounts[1] + margins[1]) if amounts[1] > 0.0 else quote_
        if base <= maxima[0] and quote_ <= maxima[1]:
            return liquidity, base, quote_
        liquidity, less = liquidity - less, 2 * less
        if liquidity <= 0:
            break
    return 0, 0, 0


@njit(cache=True)
def _valid_ticks(row: Any, place: Place) -> bool:
    lower, upper = row.first, row.second
    inside = MIN_TICK <= lower < upper <= MAX_TICK
    return inside and lower % place.tick_spacing == 0 and upper % place.tick_spacing == 0


@njit(cache=True)
def _add(row: Any, balances: Matrix, place: Place, state: RangeState) -> int:
    """Pay base and quote in for liquidity over a range."""
    if not _valid_ticks(row, place):
        return OUT_OF_RANGE
    if not (0 <= row.size < LARGEST and 0 <= row.limit < LARGEST):
        return INVALID
    maxima = (row.size, row.limit)
    liquidity, base, quote_ = deposit_for(state, (row.first, row.second), maxima)
    if liquidity == 0:
        return NO_LIQUIDITY
    if state.positions.liquidity.sum() + float(liquidity) >= LARGEST:
        return OUT_OF_RANGE
    if balances[row.account, place.base] < base or balances[row.account, place.quote] < quote_:
        return INSUFFICIENT
    slot = open_position(state, row.account, row.first, row.second)
    change(state, slot, liquidity)
    balances[row.account, place.base] -= base
    balances[row.account, place.quote] -= quote_
    balances[place.pool, place.base] += base
    balances[place.pool, place.quote] += quote_
    return DONE


@njit(cache=True)
def _pay(balances: Matrix, place: Place, account: int, amounts: tuple[int, int]) -> None:
    balances[place.pool, place.base] -= amounts[0]
    balances[place.pool, place.quote] -= amounts[1]
    balances[account, place.base] += amounts[0]
    balances[account, place.quote] += amounts[1]


@njit(cache=True)
def _remove(row: Any, balances: Matrix, place: Place, state: RangeState) -> int:
    """Take liquidity out and pay what it consists of."""
    slot = find(state, row.account, row.first, row.second)
    if slot == NO_POSITION:
        return UNKNOWN_POSITION
    if row.size <= 0:
        return INVALID
    if row.size > state.positions.liquidity[slot]:
        return INSUFFICIENT
    amounts = released(state, row.first, row.second, row.size)
    change(state, slot, -row.size)
    _pay(balances, place, row.account, amounts)
    return DONE


@njit(cache=True)
def lp_share(place: Place) -> float:
    """Part of each fee that belongs to the positions."""
    return 1.0 - 1.0 / place.protocol_denominator if place.protocol_denominator else 1.0


@njit(cache=True)
def _collect(row: Any, balances: Matrix, place: Place, state: RangeState) -> int:
    """Pay the fees owed; a position without liquidity ends here."""
    slot = find(state, row.account, row.first, row.second)
    if slot == NO_POSITION:
        return UNKNOWN_POSITION
    amounts = earned(state, slot, lp_share(place))
    change(state, slot, 0)
    ranges.collect(state.positions, slot)
    _pay(balances, place, row.account, amounts)
    if state.positions.liquidity[slot] == 0:
        state.owners[slot] = NOBODY
    return DONE


@kernel()
def execute_rows(
    rows: NDArray[np.void],
    balances: Matrix,
    place: Place,
    fee_ppm: int,
    out: tuple[Fills, NDArray[np.int64]],
    state: RangeState,
) -> int:
    """All rows in order; returns the number of fills written to `out` (fills, codes)."""
    filled = 0
    fills, codes = out
    for at in range(len(rows)):
        row = rows[at]
        if row.action == SWAP_EXACT_IN or row.action == SWAP_EXACT_OUT:
            codes[at] = _swap(row, balances, place, fee_ppm, state, fills[filled])
            if codes[at] > 0:
                filled += 1
        elif row.action == ADD_RANGE:
            codes[at] = _add(row, balances, place, state)
        elif row.action == REMOVE_RANGE:
            codes[at] = _remove(row, balances, place, state)
        elif row.action == COLLECT:
            codes[at] = _collect(row, balances, place, state)
        else:
            codes[at] = INVALID
    return filled
