"""Building a block: which waiting transactions it takes, in what order, and who pays for them.

The builder goes down the order of the chain's rule. A transaction that fits into what is left of
the gas limit and whose sender can pay is taken and paid for at once; one that does not fit waits;
one that could never fit, or cannot pay, is dropped. A bundle that names others' pending
transactions comes before each of them and takes them along: named and namer fit together, each pays
its own gas, and whoever names what is no longer there is dropped unpaid. Of two that name the same
transaction, the one that comes first in the order has it.
Gas of a transaction: a fixed part, and a part for each row by the kind of its action.
Left out: packing better than greedy, gas refunds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.intents import INCLUDE
from markets.kernel import njit
from markets.ledger import Matrix
from markets.mempool import Pending
from markets.sequencing import Ordering, Roster, account_keys, first_rows

WAITS, TAKEN, NAMED, DROPPED = 0, 1, 2, 3

Numbers = NDArray[np.int64]


class Bids(NamedTuple):
    """One entry a transaction: sender, gas, what it burns, what it tips, and whom it names.

    The names of transaction t are `named[begins[t]:begins[t + 1]]`, as positions; -1 is nobody.
    """

    sender: Numbers
    gas: Numbers
    burnt_atoms: Numbers
    tip_atoms: Numbers
    begins: Numbers
    named: Numbers


@njit(cache=True)
def _pay(bids: Bids, at: int, balances: Matrix, place: tuple[int, int, int]) -> bool:
    """Move gas and tip of a transaction, if its sender has them."""
    column, builder, burner = place
    sender, burnt, tip = bids.sender[at], bids.burnt_atoms[at], bids.tip_atoms[at]
    held = balances[sender, column]
    if held < burnt or held - burnt < tip:
        return False
    balances[sender, column] -= burnt + tip
    balances[burner, column] += burnt
    balances[builder, column] += tip
    return True


@njit(cache=True)
def _unpay(bids: Bids, at: int, balances: Matrix, place: tuple[int, int, int]) -> None:
    column, builder, burner = place
    balances[bids.sender[at], column] += bids.burnt_atoms[at] + bids.tip_atoms[at]
    balances[burner, column] -= bids.burnt_atoms[at]
    balances[builder, column] -= bids.tip_atoms[at]


@njit(cache=True)
def _pay_all(bids: Bids, at: int, balances: Matrix, place: tuple[int, int, int]) -> bool:
    """The same for a transaction and all it names: all of them or none."""
    if not _pay(bids, at, balances, place):
        return False
    for k in range(bids.begins[at], bids.begins[at + 1]):
        if not _pay(bids, bids.named[k], balances, place):
            for back in range(bids.begins[at], k):
                _unpay(bids, bids.named[back], balances, place)
            _unpay(bids, at, balances, place)
            return False
    return True


@njit(cache=True)
def _gas_with_named(bids: Bids, at: int, state: Numbers) -> int:
    """Gas of a transaction and all it names; -1 where one of them cannot be had."""
    gas = bids.gas[at]
    for k in range(bids.begins[at], bids.begins[at + 1]):
        other = bids.named[k]
        if other < 0 or other == at or state[other] != WAITS:
            return -1
        for earlier in range(bids.begins[at], k):
            if bids.named[earlier] == other:
                return -1
        gas += bids.gas[other]
    return gas


@njit(cache=True)
def admit(
    order: Numbers,
    bids: Bids,
    gas_limit: int,
    balances: Matrix,
    place: tuple[int, int, int],
    state: Numbers,
) -> int:
    """Fill the block; sets the state of each transaction and returns the gas used.

    `gas_limit` 0 is none; `place` is the column of the fee asset, the builder's row and the row
    that burns.
    """
    used = 0
    for at in order:
        if state[at] != WAITS:
            continue
        names = bids.begins[at + 1] > bids.begins[at]
        gas = _gas_with_named(bids, at, state)
        if gas < 0 or (gas_limit > 0 and gas > gas_limit):
            state[at] = DROPPED
            continue
        if gas_limit > 0 and used + gas > gas_limit:
            state[at] = DROPPED if names else WAITS
            continue
        if not _pay_all(bids, at, balances, place):
            state[at] = DROPPED
            continue
        state[at] = TAKEN
        for k in range(bids.begins[at], bids.begins[at + 1]):
            state[bids.named[k]] = NAMED
        used += gas
    return used


def names(pending: Pending, first: Numbers) -> tuple[Numbers, Numbers]:
    """`begins` and `named` of `Bids`; `first` is the first row of each transaction.

    A transaction that itself names others, or was sent privately, cannot be named.
    """
    at = np.flatnonzero(pending.rows["action"] == INCLUDE)
    begins = np.zeros(len(first) + 1, np.int64)
    if not len(at):
        return begins, at
    namer = np.searchsorted(first, at, side="right") - 1
    begins[1:] = np.cumsum(np.bincount(namer, minlength=len(first)))
    wanted, numbers = pending.rows["order"][at], pending.number[first]
    named = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    found = (numbers[named] == wanted) & ~pending.private[first[named]]
    return begins, np.where(found, named, -1)


def ordered(
    ordering: Ordering,
    bids: Bids,
    accounts: Roster,
    rng: np.random.Generator,
) -> Numbers:
    """Positions of the transactions in the order in which the builder looks at them.

    By tip per gas, where that is the rule; a bundle that names others stands before the first of
    them, and rivals for the same place go by their own tips.
    """
    keys = account_keys(ordering, accounts, bids.sender, rng)
    rank = bids.tip_atoms / bids.gas if ordering is Ordering.PRIORITY_FEE else -keys
    place, namers = rank.copy(), np.diff(bids.begins)
    if len(bids.named):
        namer = np.repeat(np.arange(len(namers)), namers)
        others = np.where(bids.named >= 0, rank[bids.named], -np.inf)
        np.maximum.at(place, namer, others)
    return np.lexsort((keys, -rank, namers == 0, -place))


def row_order(pending: Pending, taken: Numbers, bids: Bids) -> tuple[Numbers, Numbers]:
    """Rows of the block in their order, and for each the transaction that it runs within.

    The rows of a named transaction stand in the place of the row that names it.
    """
    first = first_rows(pending.number)
    length = np.diff(np.append(first, len(pending.number)))
    if not len(bids.named):
        within = np.repeat(taken, length[taken])
        starts = np.cumsum(length[taken]) - length[taken]
        step = np.arange(len(within)) - np.repeat(starts, length[taken])
        return first[within] + step, within
    rows: list[int] = []
    within_each: list[int] = []
    action = pending.rows["action"]
    for at in taken.tolist():
        before, named = len(rows), iter(bids.named[bids.begins[at] : bids.begins[at + 1]].tolist())
        for row in range(first[at], first[at] + length[at]):
            other = next(named) if action[row] == INCLUDE else None
            mine = [row] if other is None else range(first[other], first[other] + length[other])
            rows.extend(mine)
        within_each.extend([at] * (len(rows) - before))
    return np.array(rows, np.int64), np.array(within_each, np.int64)
