"""An arbitrageur between an exchange and a chain: legs, inventory, and the way between."""

import numpy as np
import pytest

from agents.liquidity_provider import LiquidityProvider
from agents.rebalancing_arbitrageur import RebalancingArbitrageur
from agents.trader import Trader
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.exchange import Exchange
from markets.intents import BUY, SELL, cancel_all, limit_order
from markets.pools.constant_product_pool import ConstantProductPool
from markets.spot.order_book import OrderBook
from markets.transit import Transit

ETH, USD = Asset("ETH", 6), Asset("USD", 6)


class Quoter(Trader):
    """Quotes the book around a price that rises by a fixed part each step."""

    class Params(Trader.Params):
        rise: float = 0.002
        steps: int = 60

    def open(self, market):
        self.account = self.endow(market, "exchange", {"ETH": 1e5, "USD": 1e9})

    def act(self, view):
        step = min(view.moment.step, self.params.steps)
        mid = 2_000.0 * (1 + self.params.rise) ** step
        book = view["book"]
        quotes = [
            limit_order(
                book.index,
                self.account,
                side,
                100_000,
                book.instrument.to_ticks(mid * (1 - side * 2e-4)),
            )
            for side in (BUY, SELL)
        ]
        return [cancel_all(book.index, self.account), *quotes]


def run(delay_seconds: float, steps: int = 120) -> World:
    pair = Instrument(ETH, USD, tick_size=0.01, lot_size=0.001)
    way = Transit.Params(delay_seconds=delay_seconds)
    chosen = RebalancingArbitrageur.Params(
        book="book",
        pool="pool",
        base=40.0,
        quote=80_000.0,
        from_exchange="out",
        from_chain="back",
        depth_fraction=1.0,
    )
    provider = LiquidityProvider.Params(venue="pool", base=1_000, quote=2_000_000)
    made = Scenario(
        [Exchange("exchange"), Chain("chain", 12.0, "USD")],
        [
            OrderBook("book", "exchange", pair, OrderBook.Params()),
            ConstantProductPool("pool", "chain", pair, ConstantProductPool.Params()),
            Transit("out", "exchange", (ETH, USD), way),
            Transit("back", "chain", (ETH, USD), way),
        ],
        [
            AgentSpec("quoter", Quoter, Quoter.Params()),
            AgentSpec("provider", LiquidityProvider, provider),
            AgentSpec("arb", RebalancingArbitrageur, chosen),
        ],
        [],
        steps,
        12.0,
    )
    world = World(made, seed=1)
    for _ in range(steps):
        world.step()
    return world


def gap(world: World) -> float:
    view = world.market.observe(world.moment(world.now))
    return abs(view["pool"].mid / view["book"].bid - 1)


def test_carrying_inventory_keeps_the_arbitrage_alive() -> None:
    fast, slow = run(36.0), run(1e6)
    assert gap(fast) < 0.005
    assert gap(slow) > 2 * gap(fast)
    tables = fast.recorder.tables()
    takers = np.asarray(tables["fills"]["taker"])
    assert (takers == "arb").sum() > (
        np.asarray(slow.recorder.tables()["fills"]["taker"]) == "arb"
    ).sum()


def test_what_is_carried_stays_its_own() -> None:
    world = run(600.0, steps=45)
    ledger = world.market.ledger
    on_its_way = sum(len(world.market.venues[name]._parcels) for name in ("out", "back"))
    assert on_its_way > 0
    held = world.holdings()[ledger.owner_names.index("arb")]
    worth = held @ np.array(
        [2_000.0 * 1.002**44 if a.name == "ETH" else 1.0 for a in ledger.assets]
    )
    assert worth == pytest.approx(80 * 2_000.0 * 1.002**44 + 160_000, rel=0.03)
