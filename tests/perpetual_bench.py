"""A perpetual with a few users, for tests: drive it beat by beat, look at it, set up crowds."""

from markets.assets import Asset, Instrument
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    SELL,
    deposit,
    limit_order,
    stack,
)
from markets.market import Market
from markets.outcomes import Code
from markets.venue import Moment

STEP_SECONDS = 60.0
PINNED = {"basis_bandwidth": 0.0, "maker_fee_ppm": 0, "taker_fee_ppm": 0}
"""No fees, and a mark that is the index, which is the reference."""


class Bench:
    """One perpetual with a few users, driven beat by beat."""

    def __init__(
        self, users=4, collateral=1e6, tick=1.0, lot=0.001, decimals=6, settlement=None, **params
    ):
        """`decimals` are those of the settlement asset."""
        inverse = params.get("contract") == "inverse"
        base = Asset("BTC", decimals if inverse else 9)
        quote = Asset("USDT", 6 if inverse else decimals)
        self.instrument = Instrument(base, quote, tick, lot)
        params = Perpetual.Params(**{**PINNED, **params})
        self.venue = Perpetual("perp", "ex", self.instrument, params, settlement)
        self.settlement = self.venue.form.settlement
        self.market = Market([Exchange("ex")], [self.venue])
        endowment = {self.settlement.name: collateral}
        self.users = self.market.endow("users", "ex", endowment, users).tolist()
        self.market.begin()
        self.step = -1
        self.mark(100.0)

    @property
    def balances(self):
        return self.market.ledger.balances

    def mark(self, price):
        """Begin a step in which the outside price is `price`."""
        self.step += 1
        reference = {"BTC": float(price)}
        self.moment = Moment(self.step, self.step * STEP_SECONDS, STEP_SECONDS, reference)
        self.market.accrue(self.moment)

    def do(self, *intents):
        rows = stack(intents)
        codes = self.venue.execute(rows, self.moment)
        return [Code(code) for code in codes]

    def liquidate(self):
        self.market.liquidate(self.moment)
        self.market.check()

    def lots(self, user):
        return int(self.balances[user, self.venue._terms.contract])

    def claim(self, user):
        return int(self.balances[user, self.venue._terms.margin])

    def units(self, atoms):
        return self.settlement.to_units(atoms)

    def atoms(self, units):
        return self.settlement.to_atoms(units)

    def fund(self):
        return self.units(self.claim(self.venue._terms.fund))

    def trade(self, buyer, seller, base, price):
        """A trade between two users at a price, with nobody else in the book."""
        lots, ticks = self.instrument.to_lots(base), self.instrument.to_ticks(price)
        codes = self.do(
            limit_order(0, seller, SELL, lots, ticks), limit_order(0, buyer, BUY, lots, ticks)
        )
        assert codes == [Code.RESTING, Code.FILLED]

    def open_at(self, user, side, base, price, bankruptcy):
        """A position that is worth nothing at `bankruptcy`, opened against the last user."""
        margin = side * (price - bankruptcy) * base
        rich = self.users[-1]
        assert self.do(deposit(0, user, self.atoms(margin))) == [Code.DONE]
        pair = (user, rich) if side > 0 else (rich, user)
        self.trade(*pair, base, price)


def crowded(fund=0.0, **params):
    """Two shorts and one rich short against a long that is bankrupt at 95, in an empty book."""
    bench = Bench(4, 1e5, insurance_fund_units=fund, **params)
    long, sharp, calm, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(5e4)))
    bench.open_at(long, BUY, 10, 100, 95)
    bench.open_at(sharp, SELL, 4, 100, 120)
    bench.open_at(calm, SELL, 4, 100, 200)
    return bench, long, sharp, calm, rich
