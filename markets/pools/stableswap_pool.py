"""StableSwap pool: two to eight coins near par, swaps, unbalanced deposits and withdrawals.

The kernels are `stableswap` and `stable_liquidity`; this file rounds and settles. The fee of a swap
is taken from the coin received; a deposit or withdrawal out of balance pays the imbalance fee. Of
every fee the part `admin_fee_ppm` goes to the protocol's account at once, floored, the rest stays
and raises the worth of a share. With `off_peg_multiplier` above 1 the fee of swaps rises off peg.
Rounding, in favour of the pool: outputs and minted shares floored, inputs and burnt shares ceiled,
after a relative margin of 2^-42 on swaps (their error is below 1e-13, measured against 60 digits up
to reserves of 1,000,000 to 1) and 2^-47 of the supply or of the largest reserve on liquidity, whose
results are differences of invariants.

Source: curvefi/curve-contract SwapTemplateBase.vy, stableswap-ng CurveStableSwapNG.vy. Left out:
ramps of A, rates of coins that bear interest, the dynamic fee on liquidity; exact outputs are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets.assets import Asset
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
from markets.pools import stable_liquidity as liquidity
from markets.pools import stableswap as curve
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
    NO_LIQUIDITY,
    way_of,
    write_fill,
)
from markets.pools.stableswap import StableTerms
from markets.rounding import PPM, ceil_atoms, floor_atoms, ppm_down
from markets.venue import Moment

SWAP_MARGIN = 2.0**-42
LIQUIDITY_MARGIN = 2.0**-47


@njit(cache=True)
def quote_exact_in(
    reserves: Floats, scales: Floats, terms: StableTerms, way: tuple[int, int], input_atoms: int
) -> tuple[int, float]:
    """Output atoms for an exact input, and the fee kept in atoms of the coin received."""
    paid, received = way
    out, fee = curve.swap_out(reserves, terms, paid, received, input_atoms * scales[paid])
    return floor_atoms((out - out * SWAP_MARGIN) / scales[received]), fee / scales[received]


@njit(cache=True)
def quote_exact_out(
    reserves: Floats, scales: Floats, terms: StableTerms, way: tuple[int, int], output_atoms: int
) -> tuple[int, float]:
    """Input atoms for an exact output (-1: not to be had), and the fee in the coin received."""
    paid, received = way
    wanted = output_atoms * scales[received]
    needed = curve.amount_in(reserves, terms, paid, received, wanted)
    needed = (needed + needed * SWAP_MARGIN) / scales[paid]
    if not needed < LARGEST:
        return -1, 0.0
    fee = curve.swap_out(reserves, terms, paid, received, needed * scales[paid])[1]
    return ceil_atoms(needed), fee / scales[received]


@njit(cache=True)
def _swap(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: tuple[StableTerms, int],
    reserves: Floats,
    fill: Any,
) -> int:
    """One swap at terms (curve, admin fee in ppm)."""
    code = swap_code(row, balances, place)
    if code != DONE:
        return code
    way = way_of(row, place.columns.size)
    if row.action == SWAP_EXACT_IN:
        output, fee = quote_exact_in(reserves, place.scales, terms[0], way, row.size)
        amounts = (row.size, output)
    else:
        needed, fee = quote_exact_out(reserves, place.scales, terms[0], way, row.size)
        amounts = (needed, row.size)
    code = trade(row, balances, place, way, amounts)
    if code == DONE:
        to_protocol(balances, place, way[1], ppm_down(floor_atoms(fee), terms[1]))
        write_fill(fill, (row.account, place.pool), way, amounts, ceil_atoms(fee))
    return code


@njit(cache=True)
def _pay_admin(balances: Matrix, place: CoinPlace, admin_fee_ppm: int, fees: Floats) -> None:
    for coin in range(fees.size):
        atoms = floor_atoms(fees[coin] / place.scales[coin])
        to_protocol(balances, place, coin, ppm_down(atoms, admin_fee_ppm))


@njit(cache=True)
def _add(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: tuple[StableTerms, int],
    reserves: Floats,
) -> int:
    """Deposit exact amounts for shares."""
    amounts = np.zeros(reserves.size, np.int64)
    if not read_amounts(row, amounts):
        return INVALID
    supply = supply_of(balances, place)
    if supply == 0 and amounts.min() <= 0:
        return NO_LIQUIDITY
    minted, fees = liquidity.share_change(reserves, terms[0], amounts * place.scales, float(supply))
    shares = floor_atoms(max(minted - (supply + minted) * LIQUIDITY_MARGIN, 0.0))
    code = mint(row, balances, place, amounts, (shares, 0))
    if code == DONE:
        _pay_admin(balances, place, terms[1], fees)
    return code


@njit(cache=True)
def _remove_coins(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: tuple[StableTerms, int],
    reserves: Floats,
) -> int:
    """Withdraw exact amounts for as many shares as that takes."""
    amounts = np.zeros(reserves.size, np.int64)
    if not read_amounts(row, amounts):
        return INVALID
    changes = amounts * -place.scales
    if (reserves + changes).min() <= 0.0:
        return NO_LIQUIDITY
    supply = supply_of(balances, place)
    change, fees = liquidity.share_change(reserves, terms[0], changes, float(supply))
    burnt = ceil_atoms(max(-change, 0.0) + supply * LIQUIDITY_MARGIN) + 1
    if burnt > balances[row.account, place.share]:
        return INSUFFICIENT
    if burnt >= supply or (reserves + changes - fees).min() <= 0.0:
        return NO_LIQUIDITY
    move_in(balances, place, row.account, -amounts, -burnt)
    _pay_admin(balances, place, terms[1], fees)
    return DONE


@njit(cache=True)
def _remove_coin(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    terms: tuple[StableTerms, int],
    reserves: Floats,
) -> int:
    """Burn exact shares for one coin."""
    code = may_burn(row, balances, place)
    if code != DONE:
        return code
    supply, coin = supply_of(balances, place), row.first
    if row.size >= supply:
        return NO_LIQUIDITY
    paid, fee = liquidity.withdraw_one(reserves, terms[0], coin, float(row.size), float(supply))
    margin = reserves.max() * LIQUIDITY_MARGIN + paid * SWAP_MARGIN
    atoms = floor_atoms(max(paid - margin, 0.0) / place.scales[coin])
    code = pay_coin(row, balances, place, atoms)
    if code == DONE:
        admin = ppm_down(floor_atoms(max(fee, 0.0) / place.scales[coin]), terms[1])
        to_protocol(balances, place, coin, admin)
    return code


@njit(cache=True)
def _execute(
    rows: NDArray[np.void],
    balances: Matrix,
    place: CoinPlace,
    terms: tuple[StableTerms, int],
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
            codes[at] = _remove_coins(row, balances, place, terms, reserves)
        elif row.action == REMOVE_COIN:
            codes[at] = _remove_coin(row, balances, place, terms, reserves)
        else:
            codes[at] = INVALID
    return filled


@dataclass(frozen=True)
class StableSwapView(CoinView):
    """A StableSwap pool as agents see it."""

    terms: StableTerms

    def _price(self, coins: tuple[int, int], free: bool) -> float:
        amplification = self.terms.amplification
        terms = StableTerms(amplification, 0.0, 1.0) if free else self.terms
        return float(curve.marginal_price(self.reserves, terms, *coins))

    def _output(self, coins: tuple[int, int], input_atoms: int) -> int:
        return int(quote_exact_in(self.reserves, self.scales, self.terms, coins, input_atoms)[0])

    def _needed(self, coins: tuple[int, int], output_atoms: int) -> int:
        return int(quote_exact_out(self.reserves, self.scales, self.terms, coins, output_atoms)[0])

    def _until(self, coins: tuple[int, int], price: float) -> float:
        return float(curve.input_until_price(self.reserves, self.terms, *coins, price))

    @property
    def virtual_price(self) -> float:
        """Invariant per share: what a share is worth where all coins are at par."""
        if not self.shares_atoms:
            return math.nan
        return float(curve.invariant(self.reserves, self.terms.amplification)) / self.shares_atoms


class StableSwapPool(CoinPool):
    """A pool of coins that should trade at par."""

    class Params(CoinPool.Params):
        """Parameters of the pool."""

        fee_ppm: int = Field(400, ge=0, lt=PPM)
        """Fee of a swap, taken from what it pays out."""
        amplification: float = Field(100.0, ge=1, le=1e6)
        """A as the contract stores it: that of the white paper times n^(n - 1)."""
        admin_fee_ppm: int = Field(500_000, ge=0, le=PPM)
        """Part of every fee that is the protocol's."""
        off_peg_multiplier: float = Field(1.0, ge=1)
        """How many times the fee a swap pays far off peg; 1: always the same fee."""

    fee_on_output = True

    def __init__(self, name: str, domain: str, coins: Sequence[Asset], params: Params) -> None:
        super().__init__(name, domain, coins, params)
        self.params = params

    def _terms(self) -> StableTerms:
        params = self.params
        return StableTerms(params.amplification, self.fee_ppm / PPM, params.off_peg_multiplier)

    def observe(self, moment: Moment) -> StableSwapView:
        """See `Venue.observe`."""
        fields = self._fields(self.fee_ppm)
        return StableSwapView(**fields, reserves=self.reserves(), scales=self.scales)

    def settle(
        self,
        rows: NDArray[np.void],
        fills: Fills,
        codes: NDArray[np.int64],
        moment: Moment,
    ) -> int:
        """See `Pool.settle`."""
        terms = (self._terms(), self.params.admin_fee_ppm)
        return _execute(rows, self._ledger.balances, self.place, terms, (fills, codes))
