"""Agents around perpetuals and futures: stops, trends, hedges, backstops, rolls, spreads."""

from collections.abc import Sequence

import numpy as np
import pytest

from agents.backstop_provider import BackstopProvider
from agents.calendar_arbitrageur import CalendarArbitrageur
from agents.carry_arbitrageur import CarryArbitrageur
from agents.dated_maker import DatedMaker
from agents.hedged_maker import HedgedMaker
from agents.market_maker import MarketMaker, PerpetualMaker
from agents.perpetual_traders import PerpetualTraders
from agents.protected_traders import ProtectedTraders
from agents.trend_traders import TrendTraders
from experiments.paths import History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.exchange import Exchange
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

BTC = Instrument(Asset("BTC", 8), Asset("USDT", 6), tick_size=0.1, lot_size=0.001)
MAKER = PerpetualMaker.Params(
    venue="perpetual", quote=5e7, order_size=20, withdraw_volatility_per_hour=10
)
SPOT_MAKER = MarketMaker.Params(
    venue="spot", base=1e4, quote=1e8, order_size=20, withdraw_volatility_per_hour=10
)


def world(
    agents: Sequence[AgentSpec],
    prices: Sequence[float],
    venues: Sequence[str] = ("spot", "perpetual"),
    steps_a_price: int = 30,
    **params: object,
) -> World:
    """Agents on an exchange while the outside price goes from point to point in a straight line."""
    expiry = {"near": 7_200.0, "far": 86_400.0}
    made = [
        OrderBook(name, "exchange", BTC, OrderBook.Params())
        if name == "spot"
        else Perpetual(
            name,
            "exchange",
            BTC,
            Perpetual.Params(**{"expiry_seconds": expiry.get(name), **params}),
        )
        for name in venues
    ]
    seconds = 60.0 * steps_a_price * np.arange(len(prices))
    scenario = Scenario(
        domains=(Exchange("exchange", Ordering.ARRIVAL),),
        venues=made,
        agents=agents,
        processes=(Replay("BTC", History(seconds, np.array(prices, np.float64))),),
        steps=steps_a_price * (len(prices) - 1),
        step_seconds=60.0,
    )
    return World(scenario, seed=1, record=())


def run(made: World, steps: int | None = None) -> World:
    for _ in range(steps or made.scenario.steps - made.now):
        made.step()
    return made


def trader(made: World, name: str) -> object:
    return next(found for found in made.traders if found.name == name)


def lots(made: World, account: object, venue: str = "perpetual") -> np.ndarray:
    column = made.market.ledger.column[f"{venue}:contract"]
    return made.market.ledger.balances[account, column]


def protected(**params: object) -> AgentSpec:
    settings = {"venue": "perpetual", "count": 50, "leverage_mean": 2, "long_share": 1.0}
    settings |= {"enter_per_hour": 1e3, "leave_per_hour": 0.0, "distance_sigma": 0.0}
    return AgentSpec("crowd", ProtectedTraders, ProtectedTraders.Params(**settings | params))


def test_stops_and_profits_are_taken_at_their_distances() -> None:
    maker = AgentSpec("maker", PerpetualMaker, MAKER)
    falls = run(world([maker, protected()], [10_000, 10_000, 9_500], ("perpetual",)))
    crowd = trader(falls, "crowd")
    assert crowd.stopped >= 50
    assert crowd.taken == 0
    rises = run(world([maker, protected()], [10_000, 10_000, 10_700], ("perpetual",)))
    assert trader(rises, "crowd").taken >= 50
    assert trader(rises, "crowd").stopped == 0


def test_without_protection_nobody_leaves() -> None:
    maker = AgentSpec("maker", PerpetualMaker, MAKER)
    wide = protected(stop_median=0.9, take_median=0.9)
    made = run(world([maker, wide], [10_000, 10_000, 9_500], ("perpetual",)))
    assert trader(made, "crowd").stopped == 0
    assert (lots(made, trader(made, "crowd").accounts) > 0).sum() > 40


@pytest.mark.parametrize(("weight", "sign"), [(2.0, 1), (-2.0, -1)])
def test_trend_traders_follow_or_fade_the_trend(weight: float, sign: int) -> None:
    params = TrendTraders.Params(
        venue="perpetual", count=50, weight=weight, memory_hours=2, review_per_hour=5
    )
    specs = [AgentSpec("maker", PerpetualMaker, MAKER), AgentSpec("crowd", TrendTraders, params)]
    made = run(world(specs, [10_000, 10_600], ("perpetual",), steps_a_price=90))
    held = lots(made, trader(made, "crowd").accounts)
    assert sign * held.sum() > 0
    assert (sign * held >= 0).all()


