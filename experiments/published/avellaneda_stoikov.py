"""Avellaneda and Stoikov 2008, Tables 1 to 3: a maker's profit with and without inventory control.

One maker on one order book over T = 1 in 200 steps of dt = 0.005, mid s from 100 by +-2 sqrt(dt).
The inventory strategy quotes r +- w/2 with r = s - q g sigma**2 (T - t) and w = g sigma**2 (T - t)
+ (2/g) ln(1 + g/k), k = 1.5; the benchmark quotes the time average of w around s. In each step a
quote at distance d fills with probability A exp(-k d) dt, A = 140, literally and at most 1. Profit
is cash + q s at T.

The takers are real orders: on each side one immediate-or-cancel order a step with limit s +- x,
x = -ln(u/(A dt))/k and u uniform, which reaches a quote at distance d with just that probability.
Prices are rounded to 0.001. A gamma of 0.5 is in the 2006 preprint only, and left out.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.market_maker import optimal_spread, reservation_price
from agents.trader import Trader
from experiments.paths import ArithmeticWalk
from experiments.reproduction import Row
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.exchange import Exchange
from markets.intents import BUY, IMMEDIATE_OR_CANCEL, SELL, Intent, cancel_all, limit_order
from markets.market import Market, View
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

CITATION = (
    "Avellaneda, M. and Stoikov, S. (2008), High-frequency trading in a limit order book, "
    "Quantitative Finance 8(3), 217-224, Tables 1-3"
)
DEFAULT_RUNS = 1_000

STEPS, STEP_SECONDS = 200, 0.005
START, VOLATILITY, DECAY, INTENSITY = 100.0, 2.0, 1.5, 140.0
CASH, SHARES = 1e6, 1e4


class Published(NamedTuple):
    """One row of the tables."""

    risk_aversion: float
    symmetric: bool
    spread: float
    profit: float
    profit_deviation: float
    inventory_deviation: float


TABLES = (
    Published(0.1, False, 1.49, 65.0, 6.6, 2.9),
    Published(0.1, True, 1.49, 68.4, 12.7, 8.4),
    Published(0.01, False, 1.35, 68.6, 8.7, 5.1),
    Published(0.01, True, 1.35, 68.8, 12.8, 8.7),
    Published(1.0, False, 3.02, 31.4, 5.0, 1.7),
    Published(1.0, True, 3.02, 44.0, 11.0, 5.1),
)


class Maker(Trader):
    """Quotes one unit on each side, anew in every step."""

    class Params(Trader.Params):
        """Parameters of the maker."""

        risk_aversion: float
        """g, per quote unit."""
        symmetric: bool
        """Whether it ignores its inventory."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        self.account = self.endow(market, "exchange", {"share": SHARES, "cash": CASH})
        self.column = market.ledger.column["share"]
        spreads = [self._spread(step) for step in range(STEPS)]
        self.mean_spread = sum(spreads) / STEPS

    def _left(self, step: int) -> float:
        return 1.0 - step * STEP_SECONDS

    def _spread(self, step: int) -> float:
        return optimal_spread(self.params.risk_aversion, DECAY, VOLATILITY**2, self._left(step))

    def act(self, view: View) -> Sequence[Intent]:
        """Cancel what is left of the last quotes and place new ones."""
        book, step = view["book"], view.moment.step
        middle, spread = view.moment.reference["share"], self.mean_spread
        if not self.params.symmetric:
            held = float(view.balances[self.account, self.column]) - SHARES
            aversion = self.params.risk_aversion
            orders = book.open_orders(self.account)
            held += float(orders.remaining_lots[orders.side == SELL].sum())
            middle = reservation_price(middle, held, aversion, VOLATILITY**2, self._left(step))
            spread = self._spread(step)
        quotes = [
            limit_order(
                0, self.account, side, 1, book.instrument.to_ticks(middle - side * spread / 2)
            )
            for side in (BUY, SELL)
        ]
        return [cancel_all(0, self.account), *quotes]


