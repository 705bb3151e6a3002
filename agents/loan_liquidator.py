"""Liquidators of loans: pay unsafe debts for collateral at a discount, and sell the collateral.

Unsafe accounts are taken in the order of their debts. For each the liquidator repays the largest
debt for the largest collateral, as much as the pool's rules and its purse allow, where proceeds
exceed what is paid, the fee of the chain and `minimum_profit`. With an outlet, a pool of collateral
against the coin owed, both go into one bundle: the collateral is sold in the transaction that
seizes it, for no less than was paid, or nothing happens. Proceeds are then what the outlet would
pay after the sales planned before; where that is too little, half is tried, down to a sixteenth:
with a thin outlet debts stay unpaid and go bad. Other collateral is kept, at the oracle's price.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.errors import ConfigError
from markets.intents import LIQUIDATE, SELL, SWAP_EXACT_IN, Intent, bundle, swap_exact_in
from markets.lending.lending_intents import liquidate
from markets.lending.lending_pool import LendingPool
from markets.lending.lending_view import LendingView
from markets.market import Market, View
from markets.pools.pool import Pool
from markets.rounding import PPM

_HALVINGS = 5
_SLACK = 1e-6
"""Part of the collateral expected that is not counted on, for roundings."""


class _Deal(NamedTuple):
    """Coins of debt and collateral, and the most that may be repaid, in atoms."""

    debt: int
    coin: int
    most_atoms: int


class LoanLiquidator(Trader):
    """Watches one lending pool."""

    class Params(Trader.Params):
        """Parameters; amounts in units."""

        venue: str
        """Name of the lending pool."""
        outlet: str = ""
        """Pool where collateral is sold: its base is the collateral, its quote the coin owed."""
        quote: float = Field(gt=0)
        """Purse, in the pool's second coin."""
        minimum_profit: float = Field(1.0, ge=0)
        """Quote that must be left of a liquidation."""
        most_per_step: int = Field(50, ge=1)
        """Accounts liquidated in a step."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        pool = market.venue(self.params.venue, f"{self.name}.venue", LendingPool)
        self._domain, self._rules = pool.domain, pool.params
        self.account = self.endow(market, pool.domain, {pool.coins[1].name: self.params.quote})
        self._base = -1
        if self.params.outlet:
            outlet = market.venue(self.params.outlet, f"{self.name}.outlet", Pool)
            if outlet.domain != pool.domain or outlet.coins[1] != pool.coins[1]:
                problem = f"{outlet.name} does not pay {pool.coins[1].name} in {pool.domain}"
                raise ConfigError(f"{self.name}.outlet", problem)
            names = [coin.name for coin in pool.coins]
            self._base = names.index(outlet.coins[0].name) if outlet.coins[0].name in names else -1

    def act(self, view: View) -> Sequence[Intent]:
        """Repay what pays."""
        chain = view.domains[self._domain]
        if chain is not None and chain.must_wait(view.moment, self.account):
            return NOTHING
        pool = view[self.params.venue]
        accounts = pool.borrowers()
        accounts = accounts[pool.health(accounts) < 1.0]
        accounts = accounts[np.argsort(-pool.debt(accounts), kind="stable")]
        fee = chain.fee_atoms(LIQUIDATE, SWAP_EXACT_IN) if chain is not None else 0
        intents: list[Intent] = []
        purse = view.balances[self.account, pool.terms.coins].copy()
        purse[1] -= fee * (self.params.most_per_step + 1)
        planned = 0
        for key, borrower in enumerate(accounts[: self.params.most_per_step].tolist(), start=1):
            deal = self._deal(pool, borrower)
            if deal is None:
                continue
            most = min(deal.most_atoms, int(purse[deal.debt]))
            paid, seized = self._worthwhile(view, pool, deal._replace(most_atoms=most), planned)
            if paid > 0:
                purse[deal.debt] -= paid
                coins, sold = (deal.debt, deal.coin), self._is_sold(deal)
                planned += seized if sold else 0
                step = [liquidate(pool.index, self.account, borrower, coins, paid, seized)]
                intents += bundle([*step, self._sale(view, seized, paid)], key) if sold else step
        return intents

    def _is_sold(self, deal: _Deal) -> bool:
        return bool(self.params.outlet) and (deal.debt, deal.coin) == (1, self._base)

    def _sale(self, view: View, atoms: int, least_atoms: int) -> Intent:
        outlet = view[self.params.outlet]
        return swap_exact_in(outlet.index, self.account, SELL, atoms, least_atoms)

    def _deal(self, pool: LendingView, borrower: int) -> _Deal | None:
        """The largest debt and the largest collateral of an account."""
        account, prices = np.array([borrower]), pool.state.prices
        debts = np.nan_to_num(pool.debts(account)[0] * prices)
        pledged = np.nan_to_num(pool.supplies(account)[0] * prices * (pool.terms.threshold > 0))
        debt, coin = int(debts.argmax()), int(pledged.argmax())
        if not pledged[coin] > 0:
            return None
        owed = pool.owed_atoms(borrower, debt)
        whole = pool.health(account)[0] <= self._rules.full_close_health
        whole = whole or debts[debt] < self._rules.full_close_quote
        part = PPM if whole else self._rules.close_factor_ppm
        per_paid = (1 + pool.terms.bonus[coin]) * prices[debt]
        covered = int(np.ceil(pledged[coin] / per_paid))
        return _Deal(debt, coin, min(owed * part // PPM, covered))

    def _worthwhile(
        self, view: View, pool: LendingView, deal: _Deal, planned: int
    ) -> tuple[int, int]:
        """Atoms to be repaid and to be seized for them; none where no size pays."""
        prices, bonus = pool.state.prices, pool.terms.bonus[deal.coin]
        kept = 1 + bonus * (1 - pool.terms.protocol_part)
        chain = view.domains[self._domain]
        fee = chain.fee_atoms(LIQUIDATE, SWAP_EXACT_IN) if chain is not None else 0
        paid, least = deal.most_atoms, self.params.minimum_profit
        for _ in range(_HALVINGS):
            seized = int(paid * prices[deal.debt] / prices[deal.coin] * kept * (1 - _SLACK))
            worth = seized * prices[deal.coin]
            if self._is_sold(deal):
                outlet = view[self.params.outlet]
                before = outlet.output_atoms(SELL, planned) if planned else 0
                worth = (outlet.output_atoms(SELL, planned + seized) - before) * prices[1]
            if paid > 0 and worth - (paid * prices[deal.debt] + fee * prices[1]) > least:
                return paid, seized
            paid //= 2
        return 0, 0
