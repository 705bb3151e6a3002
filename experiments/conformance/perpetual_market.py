"""A small market with one perpetual, in which a reference case of derivatives is played.

Cases are in real units, the venue in whole ones, so the grid is chosen for the case: prices are
whole and many ticks; L lots are one unit of size, with L a multiple of what makes all its sizes
whole, and so large that rounding to an atom is far below the tolerance; and L units of the
settlement asset stand for one of the case's. Whatever is read back is divided by L.
Margin rates are the lowest there are, the mark is what the case says, fees are none: what the venue
then does to claims and contracts is what the case asks for.
"""

from collections.abc import Iterable
from decimal import Decimal
from math import gcd
from typing import Any

import numpy as np

from experiments.conformance.derivative_inputs import whole_lots
from markets.assets import Asset, Instrument
from markets.derivatives.clearing_house import MAINTENANCE, VALUE, ClearingHouse
from markets.derivatives.perpetual import Perpetual
from markets.derivatives.positions import cost_atoms, value_atoms
from markets.derivatives.takeover import carried_claim
from markets.errors import FathomError
from markets.exchange import Exchange
from markets.intents import BUY, Intent, cancel_all, deposit, limit_order, stack
from markets.market import Market
from markets.outcomes import Code, Reason
from markets.spot.book import MAX_PRICE_TICKS
from markets.venue import Moment, Venue

