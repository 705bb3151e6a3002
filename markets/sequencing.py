"""Sequencing: which intent comes first is a rule, and a parameter.

Rules order whole accounts, so that an account's own intents keep their order:

    arrival        by the account's latency, then by account
    random         a fresh random order of accounts in each batch
    priority_fee   highest tip first (a bundle counts by its first tip), equal tips at random

The result depends on accounts, never on the order in which agents were asked; and on those of the
domain alone: who is listed elsewhere draws no lot here.

A random order comes from lots, one an account: the lot of the account that is number n of the
domain is number n of a generator that starts anew in each batch (`markets.splitmix`), so that only
the lots of those who send are worked out.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.intents import blank, take
from markets.kernel import njit
from markets.splitmix import uniform


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
def first_stray(
    intents: NDArray[np.void],
    domain_of_venue: NDArray[np.int64],
    domain_of_account: NDArray[np.int64],
) -> int:
    """The first row without a venue and an account of one domain, or the number of rows.

    Account 0 is the issuer and sends nothing.
    """
    for row in range(intents.size):
        venue, account = intents[row].venue, intents[row].account
        known = 0 <= venue < domain_of_venue.size and 0 < account < domain_of_account.size
        if not (known and domain_of_venue[venue] == domain_of_account[account]):
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


class Roster(NamedTuple):
    """The accounts of one domain, numbered in the order of the ledger.

    `place` is by row of the ledger: 1, 2, ... for accounts of the domain, 0 for all others, who
    send nothing here. `latency_seconds` is by place; so is `rank`, the order of latencies.
    """

    place: NDArray[np.int64]
    latency_seconds: NDArray[np.float64]
    rank: NDArray[np.float64]


def roster(held_here: NDArray[np.bool_], latency_seconds: NDArray[np.float64]) -> Roster:
    """The roster of the accounts marked; both arrays are by row of the ledger."""
    place = np.where(held_here, held_here.cumsum(), 0)
    latency = np.append(0.0, latency_seconds[held_here])
    rank = np.empty(len(latency))
    rank[np.argsort(latency, kind="stable")] = np.arange(len(latency))
    return Roster(place, latency, rank)


@njit()
def _lots(start: int, places: NDArray[np.int64]) -> NDArray[np.float64]:
    lots = np.empty(places.size)
    for at in range(places.size):
        lots[at] = uniform(start, places[at])
    return lots


def _start(rng: np.random.Generator) -> int:
    """Where the lots of a batch start."""
    return rng.bit_generator.random_raw() >> 1


def account_keys(
    ordering: Ordering, roster: Roster, accounts: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A number for each account, the same for the same: lower comes first."""
    places = roster.place[accounts]
    return roster.rank[places] if ordering is Ordering.ARRIVAL else _lots(_start(rng), places)


def sequence(
    intents: NDArray[np.void],
    ordering: Ordering,
    accounts: Roster,
    rng: np.random.Generator,
) -> NDArray[np.void]:
    """Put intents in their order of execution, whatever venue they are for."""
    keys = account_keys(ordering, accounts, intents["account"], rng)
    if ordering is not Ordering.PRIORITY_FEE:
        return take(intents, np.argsort(keys, kind="stable"))
    number = transactions(intents)
    tips = intents["tip_atoms"][first_rows(number)][number] if len(intents) else keys
    return take(intents, np.lexsort((number, keys, -tips)))


def sequence_by_venue(
    intents: NDArray[np.void],
    ordering: Ordering,
    accounts: Roster,
    rng: np.random.Generator,
    room: NDArray[np.void] | None = None,
) -> NDArray[np.void]:
    """The same for domains whose venues run one after the other, in the order of their listing.

    They know no bundles: in this order the rows of one would not follow each other. The result may
    stand in `room`, if that is given.
    """
    if ordering is Ordering.RANDOM:
        ordered = blank(len(intents)) if room is None else room[: len(intents)]
        _draw_lots(intents, accounts.place, _start(rng), ordered)
        return ordered
    rank = accounts.rank[accounts.place[intents["account"]]]
    return _untied(take(intents, np.lexsort((rank, intents["venue"]))))


def sequence_by_arrival(
    intents: NDArray[np.void], arrival_seconds: NDArray[np.float64]
) -> NDArray[np.void]:
    """Venue after venue, each in the order in which messages reached it; equal ones as sent."""
    return _untied(take(intents, np.lexsort((arrival_seconds, intents["venue"]))))


def _untied(intents: NDArray[np.void]) -> NDArray[np.void]:
    intents["bundle"] = 0
    return intents


@njit()
def _draw_lots(
    intents: NDArray[np.void],
    place: NDArray[np.int64],
    start: int,
    ordered: NDArray[np.void],
) -> None:
    """Order rows by venue, then by the lot of their account's place; bundles fall apart.

    As many buckets as rows, of equal width: few lots fall into the same, which are then inserted.
    """
    count, venues = intents.size, 1
    for row in range(count):
        venues = max(venues, intents[row].venue + 1)
    drawn, bucket, order = np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64)
    ends, width = np.zeros(count + 1, np.int64), count / venues
    for row in range(count):
        drawn[row] = intents[row].venue + uniform(start, place[intents[row].account])
        bucket[row] = min(int(drawn[row] * width), count - 1)
        ends[bucket[row] + 1] += 1
    for at in range(count):
        ends[at + 1] += ends[at]
    for row in range(count):
        order[ends[bucket[row]]] = row
        ends[bucket[row]] += 1
    for at in range(count):
        row, to = order[at], at
        while to > 0 and drawn[order[to - 1]] > drawn[row]:
            order[to] = order[to - 1]
            to -= 1
        order[to] = row
    for at in range(count):
        ordered[at] = intents[order[at]]
        ordered[at].bundle = 0
