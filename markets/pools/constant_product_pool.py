"""Constant-product pool: swaps, deposits and withdrawals against two reserves.

The mathematics is float64 (`markets.pools.constant_product`); what is paid out is floored and what
is asked for is ceiled with a slack, so that k never falls and no atom leaves the pool that the
exact contract would keep. Fees are part of the input, stay in the reserves and belong to the
shares. The first deposit mints sqrt(base * quote) shares, 1,000 atoms of them locked for ever;
later deposits take base and quote in the pool's ratio, rounded up, for shares rounded down. With
the protocol fee on, the next deposit or withdrawal first mints the protocol's shares, floored: one
sixth of the growth of sqrt(k) since the one before.

Source: Uniswap v2-core and v2-periphery. Left out: flash swaps, the price oracle.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.assets import Instrument
from markets.errors import BrokenInvariant
from markets.intents import (
    ADD_LIQUIDITY,
    REMOVE_LIQUIDITY,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
)
from markets.kernel import njit
from markets.ledger import Matrix
from markets.market import Market
from markets.outcomes import Fills
from markets.pools import constant_product as curve
from markets.pools.pool import (
    BEYOND_LIMIT,
    DONE,
    INSUFFICIENT,
    INVALID,
    LARGEST,
    MINIMUM_SHARES,
    NO_LIQUIDITY,
    Pool,
    Way,
    coins_of,
    settle_swap,
    way_of,
    write_fill,
)
from markets.pools.pool import PoolView as AnyPoolView
from markets.rounding import ceil_atoms, floor_atoms, ppm_up
from markets.venue import Moment


class Place(NamedTuple):
    """Where the pool's money is: its row, the locked and the protocol's shares, three columns."""

    pool: int
    lock: int
    protocol: int
    base: int
    quote: int
    share: int
    protocol_fee: bool


@njit(cache=True)
def quote_exact_in(reserve_in: int, reserve_out: int, fee_ppm: int, input_atoms: int) -> int:
    """Output atoms for an exact input: what a swap of that size pays, and nothing is moved."""
    output = curve.amount_out(float(reserve_in), float(reserve_out), fee_ppm, float(input_atoms))
    return floor_atoms(output)


@njit(cache=True)
def quote_exact_out(reserve_in: int, reserve_out: int, fee_ppm: int, output_atoms: int) -> int:
    """Input atoms for an exact output; -1 when the pool cannot pay it."""
    needed = curve.amount_in(float(reserve_in), float(reserve_out), fee_ppm, float(output_atoms))
    return ceil_atoms(needed) if needed < LARGEST else -1


@njit(cache=True)
def swap_amounts(row: Any, reserve_in: int, reserve_out: int, fee_ppm: int) -> tuple[int, int, int]:
    """Code, input and output of a swap before the sender's balance is looked at."""
    if row.size <= 0 or row.size >= LARGEST:
        return INVALID, 0, 0
    if row.action == SWAP_EXACT_IN:
        output = quote_exact_in(reserve_in, reserve_out, fee_ppm, row.size)
        if output <= 0:
            return NO_LIQUIDITY, 0, 0
        return (DONE if output >= row.limit else BEYOND_LIMIT), row.size, output
    needed = quote_exact_out(reserve_in, reserve_out, fee_ppm, row.size)
    if needed < 0:
        return NO_LIQUIDITY, 0, 0
    return (DONE if needed <= row.limit else BEYOND_LIMIT), needed, row.size


@njit(cache=True)
def _swap(
    row: Any, balances: Matrix, place: Place, fee_ppm: int, fill: Any, growth: NDArray[np.float64]
) -> int:
    """One swap; fills in `fill` and moves both amounts where the code is DONE."""
    way = way_of(row, 2)
    if way[0] < 0:
        return INVALID
    columns = (place.quote, place.base) if way[0] == 1 else (place.base, place.quote)
    reserve_in = balances[place.pool, columns[0]]
    code, input_atoms, output_atoms = swap_amounts(
        row, reserve_in, balances[place.pool, columns[1]], fee_ppm
    )
    if code != DONE:
        return code
    rows, amounts = (row.account, place.pool), (input_atoms, output_atoms)
    code = settle_swap(balances, rows, columns, amounts)
    if code == DONE:
        write_fill(fill, rows, way, amounts, ppm_up(input_atoms, fee_ppm))
        if place.protocol_fee:
            growth[0] += curve.fee_growth(float(reserve_in), fee_ppm, float(input_atoms))
    return code


