"""Weighted pool: two to eight coins whose values keep the ratio of their weights.

The kernels are those of `weighted`; this file rounds and settles. Fees are part of the input and
stay in the reserves; of the fee of a swap the part `protocol_fee_ppm` goes to the protocol's
account at once, floored. Joins: exact amounts of several coins (`add_coins`, for two coins
`add_liquidity`), of one (`add_coin`); exits: a share of everything (`remove_liquidity`), one coin
for exact shares (`remove_coin`), an exact amount of one coin (`remove_coins` naming just one). What
is out of proportion pays the fee. The first join sets the prices and mints n prod(amount^weight)
share atoms, 1,000 of them locked. The limits of the protocol hold: a swap may take 30 % of a
reserve in, or out; a join may grow the invariant to 3 times, an exit lower it to 0.7 of itself.
Rounding, in favour of the pool: outputs and minted shares floored, inputs and burnt shares ceiled,
after a relative margin of 2^-44 (powers err by some 1e-15) and 2^-48 of the supply or the balance.

Source: balancer/balancer-maths python/src, balancer-v2-monorepo pkg/pool-weighted (limits).
Left out: rates of coins that bear interest, the protocol's part of the fees of joins and exits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets.assets import Asset
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import (
    ADD_COIN,
    ADD_COINS,
    ADD_LIQUIDITY,
    REMOVE_COIN,
    REMOVE_COINS,
    REMOVE_LIQUIDITY,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
)
from markets.kernel import njit
from markets.ledger import Matrix
from markets.outcomes import Fills
from markets.pools import weighted as curve
from markets.pools.coin_pool import CoinPool, CoinView
from markets.pools.coin_settlement import (
    CoinPlace,
    Floats,
    may_burn,
    mint,
    move_in,
    pay_coin,
    read_amounts,
    read_reserves,
    remove_part,
    supply_of,
    swap_code,
    to_protocol,
    trade,
)
from markets.pools.pool import (
    DONE,
    INSUFFICIENT,
    INVALID,
    LARGEST,
    MINIMUM_SHARES,
    NO_LIQUIDITY,
    way_of,
    write_fill,
)
from markets.rounding import PPM, ceil_atoms, floor_atoms, ppm_down, ppm_up
from markets.venue import Moment

MARGIN = 2.0**-44
LIQUIDITY_MARGIN = 2.0**-48
LARGEST_SWAP = 0.3
LARGEST_JOIN = 3.0
LOWEST_EXIT = 0.7


class WeightedTerms(NamedTuple):
    """Weights that sum to one, the fee, and the protocol's part of it."""

    weights: Floats
    fee_ppm: int
    protocol_fee_ppm: int


@njit(cache=True)
def quote_exact_in(
    reserves: Floats, scales: Floats, terms: WeightedTerms, way: tuple[int, int], input_atoms: int
) -> int:
    """Output atoms for an exact input; 0 beyond 30 % of the reserve."""
    paid, received = way
    amount, weights = input_atoms * scales[paid], terms.weights
    if amount > reserves[paid] * LARGEST_SWAP:
        return 0
    out = curve.amount_out(
        reserves[paid], weights[paid], reserves[received], weights[received], terms.fee_ppm, amount
    )
    return floor_atoms((out - out * MARGIN) / scales[received])


@njit(cache=True)
def quote_exact_out(
    reserves: Floats, scales: Floats, terms: WeightedTerms, way: tuple[int, int], output_atoms: int
) -> int:
    """Input atoms for an exact output; -1 beyond 30 % of the reserve."""
    paid, received = way
    amount, weights = output_atoms * scales[received], terms.weights
    if amount > reserves[received] * LARGEST_SWAP:
        return -1
    needed = curve.amount_in(
        reserves[paid], weights[paid], reserves[received], weights[received], terms.fee_ppm, amount
    )
    needed = (needed + needed * MARGIN) / scales[paid]
    return ceil_atoms(needed) if needed < LARGEST else -1


