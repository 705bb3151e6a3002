"""The books of a pool-based perpetual: who holds what against the pool, in whole atoms.

A trader holds c lots (the pool -c), a claim m on the vault, and the signed cost e of c, so that

    wallet = m + e,    equity = m + c*P*k,    claims of the pool = sum of e over traders,

P the oracle price in ticks, k the atoms of a lot and tick. Opening moves the cost between claims;
closing x lots gives e*x/|c| back and pays the profit out of the pool's own quote, or the loss into
it, as far as the wallet goes: what a wallet lacks is the providers' loss. The cost given back is
rounded against the trader. So always

    vault's quote = -vault's claims,    pool value = quote + base at P + claims + contracts*P*k.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Columns(NamedTuple):
    """Ledger columns, the venue's rows, atoms of one lot at one tick, base atoms of a lot."""

    base: int
    quote: int
    contract: int
    margin: int
    share: int
    pool: int
    vault: int
    impact: int
    fees: int
    notional_atoms: int
    lot_atoms: int


class Stand(NamedTuple):
    """What an account is worth, the pool, and the quote of impact pool and venue, in atoms."""

    equity: int
    pool: int
    impact: int
    fees: int


class PoolAccounts:
    """Positions and claims of one venue; `mark_ticks` is the oracle price of the step."""

    def __init__(self, balances: Rows, columns: Columns) -> None:
        self.balances, self.at = balances, columns
        self.entry_atoms = np.zeros(len(balances), np.int64)
        self.mark_ticks = 0
        self.open_lots = {1: 0, -1: 0}
        """Lots of longs and of shorts, both as positive numbers."""

    @property
    def value_atoms(self) -> int:
        """Atoms of one lot at the mark."""
        return self.mark_ticks * self.at.notional_atoms

    def lots(self, account: int) -> int:
        """Signed lots that an account holds."""
        return int(self.balances[account, self.at.contract])

    def wallet(self, account: int) -> int:
        """Collateral of an account, profit and loss apart."""
        return int(self.balances[account, self.at.margin]) + int(self.entry_atoms[account])

    def equity(self, account: int) -> int:
        """Collateral and position at the mark."""
        claim = int(self.balances[account, self.at.margin])
        return claim + self.lots(account) * self.value_atoms

    def holders(self, side: int) -> Rows:
        """Traders with a position on a side."""
        rows = np.flatnonzero(side * self.balances[:, self.at.contract] > 0)
        return rows[rows != self.at.pool]

    def profits(self, accounts: Rows) -> Rows:
        """Unrealised profits at the mark."""
        held: Rows = self.balances[accounts, self.at.contract] * self.value_atoms
        return held - self.entry_atoms[accounts]

    def base_value(self) -> int:
        """What the pool's own base is worth at the mark, rounded down."""
        held = int(self.balances[self.at.pool, self.at.base])
        return held * self.value_atoms // self.at.lot_atoms

    def pool_value(self) -> int:
        """What the shares are worth together, profits of traders taken off."""
        row = self.balances[self.at.pool]
        value = int(row[self.at.contract]) * self.value_atoms + self.base_value()
        return int(row[self.at.quote]) + int(row[self.at.margin]) + value

    def stand(self, account: int) -> Stand:
        """How things stand, for what a close-out changes."""
        impact, fees = self.balances[[self.at.impact, self.at.fees], self.at.quote].tolist()
        return Stand(self.equity(account), self.pool_value(), impact, fees)

    def pay(self, account: int, row: int, atoms: int) -> None:
        """From a wallet to a row of the venue; below 0 the other way, as far as the row has it."""
        balances, at = self.balances, self.at
        balances[account, at.margin] -= atoms
        balances[at.vault, at.margin] += atoms
        balances[at.vault, at.quote] -= atoms
        balances[row, at.quote] += atoms

    def take(self, account: int, signed_lots: int) -> None:
        """Open or add to a position at the mark."""
        balances, at = self.balances, self.at
        self.open_lots[1 if signed_lots > 0 else -1] += abs(signed_lots)
        cost = signed_lots * self.value_atoms
        balances[account, at.contract] += signed_lots
        balances[at.pool, at.contract] -= signed_lots
        balances[account, at.margin] -= cost
        balances[at.pool, at.margin] += cost
        self.entry_atoms[account] += cost

    def profit_of(self, account: int, lots: int) -> tuple[int, int]:
        """Cost given back and profit of closing so many lots of a position at the mark."""
        held = self.lots(account)
        cost = -(-int(self.entry_atoms[account]) * lots // abs(held))
        side = 1 if held > 0 else -1
        return cost, side * lots * self.value_atoms - cost

    def give(self, account: int, lots: int, most_profit: int) -> int:
        """Close lots at the mark and settle with the pool; returns the profit that was paid.

        A loss is paid as far as the wallet goes.
        """
        balances, at = self.balances, self.at
        side = 1 if self.lots(account) > 0 else -1
        wallet = self.wallet(account)
        cost, profit = self.profit_of(account, lots)
        self.open_lots[side] -= lots
        paid = max(-wallet, min(profit, most_profit))
        balances[account, at.contract] -= side * lots
        balances[at.pool, at.contract] += side * lots
        balances[account, at.margin] += cost
        balances[at.pool, at.margin] -= cost
        self.entry_atoms[account] -= cost
        self.pay(account, at.pool, -paid)
        return paid

    def fault(self) -> tuple[str, int]:
        """A rule that does not hold and the difference; an empty rule where all do."""
        balances, at = self.balances, self.at
        backing = int(balances[at.vault, at.quote] + balances[at.vault, at.margin])
        if backing:
            return "claims are not the collateral held", backing
        owed = int(balances[at.pool, at.margin] - self.entry_atoms.sum())
        if owed:
            return "claims of the pool are not the cost of positions", owed
        wallets = balances[:, at.margin] + self.entry_atoms
        wallets[[at.pool, at.vault]] = 0
        if (wallets < 0).any():
            return "a wallet is below zero", int(wallets.min())
        held = balances[:, at.contract].copy()
        held[at.pool] = 0
        for side, lots in self.open_lots.items():
            if other := int(np.maximum(side * held, 0).sum()) - lots:
                return "open lots are not those of the positions", other
        idle = held == 0
        if self.entry_atoms[idle].any():
            return "a cost without a position", int(np.abs(self.entry_atoms[idle]).max())
        return "", 0
