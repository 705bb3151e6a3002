"""What all pools share: accounts, settlement of swaps, fills and flows, shares, bundles, the view.

A pool trades two to eight coins; coin 0 is the base, coin 1 the quote of its figures. The reserves
are the balances of the pool's own account and nothing else; its shares, where it has them, are the
asset `<name>:share`, issued by that account. Every swap goes one way, from the coin paid to the
coin received, both by index; BUY stands for (1, 0), SELL for (0, 1). In a fill the coin of lower
index counts as base, and `maker_order` holds 8 x coin paid + coin received.

Each pool computes in float64 and hands integers over, rounded in its own favour: what it pays is
floored, what it asks for is ceiled. A view quotes with the very kernel of the swap, hence quotes
are equal to the swap that follows. Flows (the fee; what the swap, but for the fee, gained or lost
against the price outside at the moment it was made) are worked out only when somebody drains them.
A coin without an outside price, as in a pool of stable coins, counts as 1 in the worth of a share.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.assets import Asset, Instrument
from markets.errors import ConfigError
from markets.intents import BUY, POOL_INTENT, SELL, TICK_LIMIT
from markets.kernel import njit
from markets.ledger import Matrix
from markets.market import Market
from markets.outcomes import FILL, Code, Fills, Flows, Reason, flows
from markets.pools.volatility_fee import VolatilityFee
from markets.rounding import PPM
from markets.venue import Moment, Venue

LARGEST = 2.0**62
MOST_COINS = 8
MINIMUM_SHARES = 1_000
"""Share atoms of the first deposit that are locked for ever."""

DONE = int(Code.DONE)
INVALID = int(Code.INVALID)
INSUFFICIENT = int(Code.INSUFFICIENT_BALANCE)
BEYOND_LIMIT = int(Code.BEYOND_LIMIT)
NO_LIQUIDITY = int(Code.NO_LIQUIDITY)

Way = int | tuple[int, int]
"""BUY, SELL, or (coin paid, coin received)."""


@njit(cache=True)
def way_of(row: Any, coins: int) -> tuple[int, int]:
    """Coin paid and coin received of a swap; (-1, -1) where it names none, or a tick to stop at."""
    if row.flags & TICK_LIMIT:
        return -1, -1
    if row.side == BUY:
        return 1, 0
    if row.side == SELL:
        return 0, 1
    paid, received = row.first, row.second
    if row.side != 0 or paid == received or min(paid, received) < 0:
        return -1, -1
    return (paid, received) if max(paid, received) < coins else (-1, -1)


@njit(cache=True)
def settle_swap(
    balances: Matrix, rows: tuple[int, int], columns: tuple[int, int], amounts: tuple[int, int]
) -> int:
    """Move input and output between account and pool; nothing moves unless the code is DONE."""
    account, pool = rows
    paid, received = columns
    input_atoms, output_atoms = amounts
    if balances[account, paid] < input_atoms:
        return INSUFFICIENT
    if balances[pool, paid] + input_atoms >= LARGEST:
        return INVALID
    balances[account, paid] -= input_atoms
    balances[pool, paid] += input_atoms
    balances[pool, received] -= output_atoms
    balances[account, received] += output_atoms
    return DONE


@njit(cache=True)
def write_fill(
    fill: Any,
    rows: tuple[int, int],
    way: tuple[int, int],
    amounts: tuple[int, int],
    fee_atoms: int,
) -> None:
    """A swap of (account, pool) as a FILL row."""
    fill.taker, fill.maker = rows
    paid, received = way
    input_atoms, output_atoms = amounts
    buys = paid > received
    fill.side = BUY if buys else SELL
    fill.base_atoms = output_atoms if buys else input_atoms
    fill.quote_atoms = input_atoms if buys else output_atoms
    fill.taker_fee_atoms = fee_atoms
    fill.maker_order = MOST_COINS * paid + received


def coins_of(way: Way) -> tuple[int, int]:
    """Coin paid and coin received."""
    if isinstance(way, tuple):
        return way
    return (1, 0) if way == BUY else (0, 1)


def pair(base: Asset, quote: Asset) -> Instrument:
    """Two coins as an instrument on the finest grid: one quote atom for one base atom."""
    return Instrument(
        base, quote, 10.0 ** (base.decimals - quote.decimals), 10.0 ** (-base.decimals)
    )


@dataclass(frozen=True)
class PoolView:
    """A pool as agents see it in this step: reserves and shares in atoms, prices in units.

    `fee_ppm` is the fee of a swap of hardly any size. Subclasses quote: `output_atoms`,
    `input_atoms` and `input_until` answer for BUY, SELL or a pair of coins.
    """

    index: int
    instrument: Instrument
    coins: tuple[Asset, ...]
    fee_ppm: int
    reserves_atoms: tuple[int, ...]
    shares_atoms: int
    share_column: int
    """Column of the shares in the ledger; -1 where the pool has none."""

    @property
    def base_atoms(self) -> int:
        """Reserve of coin 0."""
        return self.reserves_atoms[0]

    @property
    def quote_atoms(self) -> int:
        """Reserve of coin 1."""
        return self.reserves_atoms[1]

    @property
    def mid(self) -> float:
        """Marginal price of coin 0 in coin 1 without the fee; NaN for an empty pool."""
        return self.curve_price(SELL)

    @property
    def bid(self) -> float:
        """What a seller of very little of coin 0 receives for a unit, after the fee."""
        return self.marginal_price(SELL)

    @property
    def ask(self) -> float:
        """What a buyer of very little of coin 0 pays for a unit, fee included."""
        price = self.marginal_price(BUY)
        return 1.0 / price if price > 0.0 else math.nan

    def curve_price(self, way: Way) -> float:
        """Units received per unit paid by a swap of hardly any size, if there were no fee."""
        raise TypeError(f"{type(self).__name__} has no curve")

    def marginal_price(self, way: Way) -> float:
        """The same after the fee."""
        return self.curve_price(way) * (1.0 - self.fee_ppm / PPM)

    def output_atoms(self, way: Way, input_atoms: int) -> int:
        """What a swap with an exact input would pay now; 0 where it would be rejected."""
        raise TypeError(f"{type(self).__name__} does not quote")

    def input_atoms(self, way: Way, output_atoms: int) -> int:
        """What a swap with an exact output would cost now; -1 where it would be rejected."""
        raise TypeError(f"{type(self).__name__} does not quote")

    def input_until(self, way: Way, limit: float) -> int:
        """Input atoms (floored) after which the next unit trades at `limit`; 0 if it does now.

        For BUY and SELL in coin 1 per coin 0: a buyer's limit includes the fee, a seller's is after
        it. For a pair of coins in units received per unit paid, after the fee.
        """
        raise TypeError(f"{type(self).__name__} does not quote")

    def _atomic(self, way: Way, limit: float) -> float:
        """A limit as atoms received per atom paid."""
        paid, received = coins_of(way)
        per_unit = 1.0 / limit if way == BUY else limit
        return per_unit * self.coins[received].scale / self.coins[paid].scale

    def _per_unit(self, way: Way, atomic: float) -> float:
        """Atoms received per atom paid as units per unit."""
        paid, received = coins_of(way)
        return atomic * self.coins[paid].scale / self.coins[received].scale


class Pool(Venue):
    """Base of all pools. Subclasses settle rows in one kernel and make the view."""

    class Params(params.Params):
        """Parameters of every pool."""

        fee_ppm: int = Field(3_000, ge=0, lt=PPM)
        """Fee of a swap, in millionths; the base fee where it follows volatility."""
        volatility_fee: VolatilityFee.Params | None = None
        """When given, the fee rises with the pool's recent variance."""

    atomic = True
    fee_on_output = False
    """Whether the fee is taken from the coin received, not from the coin paid."""
    has_shares = True

    def __init__(self, name: str, domain: str, coins: Sequence[Asset], params: Params) -> None:
        super().__init__()
        if not 2 <= len(coins) <= MOST_COINS:
            raise ConfigError(f"{name}.coins", f"must be 2 to {MOST_COINS}, got {len(coins)}")
        self.name = name
        self.domain = domain
        self.coins = tuple(coins)
        self.instrument = pair(coins[0], coins[1])
        self.share = Asset(f"{name}:share", self._share_decimals())
        self.fee_ppm = params.fee_ppm
        self._rule = None
        if params.volatility_fee:
            self._rule = VolatilityFee(params.fee_ppm, params.volatility_fee)
        self._swapped: list[tuple[Fills, NDArray[np.float64]]] = []
        self._volume, self._trades = 0.0, 0

    def _share_decimals(self) -> int:
        return 6

    def columns(self) -> tuple[Asset, ...]:
        """See `Venue.columns`: the coins in order, then the share."""
        return (*self.coins, self.share) if self.has_shares else self.coins

    def open(self, market: Market) -> None:
        """See `Venue.open`: one account of reserves, one of locked shares, one of the protocol."""
        self.accounts = market.open_accounts(self.name, self.domain, 3)
        self.pool_row, self.lock_row, self.protocol_row = (int(row) for row in self.accounts)
        self._ledger = market.ledger
        column = market.ledger.column
        self.coin_columns = np.array([column[coin.name] for coin in self.coins], np.int64)
        self.share_column = -1
        if self.has_shares:
            market.ledger.allow_issue(self.pool_row, self.share.name)
            self.share_column = column[self.share.name]

    def begin(self) -> None:
        """See `Venue.begin`."""
        if self._rule:
            self.fee_ppm = self._rule.fee_ppm

    def accrue(self, moment: Moment) -> None:
        """See `Venue.accrue`: the fee follows the pool's own price."""
        if self._rule:
            self._rule.update(self.observe(moment).mid, moment.seconds)
            self.fee_ppm = self._rule.fee_ppm

    def reserves_atoms(self) -> tuple[int, ...]:
        """Atoms of each coin in the pool."""
        row = self._ledger.balances[self.pool_row]
        return tuple([int(row[column]) for column in self.coin_columns])

    def shares_atoms(self) -> int:
        """Share atoms in circulation, the locked ones included."""
        if not self.has_shares:
            return 0
        return -int(self._ledger.balances[self.pool_row, self.share_column])

    @abstractmethod
    def observe(self, moment: Moment) -> PoolView:
        """See `Venue.observe`."""

    @abstractmethod
    def settle(
        self,
        rows: NDArray[np.void],
        fills: Fills,
        codes: NDArray[np.int64],
        moment: Moment,
    ) -> int:
        """Carry out POOL_INTENT rows in order; returns the number of fills written."""

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """See `Venue.execute`."""
        fills, codes = np.zeros(len(intents), FILL), np.zeros(len(intents), np.int64)
        count = self.settle(intents.view(POOL_INTENT), fills, codes, moment)
        if count:
            fills = fills[:count]
            reference = [moment.reference.get(coin.name, math.nan) for coin in self.coins]
            self._fills.append(fills)
            self._swapped.append((fills, np.array(reference)))
        return codes

    def fill_scales(self, fills: Fills) -> tuple[Any, Any, Any]:
        """Atoms in a unit of each fill's base, quote and fee."""
        if not len(fills):
            none = np.ones(0)
            return none, none, none
        scale = np.array([coin.scale for coin in self.coins], np.float64)
        paid, received = np.divmod(fills["maker_order"], MOST_COINS)
        low, high = np.minimum(paid, received), np.maximum(paid, received)
        return scale[low], scale[high], scale[received if self.fee_on_output else paid]

    def _fee_flows(self, fills: Fills) -> Flows:
        """What takers paid in fees, to the pool."""
        paid, received = np.divmod(fills["maker_order"], MOST_COINS)
        coin = received if self.fee_on_output else paid
        parts = []
        for number in np.unique(coin):
            own = fills[coin == number]
            column, fees = int(self.coin_columns[number]), own["taker_fee_atoms"]
            parts.append(flows(own["taker"], self.pool_row, column, fees, Reason.FEE))
        return np.concatenate(parts)

    def _value_flows(self, fills: Fills, reference: NDArray[np.float64]) -> Flows:
        """What swaps gained (arbitrage) or lost (slippage) against outside, but for the fee.

        Less the fee that stands beside it, that is all the taker gained, in the coin of higher
        index. A coin without a price counts as 1; where none has one there is no outside.
        """
        if not np.isfinite(reference).any():
            return flows(0, 0, 0, np.zeros(0, np.int64), Reason.ARBITRAGE)
        scale = np.array([coin.scale for coin in self.coins], np.float64)
        worth = np.where(np.isfinite(reference), reference, 1.0) / scale
        paid, received = np.divmod(fills["maker_order"], MOST_COINS)
        low, high = np.minimum(paid, received), np.maximum(paid, received)
        base_worth = worth[low] / worth[high] * fills["base_atoms"]
        fee_worth = worth[received if self.fee_on_output else paid] / worth[high]
        after_fee = fills["side"] * (base_worth - fills["quote_atoms"])
        gain = np.rint(after_fee + fee_worth * fills["taker_fee_atoms"]).astype(np.int64)
        parts = []
        for number in np.unique(high):
            own, takers = gain[high == number], fills["taker"][high == number]
            column = int(self.coin_columns[number])
            rows = flows(self.pool_row, takers, column, own, Reason.ARBITRAGE)
            rows["reason"][rows["receiver"] == self.pool_row] = Reason.SLIPPAGE
            parts.append(rows)
        return np.concatenate(parts)

    def drain_flows(self) -> Flows:
        """See `Venue.drain_flows`."""
        for fills, reference in self._swapped:
            self._flows.append(self._fee_flows(fills))
            self._flows.append(self._value_flows(fills, reference))
        self._swapped.clear()
        return super().drain_flows()

    def drain_fills(self) -> Fills:
        """See `Venue.drain_fills`; also closes the step's volume."""
        fills = super().drain_fills()
        if not len(fills):
            self._volume, self._trades = 0.0, 0
            return fills
        base_scale = self.fill_scales(fills)[0]
        self._volume, self._trades = float((fills["base_atoms"] / base_scale).sum()), len(fills)
        return fills

    def forget(self) -> None:
        """See `Venue.forget`."""
        super().forget()
        self._swapped.clear()

    def measure(self, moment: Moment) -> dict[str, float]:
        """See `Venue.measure`."""
        view = self.observe(moment)
        bid_depth, ask_depth = self.depths(view)
        return {
            "mid": view.mid,
            "bid": view.bid,
            "ask": view.ask,
            "bid_depth": bid_depth,
            "ask_depth": ask_depth,
            "volume": self._volume,
            "trades": self._trades,
            "base_reserve": self.coins[0].to_units(view.base_atoms),
            "quote_reserve": self.coins[1].to_units(view.quote_atoms),
        }

    def depths(self, view: PoolView) -> tuple[float, float]:
        """Base bought and sold until the price has moved by 1 %."""
        if not view.mid > 0.0:
            return 0.0, 0.0
        bought = view.input_until(SELL, view.bid * 0.99)
        sold = view.output_atoms(BUY, view.input_until(BUY, view.ask * 1.01))
        return self.coins[0].to_units(bought), self.coins[0].to_units(sold)

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """A share is worth its part of all reserves at the reference prices, 1 where none is."""
        shares = self.shares_atoms()
        if not shares:
            return {self.share.name: 0.0} if self.has_shares else {}
        value = sum(
            coin.to_units(atoms) * moment.reference.get(coin.name, 1.0)
            for coin, atoms in zip(self.coins, self.reserves_atoms(), strict=True)
        )
        return {self.share.name: value / self.share.to_units(shares)}

    def state(self) -> Any:
        """What the pool knows beside the ledger, copied."""
        return None

    def set_state(self, state: Any) -> None:
        """Go back to a `state`."""

    def snapshot(self) -> tuple[int, int, int, Any]:
        """See `Venue.snapshot`: what a failed bundle recorded is taken back."""
        return len(self._fills), len(self._flows), len(self._swapped), self.state()

    def restore(self, state: tuple[int, int, int, Any]) -> None:
        """See `Venue.restore`."""
        del self._fills[state[0] :]
        del self._flows[state[1] :]
        del self._swapped[state[2] :]
        self.set_state(state[3])