@njit(cache=True)
def _swap(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: WeightedTerms,
    reserves: Floats,
    fill: Any,
) -> int:
    """One swap."""
    code = swap_code(row, balances, place)
    if code != DONE:
        return code
    way = way_of(row, place.columns.size)
    if row.action == SWAP_EXACT_IN:
        amounts = (row.size, quote_exact_in(reserves, place.scales, terms, way, row.size))
    else:
        amounts = (quote_exact_out(reserves, place.scales, terms, way, row.size), row.size)
    code = trade(row, balances, place, way, amounts)
    if code == DONE:
        fee = ppm_down(amounts[0], terms.fee_ppm)
        to_protocol(balances, place, way[0], ppm_down(fee, terms.protocol_fee_ppm))
        write_fill(fill, (row.account, place.pool), way, amounts, ppm_up(amounts[0], terms.fee_ppm))
    return code


@njit(cache=True)
def _minted(reserves: Floats, terms: WeightedTerms, amounts: Floats, supply: int) -> float:
    """Shares for a join, before rounding; negative where it is too large."""
    if supply == 0:
        return reserves.size * curve.invariant(reserves + amounts, terms.weights)
    shares = curve.shares_for(reserves, terms.weights, terms.fee_ppm, amounts, float(supply))
    growth = (terms.weights * np.log1p(amounts / reserves)).sum()
    return shares if growth <= math.log(LARGEST_JOIN) else -1.0


@njit(cache=True)
def _add(
    row: Any, balances: Matrix, place: CoinPlace, terms: WeightedTerms, reserves: Floats
) -> int:
    """Deposit exact amounts for shares; the first depositor loses the locked minimum."""
    amounts = np.zeros(reserves.size, np.int64)
    if not read_amounts(row, amounts):
        return INVALID
    supply = supply_of(balances, place)
    if supply == 0 and amounts.min() <= 0:
        return NO_LIQUIDITY
    minted = _minted(reserves, terms, amounts * place.scales, supply)
    locked = MINIMUM_SHARES if supply == 0 else 0
    shares = floor_atoms(max(minted - minted * MARGIN - supply * LIQUIDITY_MARGIN, 0.0))
    return mint(row, balances, place, amounts, (shares, locked))


@njit(cache=True)
def _remove_coin(
    row: Any, balances: Matrix, place: CoinPlace, terms: WeightedTerms, reserves: Floats
) -> int:
    """Burn exact shares for one coin."""
    code = may_burn(row, balances, place)
    if code != DONE:
        return code
    coin, supply = row.first, supply_of(balances, place)
    if row.size > supply * (1.0 - LOWEST_EXIT):
        return NO_LIQUIDITY
    held, weight = reserves[coin], terms.weights[coin]
    paid = curve.single_out_for(held, weight, terms.fee_ppm, float(row.size), float(supply))
    margin = paid * MARGIN + held * LIQUIDITY_MARGIN
    atoms = floor_atoms(max(paid - margin, 0.0) / place.scales[coin])
    return pay_coin(row, balances, place, atoms)


@njit(cache=True)
def _remove_amount(
    row: Any, balances: Matrix, place: CoinPlace, terms: WeightedTerms, reserves: Floats
) -> int:
    """Withdraw an exact amount of one coin for as many shares as that takes."""
    amounts = np.zeros(reserves.size, np.int64)
    if not read_amounts(row, amounts) or (amounts > 0).sum() != 1:
        return INVALID
    coin, supply = amounts.argmax(), supply_of(balances, place)
    wanted, held = amounts[coin] * place.scales[coin], reserves[coin]
    if supply == 0:
        return NO_LIQUIDITY
    burnt = curve.shares_for_single_out(
        held, terms.weights[coin], terms.fee_ppm, wanted, float(supply)
    )
    if not burnt <= supply * (1.0 - LOWEST_EXIT):
        return NO_LIQUIDITY
    shares = ceil_atoms(burnt + burnt * MARGIN + supply * LIQUIDITY_MARGIN)
    if shares > balances[row.account, place.share]:
        return INSUFFICIENT
    move_in(balances, place, row.account, -amounts, -shares)
    return DONE