def test_the_hedged_maker_stays_flat_and_the_unhedged_does_not() -> None:
    params = HedgedMaker.Params(
        venue="perpetual",
        spot="spot",
        quote=5e7,
        base=1e3,
        hedge_quote=1e7,
        order_size=20,
        withdraw_volatility_per_hour=10,
    )
    crowd = PerpetualTraders.Params(
        venue="perpetual", count=100, long_share=1.0, leverage_mean=3, enter_per_hour=20
    )
    specs = [
        AgentSpec("spot_maker", MarketMaker, SPOT_MAKER),
        AgentSpec("hedged", HedgedMaker, params),
        AgentSpec("crowd", PerpetualTraders, crowd),
    ]
    made = run(world(specs, [10_000, 10_100]))
    hedged = trader(made, "hedged")
    position = float(lots(made, hedged.account)) * BTC.lot_size
    held = made.market.ledger.balances[hedged.account, made.market.ledger.column["BTC"]]
    assert position < -5
    assert abs(position + BTC.base.to_units(int(held)) - 1e3) <= 3.0


def test_the_backstop_buys_where_the_book_has_gone_and_sells_when_it_is_back() -> None:
    fickle = MAKER.model_copy(
        update={"withdraw_volatility_per_hour": 0.015, "volatility_half_life_seconds": 120.0}
    )
    crowd = PerpetualTraders.Params(
        venue="perpetual",
        count=300,
        long_share=1.0,
        leverage_mean=15,
        enter_per_hour=50,
        leave_per_hour=0,
    )
    backstop = BackstopProvider.Params(venue="perpetual", margin=5e6)
    specs = [
        AgentSpec("maker", PerpetualMaker, fickle),
        AgentSpec("crowd", PerpetualTraders, crowd),
        AgentSpec("backstop", BackstopProvider, backstop),
    ]
    prices = [10_000, 10_000, 9_300, 9_300, 9_300, 9_300]
    made = world(specs, prices, ("perpetual",), 30, insurance_fund_units=1e7)
    account, most = trader(made, "backstop").account, 0
    while made.now < made.scenario.steps:
        made.step()
        most = max(most, int(lots(made, account)))
    assert most > 0
    assert lots(made, account) < most
    metrics = made.holdings()[made.market.ledger.owner_names.index("backstop")]
    assert np.isfinite(metrics).all()


def test_the_dated_maker_rolls_before_expiry_and_locks_beyond_its_size() -> None:
    maker = DatedMaker.Params(
        near="near", far="far", margin=5e6, lock_size=1.0, roll_seconds=1_800, order_size=2
    )
    other = maker.model_copy(update={"lock_size": 1e3, "roll_seconds": 0.0, "half_spread": 0.002})
    crowd = PerpetualTraders.Params(
        venue="near", count=100, long_share=1.0, leverage_mean=2, enter_per_hour=3, leave_per_hour=0
    )
    specs = [
        AgentSpec("maker", DatedMaker, maker),
        AgentSpec("other", DatedMaker, other),
        AgentSpec("crowd", PerpetualTraders, crowd),
    ]
    made = world(specs, [10_000, 10_050, 10_100], ("near", "far"), 60)
    account = trader(made, "maker").account
    run(made, 89)
    near, far = (float(lots(made, account, name)) for name in ("near", "far"))
    assert near < 0
    assert abs(near + far) < abs(near)
    run(made, 30)
    assert abs(float(lots(made, account, "near"))) < abs(near)


def test_calendar_arbitrage_closes_a_spread_that_is_off() -> None:
    params = {"near": "near", "far": "far", "margin": 5e6, "lock_size": 1e3, "roll_seconds": 0}
    dear = DatedMaker.Params(**params, carry_per_year=6.0)
    calendar = CalendarArbitrageur.Params(near="near", far="far", margin=5e6, edge=0.001)
    specs = [
        AgentSpec("maker", DatedMaker, dear),
        AgentSpec("calendar", CalendarArbitrageur, calendar),
    ]
    made = run(world(specs, [10_000, 10_000], ("near", "far"), 60))
    account = trader(made, "calendar").account
    near, far = (float(lots(made, account, name)) for name in ("near", "far"))
    assert far < 0 < near
    assert near + far == 0


def test_agents_refuse_venues_that_do_not_suit_them() -> None:
    carry = CarryArbitrageur.Params(spot="spot", perpetual="spot", base=1, quote=1e3, margin=1e3)
    with pytest.raises(ConfigError, match="perpetual"):
        world([AgentSpec("carry", CarryArbitrageur, carry)], [1, 2])
    dated = DatedMaker.Params(near="far", far="near", margin=1e3)
    with pytest.raises(ConfigError, match="expire"):
        world([AgentSpec("maker", DatedMaker, dated)], [1, 2], ("near", "far"))
