"""Concentrated-liquidity pool: positions over ranges of ticks, swaps that walk from tick to tick.

Coin 0 (base) is token0, coin 1 token1; tick t is the price 1.0001^t in quote atoms per base atom.
`add_range` opens or enlarges the position of (account, lower, upper): it takes the most liquidity,
a whole number, that both maxima pay for, the amounts rounded up. `remove_range` pays at once what
the liquidity taken out consists of, rounded down; fees stay owed until `collect`. Reserves and fees
owed lie in the pool's account, and `check` proves that they cover all claims together. Fees stay
outside the curve. With the protocol fee on, one part in `protocol_denominator` of each fee goes to
the protocol's account with the swap, the rest to the positions in range.
A swap fills in part when liquidity ends (the price then runs to the end of the ticks, as in the
contract) or at the tick that it names (`until_tick`); an exact output that cannot be had is
rejected, unless it names a tick. A position counts as its owner's wealth: see `escrowed`.

Source: Uniswap/v3-core contracts/UniswapV3Pool.sol. Left out: flash, observations, the limit of
liquidity per tick; the protocol's part is fixed for the life of the pool.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets.assets import Instrument
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import ADD_RANGE
from markets.market import Market
from markets.outcomes import Fills
from markets.pools import concentrated as curve
from markets.pools.concentrated import LIQUIDITY, SQRT_PRICE
from markets.pools.concentrated_settlement import (
    Place,
    deposit_for,
    execute_rows,
    lp_share,
    quote,
    sqrt_limit,
)
from markets.pools.pool import LARGEST, Pool, PoolView, Way, coins_of
from markets.pools.range_state import (
    NOBODY,
    RangeState,
    audit,
    claims,
    copied,
    empty_state,
    position_at,
    with_room,
)
from markets.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at, tick_at
from markets.venue import Escrow, Moment


@dataclass(frozen=True)
class Position:
    """One position: its liquidity, what taking it out pays, and the fees it could collect."""

    liquidity: int
    base_atoms: int
    quote_atoms: int
    base_fee_atoms: int
    quote_fee_atoms: int


@dataclass(frozen=True)
class ConcentratedView(PoolView):
    """A concentrated pool as agents see it; the reserves include fees that are owed."""

    tick_spacing: int
    state: RangeState
    """The pool's own arrays, to be read during this step only."""
    lp_share: float

    @property
    def liquidity(self) -> int:
        """Liquidity active at the price."""
        return int(self.state.pool.whole[LIQUIDITY])

    @property
    def tick(self) -> int:
        """Tick of the price."""
        return int(curve.current_tick(self.state.pool))

    def tick_for(self, price: float) -> int:
        """The tick at or below a price (quote per base units) that ranges may end on."""
        atomic = price * self.coins[1].scale / self.coins[0].scale
        tick = tick_at(math.sqrt(atomic)) // self.tick_spacing * self.tick_spacing
        lowest = -(MAX_TICK // self.tick_spacing) * self.tick_spacing
        return int(min(max(tick, lowest), -lowest))

    def price_at(self, tick: int) -> float:
        """Price of a tick in units."""
        return float(sqrt_price_at(tick)) ** 2 * self.coins[0].scale / self.coins[1].scale

    def curve_price(self, way: Way) -> float:
        """See `PoolView.curve_price`; of the price alone, wherever liquidity is."""
        square = float(self.state.pool.real[SQRT_PRICE]) ** 2
        return self._per_unit(way, square if coins_of(way)[0] == 0 else 1.0 / square)

    def swap_atoms(self, way: Way, input_atoms: int) -> tuple[int, int]:
        """Input taken and output paid: less than all of the input where liquidity ends."""
        if not 0 < input_atoms < LARGEST:
            return 0, 0
        down = coins_of(way)[0] == 0
        trade = quote(self.state, self.fee_ppm, down, input_atoms, sqrt_limit(0, 0, down))
        return int(trade.input_atoms), int(trade.output_atoms)

    def output_atoms(self, way: Way, input_atoms: int) -> int:
        """See `PoolView.output_atoms`; the output of the part that would be filled."""
        return self.swap_atoms(way, input_atoms)[1]

    def input_atoms(self, way: Way, output_atoms: int) -> int:
        """See `PoolView.input_atoms`."""
        if not 0 < output_atoms < LARGEST:
            return -1
        down = coins_of(way)[0] == 0
        trade = quote(self.state, self.fee_ppm, down, -output_atoms, sqrt_limit(0, 0, down))
        whole = trade.code > 0 and trade.output_atoms == output_atoms
        return int(trade.input_atoms) if whole and trade.input_atoms < LARGEST else -1

    def input_until(self, way: Way, limit: float) -> int:
        """See `PoolView.input_until`: the walk to the limit price."""
        down, atomic = coins_of(way)[0] == 0, self._atomic(way, limit)
        end = curve.swap_until_price(self.state.pool, self.fee_ppm, down, atomic, False)
        return int(min(end.amount_in, LARGEST - 1))

    def deposit(
        self, lower_tick: int, upper_tick: int, base_atoms: int, quote_atoms: int
    ) -> tuple[int, int, int]:
        """Liquidity that two maxima pay for now, and the base and quote atoms it costs."""
        ticks, maxima = (lower_tick, upper_tick), (base_atoms, quote_atoms)
        liquidity, base, quote_ = deposit_for(self.state, ticks, maxima)
        return int(liquidity), int(base), int(quote_)

    def position(self, account: int, lower_tick: int, upper_tick: int) -> Position:
        """The account's position over a range; all zeros where it has none."""
        found = position_at(self.state, account, lower_tick, upper_tick, self.lp_share)
        return Position(*found)


class ConcentratedPool(Pool):
    """A pool of one pair with ranges; it has no shares."""

    class Params(Pool.Params):
        """Parameters of the pool."""

        initial_price: float = Field(gt=0)
        """Price before the first position, in quote per base."""
        tick_spacing: int = Field(60, ge=1, le=16_384)
        """Ticks between the prices at which ranges may begin and end."""
        protocol_denominator: int = Field(0, ge=0, le=10)
        """One part in so many of each fee is the protocol's; 0: none, else at least 4."""

    has_shares = False

    def __init__(self, name: str, domain: str, instrument: Instrument, params: Params) -> None:
        super().__init__(name, domain, (instrument.base, instrument.quote), params)
        self.instrument = instrument
        self.params = params
        atomic = params.initial_price * instrument.quote.scale / instrument.base.scale
        if not sqrt_price_at(MIN_TICK) < math.sqrt(atomic) < sqrt_price_at(MAX_TICK):
            raise ConfigError(f"{name}.initial_price", "is beyond the range of ticks")
        if params.protocol_denominator in (1, 2, 3):
            raise ConfigError(f"{name}.protocol_denominator", "must be 0, or 4 to 10")
        self.ranges = empty_state(math.sqrt(atomic))

    def open(self, market: Market) -> None:
        """See `Venue.open`."""
        super().open(market)
        base, quote_ = (int(column) for column in self.coin_columns)
        grid = (self.params.tick_spacing, self.params.protocol_denominator)
        self.place = Place(self.pool_row, self.protocol_row, base, quote_, *grid)
        self._lp_share = float(lp_share(self.place))

    def observe(self, moment: Moment) -> ConcentratedView:
        """See `Venue.observe`."""
        row = self._ledger.balances[self.pool_row]
        return ConcentratedView(
            self.index,
            self.instrument,
            self.coins,
            self.fee_ppm,
            (int(row[self.place.base]), int(row[self.place.quote])),
            0,
            self.share_column,
            self.params.tick_spacing,
            self.ranges,
            self._lp_share,
        )

    def settle(
        self,
        rows: NDArray[np.void],
        fills: Fills,
        codes: NDArray[np.int64],
        moment: Moment,
    ) -> int:
        """See `Pool.settle`."""
        adds = int((rows["action"] == ADD_RANGE).sum())
        if adds:
            self.ranges = with_room(self.ranges, adds)
        balances, out = self._ledger.balances, (fills, codes)
        return execute_rows(rows, balances, self.place, self.fee_ppm, out, self.ranges)

    def check(self) -> None:
        """Claims are covered; net liquidity sums to zero and, below the cursor, to the active."""
        net, active, *claimed = audit(self.ranges, self._lp_share)
        if net:
            raise BrokenInvariant("net liquidity", self.name, "ticks", net)
        if active:
            raise BrokenInvariant("active liquidity", self.name, "ticks", active)
        for coin, owed, held in zip(self.coins, claimed, self.reserves_atoms(), strict=True):
            if owed > held:
                raise BrokenInvariant("claims exceed reserves", self.name, coin.name, owed - held)

    def escrowed(self) -> list[Escrow]:
        """See `Venue.escrowed`: what each position could withdraw and collect."""
        claimed = claims(self.ranges, self._lp_share)
        open_ = np.flatnonzero(self.ranges.owners != NOBODY)
        owners = self.ranges.owners[open_]
        return [
            Escrow(self.pool_row, int(column), owners, claimed[coin][open_])
            for coin, column in enumerate(self.coin_columns)
        ]

    def depths(self, view: PoolView) -> tuple[float, float]:
        """See `Pool.depths`; nothing where no liquidity is active."""
        if not (isinstance(view, ConcentratedView) and view.liquidity):
            return 0.0, 0.0
        return super().depths(view)

    def state(self) -> RangeState:
        """See `Pool.state`."""
        return copied(self.ranges)

    def set_state(self, state: RangeState) -> None:
        """See `Pool.set_state`."""
        self.ranges = state
