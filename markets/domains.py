"""Domains: places of custody and ordering. Which intent comes first is a rule, and a parameter.

An exchange executes in every step; a chain collects intents and executes them block by block, one
batch a step at most. Rules order whole accounts, so an account's own intents keep their order:

    arrival        by the account's latency, then by account
    random         a fresh random order of accounts each step
    priority_fee   highest tip first (a bundle counts by its first tip), equal tips at random

The result depends on accounts, never on the order in which agents were asked.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from markets.errors import ConfigError


class Ordering(StrEnum):
    """How a domain orders the intents of one batch."""

    ARRIVAL = "arrival"
    RANDOM = "random"
    PRIORITY_FEE = "priority_fee"


@dataclass(frozen=True)
class Exchange:
    """A custodian that orders intents within each step."""

    name: str
    ordering: Ordering = Ordering.RANDOM

    def executes(self, seconds: float, step_seconds: float) -> bool:
        """Always: an exchange trades continuously."""
        return True


@dataclass(frozen=True)
class Chain:
    """A chain: a block every `block_seconds`, gas in `fee_asset` to the block builder.

    Each transaction (an intent, or a bundle as a whole) pays `gas_fee` units plus its tip,
    whether it succeeds or not; all gas of a block is taken before its first transaction.
    """

    name: str
    block_seconds: float
    fee_asset: str
    gas_fee: float = 0.0
    ordering: Ordering = Ordering.PRIORITY_FEE

    def __post_init__(self) -> None:
        if not self.block_seconds > 0:
            raise ConfigError(f"{self.name}.block_seconds", "must be above 0")
        if not self.gas_fee >= 0:
            raise ConfigError(f"{self.name}.gas_fee", "must not be negative")

    def executes(self, seconds: float, step_seconds: float) -> bool:
        """Whether a block falls due in the step that begins at `seconds`."""
        before = np.floor(seconds / self.block_seconds + 1e-9)
        return bool(np.floor((seconds + step_seconds) / self.block_seconds + 1e-9) > before)


Domain = Exchange | Chain


def transactions(intents: NDArray[np.void]) -> NDArray[np.int64]:
    """Number the transactions: an intent each, or neighbours of one account and one bundle."""
    account, bundle = intents["account"], intents["bundle"]
    same = (account[1:] == account[:-1]) & (bundle[1:] == bundle[:-1]) & (bundle[1:] != 0)
    return np.concatenate(([0], np.cumsum(~same))).astype(np.int64)[: len(intents)]


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
    first = np.concatenate(([0], np.flatnonzero(np.diff(number)) + 1))
    tips = intents["tip_atoms"][first][number]
    return intents[np.lexsort((number, lottery, -tips))]


def _lottery(account: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A random number for each row, the same for all rows of an account."""
    starts = np.concatenate(([True], account[1:] != account[:-1]))
    return rng.random(int(starts.sum()))[np.cumsum(starts) - 1]