class Takers(Trader):
    """A buyer and a seller in each step, whose limits lie at random distances from the mid."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        held = {"share": SHARES, "cash": CASH}
        self.accounts = {side: self.endow(market, "exchange", held) for side in (BUY, SELL)}

    def act(self, view: View) -> Sequence[Intent]:
        """One order a side."""
        book, mid = view["book"], view.moment.reference["share"]
        orders = []
        for side, account in self.accounts.items():
            reach = -math.log((1 - self.dice.random()) / (INTENSITY * STEP_SECONDS)) / DECAY
            limit_ticks = book.instrument.to_ticks(mid + side * reach)
            orders.append(limit_order(0, account, side, 1, limit_ticks, IMMEDIATE_OR_CANCEL))
        return orders


def scenario(risk_aversion: float, symmetric: bool) -> Scenario:
    """One cell of the tables: the maker's orders arrive before the takers'."""
    instrument = Instrument(Asset("share", 0), Asset("cash", 3), tick_size=0.001, lot_size=1)
    maker = Maker.Params(risk_aversion=risk_aversion, symmetric=symmetric)
    return Scenario(
        domains=(Exchange("exchange", Ordering.ARRIVAL),),
        venues=(OrderBook("book", "exchange", instrument, OrderBook.Params()),),
        agents=(
            AgentSpec("maker", Maker, maker),
            AgentSpec("takers", Takers, Takers.Params(latency_seconds=1.0)),
        ),
        processes=(ArithmeticWalk("share", START, VOLATILITY),),
        steps=STEPS,
        step_seconds=STEP_SECONDS,
    )


def run(risk_aversion: float, symmetric: bool, seed: int) -> tuple[float, float]:
    """Profit and final inventory of one path."""
    world = World(scenario(risk_aversion, symmetric), seed, record=())
    endowed = world.holdings()
    for _ in range(STEPS):
        world.step()
    gained = world.holdings() - endowed
    maker = gained[world.market.ledger.owner_names.index("maker")]
    return float(maker @ world.unit_values()), float(maker[world.market.ledger.column["share"]])


def reproduce(runs: int, seed: int) -> list[Row]:
    """All cells with `runs` paths each; tolerances widen as the square root below 1,000 runs."""
    rows = []
    for cell in TABLES:
        results = np.array(
            [run(cell.risk_aversion, cell.symmetric, seed + path) for path in range(runs)]
        )
        rows += _rows(cell, results)
    return rows


def _rows(cell: Published, results: NDArray[np.float64]) -> list[Row]:
    strategy = "symmetric" if cell.symmetric else "inventory"
    label = f"gamma {cell.risk_aversion:g} {strategy}"
    runs = len(results)
    deviation = results.std(axis=0, ddof=1)
    spreads = [
        optimal_spread(cell.risk_aversion, DECAY, VOLATILITY**2, 1 - step * STEP_SECONDS)
        for step in range(STEPS)
    ]
    wider = max(1.0, math.sqrt(DEFAULT_RUNS / runs))
    figures = (
        ("spread", cell.spread, 0.02, float(np.mean(spreads)), 0.0),
        ("mean profit", cell.profit, 1.5 * wider, results[:, 0].mean(), deviation[0] / runs**0.5),
        (
            "std profit",
            cell.profit_deviation,
            0.12 * wider * cell.profit_deviation,
            deviation[0],
            deviation[0] / math.sqrt(2 * runs),
        ),
        (
            "std final inventory",
            cell.inventory_deviation,
            0.12 * wider * cell.inventory_deviation,
            deviation[1],
            deviation[1] / math.sqrt(2 * runs),
        ),
    )
    return [
        Row("avellaneda_stoikov", f"{label}: {quantity}", published, tolerance, float(got), se)
        for quantity, published, tolerance, got, se in figures
    ]