@njit(cache=True)
def _execute(
    rows: NDArray[np.void],
    balances: Matrix,
    place: CoinPlace,
    terms: WeightedTerms,
    out: tuple[Fills, NDArray[np.int64]],
) -> int:
    """All rows in order; returns the number of fills written to `out` (fills, codes)."""
    filled, reserves = 0, np.zeros(place.columns.size)
    fills, codes = out
    for at in range(len(rows)):
        row = rows[at]
        read_reserves(balances, place, reserves)
        if row.action == SWAP_EXACT_IN or row.action == SWAP_EXACT_OUT:
            codes[at] = _swap(row, balances, place, terms, reserves, fills[filled])
            if codes[at] == DONE:
                filled += 1
        elif row.action == ADD_LIQUIDITY or row.action == ADD_COINS or row.action == ADD_COIN:
            codes[at] = _add(row, balances, place, terms, reserves)
        elif row.action == REMOVE_LIQUIDITY:
            codes[at] = remove_part(row, balances, place)
        elif row.action == REMOVE_COINS:
            codes[at] = _remove_amount(row, balances, place, terms, reserves)
        elif row.action == REMOVE_COIN:
            codes[at] = _remove_coin(row, balances, place, terms, reserves)
        else:
            codes[at] = INVALID
    return filled


@dataclass(frozen=True)
class WeightedView(CoinView):
    """A weighted pool as agents see it."""

    terms: WeightedTerms

    def _sides(self, coins: tuple[int, int]) -> tuple[float, float, float, float]:
        paid, received = coins
        weights = self.terms.weights
        return self.reserves[paid], weights[paid], self.reserves[received], weights[received]

    def _price(self, coins: tuple[int, int], free: bool) -> float:
        fee_ppm = 0 if free else self.terms.fee_ppm
        return float(curve.marginal_price(*self._sides(coins), fee_ppm))

    def _output(self, coins: tuple[int, int], input_atoms: int) -> int:
        return int(quote_exact_in(self.reserves, self.scales, self.terms, coins, input_atoms))

    def _needed(self, coins: tuple[int, int], output_atoms: int) -> int:
        return int(quote_exact_out(self.reserves, self.scales, self.terms, coins, output_atoms))

    def _until(self, coins: tuple[int, int], price: float) -> float:
        wanted = curve.input_until_price(*self._sides(coins), self.terms.fee_ppm, price)
        return min(float(wanted), float(self.reserves[coins[0]]) * LARGEST_SWAP)


class WeightedPool(CoinPool):
    """A pool of coins in the proportion of fixed weights."""

    class Params(CoinPool.Params):
        """Parameters of the pool."""

        weights: tuple[float, ...] = (0.5, 0.5)
        """Part of the pool's value in each coin; at least 1 % each, in all 1."""
        protocol_fee_ppm: int = Field(0, ge=0, le=PPM)
        """Part of every swap's fee that is the protocol's."""

    def __init__(self, name: str, domain: str, coins: Sequence[Asset], params: Params) -> None:
        super().__init__(name, domain, coins, params)
        weights = params.weights
        if len(weights) != len(coins):
            raise ConfigError(f"{name}.weights", f"needs {len(coins)} weights, got {len(weights)}")
        if min(weights) < 0.01 or abs(sum(weights) - 1.0) > 1e-9:
            raise ConfigError(f"{name}.weights", "must be at least 0.01 each and sum to 1")
        self.params = params
        self.weights = np.array(weights) / math.fsum(weights)

    def _terms(self) -> WeightedTerms:
        return WeightedTerms(self.weights, self.fee_ppm, self.params.protocol_fee_ppm)

    def observe(self, moment: Moment) -> WeightedView:
        """See `Venue.observe`."""
        fields = self._fields(self.fee_ppm)
        return WeightedView(**fields, reserves=self.reserves(), scales=self.scales)

    def settle(
        self,
        rows: NDArray[np.void],
        fills: Fills,
        codes: NDArray[np.int64],
        moment: Moment,
    ) -> int:
        """See `Pool.settle`."""
        return _execute(rows, self._ledger.balances, self.place, self._terms(), (fills, codes))

    def check(self) -> None:
        """See `CoinPool.check`; and the locked shares never move."""
        super().check()
        locked = int(self._ledger.balances[self.lock_row, self.share_column])
        if locked != (MINIMUM_SHARES if self.shares_atoms() else 0):
            raise BrokenInvariant("locked shares moved", self.name, self.share.name, locked)
