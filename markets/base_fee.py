"""Base fee of a chain: the price of block space, which follows how full blocks are.

    base' = base (1 + (used - target)/target * c),    target = limit/elasticity

base: fee-asset atoms for a unit of gas; used, limit: gas of the block; c: largest change of a block
at elasticity 2 (1/8 on Ethereum). A block without a limit is never full and leaves the fee where it
is. The fee never falls below a fraction of where it began, so that it can rise again. It is burnt:
the chain's second account receives it and nobody spends it.
Rounding: the fee itself is a real number; what a transaction owes is rounded up to the atom.
Source: EIP-1559. Left out: the fee cap of a transaction, whose sender sees the fee and decides.
"""

from dataclasses import dataclass


@dataclass
class BaseFee:
    """The fee of the next block, in atoms a unit of gas, and the rule that moves it."""

    atoms_per_gas: float
    gas_limit: int
    elasticity: float
    change: float
    least: float

    def after(self, gas_used: int) -> None:
        """A block has been made."""
        if self.gas_limit:
            target = self.gas_limit / self.elasticity
            moved = 1 + (gas_used - target) / target * self.change
            self.atoms_per_gas = max(self.least, self.atoms_per_gas * moved)

    def after_empty(self, blocks: int) -> None:
        """So many blocks have been made with nothing in them."""
        if self.gas_limit and blocks:
            fallen = self.atoms_per_gas * (1 - self.change) ** blocks
            self.atoms_per_gas = max(self.least, fallen)
