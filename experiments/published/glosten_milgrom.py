"""Glosten and Milgrom 1985: the spread of a dealer who may be facing somebody who knows.

A claim is worth V, 0 or 1 with equal chance. A dealer quotes one unit on both sides; the next
customer knows V with probability a and trades to gain, or else buys or sells at random. Quotes
break even on each trade: with k buys more than sells so far and l = ln((1 + a) / (1 - a)),

    ask = g((k + 1) l),    bid = g((k - 1) l),    g(x) = 1 / (1 + exp(-x)),

so the first spread is a, and it closes as trades tell V. Quotes are rounded away from the mid to
1e-7. A run is one claim and its trades, in a quote-driven market; the customers of a run share an
account, and what it holds is the record of trades from which the dealer learns. The mean spreads
are recomputed figures, the paper prints none, held to 2 % or one unit of their last digit. The unit
matters after 50 trades with a = 0.5: 0.0002 was simulated, but the mean by the binomial law of k is
0.000129, three quarters of which come from one run in three thousand, so that half a unit would
leave the truth out. Dealer's profit a trade must be 0; its tolerance is 2 % of the first spread.
"""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.trader import Cohort, Trader
from experiments.reproduction import Row, mean_row
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.intents import BUY, SELL, Intent, market_order, quote
from markets.market import Market, View
from markets.rounds import Rounds
from markets.spot.dealer import DealerMarket

CITATION = (
    "Glosten, L. R. and Milgrom, P. R. (1985), Bid, ask and transaction prices in a specialist "
    "market with heterogeneously informed traders, Journal of Financial Economics 14(1), 71-100"
)
DEFAULT_RUNS = 400_000
_row = partial(mean_row, "glosten_milgrom")
RUNS_A_WORLD = 5_000

TICK = 1e-7
OWNED, STOCK = 100, 10_000_000
"""Claims, and cash, of a customer's account and of the dealer to begin with."""
CUSTOMERS = "customers"
SPREADS = {
    0.1: {0: 0.1, 10: 0.091, 50: 0.065},
    0.3: {0: 0.3, 10: 0.143, 50: 0.014},
    0.5: {0: 0.5, 10: 0.073, 50: 0.0002},
}
"""By share of the informed: mean spread after so many trades."""
RELATIVE_TOLERANCE, LAST_DIGIT = 0.02, 0.0001


def belief(surplus_buys: NDArray[np.int64], informed: float) -> NDArray[np.float64]:
    """The chance that the claim is worth 1 after so many more buys than sells."""
    evidence = math.log((1 + informed) / (1 - informed))
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-evidence * surplus_buys))
    return chance


class Dealer(Trader):
    """Quotes each claim in turn; `spreads` has a row of spreads for each step."""

    class Params(Trader.Params):
        """Parameters of the dealer."""

        informed: float
        """The share of the informed, which the dealer knows."""

    def open(self, market: Market) -> None:
        """See `Trader.open`; the customers are there already."""
        self.account = self.endow(market, "exchange", {"claim": STOCK, "cash": STOCK})
        ledger = market.ledger
        self.customers = np.flatnonzero(ledger.owner == ledger.owner_names.index(CUSTOMERS))
        self.column = ledger.column["claim"]
        self.spreads: list[NDArray[np.float64]] = []

    def act(self, view: View) -> Sequence[Intent]:
        """A quote for each claim."""
        bought = view.balances[self.customers, self.column] - OWNED
        informed = self.params.informed
        bid_ticks = np.floor(belief(bought - 1, informed) / TICK).astype(np.int64)
        ask_ticks = np.ceil(belief(bought + 1, informed) / TICK).astype(np.int64)
        bid_ticks = np.maximum(bid_ticks, 1)
        ask_ticks = np.maximum(ask_ticks, bid_ticks + 1)
        self.spreads.append((ask_ticks - bid_ticks) * np.float64(TICK))
        account = np.full(len(bought), self.account)
        return (quote(view["floor"].index, account, bid_ticks, ask_ticks, 1, 1),)


class Customers(Cohort):
    """One customer for each claim and step."""

    class Params(Cohort.Params):
        """Parameters of the customers."""

        informed: float
        """The share that knows the worth."""
        latency_seconds: float = Field(default=1.0, gt=0)
        """Above the dealer's: customers come after the quote."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        self.accounts = self.endow_all(market, "exchange", {"claim": OWNED, "cash": OWNED})
        self.worth = self.stream.integers(0, 2, self.params.count)

    def act(self, view: View) -> Sequence[Intent]:
        """A market order for each claim."""
        knows = self.stream.random(len(self.accounts)) < self.params.informed
        guess = self.stream.random(len(self.accounts)) < 0.5
        sides = np.where(np.where(knows, self.worth == 1, guess), BUY, SELL)
        return (market_order(view["floor"].index, self.accounts, sides, 1),)


def scenario(informed: float, claims: int) -> Scenario:
    """A quote-driven market on which the claims are called one after the other."""
    instrument = Instrument(Asset("claim", 0), Asset("cash", 7), tick_size=TICK, lot_size=1)
    floor = DealerMarket("floor", "exchange", instrument, DealerMarket.Params(quotes_first=False))
    customers = Customers.Params(informed=informed, count=claims)
    return Scenario(
        domains=(Rounds("exchange"),),
        venues=(floor,),
        agents=(
            AgentSpec(CUSTOMERS, Customers, customers),
            AgentSpec("dealer", Dealer, Dealer.Params(informed=informed)),
        ),
        processes=(),
        steps=1,
        step_seconds=1.0,
    )


def play(
    informed: float, claims: int, trades: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spreads, trades + 1 rows of claims, and the dealer's profit on each claim."""
    world = World(scenario(informed, claims), seed, record=())
    customers, dealer = world.traders
    assert isinstance(customers, Customers)
    assert isinstance(dealer, Dealer)
    for _ in range(trades + 1):
        world.step()
    ledger = world.market.ledger
    held = ledger.balances[customers.accounts]
    claims_gained = held[:, ledger.column["claim"]] - OWNED
    cash_gained = held[:, ledger.column["cash"]] * TICK - OWNED
    return np.array(dealer.spreads), -(claims_gained * customers.worth + cash_gained)


def reproduce(runs: int, seed: int) -> list[Row]:
    """All shares of the informed with `runs` claims each; fewer than default widen tolerances."""
    wider = max(1.0, math.sqrt(DEFAULT_RUNS / runs))
    rows = []
    for informed, published in SPREADS.items():
        trades = max(published)
        parts = [
            play(informed, min(RUNS_A_WORLD, runs - first), trades, seed + first)
            for first in range(0, runs, RUNS_A_WORLD)
        ]
        label = f"informed {informed:g}"
        for after, figure in published.items():
            tolerance = max(RELATIVE_TOLERANCE * figure, LAST_DIGIT) * wider
            spreads = np.concatenate([part[0][after] for part in parts])
            rows.append(_row(f"{label}: spread after {after}", figure, tolerance, spreads))
        profits = np.concatenate([part[1] for part in parts]) / (trades + 1)
        tolerance = RELATIVE_TOLERANCE * informed * wider
        rows.append(_row(f"{label}: dealer's profit a trade", 0.0, tolerance, profits))
    return rows
