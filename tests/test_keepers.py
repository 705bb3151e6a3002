"""Keepers, vault owners and the crowd on a chain: who bids when gas is dear, who repays in time."""

import dataclasses

import numpy as np
import pytest

from agents.chain_users import ChainUsers
from agents.gas_price import price_to_beat
from agents.keeper import Keepers
from experiments.paths import History
from experiments.scenario import find_scenario
from experiments.simulate import Outcome, resolve, simulate
from experiments.world import World
from markets.chain import Chain
from markets.errors import ConfigError
from markets.gas import GasSchedule
from markets.intents import DEPOSIT, TRANSFER, deposit, stack, transfer, with_tip
from markets.mempool import Mempool

SCENARIO = find_scenario("collateral_auctions")
FALL = History(3600.0 * np.array([0.0, 1.0, 1.2, 4.5]), np.array([100.0, 100.0, 68.0, 66.0]))
FEW = {
    "owners.count": 25,
    "owners.collateral_sigma": 0.5,
    "owners.attentive_share": 0.0,
    "users.count": 400,
    "users.urgency": 0.0,
    "bridge_volatility_per_year": 0.1,
}
DEAR = {"users.calm_per_hour": 12_000, "users.worth_median": 400}


def run(**changes: float) -> Outcome:
    overrides = FEW | {name.replace("__", "."): value for name, value in changes.items()}
    return simulate(SCENARIO, resolve(SCENARIO, overrides), seed=3, history=FALL)


def wins(outcome: Outcome) -> set[str]:
    return set(outcome.tables["fills"]["taker"])


def test_keepers_bid_the_market_while_gas_is_cheap() -> None:
    outcome = run()
    assert wins(outcome) == {"keepers"}
    assert outcome.metrics["zero_share"] == 0
    assert outcome.metrics["lots"] > 50
    assert outcome.metrics["unsafe_left"] == 0
    paid = np.asarray(outcome.tables["fills"]["price"])
    assert (paid > 0.75 * 66 / 100 * 194.97).all()
    assert outcome.metrics["short"] < 0
    assert outcome.metrics["keepers.profit"] > 0


def test_above_their_caps_the_zero_bidder_has_all() -> None:
    outcome = run(**{name.replace(".", "__"): value for name, value in DEAR.items()})
    assert outcome.metrics["gas_highest"] > 100
    assert wins(outcome) == {"zero_bidder"}
    assert outcome.metrics["zero_share"] == pytest.approx(1.0, abs=0.02)
    assert outcome.metrics["short"] > 0
    events = set(outcome.tables["events"]["event"])
    assert {"stands_aside", "zero_bid"} <= events


def test_keepers_who_pay_for_gas_what_it_takes_leave_nothing_for_nothing() -> None:
    dear = {name.replace(".", "__"): value for name, value in DEAR.items()}
    outcome = run(keepers__gas_aware=True, **dear)
    assert outcome.metrics["gas_highest"] > 100
    assert outcome.metrics["zero_share"] < 0.02
    assert "keepers" in wins(outcome)
    assert outcome.metrics["short"] < 0


def test_a_vault_of_countless_lots_is_sold_as_fast_as_a_keeper_may_send() -> None:
    outcome = run(vaults__largest_lot=1e-8, watcher__at_once=3, users__calm_per_hour=0)
    assert 0 < outcome.metrics["lots"] <= 3 * outcome.steps
    assert outcome.metrics["unsafe_left"] > 0.9


def test_owners_who_look_repay_before_the_price_is_in_force() -> None:
    careless, careful = run().metrics, run(owners__attentive_share=1.0).metrics
    assert careful["lots"] < 0.2 * careless["lots"]
    assert careful["ledger_residual_atoms"] == 0


def test_the_crowd_pays_the_floor_until_the_market_is_rough() -> None:
    params = resolve(SCENARIO, FEW | {"users.urgency": 3.0})
    world = World(SCENARIO.build(params, FALL), seed=1)
    users = next(trader for trader in world.traders if isinstance(trader, ChainUsers))
    sent = []
    for _ in range(100):
        chain = world.market.domains["chain"].observe(world.moment(world.now))
        sent.append((len(chain.pending), price_to_beat(chain)))
        world.step()
    assert np.median([price for _, price in sent[5:60]]) <= users.params.floor
    assert sent[-1][0] > 100
    assert sent[-1][1] > 1.5 * users.params.floor


def test_gas_must_be_paid_in_the_collateral() -> None:
    scenario = SCENARIO.build(SCENARIO.params())
    chain = Chain("chain", 15.0, "DAI")
    domains = (chain, scenario.domains[1])
    for first, field in (("owners", "venue"), ("keepers", "venue"), ("users", "asset")):
        agents = [spec for spec in scenario.agents if spec.name == first]
        with pytest.raises(ConfigError, match=rf"{first}\.{field}: .* gas is paid in ETH"):
            World(dataclasses.replace(scenario, domains=domains, agents=agents), seed=0)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("keepers.cap_low", 102.0, "keepers: .*cap_low must be at most cap_high"),
        ("keepers.discount_low", 0.11, "keepers: .*discount_low must be at most discount_high"),
        ("owners.worry", 0.31, r"owners: .*repaid_to must be at least 1 \+ worry"),
        ("owners.gas_floor", 201.0, "owners: .*gas_limit must be at least gas_floor"),
        ("owners.gas_limit", 1e18, r"owners\.gas_limit"),
        ("vaults.price_interval_seconds", 1e-308, r"vaults\.price_interval_seconds"),
        ("users.calm_per_hour", 1e30, r"users\.calm_per_hour"),
        ("users.asset", "DAI", r"users\.asset: .* gas is paid in DAI"),
        ("users.sent", 1e15, r"users\.sent: must be 1e-09 ETH to what is held"),
        ("users.sent", 4e-10, r"users\.sent: must be 1e-09 ETH to what is held"),
        ("owners.collateral_median", 1e15, r"owners\.collateral_median: .* too many"),
        ("first_price", 1e-9, r"owners\.collateral_median: at a price of 1e-09 debts are"),
        ("first_price", 1e12, r"owners\.collateral_median: at a price of 1e\+12 debts are"),
        ("first_price", 1e-20, r"vaults\.price"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(path: str, value: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        World(SCENARIO.build(resolve(SCENARIO, {path: value}), FALL), seed=0).step()


def test_caps_and_discounts_spread_over_keepers() -> None:
    world = World(SCENARIO.build(SCENARIO.params()), seed=0)
    keepers = next(t for t in world.traders if isinstance(t, Keepers) and t.name == "keepers")
    params = keepers.params
    assert sorted(keepers.caps) == pytest.approx(
        np.linspace(params.cap_low, params.cap_high, params.count)
    )
    assert set(keepers.discounts) != set(keepers.caps)


def test_a_full_queue_lets_go_of_the_lowest_gas_price() -> None:
    gas = GasSchedule(transaction=1_000, transfer=99_000, other=9_000)
    queue = Mempool(0.0, 2, gas)
    queue.add(
        stack(
            [
                with_tip(transfer(0, 1, 2, 0, 1), 200_000),
                with_tip(deposit(0, 2, 1), 100_000),
                with_tip(deposit(0, 3, 1), 30_000),
            ]
        ),
        0.0,
    )
    assert queue.pending.rows["action"].tolist() == [DEPOSIT, DEPOSIT]
    assert TRANSFER not in queue.pending.rows["action"]
