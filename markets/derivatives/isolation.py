"""Isolation: what accounts of a clearing house have set aside for single contracts.

An account trades on its shared margin, and any contract that it chooses on margin of that
contract's own, in the same column of claims:

    claim = shared + sum over isolated contracts of what is set aside

Trades, fees, funding and liquidation of an isolated contract change what is set aside there and
nothing else; its position, margin and loss are left out of the account's shared record, and the
account's other things are left out of the contract's. A contract says what its accounts have set
aside whenever it has acted; the house tells it what all else is worth before it acts. A debt that
an isolated position leaves is the fund's, never the account's. Sources: Binance and Bybit isolated
margin. Left out: adding margin by itself when the position falls short.
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_NOBODY = np.zeros(0, np.int64)


class Isolation:
    """By contract: the accounts that are isolated there, and what each has set aside in atoms."""

    def __init__(self, contracts: int, accounts: int) -> None:
        self.kept: list[tuple[Integers, Integers]] = [(_NOBODY, _NOBODY)] * contracts
        self.aside = np.zeros(accounts, np.int64)
        """By account, in all contracts."""

    def keep(self, contract: int, accounts: Integers, atoms: Integers) -> None:
        """Take over what a contract says."""
        before, had = self.kept[contract]
        self.aside[before] -= had
        self.aside[accounts] += atoms
        self.kept[contract] = accounts, atoms

    def shared(self, records: NDArray[np.int64]) -> NDArray[np.int64]:
        """Records (contract x account x figure) with those of isolated positions left out."""
        left = records.sum(axis=0)
        for contract, (accounts, _) in enumerate(self.kept):
            left[accounts] -= records[contract, accounts]
        return left

    def own(self, contract: int, record: NDArray[np.int64]) -> NDArray[np.int64]:
        """One contract's record with those of isolated positions left out."""
        accounts, _ = self.kept[contract]
        if not len(accounts):
            return record
        left = record.copy()
        left[accounts] = 0
        return left
