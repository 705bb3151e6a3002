"""Carry arbitrage in perpetuals that do not settle in their quote: inverse and quanto contracts.

    inverse   short N quote against coins worth N: F(P) - g                    earned an interval
    quanto    short against spot of the same worth, rebalanced: F(P) - (g + s_xz) (1 + P)

P premium, F the venue's rate, g the carry as in `carry_arbitrageur`. A quanto pays in a third asset
of price z: where x and z rise together the hedged short loses s_xz = cov(dx/x, dz/z) an interval,
which the trader does not know but measures on the outside prices, with exponential weights. The
hedge keeps what the trader has of the base, profits in it included, and its position at the coins
it began with: for a quanto the position is counted at today's z.
Source: Ackerer, Hugonnier and Jermann, Perpetual Futures Pricing (inverse and quanto contracts).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from agents.carry_arbitrageur import CarryArbitrageur
from agents.immediate_order import immediate_order
from agents.trader import NOTHING
from markets.derivatives.contract_form import ContractKind
from markets.intents import BUY, SELL, Intent, deposit
from markets.market import Market, View
from markets.spot.order_book import BookView

_HOURS_A_YEAR = 365 * 24.0
_SECONDS_AN_HOUR = 3_600.0
_DAY_SECONDS = 86_400.0


class ContractArbitrageur(CarryArbitrageur):
    """Holds spot against an inverse or quanto perpetual."""

    class Params(CarryArbitrageur.Params):
        """Parameters; `margin` is in the settlement asset."""

        covariance_half_life_days: float = Field(4.0, gt=0)
        """Half-life of the covariance that a quanto is valued with."""

    def open(self, market: Market) -> None:
        """See `Trader.open`; the margin comes on top, in the asset that the contract pays."""
        super().open(market)
        perpetual = market.venue(self.params.perpetual, f"{self.name}.perpetual")
        self._kind, self._rate = perpetual.form.kind, perpetual.params.quanto_rate
        self._settlement = perpetual.form.settlement
        self._margin_atoms = self._settlement.to_atoms(self.params.margin)
        if self._kind is not ContractKind.LINEAR:
            row = np.array([self.account])
            market.ledger.issue(row, self._settlement.name, self._margin_atoms)
        self._prices = (math.nan, math.nan)
        self._covariance, self._weight = 0.0, 0.0

    def act(self, view: View) -> Sequence[Intent]:
        """Deposit first; then carry more or less, and bring the hedge back to flat."""
        spot, perpetual = view[self.params.spot], view[self.params.perpetual]
        if view.moment.step == 0:
            return [deposit(perpetual.index, self.account, self._margin_atoms)]
        self._measure(view)
        if min(spot.bid_ticks, spot.ask_ticks, perpetual.bid_ticks, perpetual.ask_ticks) <= 0:
            return NOTHING
        position = self._position(view, perpetual, spot.mid)
        side, size = self.side(spot, perpetual), self.params.order_size
        if side * position >= self.params.largest_position:
            side = 0
        bought = -self._surplus(view, perpetual) - position - side * size
        legs = list(immediate_order(perpetual, self.account, side, size, self.params.slippage))
        way = BUY if bought > 0 else SELL
        hedge = immediate_order(spot, self.account, way, abs(bought), self.params.slippage)
        return [*(legs if side else NOTHING), *hedge]

    def edge(self, premium: float) -> float:
        """See `CarryArbitrageur.edge`."""
        hours = self.contract.funding_interval_seconds / _SECONDS_AN_HOUR
        edge = super().edge(premium)
        if self._kind is ContractKind.INVERSE:
            return edge + premium * self.params.carry_per_year * hours / _HOURS_A_YEAR
        if self._kind is ContractKind.QUANTO:
            return edge - self.covariance_per_year * hours / _HOURS_A_YEAR * (1 + premium)
        return edge

    @property
    def covariance_per_year(self) -> float:
        """Of the returns of base and settlement asset, as measured so far."""
        return self._covariance / self._weight if self._weight > 0 else 0.0

    def _measure(self, view: View) -> None:
        """Add a step's returns to the covariance, by their length."""
        reference = view.moment.reference
        names = (self._base.name, self._settlement.name)
        prices = (reference.get(names[0], math.nan), reference.get(names[1], 1.0))
        moves = [math.log(now / then) for now, then in zip(prices, self._prices, strict=True)]
        self._prices = prices
        if not all(math.isfinite(move) for move in moves):
            return
        days = view.moment.step_seconds / _DAY_SECONDS
        keep = 0.5 ** (days / self.params.covariance_half_life_days)
        self._covariance = keep * self._covariance + moves[0] * moves[1]
        self._weight = keep * self._weight + days / 365

    def _position(self, view: View, perpetual: Any, price: float) -> float:
        """The perpetual as so many units of the base."""
        lots = int(view.balances[self.account, perpetual.contract_column])
        units = float(perpetual.form.to_base(lots, price))
        if self._kind is ContractKind.QUANTO:
            units *= self._rate * view.moment.reference.get(self._settlement.name, 1.0)
        return units

    def _surplus(self, view: View, perpetual: Any) -> float:
        """Units of the base held above those at the start, at the venue and in the wallet."""
        held = self._base.to_units(int(view.balances[self.account, self._base_column]))
        if self._kind is ContractKind.INVERSE:
            equity = float(perpetual.equity(np.array([self.account]))[0])
            held += equity - self.params.margin
        return float(held - self.params.base)

    def side(self, spot: BookView, perpetual: Any) -> int:
        """See `CarryArbitrageur.side`; a quanto waits until a day has been measured."""
        if self._kind is ContractKind.QUANTO and self._weight < 1 / 365:
            return 0
        return super().side(spot, perpetual)
