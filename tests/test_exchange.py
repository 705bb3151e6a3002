"""Exchanges: gateways that delay messages, and several exchanges in one world."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.random_agents import RandomCohort
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.errors import ConfigError, FathomError
from markets.exchange import Exchange, Gateway
from markets.intents import BUY, SELL, bundle, cancel_all, limit_order, market_order, stack
from markets.market import Market
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook
from markets.venue import Moment

COIN, CASH = Asset("COIN", 4), Asset("CASH", 3)
GRID = Instrument(COIN, CASH, tick_size=0.07, lot_size=0.1)


class Floor:
    """Exchanges with a book each; two accounts on every one."""

    def __init__(self, *exchanges: Exchange, latency_seconds: float = 0.0) -> None:
        names = [exchange.name for exchange in exchanges]
        self.books = [OrderBook(f"book_{name}", name, GRID) for name in names]
        self.market = Market(exchanges, self.books)
        wealth = {"COIN": 1e3, "CASH": 1e5}
        self.near = [int(self.market.endow("near", name, wealth)[0]) for name in names]
        self.far = [
            int(self.market.endow("far", name, wealth, 1, latency_seconds)[0]) for name in names
        ]
        self.market.begin()
        self.rng = {name: np.random.default_rng(7) for name in names}

    def step(self, step: int, *intents) -> int:
        moment = Moment(step, float(step), 1.0)
        self.market.accrue(moment)
        executed = self.market.execute(stack(intents), moment, self.rng)
        self.market.check()
        return executed


def test_a_message_that_arrives_after_the_step_waits_for_its_own():
    gateway = Gateway(mean_seconds=0.25)
    floor = Floor(Exchange("one", Ordering.ARRIVAL, gateway), latency_seconds=2.0)
    near, far = floor.near[0], floor.far[0]
    assert floor.step(0, limit_order(0, far, SELL, 1, 100), limit_order(0, near, BUY, 1, 90)) == 1
    assert len(floor.market.domains["one"].travelling) == 1
    assert floor.step(1) == 0
    assert floor.step(2) == 1
    assert floor.books[0].book.ask_ticks == 100


def test_arrival_decides_who_comes_first():
    floor = Floor(Exchange("one", Ordering.ARRIVAL, Gateway(mean_seconds=0.1)), latency_seconds=0.5)
    near, far = floor.near[0], floor.far[0]
    floor.step(0, limit_order(0, far, SELL, 1, 100), limit_order(0, near, SELL, 1, 100))
    orders = floor.books[0].book.arrays.orders
    first = floor.books[0].book.arrays.levels[1, 100]["first"]
    assert orders[first]["account"] == near


@pytest.mark.parametrize("law", ["exponential", "lognormal"])
def test_an_account_never_overtakes_itself(law):
    gateway = Gateway(mean_seconds=1.5, law=law, spread=1.0)
    floor = Floor(Exchange("one", Ordering.ARRIVAL, gateway))
    near = floor.near[0]
    prices = []
    for step in range(60):
        floor.step(step, limit_order(0, near, SELL, 1, 100 + step))
        slots = np.flatnonzero(floor.books[0].book.arrays.orders["side"])
        rows = floor.books[0].book.arrays.orders[slots]
        prices.append(sorted(rows["price_ticks"].tolist()))
    assert all(found == list(range(100, 100 + len(found))) for found in prices)
    assert 40 < len(prices[-1]) < 60


SENT = st.lists(st.lists(st.integers(0, 1), max_size=4), min_size=1, max_size=15)
LAWS = {
    "constant": lambda rng, count: [0.6] * count,
    "exponential": lambda rng, count: rng.exponential(0.6, count).tolist(),
    "lognormal": lambda rng, count: rng.lognormal(np.log(0.6) - 0.32, 0.8, count).tolist(),
}


@settings(max_examples=80, deadline=None)
@given(SENT, st.sampled_from(sorted(LAWS)), st.sampled_from([0.0, 0.4, 1.7]), st.integers(0, 9))
def test_messages_arrive_as_on_a_plain_line(sent, law, latency_seconds, seed):
    """Each step its draws; nobody overtakes himself; executed in the order of arrival."""
    gateway = Gateway(mean_seconds=0.6, law=law, spread=0.8)
    floor = Floor(Exchange("one", Ordering.ARRIVAL, gateway), latency_seconds=latency_seconds)
    exchange = floor.market.domains["one"]
    accounts, latencies = (floor.near[0], floor.far[0]), (0.0, latency_seconds)
    places = exchange.roster.place[list(accounts)].tolist()
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    last, underway, number = [0.0, 0.0], [], 0
    for step, senders in enumerate([*sent, *[[]] * 10]):
        travel = LAWS[law](theirs, len(exchange.roster.latency_seconds))
        intents = []
        for sender in senders:
            number += 1
            arrival = step + latencies[sender] + travel[places[sender]]
            last[sender] = max(last[sender], arrival)
            underway.append((last[sender], number))
            intents.append(limit_order(0, accounts[sender], BUY, number, 1))
        batch = exchange.batch(stack(intents), Moment(step, float(step), 1.0), ours)
        underway.sort()
        arrived = [number for arrival, number in underway if arrival < step + 1]
        underway = underway[len(arrived) :]
        assert batch["size"].tolist() == arrived
    assert len(exchange.travelling) == len(underway)


@pytest.mark.parametrize("idle_steps", [0, 50])
def test_steps_without_a_message_do_not_delay_the_next(idle_steps):
    """The first message travels as long as the law says, whenever it is sent."""
    travelled = []
    for seed in range(400):
        exchange = Exchange("one", Ordering.ARRIVAL, Gateway(mean_seconds=5.0, law="exponential"))
        floor = Floor(exchange)
        floor.rng = {"one": np.random.default_rng(seed)}
        for step in range(idle_steps):
            floor.step(step)
        step, ticks = idle_steps, 100
        floor.step(step, limit_order(0, floor.near[0], SELL, 1, ticks))
        while floor.books[0].book.count == 0:
            step += 1
            floor.step(step)
        travelled.append(step + 0.5 - idle_steps)
    assert np.mean(travelled) == pytest.approx(5.0, abs=0.75)


@pytest.mark.parametrize("law", ["constant", "exponential", "lognormal"])
def test_travel_times_have_the_mean_that_was_asked_for(law):
    drawn = Gateway(mean_seconds=0.3, law=law, spread=0.8).draw(200_000, np.random.default_rng(1))
    assert drawn.mean() == pytest.approx(0.3, rel=0.01)
    assert (drawn > 0).all()


def test_a_gateway_without_time_is_a_config_error():
    with pytest.raises(ConfigError, match="mean_seconds"):
        Gateway.read({"mean_seconds": 0}, "exchange")


def test_several_exchanges_have_books_and_customers_of_their_own():
    floor = Floor(Exchange("one"), Exchange("two"))
    floor.step(
        0,
        limit_order(0, floor.near[0], SELL, 5, 100),
        limit_order(1, floor.near[1], SELL, 5, 110),
    )
    with pytest.raises(FathomError, match="in one domain"):
        floor.step(0, limit_order(1, floor.near[0], SELL, 5, 90))
    assert [book.book.ask_ticks for book in floor.books] == [100, 110]
    floor.step(1, market_order(0, floor.far[0], BUY, 2), market_order(1, floor.far[1], BUY, 3))
    traded = [book.drain_fills()["price_ticks"].tolist() for book in floor.books]
    assert traded == [[100], [110]]
    floor.step(2, cancel_all(0, floor.near[0]))
    assert [book.book.count for book in floor.books] == [0, 1]


def test_an_exchange_beside_another_trades_as_if_alone():
    def tops(*exchanges: Exchange) -> list[int]:
        floor, found = Floor(*exchanges), []
        dice = np.random.default_rng(3)
        for step in range(40):
            sides, ticks = dice.choice([BUY, SELL], 2).tolist(), dice.integers(95, 105, 2).tolist()
            accounts = (floor.near[0], floor.far[0])
            orders = zip(accounts, sides, ticks, strict=True)
            floor.step(step, *[limit_order(0, who, side, 1, at) for who, side, at in orders])
            found.append(floor.books[0].book.bid_ticks)
        return found

    alone = Exchange("one", Ordering.ARRIVAL)
    beside = Exchange("one", Ordering.ARRIVAL), Exchange("two", Ordering.ARRIVAL)
    assert tops(alone) == tops(*beside)


@pytest.mark.parametrize("law", [None, "exponential"])
@pytest.mark.parametrize("name", ["another", "the_last"])
@pytest.mark.parametrize("count", [1, 40])
def test_who_joins_another_exchange_changes_no_fill_of_this_one(law, name, count):
    """Whether the newcomers' accounts come before or behind those of this exchange."""
    gateway = law and Gateway(mean_seconds=0.7, law=law)

    def fills(*joining: AgentSpec) -> list[tuple]:
        crowd = RandomCohort.Params(venue="book_one", count=30, low_ticks=40, high_ticks=60)
        names = ("one", "two")
        world = World(
            Scenario(
                domains=[Exchange(name, Ordering.RANDOM, gateway) for name in names],
                venues=[OrderBook(f"book_{name}", name, GRID) for name in names],
                agents=[AgentSpec("crowd", RandomCohort, crowd), *joining],
                processes=[],
                steps=40,
                step_seconds=1.0,
            ),
            seed=4,
        )
        for _ in range(40):
            world.step()
        table, ledger = world.recorder.tables()["fills"], world.market.ledger
        first = np.flatnonzero(ledger.owner == ledger.owner_names.index("crowd"))[0]
        for side in ("taker_account", "maker_account"):
            table[side] = table[side] - first
        rows = zip(*(np.asarray(column).tolist() for column in table.values()), strict=True)
        return [row for row in rows if "book_one" in row]

    alone = fills()
    newcomers = RandomCohort.Params(venue="book_two", count=count)
    assert len(alone) > 200
    assert alone == fills(AgentSpec(name, RandomCohort, newcomers))


