"""Constant-product pool on a chain: swaps, deposits and withdrawals against two reserves.

The reserves are the balances of the pool's account and nothing else. The mathematics is float64
(`markets.pools.constant_product`); what is paid out is floored and what is asked for is ceiled with
a slack, so that k never falls and no atom leaves the pool that the exact contract would keep. Fees
are part of the input, stay in the reserves and belong to the shares. The first deposit mints
sqrt(base * quote) shares, 1,000 atoms of them locked for ever; later deposits take base and quote
in the pool's ratio, rounded up, for shares rounded down.

Source: Uniswap v2-core and v2-periphery. Left out: the protocol fee, flash swaps, the oracle.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.assets import Asset, Instrument
from markets.errors import BrokenInvariant
from markets.intents import (
    ADD_LIQUIDITY,
    BUY,
    REMOVE_LIQUIDITY,
    SELL,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
)
from markets.ledger import Matrix
from markets.market import Market
from markets.outcomes import FILL, Code, Fills, Flows, Reason, flows
from markets.pools import constant_product as curve
from markets.rounding import ceil_atoms, floor_atoms, ppm_up
from markets.venue import Moment, Venue

MINIMUM_SHARES = 1_000
LARGEST = 2.0**62

DONE = int(Code.DONE)
INVALID = int(Code.INVALID)
INSUFFICIENT = int(Code.INSUFFICIENT_BALANCE)
BEYOND_LIMIT = int(Code.BEYOND_LIMIT)
NO_LIQUIDITY = int(Code.NO_LIQUIDITY)


class Place(NamedTuple):
    """Where the pool's money is: its row, the row of locked shares, and three columns."""

    pool: int
    lock: int
    base: int
    quote: int
    share: int
    fee_ppm: int


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
def _swap_amounts(
    row: Any, reserve_in: int, reserve_out: int, fee_ppm: int
) -> tuple[int, int, int]:
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
def _swap(row: Any, balances: Matrix, place: Place, fill: Any) -> int:
    """One swap; fills in `fill` and moves both amounts where the code is DONE."""
    if row.side != BUY and row.side != SELL:
        return INVALID
    paid, received = (place.quote, place.base) if row.side == BUY else (place.base, place.quote)
    code, input_atoms, output_atoms = _swap_amounts(
        row, balances[place.pool, paid], balances[place.pool, received], place.fee_ppm
    )
    if code != DONE:
        return code
    if balances[row.account, paid] < input_atoms:
        return INSUFFICIENT
    if balances[place.pool, paid] + input_atoms >= LARGEST:
        return INVALID
    balances[row.account, paid] -= input_atoms
    balances[place.pool, paid] += input_atoms
    balances[place.pool, received] -= output_atoms
    balances[row.account, received] += output_atoms
    fill.taker, fill.maker, fill.side = row.account, place.pool, row.side
    fill.base_atoms = output_atoms if row.side == BUY else input_atoms
    fill.quote_atoms = input_atoms if row.side == BUY else output_atoms
    fill.taker_fee_atoms = ppm_up(input_atoms, place.fee_ppm)
    return DONE


@njit(cache=True)
def _deposit_amounts(row: Any, balances: Matrix, place: Place) -> tuple[int, int, int]:
    """Base, quote and shares of a deposit of at most `row.size` base and `row.limit` quote."""
    supply = -balances[place.pool, place.share]
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
def _add(row: Any, balances: Matrix, place: Place) -> int:
    """Take base and quote in, give shares out; the first depositor loses the locked minimum."""
    if not (0 < row.size < LARGEST and 0 < row.limit < LARGEST):
        return INVALID
    first = balances[place.pool, place.share] == 0
    base_atoms, quote_atoms, shares = _deposit_amounts(row, balances, place)
    locked = MINIMUM_SHARES if first else 0
    if shares <= locked:
        return NO_LIQUIDITY
    sender = balances[row.account]
    if sender[place.base] < base_atoms or sender[place.quote] < quote_atoms:
        return INSUFFICIENT
    for column, atoms in ((place.base, base_atoms), (place.quote, quote_atoms)):
        sender[column] -= atoms
        balances[place.pool, column] += atoms
    balances[place.pool, place.share] -= shares
    balances[place.lock, place.share] += locked
    sender[place.share] += shares - locked
    return DONE


