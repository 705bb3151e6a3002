"""Agents around pools: what they do in a world, and that money stays where it should."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from agents.aggregator_user import AggregatorUser
from agents.just_in_time import JustInTimeProvider
from agents.liquidity_provider import LiquidityProvider
from agents.noise import NoiseTakers
from agents.outside_arbitrageur import OutsideArbitrageur
from agents.range_provider import RangeProvider
from agents.sandwicher import Sandwicher
from agents.trader import NOTHING, Trader
from agents.volatility_provider import VolatilityProvider
from agents.yield_farmers import YieldFarmers
from experiments.liquidity_accounting import Bookkeeper, Statement
from experiments.scenario import AgentSpec, Scenario, find_scenario
from experiments.simulate import resolve, simulate
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.errors import ConfigError
from markets.intents import BUY, SELL, privately, stack, swap_coins, swap_exact_in
from markets.pools.concentrated_pool import ConcentratedPool
from markets.pools.constant_product_pool import ConstantProductPool
from markets.reward_program import RewardProgram

ETH, USD = Asset("ETH", 9), Asset("USD", 6)
PAIR = Instrument(ETH, USD, tick_size=0.01, lot_size=0.0001)
START = 2_000.0


@dataclass(frozen=True)
class Path:
    """An outside price given step by step; the last one holds."""

    prices: tuple[float, ...]
    asset: str = "ETH"

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> np.ndarray:
        padded = [*self.prices, *[self.prices[-1]] * (steps + 1)]
        return np.array(padded[: steps + 1])


class Swapper(Trader):
    """Sends given swaps at given steps: step to (side, units paid, least units)."""

    class Params(Trader.Params):
        pool: str
        orders: dict[int, tuple[int, float, float]]
        private: bool = False
        by_coin: bool = False

    def open(self, market: Any) -> None:
        self.account = self.endow(market, "chain", {"ETH": 1e4, "USD": 1e7})

    def act(self, view: Any) -> Any:
        if view.moment.step not in self.params.orders:
            return NOTHING
        side, units, least = self.params.orders[view.moment.step]
        paid, received = (USD, ETH) if side == BUY else (ETH, USD)
        atoms = paid.to_atoms(units), received.to_atoms(least)
        place = view[self.params.pool].index, self.account
        way = (1, 0) if side == BUY else (0, 1)
        by_coin = swap_coins(*place, *way, *atoms)
        swap = by_coin if self.params.by_coin else swap_exact_in(*place, side, *atoms)
        return [privately(swap) if self.params.private else swap]


def v2(name: str = "pool", fee_ppm: int = 3_000) -> ConstantProductPool:
    return ConstantProductPool(name, "chain", PAIR, ConstantProductPool.Params(fee_ppm=fee_ppm))


def v3(fee_ppm: int = 500) -> ConcentratedPool:
    rules = ConcentratedPool.Params(fee_ppm=fee_ppm, initial_price=START, tick_spacing=10)
    return ConcentratedPool("pool", "chain", PAIR, rules)


def world(
    venues: list,
    agents: dict[str, tuple[type[Trader], params.Params]],
    path: tuple[float, ...] = (START,),
    steps: int = 40,
    step_seconds: float = 12.0,
    gas_fee: float = 0.0,
) -> World:
    specs = [AgentSpec(name, kind, chosen) for name, (kind, chosen) in agents.items()]
    chain = Chain("chain", 12.0, "USD", gas_fee)
    made = Scenario([chain], venues, specs, [Path(path)], steps, step_seconds)
    return World(made, seed=4)


def units(made: World, owner: str, asset: str) -> float:
    names = made.market.ledger.owner_names
    return float(made.holdings()[names.index(owner), made.market.ledger.column[asset]])


def run(made: World, steps: int) -> None:
    for _ in range(steps):
        made.step()


PROVIDER = LiquidityProvider.Params(venue="pool", base=1_000, quote=2_000_000)


def test_the_arbitrageur_bids_a_part_of_what_it_expects_and_pays_gas_from_the_rest() -> None:
    bidder = OutsideArbitrageur.Params(pool="pool", base=1e3, quote=1e6, bid_fraction=0.9)
    agents = {"lp": (LiquidityProvider, PROVIDER), "arb": (OutsideArbitrageur, bidder)}
    made = world([v2()], agents, (START, START, 2_100.0), gas_fee=5.0)
    run(made, 5)
    tables = made.recorder.tables()["flows"]
    arbitrage = tables["paid"][(tables["reason"] == "arbitrage") & (tables["receiver"] == "arb")]
    gas = tables["paid"][(tables["reason"] == "gas") & (tables["payer"] == "arb")]
    assert len(gas) == 1
    fee = tables["paid"][(tables["reason"] == "fee") & (tables["payer"] == "arb")]
    expected = arbitrage[0] - fee[0] - 5.0
    assert gas[0] == pytest.approx(5.0 + 0.9 * expected, rel=1e-6)
    pool = made.market.venues["pool"].observe(made.moment(5))
    assert pool.ask == pytest.approx(2_100.0, rel=1e-4)


def test_an_arbitrage_below_the_cost_of_gas_is_left_alone() -> None:
    lean = OutsideArbitrageur.Params(pool="pool", base=1e3, quote=1e6)
    agents = {"lp": (LiquidityProvider, PROVIDER), "arb": (OutsideArbitrageur, lean)}
    made = world([v2()], agents, (START, START, 2_008.0), gas_fee=50.0)
    run(made, 4)
    assert made.market.venues["pool"].observe(made.moment(4)).mid == pytest.approx(START, rel=1e-9)


def test_the_higher_bid_has_the_arbitrage() -> None:
    shares = {"low": 0.2, "high": 0.8}
    agents: dict = {"lp": (LiquidityProvider, PROVIDER)}
    for name, share in shares.items():
        chosen = OutsideArbitrageur.Params(pool="pool", base=1e3, quote=1e6, bid_fraction=share)
        agents[name] = (OutsideArbitrageur, chosen)
    made = world([v2()], agents, (START, START, 2_100.0))
    run(made, 3)
    fills = made.recorder.tables()["fills"]
    assert fills["taker"].tolist()[0] == "high"


def test_a_range_provider_recentres_when_the_price_has_gone_far_enough() -> None:
    chosen = RangeProvider.Params(
        venue="pool", base=100, quote=200_000, width=0.05, trigger=0.5, slippage=0.02, gas=100
    )
    whole = RangeProvider.Params(venue="pool", base=2_000, quote=4_000_000)
    arbitrageur = OutsideArbitrageur.Params(pool="pool", base=1e4, quote=1e7)
    agents = {
        "mover": (RangeProvider, chosen),
        "passive": (RangeProvider, whole),
        "arb": (OutsideArbitrageur, arbitrageur),
    }
    path = tuple(START * 1.01**k for k in range(12))
    made = world([v3()], agents, path, gas_fee=1.0)
    mover, passive = (next(t for t in made.traders if t.name == n) for n in ("mover", "passive"))
    first = None
    for step in range(14):
        made.step()
        first = first or mover.ticks
        assert passive.moves == 0
        if step < 3:
            assert mover.moves == 0
    assert mover.moves >= 2
    pool = made.market.venues["pool"].observe(made.moment(made.now))
    low, high = mover.ticks
    assert low > first[0]
    assert pool.price_at(low) < pool.mid < pool.price_at(high)
    position = pool.position(mover.account, low, high)
    placed = position.base_atoms / 1e9 * pool.mid + position.quote_atoms / 1e6
    assert placed > 0.7 * (100 * START + 200_000)


def test_a_provider_leaves_when_volatility_rises_and_comes_back() -> None:
    chosen = VolatilityProvider.Params(
        venue="pool",
        base=1_000,
        quote=2_000_000,
        leave_volatility_per_hour=0.05,
        half_life_seconds=60.0,
    )
    steady = LiquidityProvider.Params(venue="pool", base=10, quote=20_000)
    arbitrageur = OutsideArbitrageur.Params(pool="pool", base=1e4, quote=1e7)
    agents = {
        "careful": (VolatilityProvider, chosen),
        "steady": (LiquidityProvider, steady),
        "arb": (OutsideArbitrageur, arbitrageur),
    }
    calm, rough = [START] * 10, [START * (1.02 if k % 2 else 0.98) for k in range(10)]
    made = world([v2()], agents, (*calm, *rough, START), steps=150)
    inside = []
    for _ in range(140):
        made.step()
        inside.append(units(made, "careful", "pool:share") > 0)
    assert inside[5]
    assert not inside[19]
    assert inside[-1]
    events = made.recorder.tables()["events"]
    assert "withdraw" in events["event"].tolist()


def sandwich_world(private: bool, least_fraction: float) -> World:
    fair = 50_000 * 0.997 / 2_000
    orders = {2: (BUY, 50_000.0, fair * least_fraction)}
    victim = Swapper.Params(pool="pool", orders=orders, private=private)
    searcher = Sandwicher.Params(pool="pool", base=1_000, quote=1e6, bid_fraction=0.5)
    agents = {
        "lp": (LiquidityProvider, PROVIDER),
        "victim": (Swapper, victim),
        "searcher": (Sandwicher, searcher),
    }
    return world([v2()], agents, step_seconds=6.0, steps=20, gas_fee=3.0)


def bought(made: World) -> float:
    return units(made, "victim", "ETH") - 1e4


def test_a_careless_swapper_is_sandwiched_to_its_limit() -> None:
    made = sandwich_world(private=False, least_fraction=0.90)
    run(made, 6)
    takers = made.recorder.tables()["fills"]["taker"].tolist()
    assert takers == ["searcher", "victim", "searcher"]
    assert bought(made) == pytest.approx(0.90 * 50_000 * 0.997 / 2_000, rel=1e-6)
    gained = units(made, "searcher", "USD") - 1e6
    assert gained > 0
    assert units(made, "searcher", "ETH") == 1_000


@pytest.mark.parametrize(("private", "least"), [(True, 0.90), (False, 0.97568)])
def test_privacy_or_a_tight_limit_prevents_it(private: bool, least: float) -> None:
    made = sandwich_world(private, least)
    run(made, 6)
    assert made.recorder.tables()["fills"]["taker"].tolist() == ["victim"]
    assert bought(made) == pytest.approx(50_000 * 0.997 / 2_049.85, rel=1e-3)


def jit_world(
    with_jit: bool,
    private: bool = False,
    order: tuple[int, float, float] = (SELL, 20.0, 0.0),
    by_coin: bool = False,
) -> World:
    passive = RangeProvider.Params(venue="pool", base=1_000, quote=2_000_000)
    swapper = Swapper.Params(pool="pool", orders={2: order}, private=private, by_coin=by_coin)
    agents: dict = {"passive": (RangeProvider, passive), "swapper": (Swapper, swapper)}
    if with_jit:
        chosen = JustInTimeProvider.Params(pool="pool", base=200, quote=400_000, bid_fraction=0.5)
        agents["jit"] = (JustInTimeProvider, chosen)
    return world([v3(3_000)], agents, step_seconds=6.0, steps=20, gas_fee=1.0)


def passive_fees(made: World) -> float:
    pool = made.market.venues["pool"].observe(made.moment(made.now))
    provider = next(t for t in made.traders if t.name == "passive")
    found = pool.position(provider.account, *provider.ticks)
    return found.base_fee_atoms / 1e9


def test_liquidity_just_in_time_takes_the_fee_and_helps_the_swapper() -> None:
    alone, crowded = jit_world(False), jit_world(True)
    for made in (alone, crowded):
        run(made, 6)
    assert passive_fees(alone) == pytest.approx(0.06, rel=1e-6)
    assert passive_fees(crowded) < 0.3 * passive_fees(alone)
    assert units(crowded, "swapper", "USD") > units(alone, "swapper", "USD")
    jit = next(t for t in crowded.traders if t.name == "jit")
    assert jit.attempts == 1
    worth = units(crowded, "jit", "USD") + 2_000 * units(crowded, "jit", "ETH")
    assert worth > 200 * 2_000 + 401_000
    pool = crowded.market.venues["pool"].observe(crowded.moment(6))
    assert pool.liquidity == pytest.approx(alone.market.venues["pool"].observe(None).liquidity)


@pytest.mark.parametrize("by_coin", [False, True])
@pytest.mark.parametrize(
    ("order", "attempts"),
    [((SELL, 20.0, 0.0), 1), ((BUY, 40_000.0, 0.0), 1), ((BUY, 400.0, 0.0), 0)],
)
def test_a_swap_is_worth_what_it_pays_however_it_names_its_coins(
    order: tuple[int, float, float], attempts: int, by_coin: bool
) -> None:
    made = jit_world(True, order=order, by_coin=by_coin)
    run(made, 6)
    assert next(t for t in made.traders if t.name == "jit").attempts == attempts


def test_a_private_swap_is_not_surrounded() -> None:
    made = jit_world(True, private=True)
    run(made, 6)
    assert passive_fees(made) == pytest.approx(0.06, rel=1e-6)


def farm(schedule: tuple, **chosen: Any) -> World:
    program = RewardProgram.Params(pool="pool", schedule=schedule, price=1.0)
    farmers = YieldFarmers.Params(pool="pool", program="program", count=50, **chosen)
    agents = {"lp": (LiquidityProvider, PROVIDER), "farmers": (YieldFarmers, farmers)}
    venues = [v2(), RewardProgram("program", "chain", USD, program)]
    return world(venues, agents, steps=200, step_seconds=3_600.0)


def test_farmers_follow_rewards_and_leave_with_them() -> None:
    made = farm(((0.0, 20_000.0), (5 * 86_400.0, 0.0)))
    run(made, 100)
    inside = units(made, "farmers", "pool:share")
    assert inside > 0
    run(made, 60)
    assert units(made, "farmers", "pool:share") == 0
    earned = units(made, "farmers", "program:reward") + units(made, "lp", "program:reward")
    assert earned == pytest.approx(5 * 20_000.0, rel=0.01)
    events = made.recorder.tables()["events"]["event"].tolist()
    assert "farmers enter" in events
    assert "farmers gone" in events


def test_more_rewards_bring_more_liquidity() -> None:
    held = []
    for rate in (2_000.0, 10_000.0, 30_000.0):
        made = farm(((0.0, rate),))
        run(made, 80)
        held.append(units(made, "farmers", "pool:share"))
    assert held == sorted(held)
    assert held[0] < held[-1]


def test_an_impossible_schedule_is_refused() -> None:
    program = RewardProgram.Params(pool="pool", schedule=((5.0, 1.0), (1.0, 1.0)))
    with pytest.raises(ConfigError, match="starts must rise"):
        RewardProgram("program", "chain", USD, program)


def test_an_aggregator_user_pays_less_than_in_the_best_single_pool() -> None:
    user = AggregatorUser.Params(
        pools=("one", "two"), base="ETH", quote="USD", base_held=500, quote_held=1e6
    )
    lps = {
        name: (LiquidityProvider, LiquidityProvider.Params(venue=name, base=base, quote=quote))
        for name, base, quote in (("one", 300, 600_000), ("two", 200, 400_000))
    }
    agents: dict = {f"lp_{name}": spec for name, spec in lps.items()} | {
        "user": (AggregatorUser, user)
    }
    made = world([v2("one"), v2("two", 500)], agents, gas_fee=0.5)
    made.step()
    view = made.market.observe(made.moment(1))
    trader = next(t for t in made.traders if t.name == "user")
    rows = stack(trader.order(view, buys=True, size=20.0))
    assert set(rows["venue"].tolist()) == {0, 1}
    size = int(rows["size"].sum())
    single = max(view[name].output_atoms(BUY, size) for name in ("one", "two"))
    before = units(made, "user", "ETH")
    trader.act = lambda view: rows
    made.step()
    assert (units(made, "user", "ETH") - before) * 1e9 > single


def test_a_busy_chain_conserves_everything_and_repeats_itself() -> None:
    ends = []
    for _ in range(2):
        made = busy_world()
        run(made, 300)
        ends.append(made.market.ledger.balances.copy())
    assert np.array_equal(*ends)
    fills = made.recorder.tables()["fills"]
    traders = set(fills["taker"].tolist())
    assert {"arb", "user", "noise", "searcher"} <= traders
    assert {"pool", "ranges"} <= set(fills["venue"].tolist())
    assert made.market.domains["chain"].blocks > 60
    assert made.market.domains["chain"].gas_used > 0


def test_the_scenario_of_a_whole_chain_runs_and_hiding_helps() -> None:
    scenario = find_scenario("liquidity")
    attempts = []
    for private in (False, True):
        chosen = resolve(scenario, {"hours": 0.5, "users_private": private, "noise.count": 1})
        found = simulate(scenario, chosen, seed=2).metrics
        assert found["ledger_residual_atoms"] == 0
        assert found["blocks"] == 150
        assert found["gas_burnt"] > 0
        attempts.append(found["surrounded"])
    assert attempts[0] > attempts[1]


def busy_world() -> World:
    rules = ConcentratedPool.Params(fee_ppm=500, initial_price=START, tick_spacing=10)
    program = RewardProgram.Params(pool="pool", schedule=((0.0, 1e5),))
    venues = [
        v2(),
        ConcentratedPool("ranges", "chain", PAIR, rules),
        RewardProgram("program", "chain", USD, program),
    ]
    agents: dict = {
        "lp": (LiquidityProvider, PROVIDER),
        "mover": (
            RangeProvider,
            RangeProvider.Params(venue="ranges", base=200, quote=4e5, width=0.1, trigger=0.3),
        ),
        "whole": (RangeProvider, RangeProvider.Params(venue="ranges", base=200, quote=4e5)),
        "farmers": (YieldFarmers, YieldFarmers.Params(pool="pool", program="program", count=20)),
        "arb": (
            OutsideArbitrageur,
            OutsideArbitrageur.Params(pool="pool", base=1e4, quote=2e7, bid_fraction=0.5),
        ),
        "searcher": (
            Sandwicher,
            Sandwicher.Params(pool="pool", base=100, quote=2e5, minimum_profit=0.1),
        ),
        "jit": (JustInTimeProvider, JustInTimeProvider.Params(pool="ranges", base=50, quote=1e5)),
        "user": (
            AggregatorUser,
            AggregatorUser.Params(
                pools=("pool", "ranges"), base="ETH", quote="USD", trades_per_hour=200
            ),
        ),
        "noise": (NoiseTakers, NoiseTakers.Params(venue="pool", count=20, trades_per_hour=20)),
    }
    specs = [AgentSpec(name, kind, chosen) for name, (kind, chosen) in agents.items()]
    rules_of_chain = Chain.Params(blocks="poisson", gas_limit=1_000_000, public_delay_seconds=4.0)
    chain = Chain("chain", 12.0, "USD", 0.5, params=rules_of_chain)
    moves = np.random.default_rng(2).standard_normal(300) * 0.002
    path = Path((START, *(START * np.exp(np.cumsum(moves)))))
    return World(Scenario([chain], venues, specs, [path], 300, 4.0), seed=6)


def kept_books(pool: Any, provider: Any, steps: int = 300) -> tuple[World, Statement]:
    moves = np.random.default_rng(3).standard_normal(steps) * 0.004
    path = tuple(START * np.exp(np.cumsum(moves)))
    arbitrageur = OutsideArbitrageur.Params(pool="pool", base=1e5, quote=2e8)
    kind = RangeProvider if isinstance(provider, RangeProvider.Params) else LiquidityProvider
    agents = {"lp": (kind, provider), "arb": (OutsideArbitrageur, arbitrageur)}
    made = world([pool], agents, (START, *path), steps, gas_fee=1.0)
    books = Bookkeeper(made, "lp", "pool")
    books.note()
    for _ in range(steps):
        made.step()
        books.note()
    return made, books.statement(made.recorder.tables())


def test_the_books_of_a_passive_range() -> None:
    provider = RangeProvider.Params(venue="pool", base=1_000, quote=2_000_000)
    made, found = kept_books(v3(3_000), provider)
    flows = made.recorder.tables()["flows"]
    arbitrage = flows["paid"][flows["reason"] == "arbitrage"].sum()
    fees = flows["paid"][(flows["reason"] == "fee") & (flows["asset"] == "USD")].sum()
    assert found.fees > fees > 0
    assert found.lvr == pytest.approx(arbitrage, rel=1e-3)
    assert found.lvr == pytest.approx(300 * 0.004**2 / 8 * 4e6, rel=0.2)
    assert found.gas == pytest.approx(181 / 121, rel=1e-3)
    assert abs(found.moving) < 1e-2
    parts = found.fees - found.lvr - found.moving - found.gas
    assert found.against_rebalancing == pytest.approx(parts)
    assert found.impermanent_loss < 0
    net = found.fees - found.gas + found.impermanent_loss
    assert found.against_holding == pytest.approx(net, abs=0.05 * found.fees)


def test_the_books_of_shares_separate_compounded_fees() -> None:
    made, found = kept_books(v2(), PROVIDER)
    flows = made.recorder.tables()["flows"]
    arbitrage = flows["paid"][flows["reason"] == "arbitrage"].sum()
    assert found.lvr == pytest.approx(arbitrage, rel=5e-3)
    assert found.lvr == pytest.approx(300 * 0.004**2 / 8 * 4e6, rel=0.2)
    assert found.fees > 0


def test_moving_a_range_is_dear() -> None:
    chosen = RangeProvider.Params(
        venue="pool", base=1_000, quote=2_000_000, width=0.02, trigger=0.5
    )
    _, found = kept_books(v3(3_000), chosen)
    assert found.moving > 0
    assert found.gas > 5
    assert found.lvr > 4 * 300 * 0.004**2 / 8 * 4e6
