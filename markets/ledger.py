"""The ledger: every asset of every account in one int64 matrix, accounts down, assets across.

A posting takes from one account what it gives to another, and whoever issues an asset holds the
negative of its supply. So each column sums to zero after every posting,

    sum over accounts of balances[account, asset] = 0        for every asset, always,

which `check` verifies together with the second rule: only issuers, and holders of signed assets,
may have a balance below zero. Kernels of venues write to the matrix directly; nothing else does.

An account belongs to an owner (an agent or a venue) and to a domain, its place of custody; row 0
is the issuer of what comes from outside. Accounts are never closed and rows never move.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from markets.assets import MAX_ATOMS, Asset
from markets.errors import BrokenInvariant, ConfigError
from markets.kernel import njit

ISSUER = 0
OUTSIDE = "outside"

Rows = NDArray[np.int64]
Matrix = NDArray[np.int64]


@njit(cache=True)
def _column_sums(balances: Matrix) -> Rows:
    accounts, assets = balances.shape
    sums = np.zeros(assets, np.int64)
    for account in range(accounts):
        for asset in range(assets):
            sums[asset] += balances[account, asset]
    return sums


@njit(cache=True)
def _is_sound(balances: Matrix, may_owe: NDArray[np.bool_]) -> bool:
    """Whether every column sums to zero and nobody is overdrawn."""
    accounts, assets = balances.shape
    unbalanced, overdrawn = 0, False
    for asset in range(assets):
        total = 0
        for account in range(accounts):
            total += balances[account, asset]
        unbalanced |= total
    atoms, owing = balances.reshape(-1), may_owe.reshape(-1)
    for place in range(atoms.size):
        overdrawn |= (atoms[place] < 0) & (not owing[place])
    return unbalanced == 0 and not overdrawn


class Ledger:
    """Who owns what, exactly. `balances` is the matrix, in atoms."""

    def __init__(self, assets: Sequence[Asset]) -> None:
        self.assets = tuple(assets)
        self.column = {asset.name: index for index, asset in enumerate(self.assets)}
        if len(self.column) != len(self.assets):
            raise ConfigError("assets", f"names repeat: {[a.name for a in self.assets]}")
        self._may_owe = np.zeros((0, len(self.assets)), np.bool_)
        self.balances: Matrix = np.zeros((0, len(self.assets)), np.int64)
        self.owner_names: list[str] = []
        self.domain_names: list[str] = []
        self.owner: Rows = np.zeros(0, np.int64)
        self.domain: Rows = np.zeros(0, np.int64)
        issuer = self.open("issuer", OUTSIDE)
        self._may_owe[issuer] = True

    def open(self, owner: str, domain: str, count: int = 1) -> Rows:
        """Open `count` empty accounts and return their rows.

        Only before the first step: views and kernels hold the matrix itself.
        """
        first, assets = self.balances.shape
        self.balances = np.vstack([self.balances, np.zeros((count, assets), np.int64)])
        signed = np.array([asset.signed for asset in self.assets], np.bool_)
        self._may_owe = np.vstack([self._may_owe, np.tile(signed, (count, 1))])
        self.owner = np.append(self.owner, np.full(count, _index(self.owner_names, owner)))
        self.domain = np.append(self.domain, np.full(count, _index(self.domain_names, domain)))
        return np.arange(first, first + count, dtype=np.int64)

    def allow_issue(self, account: int, asset: str) -> None:
        """Let an account issue an asset: a pool its shares."""
        self._may_owe[account, self.column[asset]] = True

    def issue(self, accounts: Rows, asset: str, atoms: Rows | int) -> None:
        """Bring assets in from outside: accounts gain, the issuer owes.

        Raises ConfigError where an amount is negative or the supply would leave the int64 range.
        """
        column = self.column[asset]
        amounts = np.broadcast_to(np.asarray(atoms, np.int64), np.shape(accounts))
        supply = float(np.sum(amounts, dtype=np.float64)) - float(self.balances[ISSUER, column])
        if np.any(amounts < 0):
            raise ConfigError(f"endowment.{asset}", f"must not be negative, got {amounts.min()}")
        if supply > MAX_ATOMS:
            raise ConfigError(f"endowment.{asset}", f"supply of {supply:.3g} atoms is too large")
        np.add.at(self.balances[:, column], accounts, amounts)
        self.balances[ISSUER, column] -= amounts.sum()

    def column_sums(self) -> Rows:
        """The sum of each column in atoms: zeros, or money was made or lost."""
        return _column_sums(self.balances)

    def check(self) -> None:
        """Raise BrokenInvariant unless every column sums to zero and nobody is overdrawn."""
        if _is_sound(self.balances, self._may_owe):
            return
        sums = self.column_sums()
        for column in np.flatnonzero(sums).tolist():
            raise BrokenInvariant(
                "column does not sum to zero", "ledger", self.assets[column].name, int(sums[column])
            )
        account, column = np.argwhere((self.balances < 0) & ~self._may_owe)[0].tolist()
        owner = self.owner_names[self.owner[account]]
        raise BrokenInvariant(
            f"account {account} of {owner} is overdrawn",
            "ledger",
            self.assets[column].name,
            int(self.balances[account, column]),
        )


def _index(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)
