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


class Ordering(StrEnum):
    """How a domain orders the intents of one batch."""

    ARRIVAL = "arrival"
    RANDOM = "random"
    PRIORITY_FEE = "priority_fee"


def transactions(intents: NDArray[np.void]) -> NDArray[np.int64]:
    """Number the transactions: an intent each, or neighbours of one account and one bundle."""
    account, bundle = intents["account"], intents["bundle"]
    same = (account[1:] == account[:-1]) & (bundle[1:] == bundle[:-1]) & (bundle[1:] != 0)
    return np.concatenate(([0], np.cumsum(~same))).astype(np.int64)[: len(intents)]


def first_rows(number: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row that begins each transaction."""
    return np.concatenate(([0], np.flatnonzero(np.diff(number)) + 1)).astype(np.int64)


def sequence(
    intents: NDArray[np.void],
    ordering: Ordering,
    latency_seconds: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.void]:
    """Put intents in their order of execution; `latency_seconds` has an entry for each account."""
    if len(intents) < 2:
        return intents
    account = intents["account"]
    if (account[1:] < account[:-1]).any():
        intents = intents[np.argsort(account, kind="stable")]
        account = intents["account"]
    if ordering is Ordering.ARRIVAL:
        return intents[np.argsort(latency_seconds[account], kind="stable")]
    lottery = _lottery(account, rng)
    if ordering is Ordering.RANDOM:
        return intents[np.argsort(lottery, kind="stable")]
    number = transactions(intents)
    tips = intents["tip_atoms"][first_rows(number)][number]
    return intents[np.lexsort((number, lottery, -tips))]


def _lottery(account: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A random number for each row, the same for all rows of an account."""
    starts = np.concatenate(([True], account[1:] != account[:-1]))
    return rng.random(int(starts.sum()))[np.cumsum(starts) - 1]
