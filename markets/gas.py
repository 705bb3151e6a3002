"""Gas: what each kind of operation costs on a chain, in units of gas.

A transaction pays a fixed part and a part for each of its rows. The defaults are round figures of
Ethereum's order of magnitude: 21,000 for the transaction itself, about 100,000 for a swap in a pool
and more for a change of liquidity, which writes more storage. Actions without an entry pay `other`.
A row that names another's transaction costs nothing itself.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.intents import (
    ADD_COIN,
    ADD_COINS,
    ADD_LIQUIDITY,
    ADD_RANGE,
    COLLECT,
    INCLUDE,
    REMOVE_COIN,
    REMOVE_COINS,
    REMOVE_LIQUIDITY,
    REMOVE_RANGE,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
    TRANSFER,
)

ACTIONS = 64


class GasSchedule(params.Params):
    """Units of gas by kind of operation."""

    transaction: int = Field(21_000, ge=1)
    """Every transaction."""
    swap: int = Field(100_000, ge=0)
    """A swap in one pool."""
    add_liquidity: int = Field(160_000, ge=0)
    """A deposit."""
    remove_liquidity: int = Field(140_000, ge=0)
    """A withdrawal."""
    collect: int = Field(90_000, ge=0)
    """Taking earned fees out."""
    transfer: int = Field(45_000, ge=0)
    """A transfer between accounts."""
    other: int = Field(80_000, ge=0)
    """Whatever has no entry here."""

    def by_action(self) -> NDArray[np.int64]:
        """Gas of a row, to be looked up by its action."""
        table = np.full(ACTIONS, self.other, np.int64)
        table[[SWAP_EXACT_IN, SWAP_EXACT_OUT]] = self.swap
        table[[ADD_LIQUIDITY, ADD_RANGE, ADD_COINS, ADD_COIN]] = self.add_liquidity
        removals = [REMOVE_LIQUIDITY, REMOVE_RANGE, REMOVE_COINS, REMOVE_COIN]
        table[removals] = self.remove_liquidity
        table[COLLECT], table[TRANSFER], table[INCLUDE] = self.collect, self.transfer, 0
        return table

    @property
    def one_swap(self) -> int:
        """Gas of a transaction that is a single swap."""
        return self.transaction + self.swap