@njit(cache=True)
def _protocol_shares(balances: Matrix, place: Place, growth: NDArray[np.float64]) -> int:
    """Shares owed to the protocol for the growth since the last deposit or withdrawal."""
    if growth[0] <= 0.0:
        return 0
    supply = -balances[place.pool, place.share]
    return floor_atoms(curve.protocol_shares(growth[0], float(supply)))


@njit(cache=True)
def _mint(balances: Matrix, place: Place, row: int, shares: int) -> None:
    balances[place.pool, place.share] -= shares
    balances[row, place.share] += shares


@njit(cache=True)
def _deposit_amounts(row: Any, balances: Matrix, place: Place, supply: int) -> tuple[int, int, int]:
    """Base, quote and shares of a deposit of at most `row.size` base and `row.limit` quote."""
    if supply == 0:
        return (
            row.size,
            row.limit,
            floor_atoms(curve.first_shares(float(row.size), float(row.limit), 0.0)),
        )
    base, quote = float(balances[place.pool, place.base]), float(balances[place.pool, place.quote])
    shares = floor_atoms(curve.shares_for(row.size, row.limit, base, quote, supply))
    return (
        min(row.size, ceil_atoms(curve.amount_for(shares, base, supply))),
        min(row.limit, ceil_atoms(curve.amount_for(shares, quote, supply))),
        shares,
    )


@njit(cache=True)
def add_shares(row: Any, balances: Matrix, place: Place, growth: NDArray[np.float64]) -> int:
    """Take base and quote in, give shares out; the first depositor loses the locked minimum."""
    if not (0 < row.size < LARGEST and 0 < row.limit < LARGEST):
        return INVALID
    owed = _protocol_shares(balances, place, growth)
    supply = owed - balances[place.pool, place.share]
    base_atoms, quote_atoms, shares = _deposit_amounts(row, balances, place, supply)
    locked = MINIMUM_SHARES if supply == 0 else 0
    if shares <= locked:
        return NO_LIQUIDITY
    sender = balances[row.account]
    if sender[place.base] < base_atoms or sender[place.quote] < quote_atoms:
        return INSUFFICIENT
    for column, atoms in ((place.base, base_atoms), (place.quote, quote_atoms)):
        if balances[place.pool, column] + atoms >= LARGEST:
            return INVALID
    for column, atoms in ((place.base, base_atoms), (place.quote, quote_atoms)):
        sender[column] -= atoms
        balances[place.pool, column] += atoms
    _mint(balances, place, place.protocol, owed)
    _mint(balances, place, place.lock, locked)
    _mint(balances, place, row.account, shares - locked)
    growth[0] = 0.0
    return DONE


@njit(cache=True)
def remove_shares(row: Any, balances: Matrix, place: Place, growth: NDArray[np.float64]) -> int:
    """Take shares back, pay out the same part of both reserves."""
    if row.size <= 0:
        return INVALID
    sender = balances[row.account]
    if sender[place.share] < row.size:
        return INSUFFICIENT
    _mint(balances, place, place.protocol, _protocol_shares(balances, place, growth))
    growth[0] = 0.0
    supply = -balances[place.pool, place.share]
    for column in (place.base, place.quote):
        atoms = floor_atoms(curve.amount_for(row.size, balances[place.pool, column], supply))
        balances[place.pool, column] -= atoms
        sender[column] += atoms
    _mint(balances, place, row.account, -row.size)
    return DONE


@njit(cache=True)
def _execute(
    rows: NDArray[np.void],
    balances: Matrix,
    place: Place,
    fee_ppm: int,
    out: tuple[Fills, NDArray[np.int64]],
    growth: NDArray[np.float64],
) -> int:
    """All rows in order; returns the number of fills written to `out` (fills, codes)."""
    filled = 0
    fills, codes = out
    for at in range(len(rows)):
        row = rows[at]
        if row.action == SWAP_EXACT_IN or row.action == SWAP_EXACT_OUT:
            codes[at] = _swap(row, balances, place, fee_ppm, fills[filled], growth)
            if codes[at] == DONE:
                filled += 1
        elif row.action == ADD_LIQUIDITY:
            codes[at] = add_shares(row, balances, place, growth)
        elif row.action == REMOVE_LIQUIDITY:
            codes[at] = remove_shares(row, balances, place, growth)
        else:
            codes[at] = INVALID
    return filled


