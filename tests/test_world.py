"""The world: its result depends on scenario and seed alone, and a broken ledger stops it."""

from dataclasses import replace

import numpy as np
import pytest

from agents.noise import NoiseTakers
from experiments.scenario import AgentSpec, Scenario, find_scenario
from experiments.simulate import Outcome, parameter_paths, resolve, simulate
from experiments.tables import TABLES
from experiments.world import World
from markets.errors import BrokenInvariant, ConfigError, FathomError
from markets.intents import BUY, cancel_all, limit_order, stack

FLASH_CRASH = find_scenario("flash_crash")
SMALL = {"traders.count": 200, "noise.count": 30, "traders.enter_per_hour": 5.0}
STEPS = 60


def scenario(**changes: object) -> Scenario:
    built = FLASH_CRASH.build(resolve(FLASH_CRASH, SMALL))
    return replace(built, steps=STEPS, account_steps=10, **changes)


def played(built: Scenario, seed: int = 3) -> dict:
    world = World(built, seed)
    for _ in range(STEPS):
        world.step()
    return world.recorder.tables()


def outcome(seed: int) -> Outcome:
    return simulate(FLASH_CRASH, resolve(FLASH_CRASH, SMALL), seed, steps=STEPS)


def same(one: dict, two: dict) -> bool:
    return all(
        np.array_equal(np.asarray(one[table][name]), np.asarray(two[table][name]), equal_nan=True)
        if np.asarray(one[table][name]).dtype != object
        else list(one[table][name]) == list(two[table][name])
        for table in one
        for name in one[table]
    )


def test_the_order_of_the_agents_changes_nothing() -> None:
    listed = scenario()
    turned = scenario(agents=tuple(reversed(listed.agents)))
    tables = played(listed)
    assert len(tables["fills"]["step"]) > 50
    assert same(tables, played(turned))


def test_the_order_of_asking_changes_nothing() -> None:
    asked, shuffled = World(scenario(), 3), World(scenario(), 3)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        asked.step()
        rng.shuffle(shuffled.traders)
        shuffled.step()
    assert same(asked.recorder.tables(), shuffled.recorder.tables())


def test_the_seed_decides() -> None:
    assert same(outcome(1).tables, outcome(1).tables)
    assert not same(outcome(1).tables, outcome(2).tables)


def test_another_agent_changes_nobody_elses_draws() -> None:
    alone = scenario()
    bystander = AgentSpec("bystander", NoiseTakers, NoiseTakers.Params(venue="spot", count=1))
    joined = scenario(agents=(*alone.agents, bystander))
    one, two = World(alone, 3), World(joined, 3)
    draws = {trader.name: trader.stream.random() for trader in one.traders}
    others = {trader.name: trader.stream.random() for trader in two.traders}
    assert draws == {name: others[name] for name in draws}
    assert all(np.array_equal(one.reference[a], two.reference[a]) for a in one.reference)


def test_every_column_is_zero_after_every_step() -> None:
    world = World(scenario(), 5)
    for _ in range(STEPS):
        world.step()
        assert not world.market.ledger.column_sums().any()
    assert not world.market.holdings_atoms().sum(axis=0).any()


@pytest.mark.parametrize("record", [(), ("steps",), tuple(TABLES)])
def test_payments_that_nobody_records_are_not_kept(record: tuple[str, ...]) -> None:
    world = World(scenario(), 5, record)
    for _ in range(STEPS):
        world.step()
    for holder in (*world.market.venues.values(), *world.market.domains.values()):
        assert len(holder.drain_flows()) == 0


def test_money_from_nowhere_stops_the_run_and_names_the_step() -> None:
    world = World(scenario(), 5)
    world.step()
    world.market.ledger.balances[5, 1] += 3
    with pytest.raises(BrokenInvariant, match="USDT, difference 3 atoms") as raised:
        world.step()
    assert raised.value.__notes__ == ["in step 1"]


@pytest.mark.parametrize(("venue", "account"), [(0, 0), (0, 10**6), (0, -1), (3, 5), (-1, 5)])
def test_an_intent_that_names_nobody_is_a_bug(venue: int, account: int) -> None:
    world = World(scenario(), 5)
    intents = stack([limit_order(venue, account, BUY, 1, 100)])
    with pytest.raises(FathomError, match="an intent names"):
        world.market.execute(intents, world.moment(0), {})


def test_an_account_of_one_domain_cannot_act_in_another() -> None:
    world = World(scenario(), 5)
    market = world.market
    domains = [market.ledger.domain_names[number] for number in market.ledger.domain]
    venues = {venue.domain: venue for venue in market.venues.values()}
    assert len(venues) > 1
    for domain, venue in venues.items():
        foreign = next(row for row, home in enumerate(domains) if row and home != domain)
        with pytest.raises(FathomError, match="in one domain"):
            market.execute(stack([cancel_all(venue.index, foreign)]), world.moment(0), {})


def test_tables_have_every_declared_column() -> None:
    tables = outcome(1).tables
    for name, table in TABLES.items():
        assert list(tables[name]) == [column.name for column in table.columns]
        assert len({len(values) for values in tables[name].values()}) == 1


def test_names_of_agents_must_differ() -> None:
    listed = scenario()
    with pytest.raises(ConfigError, match="agents: the name 'maker' is taken"):
        World(replace(listed, agents=(*listed.agents, listed.agents[0])), 1)


def test_profits_of_all_owners_add_up_to_nothing_but_what_came_in() -> None:
    world = World(scenario(), 7)
    endowed = world.holdings()
    for _ in range(STEPS):
        world.step()
    gained = world.holdings() - endowed
    assert np.abs(gained.sum(axis=0)).max() < 1e-6


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("maker.levls", 3, "maker.levls"),
        ("maker.levels", 0, "maker.levels"),
        ("maker.levels", "many", "maker.levels"),
        ("pool.fee_ppm", -1, "pool.fee_ppm"),
        ("whale.size", float("nan"), "whale.size"),
    ],
)
def test_wrong_parameters_are_named(path: str, value: object, field: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve(FLASH_CRASH, {path: value})
    assert raised.value.field == field


def test_one_override_leaves_its_neighbours_alone() -> None:
    plain, changed = (resolve(FLASH_CRASH, o) for o in ({}, {"maker.levels": 9}))
    assert changed.maker.levels == 9
    assert changed.maker.base == plain.maker.base
    assert "traders.leverage_mean" in parameter_paths(FLASH_CRASH.params)
