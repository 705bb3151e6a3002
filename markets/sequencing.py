"""Sequencing: which intent comes first is a rule, and a parameter.

Rules order whole accounts, so that an account's own intents keep their order:

    arrival        by the account's latency, then by account
    random         a fresh random order of accounts in each batch
    priority_fee   highest tip first (a bundle counts by its first tip), equal tips at random

The result depends on accounts, never on the order in which agents were asked.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from markets.intents import take
from markets.kernel import njit


class Ordering(StrEnum):
    """How a domain orders the intents of one batch."""

    ARRIVAL = "arrival"
    RANDOM = "random"
    PRIORITY_FEE = "priority_fee"


def transactions(intents: NDArray[np.void]) -> NDArray[np.int64]:
    """Number the transactions: an intent each, or neighbours of one account and one bundle.

    Bundles below zero are a chain's own numbers, unique, and may tie rows of several accounts.
    """
    account, bundle = intents["account"], intents["bundle"]
    same = (account[1:] == account[:-1]) & (bundle[1:] != 0) | (bundle[1:] < 0)
    same &= bundle[1:] == bundle[:-1]
    return np.concatenate(([0], np.cumsum(~same))).astype(np.int64)[: len(intents)]


@njit()
def first_stray(intents: NDArray[np.void], venues: int, accounts: int) -> int:
    """The first row that names no venue or no account (0 is the issuer), or the number of rows."""
    for row in range(intents.size):
        intent = intents[row]
        if not (0 <= intent.venue < venues and 0 < intent.account < accounts):
            return row
    return intents.size


@njit()
def run_starts(batch: NDArray[np.void]) -> NDArray[np.int64]:
    """Where runs of rows for one venue begin, and the end; a bundle is a run of its own."""
    starts = np.empty(batch.size + 1, np.int64)
    runs = 0
    for row in range(batch.size):
        one, two = batch[row - 1], batch[row]
        if one.bundle == 0 and two.bundle == 0:
            begins = one.venue != two.venue
        else:
            tied = two.bundle < 0 or one.account == two.account
            begins = one.bundle != two.bundle or not tied
        if row == 0 or begins:
            starts[runs] = row
            runs += 1
    starts[runs] = batch.size
    return starts[: runs + 1]


def first_rows(number: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row that begins each transaction."""
    return np.concatenate(([0], np.flatnonzero(np.diff(number)) + 1)).astype(np.int64)


def account_keys(
    ordering: Ordering, latency_seconds: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A number in [0, 1) for each account: lower comes first. `latency_seconds` is by account."""
    accounts = len(latency_seconds)
    if ordering is not Ordering.ARRIVAL:
        return rng.random(accounts)
    keys = np.empty(accounts)
    keys[np.argsort(latency_seconds, kind="stable")] = np.arange(accounts) / accounts
    return keys


def sequence(
    intents: NDArray[np.void],
    ordering: Ordering,
    latency_seconds: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.void]:
    """Put intents in their order of execution, whatever venue they are for."""
    keys = account_keys(ordering, latency_seconds, rng)[intents["account"]]
    if ordering is not Ordering.PRIORITY_FEE:
        return take(intents, np.argsort(keys, kind="stable"))
    number = transactions(intents)
    tips = intents["tip_atoms"][first_rows(number)][number] if len(intents) else keys
    return take(intents, np.lexsort((number, keys, -tips)))


def sequence_by_venue(
    intents: NDArray[np.void],
    ordering: Ordering,
    latency_seconds: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.void]:
    """The same for domains whose venues run one after the other, in the order of their listing."""
    if ordering is Ordering.RANDOM:
        ordered = np.empty_like(intents)
        _draw_lots(intents, rng.random(len(latency_seconds)), ordered)
        return ordered
    account = intents["account"]
    return take(intents, np.lexsort((account, latency_seconds[account], intents["venue"])))


def sequence_by_arrival(
    intents: NDArray[np.void], arrival_seconds: NDArray[np.float64]
) -> NDArray[np.void]:
    """Venue after venue, each in the order in which messages reached it; equal ones as sent."""
    return take(intents, np.lexsort((arrival_seconds, intents["venue"])))


@njit()
def _draw_lots(
    intents: NDArray[np.void], lots: NDArray[np.float64], ordered: NDArray[np.void]
) -> None:
    """Order rows by venue, then by the lot of their account, which is uniform in [0, 1).

    As many buckets as rows, of equal width: few lots fall into the same, which are then inserted.
    """
    count, venues = intents.size, 1
    for row in range(count):
        venues = max(venues, intents[row].venue + 1)
    drawn, bucket, order = np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64)
    ends = np.zeros(count + 1, np.int64)
    for row in range(count):
        drawn[row] = intents[row].venue + lots[intents[row].account]
        bucket[row] = min(int(drawn[row] / venues * count), count - 1)
        ends[bucket[row] + 1] += 1
    for place in range(count):
        ends[place + 1] += ends[place]
    for row in range(count):
        order[ends[bucket[row]]] = row
        ends[bucket[row]] += 1
    for place in range(count):
        row, to = order[place], place
        while to > 0 and drawn[order[to - 1]] > drawn[row]:
            order[to] = order[to - 1]
            to -= 1
        order[to] = row
    for place in range(count):
        ordered[place] = intents[order[place]]