@njit(cache=True)
def _remove(row: Any, balances: Matrix, place: Place) -> int:
    """Take shares back, pay out the same part of both reserves."""
    if row.size <= 0:
        return INVALID
    sender = balances[row.account]
    if sender[place.share] < row.size:
        return INSUFFICIENT
    supply = -balances[place.pool, place.share]
    for column in (place.base, place.quote):
        atoms = floor_atoms(curve.amount_for(row.size, balances[place.pool, column], supply))
        balances[place.pool, column] -= atoms
        sender[column] += atoms
    sender[place.share] -= row.size
    balances[place.pool, place.share] += row.size
    return DONE


@njit(cache=True)
def _execute(intents: Fills, balances: Matrix, place: Place, fills: Fills, codes: Matrix) -> int:
    """All rows in order; returns the number of fills written."""
    filled = 0
    for at in range(len(intents)):
        row = intents[at]
        if row.action == SWAP_EXACT_IN or row.action == SWAP_EXACT_OUT:
            codes[at] = _swap(row, balances, place, fills[filled])
            if codes[at] == DONE:
                filled += 1
        elif row.action == ADD_LIQUIDITY:
            codes[at] = _add(row, balances, place)
        elif row.action == REMOVE_LIQUIDITY:
            codes[at] = _remove(row, balances, place)
        else:
            codes[at] = INVALID
    return filled


@dataclass(frozen=True)
class PoolView:
    """A pool as agents see it; reserves and shares in atoms, prices in quote per base."""

    index: int
    instrument: Instrument
    fee_ppm: int
    base_atoms: int
    quote_atoms: int
    shares_atoms: int
    share_column: int

    @property
    def mid(self) -> float:
        """Marginal price without the fee; NaN for an empty pool."""
        if not self.base_atoms:
            return math.nan
        base, quote = self.instrument.base, self.instrument.quote
        return self.quote_atoms / quote.scale / (self.base_atoms / base.scale)

    @property
    def bid(self) -> float:
        """What a seller of very little base receives for a unit, after the fee."""
        return self.mid * (1 - self.fee_ppm / curve.PPM)

    @property
    def ask(self) -> float:
        """What a buyer of very little base pays for a unit, fee included."""
        return self.mid / (1 - self.fee_ppm / curve.PPM)

    def _reserves(self, side: int) -> tuple[int, int]:
        both = (self.quote_atoms, self.base_atoms)
        return both if side == BUY else both[::-1]

    def output_atoms(self, side: int, input_atoms: int) -> int:
        """What a swap with an exact input would pay now."""
        return int(quote_exact_in(*self._reserves(side), self.fee_ppm, input_atoms))

    def input_atoms(self, side: int, output_atoms: int) -> int:
        """What a swap with an exact output would cost now; -1 if the pool cannot pay it."""
        return int(quote_exact_out(*self._reserves(side), self.fee_ppm, output_atoms))

    def input_until(self, side: int, limit: float) -> int:
        """Input atoms (floored) after which the next unit trades at `limit` quote per base.

        A buyer's limit includes the fee, a seller's is after it; 0 when it is reached already.
        """
        atomic = limit * self.instrument.quote.scale / self.instrument.base.scale
        output_per_input = 1 / atomic if side == BUY else atomic
        paid, received = (float(atoms) for atoms in self._reserves(side))
        wanted = curve.input_until_price(paid, received, self.fee_ppm, output_per_input)
        return int(min(wanted, LARGEST - 1))