def test_an_exchange_takes_no_tips():
    with pytest.raises(ConfigError, match=r"one\.ordering"):
        Exchange("one", Ordering.PRIORITY_FEE)


@pytest.mark.parametrize("gateway", [None, Gateway(mean_seconds=0.1)])
def test_an_exchange_knows_no_bundles(gateway):
    floor = Floor(Exchange("one", Ordering.ARRIVAL, gateway))
    account = floor.near[0]
    tied = bundle([limit_order(0, account, BUY, 1, 90), limit_order(0, account, BUY, -1, 90)])
    assert floor.step(0, *tied) == 2
    assert floor.books[0].book.bid_ticks == 90


@pytest.mark.parametrize("beat", ["accrue", "clear", "liquidate"])
def test_a_beat_is_done_by_any_venue_that_has_it_of_its_own(beat: str) -> None:
    """In its class, in the class above, or set on this one venue."""
    did = []

    class Own(OrderBook):
        pass

    setattr(Own, beat, lambda venue, moment: did.append(venue.name))
    heir = type("Heir", (Own,), {})
    books = [kind(kind.__name__, "one", GRID) for kind in (OrderBook, Own, heir, OrderBook)]
    books[3].name = "by hand"
    setattr(books[3], beat, lambda moment: did.append("by hand"))
    market = Market([Exchange("one")], books)
    market.open_accounts("someone", "one")
    market.begin()
    moment = Moment(0, 0.0, 1.0)
    market.accrue(moment)
    market.execute(stack([]), moment, {"one": np.random.default_rng(0)})
    market.liquidate(moment)
    assert did == ["Own", "Heir", "by hand"]
