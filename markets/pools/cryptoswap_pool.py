"""Cryptoswap pool: two to eight coins of moving prices, liquidity gathered around a price scale.

The kernels are `cryptoswap`, `crypto_liquidity` and, for the price scale, `crypto_state`; this file
rounds and settles. Coin 1 is the quote, in which the initial prices of all coins are given. The fee
is taken from the coin received and stays in the pool: `fee_ppm` at balance, rising to `out_fee_ppm`
away from it. Deposits name exact amounts (`add_liquidity` for two coins, `add_coins`, `add_coin`);
withdrawals burn exact shares for a part of everything or for one coin. An exact output asks for the
smallest whole input whose quote pays at least so much: the rest of that quote stays in the pool.
Rounding, in favour of the pool: outputs and shares floored after a margin of 2^-47 of the
reserve, or of the supply (the balance that the invariant gives errs by 1.3e-15 at most, measured
against 60 digits).

Source: curvefi/curve-crypto-contract CurveCryptoSwap.vy, curvefi/twocrypto-ng. Left out: ramps,
claims of admin fees on the profit, bounds on A and gamma tighter than the mathematics needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets.assets import Asset
from markets.errors import ConfigError
from markets.intents import (
    ADD_COIN,
    ADD_COINS,
    ADD_LIQUIDITY,
    REMOVE_COIN,
    REMOVE_LIQUIDITY,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
)
from markets.kernel import njit
from markets.ledger import Matrix
from markets.outcomes import Fills
from markets.pools import crypto_liquidity as liquidity
from markets.pools import cryptoswap as curve
from markets.pools.coin_pool import CoinPool, CoinView
from markets.pools.coin_settlement import (
    CoinPlace,
    Floats,
    can_pay,
    may_burn,
    mint,
    pay_coin,
    read_amounts,
    read_reserves,
    remove_part,
    supply_of,
    swap_code,
    trade,
)
from markets.pools.crypto_state import (
    QUOTE,
    CryptoState,
    D,
    ScaleTerms,
    new_state,
    start,
    tweak,
    virtual_price,
)
from markets.pools.cryptoswap import CryptoTerms
from markets.pools.pool import (
    DONE,
    INVALID,
    LARGEST,
    NO_LIQUIDITY,
    way_of,
    write_fill,
)
from markets.rounding import PPM, ceil_atoms, floor_atoms
from markets.venue import Moment

MARGIN = 2.0**-47
FARTHEST = 1e4
"""A swap may not pay in more than so many times the reserve."""

Terms = tuple[CryptoTerms, ScaleTerms]


@njit(cache=True)
def quote_exact_in(
    balances: Floats,
    units: Floats,
    invariant: tuple[CryptoTerms, float],
    way: tuple[int, int],
    input_atoms: int,
) -> tuple[int, float]:
    """Output atoms for an exact input, and the fee in the coin received.

    `units` takes atoms of each coin to the scaled balances; `invariant` is the terms and D.
    """
    paid, received = way
    amount = input_atoms * units[paid]
    if amount > FARTHEST * balances[paid]:
        return 0, 0.0
    terms, d = invariant
    out, fee = curve.swap_out(balances, terms, d, way, amount)
    sure = max(out - balances[received] * MARGIN, 0.0)
    return floor_atoms(sure / units[received]), max(fee, 0.0) / units[received]


@njit(cache=True)
def quote_exact_out(
    balances: Floats,
    units: Floats,
    invariant: tuple[CryptoTerms, float],
    way: tuple[int, int],
    output_atoms: int,
) -> int:
    """The smallest input whose quote is at least the output; -1 when there is none."""
    if output_atoms * units[way[1]] >= balances[way[1]]:
        return -1
    low, high = 0, 1
    while quote_exact_in(balances, units, invariant, way, high)[0] < output_atoms:
        low, high = high, 2 * high
        if high * units[way[0]] > FARTHEST * balances[way[0]] or high >= LARGEST:
            return -1
    while high - low > 1:
        middle = low + (high - low) // 2
        if quote_exact_in(balances, units, invariant, way, middle)[0] < output_atoms:
            low = middle
        else:
            high = middle
    return high


@njit(cache=True)
def _swap(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: CryptoTerms,
    state: tuple[CryptoState, Floats],
    fill: Any,
) -> int:
    """One swap; `state` is what the pool remembers and the reserves."""
    code = swap_code(row, balances, place)
    if code != DONE:
        return code
    way = way_of(row, place.columns.size)
    units = place.scales * state[0].scales
    scaled, invariant = state[1] * state[0].scales, (terms, state[0].real[D])
    needed = row.size
    if row.action == SWAP_EXACT_OUT:
        needed = quote_exact_out(scaled, units, invariant, way, row.size)
        if needed < 0:
            return NO_LIQUIDITY
    output, fee = quote_exact_in(scaled, units, invariant, way, needed)
    amounts = (needed, row.size if row.action == SWAP_EXACT_OUT else output)
    code = trade(row, balances, place, way, amounts)
    if code == DONE:
        write_fill(fill, (row.account, place.pool), way, amounts, ceil_atoms(fee))
    return code


@njit(cache=True)
def _add(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: CryptoTerms,
    state: tuple[CryptoState, Floats],
    seconds: float,
) -> int:
    """Deposit exact amounts for shares."""
    amounts = np.zeros(place.columns.size, np.int64)
    if not read_amounts(row, amounts):
        return INVALID
    code = can_pay(balances, place, row.account, amounts)
    if code != DONE:
        return code
    known, supply = state[0], supply_of(balances, place)
    added = amounts * place.scales * known.scales
    if supply == 0:
        if amounts.min() <= 0:
            return NO_LIQUIDITY
        minted = start(known, state[1] * known.scales + added, terms, seconds)
    else:
        scaled = state[1] * known.scales
        minted = liquidity.shares_for(scaled, terms, known.real[D], added, float(supply))
    shares = floor_atoms(max(minted - (minted + supply) * MARGIN, 0.0))
    return mint(row, balances, place, amounts, (shares, 0))


@njit(cache=True)
def _remove_coin(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: CryptoTerms,
    state: tuple[CryptoState, Floats],
) -> int:
    """Burn exact shares for one coin."""
    code = may_burn(row, balances, place)
    if code != DONE:
        return code
    known, coin, supply = state[0], row.first, supply_of(balances, place)
    if row.size >= supply:
        return NO_LIQUIDITY
    scaled = state[1] * known.scales
    paid = liquidity.withdraw_one(scaled, terms, known.real[D], coin, row.size / supply)
    sure = max(paid - scaled[coin] * MARGIN, 0.0) / (place.scales[coin] * known.scales[coin])
    atoms = floor_atoms(sure)
    return pay_coin(row, balances, place, atoms)


@njit(cache=True)
def _after(
    balances: Matrix,
    place: CoinPlace,
    terms: Terms,
    state: tuple[CryptoState, Floats],
    seconds: float,
) -> None:
    """Take note of what a row that was carried out has changed."""
    supply = supply_of(balances, place)
    if supply > 0:
        read_reserves(balances, place, state[1])
        tweak(state[0], state[1], terms, float(supply), seconds)


@njit(cache=True)
def _execute(
    rows: NDArray[np.void],
    balances: Matrix,
    place: CoinPlace,
    terms: tuple[CryptoTerms, ScaleTerms, float],
    out: tuple[Fills, NDArray[np.int64]],
    known: CryptoState,
) -> int:
    """All rows in order; `terms` end with the time. Returns the number of fills written."""
    filled, state = 0, (known, np.zeros(place.columns.size))
    fills, codes = out
    both, seconds = (terms[0], terms[1]), terms[2]
    for at in range(len(rows)):
        row = rows[at]
        read_reserves(balances, place, state[1])
        if row.action == SWAP_EXACT_IN or row.action == SWAP_EXACT_OUT:
            codes[at] = _swap(row, balances, place, terms[0], state, fills[filled])
            if codes[at] == DONE:
                filled += 1
        elif row.action == ADD_LIQUIDITY or row.action == ADD_COINS or row.action == ADD_COIN:
            codes[at] = _add(row, balances, place, terms[0], state, seconds)
        elif row.action == REMOVE_LIQUIDITY:
            codes[at] = remove_part(row, balances, place)
        elif row.action == REMOVE_COIN:
            codes[at] = _remove_coin(row, balances, place, terms[0], state)
        else:
            codes[at] = INVALID
        if codes[at] == DONE:
            _after(balances, place, both, state, seconds)
    return filled


@dataclass(frozen=True)
class CryptoswapView(CoinView):
    """A cryptoswap pool as agents see it; reserves are scaled by prices, to quote units."""

    terms: CryptoTerms
    d: float
    price_scale: tuple[float, ...]
    price_oracle: tuple[float, ...]
    virtual_price: float

    def _price(self, coins: tuple[int, int], free: bool) -> float:
        terms = self.terms._replace(mid_fee=0.0, out_fee=0.0) if free else self.terms
        return float(curve.marginal_price(self.reserves, terms, self.d, coins))

    def _output(self, coins: tuple[int, int], input_atoms: int) -> int:
        invariant = (self.terms, self.d)
        return int(quote_exact_in(self.reserves, self.scales, invariant, coins, input_atoms)[0])

    def _needed(self, coins: tuple[int, int], output_atoms: int) -> int:
        invariant = (self.terms, self.d)
        return int(quote_exact_out(self.reserves, self.scales, invariant, coins, output_atoms))

    def _until(self, coins: tuple[int, int], price: float) -> float:
        return float(curve.input_until_price(self.reserves, self.terms, self.d, coins, price))


class CryptoswapPool(CoinPool):
    """A pool of coins whose prices move."""

    class Params(CoinPool.Params):
        """Parameters of the pool."""

        fee_ppm: int = Field(2_600, ge=0, lt=PPM)
        """Fee at balance."""
        out_fee_ppm: int = Field(4_500, ge=0, lt=PPM)
        """Fee far from balance."""
        fee_gamma: float = Field(0.00023, gt=0)
        """How soon the fee rises: the smaller, the sooner."""
        amplification: float = Field(100.0, gt=0)
        """A without the factor N^N."""
        gamma: float = Field(0.000145, gt=0, le=0.05)
        """How far from balance liquidity stays gathered: the smaller, the nearer."""
        initial_prices: tuple[float, ...]
        """Quote units for a unit of each coin; that of coin 1, the quote, is 1."""
        allowed_extra_profit: float = Field(2e-6, ge=0)
        """Profit of the pool, as a part, that is kept before the price scale may move."""
        adjustment_step: float = Field(0.000146, gt=0)
        """Length of a move of the price scale, as a part of price."""
        half_time_seconds: float = Field(600.0, gt=0)
        """Half-life of the oracle's average."""

    fee_on_output = True

    def __init__(self, name: str, domain: str, coins: Sequence[Asset], params: Params) -> None:
        super().__init__(name, domain, coins, params)
        prices = params.initial_prices
        if len(prices) != len(coins) or min(prices) <= 0.0 or prices[QUOTE] != 1.0:
            text = f"needs {len(coins)} prices above 0, that of coin 1 being 1"
            raise ConfigError(f"{name}.initial_prices", text)
        self.params = params
        self.known = new_state(np.array(prices))
        self._scale_terms = ScaleTerms(
            params.allowed_extra_profit, params.adjustment_step, params.half_time_seconds
        )

    def _terms(self) -> CryptoTerms:
        params, mid = self.params, self.fee_ppm / PPM
        out = max(params.out_fee_ppm / PPM, mid)
        return CryptoTerms(params.amplification, params.gamma, mid, out, params.fee_gamma)

    def observe(self, moment: Moment) -> CryptoswapView:
        """See `Venue.observe`."""
        shares, terms = self.shares_atoms(), self._terms()
        scaled = self.reserves() * self.known.scales
        fee = round(float(curve.fee_rate(scaled, terms)) * PPM) if shares else self.fee_ppm
        return CryptoswapView(
            **self._fields(fee),
            reserves=scaled,
            scales=self.scales * self.known.scales,
            d=float(self.known.real[D]),
            price_scale=tuple(self.known.scales.tolist()),
            price_oracle=tuple(self.known.oracle.tolist()),
            virtual_price=float(virtual_price(self.known, float(shares))) if shares else math.nan,
        )

    def settle(
        self,
        rows: NDArray[np.void],
        fills: Fills,
        codes: NDArray[np.int64],
        moment: Moment,
    ) -> int:
        """See `Pool.settle`."""
        terms = (self._terms(), self._scale_terms, moment.seconds)
        balances, out = self._ledger.balances, (fills, codes)
        return _execute(rows, balances, self.place, terms, out, self.known)

    def state(self) -> CryptoState:
        """See `Pool.state`."""
        return CryptoState(*[array.copy() for array in self.known])

    def set_state(self, state: CryptoState) -> None:
        """See `Pool.set_state`."""
        for array, kept in zip(self.known, state, strict=True):
            array[:] = kept
