"""A clearing house with two perpetuals and a coin whose price is a spot book's, for tests."""

import numpy as np

from markets.assets import Asset, Instrument
from markets.derivatives.clearing_house import ClearingHouse
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    SELL,
    cancel_all,
    deposit,
    deposit_coin,
    limit_order,
    stack,
    withdraw_coin,
)
from markets.market import Market
from markets.outcomes import Code
from markets.spot.order_book import OrderBook
from markets.venue import Moment
from tests.perpetual_bench import PINNED, STEP_SECONDS

USDT, USDE = Asset("USDT", 6), Asset("USDE", 6)
BTC, ETH = (Instrument(Asset(name, 9), USDT, 1.0, 0.001) for name in ("BTC", "ETH"))
COIN_BOOK = Instrument(USDE, USDT, 0.001, 0.001)
SPOT, FIRST, SECOND, HOUSE = range(4)


class HouseBench:
    """Users with both assets; `mark` sets both outside prices, `price_coin` quotes the coin."""

    def __init__(
        self, users=4, wealth=1e6, coin=None, lending=None, fund=0.0, first=None, **params
    ):
        """`first` are parameters that only the first contract has."""
        coin = {"asset": "USDE", "price_venues": ("spot",), **(coin or {})}
        house = ClearingHouse.Params(
            collaterals=(coin,), insurance_fund_units=fund, lending=lending or {}
        )
        params = {**PINNED, "house": "house", **params}
        self.house = ClearingHouse("house", "ex", USDT, (USDE,), house)
        self.perps = [
            Perpetual(name, "ex", instrument, Perpetual.Params(**{**params, **own}))
            for name, instrument, own in (("btc", BTC, first or {}), ("eth", ETH, {}))
        ]
        self.spot = OrderBook("spot", "ex", COIN_BOOK)
        venues = [self.spot, *self.perps, self.house]
        self.market = Market([Exchange("ex")], venues)
        self.users = self.market.endow("users", "ex", {"USDT": wealth, "USDE": wealth}, users)
        self.quoter = int(self.market.endow("quoter", "ex", {"USDT": 1e6, "USDE": 1e6}, 1)[0])
        self.market.begin()
        self.step = -1
        self.mark(100.0, 100.0)

    @property
    def balances(self):
        return self.market.ledger.balances

    def mark(self, btc, eth):
        self.step += 1
        reference = {"BTC": float(btc), "ETH": float(eth)}
        self.moment = Moment(self.step, self.step * STEP_SECONDS, STEP_SECONDS, reference)
        self.market.accrue(self.moment)

    def do(self, *intents):
        """Each intent at its own venue, one after the other."""
        venues = list(self.market.venues.values())
        codes = []
        for intent in intents:
            rows = stack([intent])
            codes += venues[rows["venue"][0]].execute(rows, self.moment).tolist()
        return [Code(code) for code in codes]

    def price_coin(self, price):
        ticks = COIN_BOOK.to_ticks(price)
        self.do(cancel_all(SPOT, self.quoter))
        orders = [limit_order(SPOT, self.quoter, side, 1_000, ticks - side) for side in (BUY, SELL)]
        assert self.do(*orders) == [Code.RESTING] * 2

    def give(self, user, units, coin=0):
        intent = deposit(HOUSE, user, USDT.to_atoms(units))
        if coin:
            intent = deposit_coin(HOUSE, user, coin, USDE.to_atoms(units))
        assert self.do(intent) == [Code.DONE]

    def take(self, user, units, coin=0):
        return self.do(withdraw_coin(HOUSE, user, coin, USDT.to_atoms(units)))[0]

    def trade(self, venue, buyer, seller, base, price):
        lots = BTC.to_lots(base)
        rows = [
            limit_order(venue, seller, SELL, lots, price),
            limit_order(venue, buyer, BUY, lots, price),
        ]
        assert self.do(*rows) == [Code.RESTING, Code.FILLED]

    def liquidate(self):
        self.market.liquidate(self.moment)
        self.market.check()

    def lots(self, venue, user):
        perp = self.perps[venue - 1]
        return int(self.balances[user, perp._terms.contract])

    def claim(self, user, coin=0):
        return USDT.to_units(int(self.balances[user, self.house._claims[coin]]))

    def record(self, user):
        """Equity, initial, maintenance in units."""
        return self.house.observe(self.moment).record[user].tolist()

    def equities(self):
        """Of all accounts but vault and issuer, haircuts apart, in atoms."""
        record = self.house.records()[:, 0] - self.house._values
        return int(np.delete(record, [0, self.house.custody.vault]).sum())
