"""A trading floor for tests: a market with one order book and a few traders who own enough."""

import numpy as np

from markets.assets import Asset, Instrument
from markets.exchange import Exchange
from markets.intents import limit_order, market_order, stack
from markets.market import Market
from markets.outcomes import Code
from markets.spot.order_book import OrderBook
from markets.venue import Moment

NOW = Moment(step=0, seconds=0.0, step_seconds=1.0)
COIN, CASH = Asset("COIN", 4), Asset("CASH", 3)
GRID = Instrument(COIN, CASH, tick_size=0.07, lot_size=0.1)


class Floor:
    """Traders are numbers from 0; `traders` has their accounts, `stranger` one of elsewhere."""

    def __init__(
        self, kind=OrderBook, traders: int = 4, base: float = 1e6, quote: float = 1e6, **params
    ) -> None:
        self.venue = kind("book", "exchange", GRID, kind.Params(**params))
        self.market = Market([Exchange("exchange"), Exchange("other")], [self.venue])
        self.rows = self.market.open_accounts("traders", "exchange", traders)
        self.stranger = int(self.market.open_accounts("stranger", "other")[0])
        self.market.ledger.issue(self.rows, "COIN", COIN.to_atoms(base))
        self.market.ledger.issue(self.rows, "CASH", CASH.to_atoms(quote))
        self.market.begin()
        self.traders = self.rows.tolist()

    def do(self, *intents) -> list[Code]:
        """Execute in one batch, then audit everything."""
        return self._done(self.venue.execute(stack(intents), NOW))

    def step(self, step: int, *intents) -> list[Code]:
        """A step of a second with all its beats, then audit everything."""
        moment = Moment(step, float(step), 1.0)
        self.market.accrue(moment)
        self.view = self.venue.observe(moment)
        codes = self.venue.execute(stack(intents), moment)
        self.venue.clear(moment)
        return self._done(codes)

    def _done(self, codes: np.ndarray) -> list[Code]:
        self.market.check()
        self.venue.audit()
        return [Code(code) for code in codes.tolist()]

    def limit(self, trader: int, side: int, size_lots: int, limit_ticks: int, flags: int = 0):
        return limit_order(0, self.traders[trader], side, size_lots, limit_ticks, flags)

    def take(self, trader: int, side: int, size_lots: int):
        return market_order(0, self.traders[trader], side, size_lots)

    def newest(self, trader: int) -> int:
        return self.venue.observe(NOW).newest_order[self.traders[trader]]

    def cash(self, account: int) -> int:
        return int(self.market.ledger.balances[account, 1])

    def coin(self, account: int) -> int:
        return int(self.market.ledger.balances[account, 0])

    def fills(self) -> np.ndarray:
        return self.venue.drain_fills()
