"""Borrowers: loans against a coin that members do not want to sell, as long as the rate suits them.

Each member has collateral, a highest rate it will pay and a health it aims at (both lognormal, the
health above 1). In a step a part of the members looks. Where the rate suits, all collateral is
pledged and so much borrowed as the aim allows; where it does not, the loan is paid back as far as
the wallet goes; and where health has fallen below `guard` of the aim, attentive members pay back so
much as leads to it again. Loans stay in the wallet. Between two looks nobody is safe from
liquidators, and members who are not attentive never are.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.trader import NOTHING, Cohort
from markets.errors import ConfigError
from markets.intents import Intent, add_coin
from markets.lending.lending_intents import borrow, repay
from markets.lending.lending_pool import LendingPool
from markets.lending.lending_view import LendingView
from markets.market import Market, View

Floats = NDArray[np.float64]


class Borrowers(Cohort):
    """A cohort that pledges one coin of a lending pool and borrows another."""

    class Params(Cohort.Params):
        """Parameters; amounts in units a member, rates as fractions a year."""

        venue: str
        """Name of the lending pool."""
        pledged: int = Field(0, ge=0)
        """Which of the pool's coins is the collateral."""
        borrowed: int = Field(1, ge=0)
        """Which of them is the loan."""
        count: int = Field(200, ge=1)
        """Members of the cohort."""
        collateral_median: float = Field(10.0, gt=0)
        """Collateral of a member, the median over the cohort."""
        collateral_sigma: float = Field(1.0, ge=0)
        """Standard deviation of its logarithm."""
        rate_median: float = Field(0.08, gt=0)
        """Highest rate a year that a member pays, over the cohort."""
        rate_sigma: float = Field(0.5, ge=0)
        """Standard deviation of its logarithm."""
        health_median: float = Field(1.6, gt=1)
        """Health that a member aims at: 1 plus a lognormal part."""
        health_sigma: float = Field(0.5, ge=0)
        """Standard deviation of the logarithm of the part above 1."""
        guard: float = Field(0.85, gt=0, le=1)
        """Part of that health below which a member pays back."""
        attentive: float = Field(0.5, ge=0, le=1)
        """Part of the members who look after their health."""
        least_change: float = Field(0.02, ge=0)
        """Part of a debt below which nothing more is borrowed."""
        looks_per_day: float = Field(4.0, gt=0)
        """How often a member looks, on average."""
        gas: float = Field(500.0, ge=0)
        """Held besides in the pool's second coin, to pay for gas."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        params, draw = self.params, self.stream.standard_normal
        pool = market.venue(params.venue, f"{self.name}.venue", LendingPool)
        for field in ("pledged", "borrowed"):
            if getattr(params, field) >= len(pool.coins):
                raise ConfigError(f"{self.name}.{field}", f"{pool.name} has no such coin")
        if params.pledged == params.borrowed:
            raise ConfigError(f"{self.name}.borrowed", "must be another coin than the pledged one")
        pledged, loan = pool.coins[params.pledged], pool.coins[params.borrowed]
        held = params.collateral_median * np.exp(params.collateral_sigma * draw(params.count))
        self.highest_rate = params.rate_median * np.exp(params.rate_sigma * draw(params.count))
        spread = np.exp(params.health_sigma * draw(params.count))
        self.aim = 1 + (params.health_median - 1) * spread
        self.attentive = self.stream.random(params.count) < params.attentive
        gas = pool.coins[1]
        self._kept_atoms = gas.to_atoms(params.gas) if gas == loan else 0
        own = {gas.name: params.gas} | {pledged.name: held + (params.gas if gas == pledged else 0)}
        self.accounts = self.endow_all(market, pool.domain, own)
        column = market.ledger.column
        self._pledged_column, self._loan_column = column[pledged.name], column[loan.name]

    def act(self, view: View) -> Sequence[Intent]:
        """Those whose turn it is pledge and borrow, or pay back."""
        params, pool = self.params, view[self.params.venue]
        days = view.moment.step_seconds / 86_400
        looks = self.stream.random(params.count) < -np.expm1(-params.looks_per_day * days)
        price = pool.state.prices[params.borrowed]
        if not looks.any() or not price > 0:
            return NOTHING
        members = np.flatnonzero(looks)
        accounts = self.accounts[members]
        suits = pool.borrow_rates[params.borrowed] <= self.highest_rate[members]
        free = view.balances[accounts, self._pledged_column]
        owed = pool.debts(accounts)[:, params.borrowed]
        wanted = self._wanted(pool, accounts, free) / self.aim[members] / price
        change = np.where(suits, wanted, 0.0) - owed
        grows = suits & (change > np.maximum(params.least_change * owed, 1.0))
        unsafe = self.attentive[members] & (wanted < params.guard * owed)
        shrinks = (owed > 0) & (~suits | unsafe)
        return [
            *self._grow(pool, accounts[grows], free[grows], change[grows]),
            *self._shrink(view, pool, accounts[shrinks], -change[shrinks]),
        ]

    def _wanted(self, pool: LendingView, accounts: NDArray[np.int64], free: Floats) -> Floats:
        """Collateral by the threshold, in quote, if all of it were pledged."""
        coin, prices = self.params.pledged, pool.state.prices
        supplied = pool.supplies(accounts)[:, coin] + free
        return np.asarray(supplied * prices[coin] * pool.terms.threshold[coin])

    def _grow(
        self, pool: LendingView, accounts: NDArray[np.int64], free: Floats, change: Floats
    ) -> list[Intent]:
        """Pledge what is free, then borrow, no more than the loan-to-value allows."""
        if not len(accounts):
            return []
        coin, prices = self.params.pledged, pool.state.prices
        room = pool.room(accounts) + free * prices[coin] * pool.terms.ltv[coin]
        most = room * (1 - 1e-6) / prices[self.params.borrowed]
        atoms = np.floor(np.minimum(change, most)).astype(np.int64)
        pledges, loans = free > 0, atoms > 0
        rows = (accounts[pledges], coin, free[pledges].astype(np.int64))
        return [
            add_coin(pool.index, *rows),
            borrow(pool.index, accounts[loans], self.params.borrowed, atoms[loans]),
        ]

    def _shrink(
        self, view: View, pool: LendingView, accounts: NDArray[np.int64], change: Floats
    ) -> list[Intent]:
        """Pay back, as far as the wallet goes."""
        if not len(accounts):
            return []
        wallets = view.balances[accounts, self._loan_column] - self._kept_atoms
        atoms = np.minimum(np.ceil(change).astype(np.int64) + 1, wallets)
        pays = atoms > 0
        return [repay(pool.index, accounts[pays], self.params.borrowed, atoms[pays])]
