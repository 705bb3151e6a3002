"""Vault owners: they borrow a stablecoin against collateral, and some look after their vault.

Each member locks collateral (lognormal) at the start and borrows so much that worth over debt is
the least ratio times 1 + margin + X, X exponential. The attentive see the oracle's next price an
hour before it comes into force; where it would bring their vault below the least ratio times
1 + `worry`, they pay back what brings it to `repaid_to` times the least, as far as their stablecoin
goes, and bid for gas above the price to beat, up to their own limit. The others do nothing.
The law of the ratios is a modelling choice.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from agents.gas_price import MOST, price_to_beat, require_gas
from agents.trader import NOTHING, Cohort
from markets.assets import MAX_ATOMS
from markets.errors import ConfigError
from markets.intents import BORROW, REPAY, Intent, deposit, with_tip
from markets.lending.lending_intents import borrow, repay
from markets.lending.vaults import Vaults, VaultsView
from markets.market import Market, View
from markets.rounding import PPM


class VaultOwners(Cohort):
    """Borrowers, each with one vault."""

    class Params(Cohort.Params):
        """Parameters; collateral in base, gas prices in atoms of the fee asset a unit of gas."""

        count: int = Field(400, ge=1, le=1_000_000)
        """Owners, a vault each."""
        venue: str
        """The vaults' name."""
        collateral_median: float = Field(300.0, gt=0)
        """Collateral of a vault, lognormal."""
        collateral_sigma: float = Field(1.5, ge=0, le=5)
        """Standard deviation of its logarithm."""
        margin: float = Field(0.15, ge=0)
        """Least excess of a vault's ratio over the minimum, as a part of that."""
        ratio_spread: float = Field(0.6, ge=0)
        """Mean of X, the exponential part of the ratio."""
        attentive_share: float = Field(0.5, ge=0, le=1)
        """Part of the owners who look after their vault."""
        worry: float = Field(0.1, ge=0)
        """Excess over the minimum below which they repay;"""
        repaid_to: float = Field(1.3, gt=1)
        """and the ratio that they repay to, over the minimum."""
        gas_held: float = Field(20.0, ge=0)
        """Units of the collateral that stay outside the vault, for gas."""
        gas_limit: float = Field(200.0, gt=0, le=MOST)
        """Gas price above which they do not send."""
        gas_floor: float = Field(15.0, ge=0, le=MOST)
        """Gas price that they bid where nothing waits;"""
        overbid: float = Field(1.2, ge=1, le=100)
        """and over the price to beat elsewhere."""

        @model_validator(mode="after")
        def _can_repay(self) -> Self:
            if self.repaid_to < 1 + self.worry:
                raise ValueError("repaid_to must be at least 1 + worry")
            if self.gas_limit < self.gas_floor:
                raise ValueError("gas_limit must be at least gas_floor")
            return self

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        params = self.params
        venue = market.venue(params.venue, f"{self.name}.venue", Vaults)
        base, draws = venue.instrument.base, self.stream.standard_normal(params.count)
        require_gas(market, venue.domain, base.name, f"{self.name}.venue")
        locked = params.collateral_median * np.exp(params.collateral_sigma * draws)
        if not locked.max() * base.scale <= MAX_ATOMS:
            problem = f"{locked.max():.3g} {base.name} in the largest vault are too many"
            raise ConfigError(f"{self.name}.collateral_median", problem)
        self.collateral_atoms = base.to_atoms(locked)
        self.excess = params.margin + self.stream.exponential(params.ratio_spread, params.count)
        self.attentive = self.stream.random(params.count) < params.attentive_share
        held = {base.name: base.to_units(self.collateral_atoms) + params.gas_held}
        self.accounts = self.endow_all(market, venue.domain, held)
        self._domain = venue.domain

    def act(self, view: View) -> Sequence[Intent]:
        """Open the vaults, then look after them."""
        vaults: VaultsView = view[self.params.venue]
        least = vaults.terms.minimum_ratio_ppm / PPM
        if view.moment.step == 0:
            return self._open_vaults(view, vaults, least)
        ratios = vaults.ratios(vaults.next_price)[self.accounts]
        worried = self.attentive & (ratios < least * (1 + self.params.worry))
        price = self._gas_price(view)
        if not worried.any() or price > self.params.gas_limit:
            return NOTHING
        members = self._may_send(view, np.flatnonzero(worried))
        return self._repay(view, members, ratios[members] / (least * self.params.repaid_to))

    def _open_vaults(self, view: View, vaults: VaultsView, least: float) -> Sequence[Intent]:
        """Lock the collateral and borrow; raises ConfigError where debts are no count of atoms."""
        base, quote = vaults.instrument.base, vaults.instrument.quote
        worth = base.to_units(self.collateral_atoms) * vaults.price
        units = worth / (least * (1 + self.excess))
        median, total = float(np.median(units)), float(units.sum())
        if not (median * quote.scale >= 1 and total * quote.scale <= MAX_ATOMS):
            debts = f"debts are {median:.3g} {quote.name} in the median, {total:.3g} in all"
            problem = f"at a price of {vaults.price:g} {debts}: less than an atom, or too many"
            raise ConfigError(f"{self.name}.collateral_median", problem)
        debts = quote.to_atoms(units)
        return self._tipped(
            view,
            self._gas_price(view),
            (BORROW, deposit(vaults.index, self.accounts, self.collateral_atoms)),
            (BORROW, borrow(vaults.index, self.accounts, 0, debts)),
        )

    def _gas_price(self, view: View) -> float:
        seen = price_to_beat(view.domains[self._domain])
        return max(self.params.gas_floor, self.params.overbid * seen)

    def _tipped(self, view: View, price: float, *sent: tuple[int, Intent]) -> list[Intent]:
        chain = view.domains[self._domain]
        return [with_tip(intent, int(price * chain.gas_of(action))) for action, intent in sent]

    def _may_send(self, view: View, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of whom nothing waits in the queue."""
        waiting = np.isin(self.accounts[members], view.domains[self._domain].pending["account"])
        return members[~waiting]

    def _repay(
        self, view: View, members: NDArray[np.int64], parts: NDArray[np.float64]
    ) -> Sequence[Intent]:
        """Pay back what is too much, `parts` being what may stay of each debt."""
        vaults, accounts = view[self.params.venue], self.accounts[members]
        over = np.ceil(vaults.debt_atoms[accounts] * (1 - parts)).astype(np.int64)
        paid = np.minimum(over, view.balances[accounts, vaults.stable_column])
        able = paid > 0
        if not able.any():
            return NOTHING
        sent = repay(vaults.index, accounts[able], 0, paid[able])
        return self._tipped(view, self._gas_price(view), (REPAY, sent))
