"""What agents see of a lending pool: rates, what is free, and how safe accounts are.

Rates are annual plain fractions, prices quote per unit, values quote units; arrays have an entry
for each coin in the pool's order. An account's supply and debt are columns of the ledger, in shares
(`share_columns`, `debt_columns`); `supplied_atoms` and `owed_atoms` say what they are worth now.
Values are reckoned in float64, to the last digits those by which the pool decides.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from markets.assets import Asset
from markets.ledger import Matrix
from markets.lending.lending_state import (
    LendingState,
    LendingTerms,
    debt_atoms,
    supply_worth,
)

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class LendingView:
    """A lending pool in this step."""

    index: int
    coins: tuple[Asset, ...]
    prices: Floats
    """Of the pool's oracle; NaN where none is known yet."""
    utilisation: Floats
    borrow_rates: Floats
    supply_rates: Floats
    cash: Floats
    """Units that can be withdrawn or borrowed."""
    supplied: Floats
    """Units that belong to the suppliers, lent or not."""
    terms: LendingTerms
    state: LendingState
    _balances: Matrix

    @property
    def mid(self) -> float:
        """The oracle's price of the first coin."""
        return float(self.prices[0])

    @property
    def share_columns(self) -> Rows:
        """Ledger columns of the supply shares."""
        return self.terms.shares

    @property
    def debt_columns(self) -> Rows:
        """Ledger columns of the debt shares."""
        return self.terms.debts

    def supplied_atoms(self, account: int, coin: int) -> int:
        """What the account's supply of a coin is worth, as a withdrawal of all would pay."""
        return supply_worth(self._balances, self.terms, self.state, account, coin)

    def owed_atoms(self, account: int, coin: int) -> int:
        """What the account owes of a coin."""
        return debt_atoms(self._balances, self.terms, self.state, account, coin)

    def shares_for(self, coin: int, atoms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Supply shares worth about so many atoms, rounded up; to be held below what one has."""
        per_share = self._per_share(self.terms.shares, self._wholes())[coin]
        return np.ceil(atoms / per_share if per_share > 0 else atoms * 0.0).astype(np.int64)

    def supplies(self, accounts: Rows) -> Floats:
        """Accounts x coins: supply in atoms."""
        held = self._balances[accounts[:, None], self.terms.shares]
        return np.asarray(held * self._per_share(self.terms.shares, self._wholes()))

    def debts(self, accounts: Rows) -> Floats:
        """Accounts x coins: debt in atoms."""
        held = self._balances[accounts[:, None], self.terms.debts]
        return np.asarray(held * self._per_share(self.terms.debts, self.state.owed))

    def debt(self, accounts: Rows) -> Floats:
        """Worth of all debts."""
        return _worth(self.debts(accounts), self.state.prices)

    def room(self, accounts: Rows) -> Floats:
        """What may still be borrowed by the loan-to-value; below 0 where too much is."""
        power = _worth(self.supplies(accounts), self.state.prices * self.terms.ltv)
        return power - self.debt(accounts)

    def health(self, accounts: Rows) -> Floats:
        """Collateral by the threshold over debt; infinite without debt."""
        owed = self.debt(accounts)
        power = _worth(self.supplies(accounts), self.state.prices * self.terms.threshold)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(owed == 0.0, math.inf, power / owed)

    def borrowers(self) -> Rows:
        """Accounts that owe anything."""
        owing = (self._balances[:, self.terms.debts] > 0).any(axis=1)
        return np.flatnonzero(owing)

    def _wholes(self) -> Rows:
        cash: Rows = self._balances[self.terms.pool, self.terms.coins]
        return cash + self.state.owed

    def _per_share(self, columns: Rows, wholes: Rows) -> Floats:
        issued = -self._balances[self.terms.pool, columns]
        return np.asarray(np.divide(wholes, issued, out=np.zeros(len(wholes)), where=issued > 0))


def _worth(atoms: Floats, prices: Floats) -> Floats:
    """Sum over coins; a coin without a price counts only where some of it is held."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(atoms == 0.0, 0.0, atoms * prices).sum(axis=1))
