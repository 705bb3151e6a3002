"""Custody: a vault of collateral and the claims on it, with the venue's fund and fee accounts.

One perpetual has its own; the contracts of a clearing house share the house's. Claims are a signed
asset, in atoms of the settlement asset, and whoever deposits gets one for one, so that always

    vault's collateral = -vault's claims = claims of everybody else.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from markets.assets import Asset
from markets.errors import ConfigError

if TYPE_CHECKING:
    from markets.market import Market


class Custody:
    """Vault, insurance fund and fees of one owner, for claims on one settlement asset."""

    def __init__(self, owner: str, settlement: Asset) -> None:
        self.owner, self.settlement = owner, settlement
        self.margin = Asset(f"{owner}:margin", settlement.decimals, signed=True)

    def open(self, market: "Market", domain: str) -> None:
        """Open the three accounts."""
        self._ledger = market.ledger
        self.accounts = market.open_accounts(self.owner, domain, 3)
        self.vault, self.fund, self.fees = self.accounts.tolist()
        self.quote_column = market.ledger.column[self.settlement.name]
        self.margin_column = market.ledger.column[self.margin.name]

    def endow(self, account: int, units: float) -> None:
        """Bring margin in from outside for an account of the venue."""
        atoms, row = self.settlement.to_atoms(units), np.array([account])
        self._ledger.issue(row, self.settlement.name, atoms)
        self.fund_margin(row, np.array([atoms]))

    def fund_margin(self, accounts: NDArray[np.int64], atoms: NDArray[np.int64]) -> None:
        """Turn collateral of the accounts into margin before the first step.

        Raises ConfigError where an account has less, or an amount is negative.
        """
        balances = self._ledger.balances
        due = np.zeros(len(balances), np.int64)
        np.add.at(due, accounts, atoms)
        lacks = (due > 0) & (balances[:, self.quote_column] < due)
        if np.any(np.asarray(atoms) < 0) or lacks.any():
            raise ConfigError(f"{self.owner}.margin", "must be collateral that the account has")
        balances[:, self.quote_column] -= due
        balances[:, self.margin_column] += due
        balances[self.vault, self.quote_column] += due.sum()
        balances[self.vault, self.margin_column] -= due.sum()
