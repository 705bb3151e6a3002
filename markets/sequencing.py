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
    keys = account_keys(ordering, latency_seconds, rng)[intents["account"]]
    return take(intents, np.argsort(keys + intents["venue"], kind="stable"))


def sequence_by_arrival(
    intents: NDArray[np.void], arrival_seconds: NDArray[np.float64]
) -> NDArray[np.void]:
    """Venue after venue, each in the order in which messages reached it; equal ones as sent."""
    return take(intents, np.lexsort((arrival_seconds, intents["venue"])))
