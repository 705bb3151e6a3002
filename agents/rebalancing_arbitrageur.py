"""Arbitrageurs that carry what they have won from one domain to the other.

A `PoolArbitrageur` trades a pool on a chain against a book on an exchange, each leg from its own
inventory; a trend empties one side. This one also looks at both inventories: when an asset in one
domain has fallen below `least_fraction` of what it began with, it sends from the other domain half
of the difference between the two, by the transit venues, and waits for what is on its way, or for a
block, before it sends again. Delay and gas are real: until the assets arrive arbitrage waits.
"""

from collections.abc import Sequence

from pydantic import Field

from agents.arbitrageur import PoolArbitrageur
from markets.intents import Intent, transfer
from markets.market import Market, View


class RebalancingArbitrageur(PoolArbitrageur):
    """A `PoolArbitrageur` with a way between its two domains."""

    class Params(PoolArbitrageur.Params):
        """Parameters."""

        from_exchange: str
        """Transit venue that leads out of the exchange."""
        from_chain: str
        """Transit venue that leads out of the chain."""
        least_fraction: float = Field(0.5, gt=0, lt=1)
        """Part of what an inventory began with below which it is filled up."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        super().open(market)
        assets = market.venue(self.params.book, f"{self.name}.book").columns()[:2]
        started = (self.params.base, self.params.quote)
        self._least = {
            market.ledger.column[asset.name]: asset.to_atoms(units * self.params.least_fraction)
            for asset, units in zip(assets, started, strict=True)
        }

    def act(self, view: View) -> Sequence[Intent]:
        """Arbitrage first, then carry."""
        return [*super().act(view), *self._carry(view)]

    def _carry(self, view: View) -> list[Intent]:
        ways = [
            (self.params.from_exchange, self.book_account, self.pool_account),
            (self.params.from_chain, self.pool_account, self.book_account),
        ]
        chain = view.domains[self._domain]
        if chain is not None and chain.waits(self.pool_account):
            ways = ways[:1]
        rows = []
        for name, sender, receiver in ways:
            way = view[name]
            for column, least_atoms in self._least.items():
                there = int(view.balances[receiver, column])
                if there >= least_atoms or way.coming_atoms(receiver, column):
                    continue
                atoms = (int(view.balances[sender, column]) - there) // 2
                if atoms > 0:
                    rows.append(transfer(way.index, sender, receiver, column, atoms))
        return rows