@dataclass(frozen=True)
class PoolView(AnyPoolView):
    """A constant-product pool as agents see it."""

    def curve_price(self, way: Way) -> float:
        """See `PoolView.curve_price`."""
        paid, received = self._reserves(way)
        return self._per_unit(way, received / paid) if paid else math.nan

    @property
    def mid(self) -> float:
        """Marginal price without the fee; NaN for an empty pool."""
        if not self.base_atoms:
            return math.nan
        base, quote = self.instrument.base, self.instrument.quote
        return self.quote_atoms / quote.scale / (self.base_atoms / base.scale)

    def _reserves(self, way: Way) -> tuple[int, int]:
        paid, received = coins_of(way)
        return self.reserves_atoms[paid], self.reserves_atoms[received]

    def output_atoms(self, way: Way, input_atoms: int) -> int:
        """See `PoolView.output_atoms`."""
        if not 0 < input_atoms < LARGEST:
            return 0
        return int(quote_exact_in(*self._reserves(way), self.fee_ppm, input_atoms))

    def input_atoms(self, way: Way, output_atoms: int) -> int:
        """See `PoolView.input_atoms`."""
        if not 0 < output_atoms < LARGEST:
            return -1
        return int(quote_exact_out(*self._reserves(way), self.fee_ppm, output_atoms))

    def input_until(self, way: Way, limit: float) -> int:
        """See `PoolView.input_until`: the closed form."""
        paid, received = self._reserves(way)
        if not paid:
            return 0
        atomic = self._atomic(way, limit)
        wanted = curve.input_until_price(float(paid), float(received), self.fee_ppm, atomic)
        return int(min(wanted, LARGEST - 1))


class ConstantProductPool(Pool):
    """A pool of one pair. Its shares are the asset `<name>:share` of 6 decimals."""

    class Params(Pool.Params):
        """Parameters of the pool."""

        protocol_fee: bool = False
        """Whether a sixth of the growth of sqrt(k) is minted to the protocol."""

    def __init__(self, name: str, domain: str, instrument: Instrument, params: Params) -> None:
        super().__init__(name, domain, (instrument.base, instrument.quote), params)
        self.instrument = instrument
        self.params = params
        self._growth = np.zeros(1)

    def open(self, market: Market) -> None:
        """See `Venue.open`."""
        super().open(market)
        base, quote = (int(column) for column in self.coin_columns)
        rows = (self.pool_row, self.lock_row, self.protocol_row)
        self.place = Place(*rows, base, quote, self.share_column, self.params.protocol_fee)

    def observe(self, moment: Moment) -> PoolView:
        """See `Venue.observe`."""
        row = self._ledger.balances[self.pool_row]
        base, quote, share = self.place.base, self.place.quote, self.share_column
        return PoolView(
            self.index,
            self.instrument,
            self.coins,
            self.fee_ppm,
            (int(row[base]), int(row[quote])),
            -int(row[share]),
            share,
        )

    def settle(
        self,
        rows: NDArray[np.void],
        fills: Fills,
        codes: NDArray[np.int64],
        moment: Moment,
    ) -> int:
        """See `Pool.settle`."""
        balances = self._ledger.balances
        out = (fills, codes)
        return _execute(rows, balances, self.place, self.fee_ppm, out, self._growth)

    def check(self) -> None:
        """Reserves and shares exist together, and the locked shares never move."""
        view = self._ledger.balances
        base, quote = self.reserves_atoms()
        shares = self.shares_atoms()
        locked = int(view[self.lock_row, self.share_column])
        if locked != (MINIMUM_SHARES if shares else 0):
            raise BrokenInvariant("locked shares moved", self.name, self.share.name, locked)
        if shares and not (base > 0 and quote > 0):
            raise BrokenInvariant("a reserve is empty", self.name, self.share.name, shares)

    def depths(self, view: AnyPoolView) -> tuple[float, float]:
        """Base within 1 % of the mid, fees left aside: the closed form."""
        reserve = self.coins[0].to_units(view.base_atoms)
        return reserve * (1 / math.sqrt(0.99) - 1), reserve * (1 - 1 / math.sqrt(1.01))

    def state(self) -> float:
        """See `Pool.state`: the growth that the protocol has not been paid for."""
        return float(self._growth[0])

    def set_state(self, state: float) -> None:
        """See `Pool.set_state`."""
        self._growth[0] = state
