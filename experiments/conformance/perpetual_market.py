"""A small market with one perpetual, in which a reference case of derivatives is played.

Cases are in real units, the venue in whole ones, so the grid is chosen for the case: prices are
whole ticks; L lots are one unit of size, with L a multiple of what makes all its sizes whole, and
so large that rounding to an atom is far below the tolerance; and L units of the settlement asset
stand for one of the case's. Whatever is read back is divided by L.
Margin rates are the lowest there are, the mark is what the case says, fees are none: what the venue
then does to claims and contracts is what the case asks for.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

from experiments.conformance.derivative_inputs import whole_lots
from markets.assets import Asset, Instrument
from markets.derivatives.clearing_house import ClearingHouse
from markets.derivatives.perpetual import Perpetual
from markets.derivatives.positions import cost_atoms, value_atoms
from markets.errors import FathomError
from markets.exchange import Exchange
from markets.intents import BUY, cancel_all, deposit, limit_order, stack
from markets.market import Market
from markets.outcomes import Code
from markets.venue import Moment, Venue

_MOST_DECIMALS = 9
_MOST_ATOMS = 2.0**60
_MOST_LOTS = 2.0**29
_FAR = 2
"""A position is opened at so many times the price, or an n-th of it, at which it is wanted."""
_LOWEST = {
    "basis_bandwidth": 0.0,
    "maker_fee_ppm": 0,
    "taker_fee_ppm": 0,
    "initial_margin_ppm": 1,
    "maintenance_tiers": ({"maintenance_ppm": 1},),
    "market_band_ppm": 999_999,
}
_AMOUNTS = ("portion_above", "least", "most")


class PerpetualMarket:
    """Traders, a rich counterparty and a maker, each with more collateral than any case needs."""

    def __init__(
        self,
        prices: Iterable[float],
        sizes: Iterable[float],
        traders: int = 1,
        divisor: int = 1,
        others: Iterable[dict] = (),
        **params: Any,
    ) -> None:
        """All prices and sizes of the case; lots are a multiple of 1/`divisor` as well.

        `others` are parameters of linear perpetuals that share a margin account with the first one;
        `collateral` is more than the positions are worth, `step_seconds` the length of a step.
        """
        prices, sizes, beside = list(prices), list(sizes), list(others)
        self._step_seconds = params.pop("step_seconds", 1.0)
        self._per_tick, finest = whole_lots(prices)[1], whole_lots(sizes)[1] * divisor
        worth = self._most_worth(prices, sizes, params) + params.pop("collateral", 0.0)
        worth *= 4 * _FAR * (traders + 2)
        self.decimals = int(np.log10(_MOST_ATOMS / worth / finest))
        self.decimals = min(_MOST_DECIMALS, max(self.decimals, len(str(self._per_tick)) - 1))
        room = min(_MOST_ATOMS / 10**self.decimals / worth, _MOST_LOTS / sum(map(abs, sizes)))
        self.per_unit = finest * 10 ** max(0, int(np.floor(np.log10(room / finest))))
        self._open_venues(params, beside)
        asset, wealth = self.venue.form.settlement.name, worth / (traders + 2) * self.per_unit
        accounts = self.market.endow("traders", "exchange", {asset: wealth}, traders + 2)
        *self.traders, self.rich, self.maker = accounts.tolist()
        self.market.begin()
        self.wealth, self._step = wealth / self.per_unit / 2, -1
        self._marks = {venue.instrument.base.name: prices[0] for venue in self.venues}
        self.mark(prices[0])
        for account in (self.rich, self.maker):
            self.pay_in(account, self.wealth)

    def _open_venues(self, params: dict[str, Any], beside: list[dict]) -> None:
        coins = [Asset(name, self.decimals) for name in ("BASE", "QUOTE")]
        settlement = Asset("COIN", self.decimals) if params.get("contract") == "quanto" else None
        paid_in = coins[params.get("contract") != "inverse"]
        fund = params.pop("fund", 0.0) * self.per_unit
        rule = params.pop("liquidation", {})
        params["liquidation"] = rule | {
            name: rule[name] * self.per_unit for name in _AMOUNTS if name in rule
        }
        if "backstops" in rule:
            params["liquidation"]["backstops"] = [
                {name: amount * self.per_unit for name, amount in backstop.items()}
                for backstop in rule["backstops"]
            ]
        house = {"house": "house"} if beside else {}
        tick = float(Decimal(1) / self._per_tick)
        terms = Perpetual.Params(**_LOWEST | {"insurance_fund_units": fund} | house | params)
        instrument = Instrument(*coins, tick, 1.0)
        self.venue = Perpetual("perpetual", "exchange", instrument, terms, settlement)
        self.venues = [self.venue]
        for number, own in enumerate(beside):
            instrument = Instrument(Asset(f"BASE{number}", self.decimals), paid_in, tick, 1.0)
            terms = Perpetual.Params(**_LOWEST | house | own)
            self.venues.append(Perpetual(f"other{number}", "exchange", instrument, terms))
        houses = [ClearingHouse("house", "exchange", paid_in)] if beside else []
        self._margins: Venue = [self.venue, *houses][-1]
        self.market = Market([Exchange("exchange")], [*self.venues, *houses])

    @staticmethod
    def _most_worth(prices: list[float], sizes: list[float], params: dict[str, Any]) -> float:
        """More than the case's positions can be worth together, in its settlement units."""
        size = sum(map(abs, sizes))
        if params.get("contract") == "inverse":
            return size / min(prices) + params.get("fund", 0.0)
        return size * max(prices) * params.get("quanto_rate", 1.0) + params.get("fund", 0.0)

    def mark(self, price: float, on: int = 0) -> None:
        """Begin a step in which the mark of a contract is a price."""
        self._step += 1
        self._marks[self.venues[on].instrument.base.name] = price
        seconds = self._step * self._step_seconds
        self._moment = Moment(self._step, seconds, self._step_seconds, dict(self._marks))
        self.market.accrue(self._moment)

    def lots(self, size: float) -> int:
        """Whole lots of a size."""
        return round(size * self.per_unit)

    def ticks(self, price: float) -> int:
        """Whole ticks of a price."""
        return round(price * self._per_tick)

    def atoms(self, units: float) -> int:
        """Settlement units of the case as atoms."""
        return round(units * self.per_unit * 10**self.decimals)

    def money(self, atoms: int) -> float:
        """Atoms as settlement units of the case."""
        return int(atoms) / (10**self.decimals * self.per_unit)

    def do(self, *intents: tuple, at: Venue | None = None) -> None:
        """Carry out intents that nothing may refuse; FathomError where something is."""
        codes = (at or self.venue).execute(stack(intents), self._moment)
        if (codes < 0).any():
            refused = [Code(code).name for code in codes if code < 0]
            raise FathomError(f"the venue refuses {refused}")

    def pay_in(self, account: int, units: float) -> None:
        """Deposit so many settlement units of the case."""
        self.do(deposit(0, account, self.atoms(units)), at=self._margins)

    def offer(self, side: int, levels: Iterable[tuple[float, float]]) -> None:
        """The maker's orders of a side, as (price, size)."""
        for price, size in levels:
            self.do(limit_order(0, self.maker, side, self.lots(size), self.ticks(price)))

    def trade(self, account: int, side: int, size: float, price: float, on: int = 0) -> None:
        """With the rich counterparty, at a price that is the mark for the moment."""
        self.mark(price, on)
        lots, ticks = self.lots(size), self.ticks(price)
        self.do(
            limit_order(0, self.rich, -side, lots, ticks),
            limit_order(0, account, side, lots, ticks),
            at=self.venues[on],
        )

    def open_at(
        self,
        account: int,
        side: int,
        size: float,
        price: float,
        equity: float = 0.0,
        on: int = 0,
    ) -> None:
        """Open, far from it, a position with which the account has this equity at a price."""
        ticks, venue = self.ticks(price), self.venues[on]
        entry = ticks * _FAR if side == BUY else -(-ticks // _FAR)
        terms, lots = venue._terms, side * self.lots(size)
        atoms = cost_atoms(terms, lots, entry) - value_atoms(terms, lots, ticks)
        self.do(deposit(0, account, int(atoms) + self.atoms(equity)), at=self._margins)
        self.trade(account, side, size, entry / self._per_tick, on)

    def liquidate(self) -> np.ndarray:
        """Liquidate and prove the ledger; returns the fills."""
        self.venue.forget()
        self.market.liquidate(self._moment)
        self.market.check()
        return np.asarray(super(Perpetual, self.venue).drain_fills())

    def stages(self) -> list[str]:
        """By what the accounts of the last liquidation were closed, in order."""
        log = self.venue.drain_liquidations()
        return [] if log is None else log.by.tolist()

    def sizes(self, fills: np.ndarray, makers: list[int]) -> list[float]:
        """What each of the makers traded."""
        lots = [int(fills["size_lots"][fills["maker"] == maker].sum()) for maker in makers]
        return [count / self.per_unit for count in lots]

    def clear(self) -> None:
        """Take the maker's orders out of the book."""
        self.do(cancel_all(0, self.maker))

    def position(self, account: int) -> float:
        """Signed size of an account's position."""
        return self._row(account)[self.venue.contract_column] / self.per_unit

    @property
    def fund_account(self) -> int:
        """Row of the insurance fund."""
        return int(self.venue._terms.fund)

    def equity(self, account: int) -> float:
        """All that an account has, its position at the mark."""
        return float(self.venue.equity(np.array([account]))[0]) / self.per_unit

    def fund(self) -> float:
        """Claim of the insurance fund."""
        return self.money(self._row(self.fund_account)[self.venue._terms.margin])

    def wallet(self, account: int) -> float:
        """What an account has put in and realised."""
        atoms = self._row(account)[self.venue._terms.margin]
        return self.money(atoms + self.venue._positions.entry_atoms[account])

    def entry(self, account: int) -> float:
        """Average cost of a position as a price; NaN of none."""
        lots = abs(int(self._row(account)[self.venue.contract_column]))
        cost = abs(int(self.venue._positions.entry_atoms[account]))
        if not lots:
            return float("nan")
        k = self.venue.form.notional_atoms
        ticks = lots * k / cost if self.venue.form.is_inverse else cost / (lots * k)
        return ticks / self._per_tick

    def _row(self, account: int) -> np.ndarray:
        return np.asarray(self.market.ledger.balances[account])