_MOST_DECIMALS = 9
_MOST_ATOMS = 2.0**60
_MOST_LOTS = 2.0**29
_LEAST_TICKS = 100_000
_FEW = MAX_PRICE_TICKS / 100
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

        `others` are parameters of linear perpetuals that share a margin account with the first one,
        and a tick of their own;
        `collateral` is more than the positions are worth, `step_seconds` the length of a step.
        """
        prices, sizes, beside = list(prices), list(sizes), list(others)
        self._step_seconds, self.lot = params.pop("step_seconds", 1.0), 1.0
        self._per_tick = whole_lots(prices)[1]
        while min(prices) * self._per_tick < _LEAST_TICKS and max(prices) * self._per_tick < _FEW:
            self._per_tick *= 10
        if params.get("contract") == "inverse":
            sizes = self._in_contracts(sizes)
            params["contract_value_quote"] = self.lot
        finest = whole_lots(sizes)[1] * divisor
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
        self.wealth, self.step = wealth / self.per_unit / 2, -1
        self._marks = {venue.instrument.base.name: prices[0] for venue in self.venues}
        self.mark(prices[0])
        for account in (self.rich, self.maker):
            self.pay_in(account, self.wealth)

    def _open_venues(self, params: dict[str, Any], beside: list[dict]) -> None:
        base, quote = Asset("BASE", self.decimals), Asset("QUOTE", self.decimals)
        settlement = Asset("COIN", self.decimals) if params.get("contract") == "quanto" else None
        paid_in = base if params.get("contract") == "inverse" else quote
        fund = params.pop("fund", 0.0) * self.per_unit
        rule = dict(params.pop("liquidation", {}))
        rule |= {name: rule[name] * self.per_unit for name in _AMOUNTS if name in rule}
        for name in {"backstops"} & rule.keys():
            rule[name] = [self._scaled(backstop) for backstop in rule[name]]
        house = {"house": "house"} if beside else {}
        tick = float(Decimal(1) / self._per_tick)
        own = {"insurance_fund_units": fund, "liquidation": rule, **house}
        terms = Perpetual.Params(**_LOWEST | own | self._tiers(params))
        instrument = Instrument(base, quote, tick, 1.0)
        self.venue = Perpetual("perpetual", "exchange", instrument, terms, settlement)
        self.venues = [self.venue]
        for number, own in enumerate(beside):
            asset, own = Asset(f"BASE{number}", self.decimals), dict(own)
            instrument = Instrument(asset, paid_in, own.pop("tick", tick), 1.0)
            terms = Perpetual.Params(**_LOWEST | house | self._tiers(own))
            self.venues.append(Perpetual(f"other{number}", "exchange", instrument, terms))
        houses = [ClearingHouse("house", "exchange", paid_in)] if beside else []
        self._margins: Venue = [self.venue, *houses][-1]
        self.market = Market([Exchange("exchange")], [*self.venues, *houses])

    def _in_contracts(self, sizes: list[float]) -> list[float]:
        """Sizes in contracts of the greatest value that makes them whole: so atoms are finer."""
        lots, per_unit = whole_lots(sizes)
        common, parts = gcd(*lots) or 1, 1
        while common / per_unit / parts * self._per_tick * 10**_MOST_DECIMALS > _MOST_ATOMS:
            parts *= 10
        self.lot = common / per_unit / parts
        return [float(lot // common * parts) for lot in lots]

    def _scaled(self, amounts: dict[str, float]) -> dict[str, float]:
        return {name: amount * self.per_unit for name, amount in amounts.items()}

    def _tiers(self, params: dict[str, Any]) -> dict[str, Any]:
        """The same parameters with the floors of brackets in the venue's units."""
        tiers = [
            tier | self._scaled({"floor_units": tier.get("floor_units", 0.0)})
            for tier in params.get("maintenance_tiers", ())
        ]
        return params | {"maintenance_tiers": tiers} if tiers else params

    @staticmethod
    def _most_worth(prices: list[float], sizes: list[float], params: dict[str, Any]) -> float:
        """More than the case's positions can be worth together, in its settlement units."""
        size = sum(map(abs, sizes))
        if params.get("contract") == "inverse":
            size *= params.get("contract_value_quote", 1.0)
            return size / min(prices) + params.get("fund", 0.0)
        return size * max(prices) * params.get("quanto_rate", 1.0) + params.get("fund", 0.0)

    def mark(self, price: float, on: int = 0) -> None:
        """Begin a step in which the mark of a contract is a price."""
        self.step += 1
        self._marks[self.venues[on].instrument.base.name] = price
        seconds = self.step * self._step_seconds
        self.moment = Moment(self.step, seconds, self._step_seconds, dict(self._marks))
        self.market.accrue(self.moment)

    def lots(self, size: float) -> int:
        """Whole lots of a size."""
        return round(size / self.lot * self.per_unit)

    def ticks(self, price: float) -> int:
        """Whole ticks of a price."""
        return round(price * self._per_tick)

    def price(self, ticks: int) -> float:
        """A number of ticks as a price."""
        return ticks / self._per_tick

    def atoms(self, units: float) -> int:
        """Settlement units of the case as atoms."""
        return round(units * self.per_unit * 10**self.decimals)

    def money(self, atoms: int) -> float:
        """Atoms as settlement units of the case."""
        return int(atoms) / (10**self.decimals * self.per_unit)

    def do(self, *intents: Intent, at: Venue | None = None) -> None:
        """Carry out intents that nothing may refuse; FathomError where something is."""
        codes = (at or self.venue).execute(stack(intents), self.moment)
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

    def trade(
        self,
        account: int,
        side: int,
        size: float,
        price: float,
        on: int = 0,
        against: int | None = None,
    ) -> None:
        """As taker with the rich counterparty, or another, at the mark for the moment."""
        self.mark(price, on)
        maker, lots = against or self.rich, self.lots(size)
        ticks = self.venues[on].instrument.to_ticks(price)
        self.do(
            limit_order(0, maker, -side, lots, ticks),
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
        self.market.liquidate(self.moment)
        self.market.check()
        return np.asarray(super(Perpetual, self.venue).drain_fills())

    def stages(self) -> list[str]:
        """By what the accounts of the last liquidation were closed, in order."""
        log = self.venue.drain_liquidations()
        return [] if log is None else log.by.tolist()

    def margins(self, account: int) -> tuple[int, int]:
        """Equity and maintenance of an account, in atoms."""
        if self.venue.house is not None:
            record = self.venue.house.records()[account]
            return int(record[VALUE]), int(record[MAINTENANCE])
        records = np.zeros((len(self.market.ledger.owner), 4), np.int64)
        self.venue.records(records)
        claim = self._row(account)[self.venue._terms.margin]
        return int(claim + records[account, VALUE]), int(records[account, MAINTENANCE])

    def is_unsafe(self, account: int) -> bool:
        """Whether the venue would liquidate an account now."""
        self.venue._hear_house()
        return account in self.venue._liquidator.unsafe(self.venue._positions, self.venue._terms)

    def claim_along(self, account: int, size: float) -> int:
        """The claim in atoms that would leave an account with so much of its position."""
        self.venue._hear_house()
        desk = self.venue._desk(0)
        return carried_claim(desk, self.venue._margin.maintenance, account, self.lots(size))

    def sizes(self, fills: np.ndarray, makers: list[int]) -> list[float]:
        """What each of the makers traded."""
        lots = [int(fills["size_lots"][fills["maker"] == maker].sum()) for maker in makers]
        return [count / self.per_unit * self.lot for count in lots]

    def clear(self) -> None:
        """Take the maker's orders out of the book."""
        self.do(cancel_all(0, self.maker))

    def position(self, account: int) -> float:
        """Signed size of an account's position."""
        return self._row(account)[self.venue.contract_column] / self.per_unit * self.lot

    @property
    def fund_account(self) -> int:
        """Row of the insurance fund."""
        return int(self.venue._terms.fund)

    @property
    def backstops(self) -> list[int]:
        """Rows of the backstops."""
        return list(map(int, self.venue._backstops))

    @property
    def fees(self) -> int:
        """Row of the fee account."""
        return int(self.venue._terms.fees)

    def equity(self, account: int) -> float:
        """All that an account has, its position at the mark."""
        return float(self.venue.equity(np.array([account]))[0]) / self.per_unit

    def claim(self, account: int) -> float:
        """What an account's claims come to."""
        return self.money(self._row(account)[self.venue._terms.margin])

    def collateral(self, account: int) -> float:
        """What an account has of the settlement asset, apart from its claims."""
        return self.money(self._row(account)[self.venue._terms.quote])

    def fees_of(self, account: int) -> float:
        """What an account has paid in fees since this was last asked."""
        rows = self.venue.drain_flows()
        paid = rows[(rows["payer"] == account) & (rows["reason"] == Reason.FEE)]
        return self.money(paid["atoms"].sum())

    def cost(self, account: int) -> float:
        """What an account's position has cost."""
        return self.money(self.venue._positions.entry_atoms[account])

    def fund(self) -> float:
        """Claim of the insurance fund."""
        return self.claim(self.fund_account)

    def wallet(self, account: int) -> float:
        """What an account has put in and realised."""
        return self.claim(account) + self.cost(account)

    def entry(self, account: int) -> float:
        """Average cost of a position as a price; NaN of none."""
        lots = abs(int(self._row(account)[self.venue.contract_column]))
        cost = abs(int(self.venue._positions.entry_atoms[account]))
        return self.price_of(lots, cost) if lots else float("nan")

    def price_of(self, lots: int, atoms: int) -> float:
        """Price at which so many lots come to so many atoms, both above 0."""
        k = self.venue.form.notional_atoms
        ticks = lots * k / atoms if self.venue.form.is_inverse else atoms / (lots * k)
        return ticks / self._per_tick

    def _row(self, account: int) -> np.ndarray:
        return np.asarray(self.market.ledger.balances[account])
