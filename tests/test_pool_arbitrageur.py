"""Agents that wait for a block: both legs stay matched, and nothing is sent twice."""

import numpy as np
import pytest

from agents.arbitrageur import PoolArbitrageur
from agents.liquidity_provider import LiquidityProvider
from agents.rebalancing_arbitrageur import RebalancingArbitrageur
from agents.trader import NOTHING, Trader
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.exchange import Exchange
from markets.intents import BUY, SELL, cancel_all, limit_order, swap_exact_in
from markets.pools.constant_product_pool import ConstantProductPool
from markets.spot.order_book import OrderBook
from markets.transit import Transit

ETH, USD = Asset("ETH", 6), Asset("USD", 6)
PAIR = Instrument(ETH, USD, tick_size=0.01, lot_size=0.001)
LOT_ATOMS = 1_000


class Quoter(Trader):
    """Quotes the book around one price in every step."""

    class Params(Trader.Params):
        price: float

    def open(self, market):
        self.account = self.endow(market, "exchange", {"ETH": 1e5, "USD": 1e9})

    def act(self, view):
        book = view["book"]
        ticks = [book.instrument.to_ticks(self.params.price * (1 - s * 2e-4)) for s in (BUY, SELL)]
        quotes = [
            limit_order(book.index, self.account, side, 10**6, limit)
            for side, limit in zip((BUY, SELL), ticks, strict=True)
        ]
        return [cancel_all(book.index, self.account), *quotes]


class Mover(Trader):
    """Sells base to the pool in one step."""

    class Params(Trader.Params):
        step: int
        base: float

    def open(self, market):
        self.account = self.endow(market, "chain", {"ETH": self.params.base, "USD": 1e3})

    def act(self, view):
        if view.moment.step != self.params.step:
            return NOTHING
        atoms = ETH.to_atoms(self.params.base)
        return [swap_exact_in(view["pool"].index, self.account, SELL, atoms, 0)]


def pool() -> ConstantProductPool:
    return ConstantProductPool("pool", "chain", PAIR, ConstantProductPool.Params())


def agent(name, kind, **chosen) -> AgentSpec:
    return AgentSpec(name, kind, kind.Params(**chosen))


def make(venues, agents, block_seconds=12.0, gas_fee=0.0) -> World:
    chain = Chain("chain", block_seconds, "USD", gas_fee)
    made = Scenario([Exchange("exchange"), chain], venues, agents, [], 200, 60.0)
    return World(made, seed=1)


def provider(**chosen) -> AgentSpec:
    figures = {"venue": "pool", "base": 1_000.0, "quote": 2_000_000.0} | chosen
    return agent("provider", LiquidityProvider, **figures)


def held(world: World, owner: str, asset: str) -> int:
    names = world.market.ledger.owner_names
    return int(world.market.holdings_atoms()[names.index(owner), world.market.ledger.column[asset]])


def test_both_legs_stay_matched_while_swaps_wait_for_a_block() -> None:
    arbitrageur = agent("arb", PoolArbitrageur, book="book", pool="pool", base=400.0, quote=1e6)
    quoter = agent("quoter", Quoter, price=2_100.0)
    book = OrderBook("book", "exchange", PAIR, OrderBook.Params())
    world = make([book, pool()], [quoter, provider(), arbitrageur], block_seconds=600.0)
    before = held(world, "arb", "ETH")
    for _ in range(45):
        world.step()
        swapped = world.market.domains["chain"].blocks
        assert abs(held(world, "arb", "ETH") - before) <= swapped * LOT_ATOMS
    assert held(world, "arb", "USD") > USD.to_atoms(2e6) + USD.to_atoms(100)
    mid = world.market.observe(world.moment(world.now))["pool"].mid
    assert mid == pytest.approx(2_100.0, rel=0.005)


def test_a_transfer_that_waits_for_a_block_is_not_sent_again() -> None:
    arbitrageur = agent(
        "arb",
        RebalancingArbitrageur,
        book="book",
        pool="pool",
        base=400.0,
        quote=1e6,
        from_exchange="out",
        from_chain="back",
        least_fraction=0.9,
    )
    way = Transit.Params(delay_seconds=60.0)
    venues = [
        OrderBook("book", "exchange", PAIR, OrderBook.Params()),
        pool(),
        Transit("out", "exchange", (ETH, USD), way),
        Transit("back", "chain", (ETH, USD), way),
    ]
    world = make(
        venues,
        [agent("quoter", Quoter, price=2_600.0), provider(), arbitrageur],
        block_seconds=600.0,
    )
    trader = next(one for one in world.traders if one.name == "arb")
    most = 0
    for _ in range(60):
        world.step()
        view = world.market.observe(world.moment(world.now)).domains["chain"]
        most = max(most, int(np.count_nonzero(view.pending["account"] == trader.pool_account)))
    assert most == 1


@pytest.mark.parametrize("gas", [0.0, 1_000.0])
def test_a_provider_pays_its_gas_and_deposits_what_is_left(gas: float) -> None:
    world = make([pool()], [provider(gas=gas)], block_seconds=600.0, gas_fee=7.0)
    for _ in range(21):
        world.step()
    view = world.market.observe(world.moment(world.now))["pool"]
    assert view.mid == pytest.approx(2_000.0, rel=1e-6)
    cost = 7.0 * 181_000 / 121_000
    quote = 2_000_000.0 if gas else 2_000_000.0 - cost
    assert view.quote_atoms == pytest.approx(USD.to_atoms(quote), abs=2)
    assert world.market.domains["chain"].failed == 0


def test_a_provider_that_leaves_asks_once_and_stays_away(monkeypatch) -> None:
    agents = [provider(exit_loss=0.02), agent("mover", Mover, step=20, base=1_000.0)]
    world = make([pool()], agents, block_seconds=600.0)
    trader = next(one for one in world.traders if one.name == "provider")
    noted: list[str] = []
    monkeypatch.setattr(trader, "note", lambda event, _: noted.append(event))
    most = 0
    for _ in range(60):
        world.step()
        view = world.market.observe(world.moment(world.now)).domains["chain"]
        most = max(most, int(np.count_nonzero(view.pending["account"] == trader.account)))
    assert most == 1
    assert noted == ["deposits", "leaves"]
    assert world.market.ledger.balances[trader.account, view.fee_column] > 0
    assert held(world, "provider", "pool:share") == 0
