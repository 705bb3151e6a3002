"""Settlement of pools of two to eight coins: reserves as floats, deposits, withdrawals, shares.

    x_k = reserve_k 10^(largest decimals - decimals_k)

brings all coins to atoms of the finest one, exactly below 2^53. A deposit names amounts for every
coin (`add_coins`), for the first two (`add_liquidity`) or for one (`add_coin`); all of it is taken
or none. A withdrawal of shares pays the same part of every reserve, floored. The numbers of shares
and atoms come from the pool's own kernel, rounded in its favour.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.intents import ADD_COIN, ADD_LIQUIDITY, FLAG_BITS, SWAP_EXACT_IN, SWAP_EXACT_OUT
from markets.kernel import kernel
from markets.ledger import Matrix
from markets.pools.constant_product import amount_for
from markets.pools.pool import (
    BEYOND_LIMIT,
    DONE,
    INSUFFICIENT,
    INVALID,
    LARGEST,
    NO_LIQUIDITY,
    settle_swap,
    way_of,
)
from markets.rounding import floor_atoms

Atoms = NDArray[np.int64]
Floats = NDArray[np.float64]


class CoinPlace(NamedTuple):
    """Rows of reserves, locked shares and the protocol; columns of the share and of each coin;
    the factor that takes each coin to common units."""

    pool: int
    lock: int
    protocol: int
    share: int
    columns: Atoms
    scales: Floats


@kernel(cache=True)
def read_reserves(balances: Matrix, place: CoinPlace, reserves: Floats) -> None:
    """Write the reserves in common units to `reserves`."""
    for coin in range(place.columns.size):
        held = balances[place.pool, place.columns[coin]]
        reserves[coin] = held * place.scales[coin]


@kernel(cache=True)
def read_amounts(row: Any, amounts: Atoms) -> bool:
    """Write the amount of each coin that a deposit or withdrawal names; False where it is wrong."""
    coins = amounts.size
    amounts[:] = 0
    if row.action == ADD_LIQUIDITY:
        amounts[0], amounts[1] = row.size, row.limit
    elif row.action == ADD_COIN:
        if not 0 <= row.first < coins:
            return False
        amounts[row.first] = row.size
    else:
        columns = (row.side, row.size, row.limit, row.order, row.first, row.second)
        for coin in range(min(coins, 6)):
            amounts[coin] = columns[coin]
        if coins > 6:
            amounts[6] = row.deadline_step
        if coins > 7:
            amounts[7] = row.flags >> FLAG_BITS
    most = 0
    for coin in range(coins):
        if not 0 <= amounts[coin] < LARGEST:
            return False
        most = max(most, amounts[coin])
    return most > 0


@kernel(cache=True)
def least_shares(row: Any) -> int:
    """Shares below which a deposit is not wanted: only `add_coin` has room to say so."""
    return row.limit if row.action == ADD_COIN else 0


@kernel(cache=True)
def supply_of(balances: Matrix, place: CoinPlace) -> int:
    """Share atoms in circulation."""
    return -balances[place.pool, place.share]


@kernel(cache=True)
def can_pay(balances: Matrix, place: CoinPlace, account: int, amounts: Atoms) -> int:
    """DONE where the account holds all amounts and the pool has room for them."""
    for coin in range(amounts.size):
        column = place.columns[coin]
        if balances[account, column] < amounts[coin]:
            return INSUFFICIENT
        if balances[place.pool, column] + amounts[coin] >= LARGEST:
            return INVALID
    return DONE


@kernel(cache=True)
def move_in(balances: Matrix, place: CoinPlace, account: int, amounts: Atoms, shares: int) -> None:
    """Take amounts in (negative: pay out) and give shares (negative: take them back)."""
    for coin in range(amounts.size):
        balances[account, place.columns[coin]] -= amounts[coin]
        balances[place.pool, place.columns[coin]] += amounts[coin]
    balances[account, place.share] += shares
    balances[place.pool, place.share] -= shares


@kernel(cache=True)
def to_protocol(balances: Matrix, place: CoinPlace, coin: int, atoms: int) -> None:
    """The protocol's part of a fee leaves the reserves."""
    column = place.columns[coin]
    balances[place.pool, column] -= atoms
    balances[place.protocol, column] += atoms


@kernel(cache=True)
def remove_part(row: Any, balances: Matrix, place: CoinPlace) -> int:
    """Take shares back, pay the same part of every reserve."""
    if row.size <= 0:
        return INVALID
    if balances[row.account, place.share] < row.size:
        return INSUFFICIENT
    supply = supply_of(balances, place)
    for coin in range(place.columns.size):
        column = place.columns[coin]
        held = balances[place.pool, column]
        atoms = floor_atoms(amount_for(float(row.size), float(held), float(supply)))
        balances[place.pool, column] -= atoms
        balances[row.account, column] += atoms
    balances[row.account, place.share] -= row.size
    balances[place.pool, place.share] += row.size
    return DONE


@kernel(cache=True)
def mint(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    amounts: Atoms,
    minted: tuple[int, int],
) -> int:
    """Settle a deposit for `minted` = (shares, of which locked): the depositor gets the rest."""
    shares, locked = minted
    if shares <= locked:
        return NO_LIQUIDITY
    if supply_of(balances, place) + shares >= LARGEST:
        return INVALID
    if shares - locked < least_shares(row):
        return BEYOND_LIMIT
    code = can_pay(balances, place, row.account, amounts)
    if code == DONE:
        move_in(balances, place, row.account, amounts, shares - locked)
        balances[place.pool, place.share] -= locked
        balances[place.lock, place.share] += locked
    return code


@kernel(cache=True)
def may_burn(row: Any, balances: Matrix, place: CoinPlace) -> int:
    """DONE where a withdrawal in one coin names that coin and shares that the account holds."""
    if row.size <= 0 or not 0 <= row.first < place.columns.size:
        return INVALID
    return INSUFFICIENT if balances[row.account, place.share] < row.size else DONE


@kernel(cache=True)
def pay_coin(row: Any, balances: Matrix, place: CoinPlace, atoms: int) -> int:
    """Pay atoms of one coin for the shares that the row burns, within its limit."""
    if atoms <= 0:
        return NO_LIQUIDITY
    if atoms < row.limit:
        return BEYOND_LIMIT
    column = place.columns[row.first]
    balances[place.pool, column] -= atoms
    balances[row.account, column] += atoms
    balances[row.account, place.share] -= row.size
    balances[place.pool, place.share] += row.size
    return DONE


@kernel(cache=True)
def swap_code(row: Any, balances: Matrix, place: CoinPlace) -> int:
    """DONE where a swap names a way and an amount that may be, and the pool is not empty."""
    if way_of(row, place.columns.size)[0] < 0 or row.size <= 0 or row.size >= LARGEST:
        return INVALID
    return NO_LIQUIDITY if supply_of(balances, place) == 0 else DONE


@kernel(cache=True)
def trade(
    row: Any,
    balances: Matrix,
    place: CoinPlace,
    way: tuple[int, int],
    amounts: tuple[int, int],
) -> int:
    """Settle a swap of (input, output) atoms within the sender's limit."""
    input_atoms, output_atoms = amounts
    if input_atoms <= 0 or output_atoms <= 0:
        return NO_LIQUIDITY
    if row.action == SWAP_EXACT_IN and output_atoms < row.limit:
        return BEYOND_LIMIT
    if row.action == SWAP_EXACT_OUT and input_atoms > row.limit:
        return BEYOND_LIMIT
    columns = (place.columns[way[0]], place.columns[way[1]])
    return settle_swap(balances, (row.account, place.pool), columns, amounts)