class ConstantProductPool(Venue):
    """A pool of one pair. Its shares are the asset `<name>:share` of 6 decimals."""

    class Params(params.Params):
        """Parameters of the pool."""

        fee_ppm: int = Field(3_000, ge=0, lt=1_000_000)
        """Fee on the input, in millionths."""

    atomic = True

    def __init__(self, name: str, domain: str, instrument: Instrument, params: Params) -> None:
        super().__init__()
        self.name = name
        self.domain = domain
        self.instrument = instrument
        self.params = params
        self.share = Asset(f"{name}:share", 6)
        self._traded_atoms = 0
        self._trades = 0

    def columns(self) -> tuple[Asset, ...]:
        """See `Venue.columns`."""
        return (self.instrument.base, self.instrument.quote, self.share)

    def open(self, market: Market) -> None:
        """See `Venue.open`."""
        self.accounts = market.open_accounts(self.name, self.domain, 2)
        self._ledger = market.ledger
        market.ledger.allow_issue(int(self.accounts[0]), self.share.name)
        base, quote, share = (market.ledger.column[asset.name] for asset in self.columns())
        pool, lock = (int(row) for row in self.accounts)
        self.place = Place(pool, lock, base, quote, share, self.params.fee_ppm)

    def reserves(self) -> tuple[int, int, int]:
        """Base atoms, quote atoms and share atoms in circulation."""
        row = self._ledger.balances[self.place.pool]
        return int(row[self.place.base]), int(row[self.place.quote]), -int(row[self.place.share])

    def observe(self, moment: Moment) -> PoolView:
        """See `Venue.observe`."""
        return PoolView(
            self.index, self.instrument, self.params.fee_ppm, *self.reserves(), self.place.share
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """See `Venue.execute`."""
        fills, codes = np.zeros(len(intents), FILL), np.zeros(len(intents), np.int64)
        count = _execute(intents, self._ledger.balances, self.place, fills, codes)
        if count:
            self._fills.append(fills[:count])
            self._flows.append(self._fee_flows(fills[:count]))
            self._flows.append(self._value_flows(fills[:count], moment))
        return codes

    def _fee_flows(self, fills: Fills) -> Flows:
        buys = fills["side"] == BUY
        paid = [(self.place.quote, fills[buys]), (self.place.base, fills[~buys])]
        return np.concatenate(
            [
                flows(rows["taker"], self.place.pool, column, rows["taker_fee_atoms"], Reason.FEE)
                for column, rows in paid
            ]
        )

    def _value_flows(self, fills: Fills, moment: Moment) -> Flows:
        """What swaps gained (arbitrage) or lost (slippage) against the reference, fee included."""
        reference = moment.reference.get(self.instrument.base.name, math.nan)
        if not math.isfinite(reference):
            return flows(0, 0, 0, np.zeros(0, np.int64), Reason.ARBITRAGE)
        scale = self.instrument.quote.scale / self.instrument.base.scale
        worth = reference * scale * fills["base_atoms"]
        gain = np.rint(fills["side"] * (worth - fills["quote_atoms"])).astype(np.int64)
        rows = flows(self.place.pool, fills["taker"], self.place.quote, gain, Reason.ARBITRAGE)
        rows["reason"][rows["receiver"] == self.place.pool] = Reason.SLIPPAGE
        return rows

    def check(self) -> None:
        """Reserves and shares exist together, and the locked shares never move."""
        base, quote, shares = self.reserves()
        locked = int(self._ledger.balances[self.place.lock, self.place.share])
        if locked != (MINIMUM_SHARES if shares else 0):
            raise BrokenInvariant("locked shares moved", self.name, self.share.name, locked)
        if shares and not (base > 0 and quote > 0):
            raise BrokenInvariant("a reserve is empty", self.name, self.share.name, shares)

    def measure(self, moment: Moment) -> dict[str, float]:
        """See `Venue.measure`."""
        view = self.observe(moment)
        base, quote = self.instrument.base, self.instrument.quote
        reserve = base.to_units(view.base_atoms)
        return {
            "mid": view.mid,
            "bid": view.bid,
            "ask": view.ask,
            "bid_depth": reserve * (1 / math.sqrt(0.99) - 1),
            "ask_depth": reserve * (1 - 1 / math.sqrt(1.01)),
            "volume": base.to_units(self._traded_atoms),
            "trades": self._trades,
            "base_reserve": reserve,
            "quote_reserve": quote.to_units(view.quote_atoms),
        }

    def drain_fills(self) -> Fills:
        """See `Venue.drain_fills`; also closes the step's volume."""
        fills = super().drain_fills()
        self._traded_atoms, self._trades = int(fills["base_atoms"].sum()), len(fills)
        return fills

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """A share is worth its part of both reserves at the reference price."""
        base, quote, shares = self.reserves()
        if not shares:
            return {self.share.name: 0.0}
        reference = moment.reference.get(self.instrument.base.name, math.nan)
        value = self.instrument.base.to_units(base) * reference
        value += self.instrument.quote.to_units(quote)
        return {self.share.name: value / self.share.to_units(shares)}

    def snapshot(self) -> tuple[int, int]:
        """See `Venue.snapshot`: what a failed bundle recorded is taken back."""
        return len(self._fills), len(self._flows)

    def restore(self, state: tuple[int, int]) -> None:
        """See `Venue.restore`."""
        del self._fills[state[0] :]
        del self._flows[state[1] :]
