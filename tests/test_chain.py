"""The chain: blocks, gas, congestion, the public queue, private sending, bundles around others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.errors import ConfigError
from markets.intents import (
    ADD_LIQUIDITY,
    BUY,
    SELL,
    add_liquidity,
    bundle,
    include,
    privately,
    remove_liquidity,
    stack,
    swap_exact_in,
    with_tip,
)
from markets.outcomes import Code
from tests.chain_bench import UNIT, Bench

SWAP_GAS = 121_000


def buy(account: int, usd: float, least_eth: float = 0.0, tip: int = 0) -> tuple:
    swap = swap_exact_in(0, account, BUY, int(usd * UNIT), int(least_eth * UNIT))
    return with_tip(swap, tip)


def sell(account: int, eth: float, tip: int = 0) -> tuple:
    return with_tip(swap_exact_in(0, account, SELL, int(eth * UNIT)), tip)


def test_intents_wait_for_the_block_in_the_public_queue() -> None:
    bench = Bench(step_seconds=4.0)
    user = bench.users[0]
    assert bench.view().next_block_seconds == 12
    assert not bench.view().block_due(bench.moment())
    assert bench.step(buy(user, 1_000)) == 0
    seen = bench.view()
    assert seen.pending["account"].tolist() == [user]
    assert bench.step() == 0
    assert bench.view().block_due(bench.moment())
    assert bench.step() == 1
    assert len(bench.view().pending) == 0
    assert bench.usd(user) == 999_000 * UNIT


def test_a_long_step_holds_several_blocks() -> None:
    bench = Bench(block_seconds=2.0, gas_fee=1.0, gas_limit=2 * SWAP_GAS, least_base_fee=1e-9)
    assert bench.step(*[buy(user, 10) for user in bench.users]) == 4
    assert bench.chain.blocks == 6
    before = bench.view().base_fee_atoms
    bench.step()
    assert bench.view().base_fee_atoms == pytest.approx(before * 0.875**6)


def test_poisson_blocks_come_at_their_rate_whatever_the_step() -> None:
    for step_seconds in (3.0, 50.0):
        bench = Bench(step_seconds=step_seconds, blocks="poisson")
        steps = int(60_000 / step_seconds)
        for _ in range(steps):
            bench.step()
        assert bench.chain.blocks == pytest.approx(5_000, abs=4 * 5_000**0.5)
    assert np.isnan(bench.view().next_block_seconds)


def test_gas_is_paid_by_kind_and_by_those_who_fail_too() -> None:
    bench = Bench(gas_fee=10.0)
    good, bad, provider = bench.users[:3]
    bench.step(
        buy(good, 1_000, tip=5),
        buy(bad, 1_000, least_eth=900, tip=7),
        add_liquidity(0, provider, UNIT, 2_000 * UNIT),
    )
    assert bench.usd(good) == 1_000_000 * UNIT - 1_000 * UNIT - 10 * UNIT - 5
    assert bench.usd(bad) == 1_000_000 * UNIT - 10 * UNIT - 7
    assert bench.usd(bench.chain.builder) == 12
    burnt = 20 * UNIT + -(-10 * UNIT * 181_000 // SWAP_GAS)
    assert bench.usd(bench.chain.burner) == burnt
    assert bench.chain.failed == 1
    gas = bench.chain.drain_flows()
    assert gas["atoms"].sum() == burnt + 12


def test_who_cannot_pay_is_dropped_and_pays_nothing() -> None:
    bench = Bench(gas_fee=1.0)
    user = bench.users[0]
    assert bench.step(buy(user, 1_000, tip=2_000_000 * UNIT)) == 0
    assert bench.usd(user) == 1_000_000 * UNIT
    assert len(bench.view().pending) == 0


@pytest.mark.parametrize("gas_fee", [1.0, 4e12])
@pytest.mark.parametrize("tip", [2**62, 2**63 - 1])
def test_gas_beyond_all_money_is_dropped_and_never_wraps(gas_fee: float, tip: int) -> None:
    bench = Bench(gas_fee=gas_fee)
    dear, user = bench.users[0], bench.users[1]
    deposit = with_tip(add_liquidity(0, user, UNIT, 2_000 * UNIT), tip)
    assert bench.step(buy(dear, 1_000, tip=tip), deposit) == 0
    assert bench.usd(dear) == bench.usd(user) == 1_000_000 * UNIT
    assert bench.usd(bench.chain.builder) == bench.usd(bench.chain.burner) == 0
    assert 0 < bench.view().fee_atoms(ADD_LIQUIDITY) <= 2**62


def test_a_gas_fee_beyond_all_money_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"chain\.gas_fee"):
        Bench(gas_fee=5e12)


def test_a_long_step_of_short_blocks_costs_no_list_of_them() -> None:
    bench = Bench(block_seconds=0.001, step_seconds=1e9)
    assert bench.step(buy(bench.users[0], 10)) == 1
    assert bench.step() == 0
    assert bench.chain.blocks == 2 * 10**12


def test_a_full_block_leaves_the_lowest_tips_waiting_and_raises_the_base_fee() -> None:
    bench = Bench(gas_fee=1.0, gas_limit=2 * SWAP_GAS)
    start = bench.view().base_fee_atoms
    bench.step(*[buy(user, 10, tip=tip) for tip, user in enumerate(bench.users)])
    assert bench.view().pending["account"].tolist() == bench.users[:2]
    assert bench.view().base_fee_atoms == pytest.approx(start * 1.125)
    bench.step()
    assert len(bench.view().pending) == 0
    assert bench.view().base_fee_atoms == pytest.approx(start * 1.125**2)
    bench.step()
    assert bench.view().base_fee_atoms == pytest.approx(start * 1.125**2 * 0.875)


def test_what_can_never_fit_is_dropped() -> None:
    bench = Bench(gas_limit=SWAP_GAS)
    user = bench.users[0]
    bench.step(*bundle([buy(user, 10), buy(user, 10)]))
    assert bench.usd(user) == 1_000_000 * UNIT
    assert len(bench.view().pending) == 0


def test_a_full_queue_drops_the_lowest_tip() -> None:
    bench = Bench(block_seconds=120.0, queue_limit=2)
    low, middle, high = bench.users[:3]
    bench.step(buy(low, 1, tip=1), buy(high, 1, tip=3), buy(middle, 1, tip=2))
    assert sorted(bench.view().pending["account"].tolist()) == [middle, high]


def test_a_public_delay_makes_transactions_seen_before_they_are_taken() -> None:
    bench = Bench(public_delay_seconds=13.0)
    slow, fast = bench.users[:2]
    assert bench.step(buy(slow, 100), privately(buy(fast, 100))) == 1
    assert bench.view().pending["account"].tolist() == [slow]
    assert bench.usd(fast) < bench.usd(slow)
    assert bench.step() == 1


def test_two_bundles_under_one_key_sent_in_different_steps_are_two() -> None:
    bench = Bench(step_seconds=4.0)
    user = bench.users[0]
    bench.step(*bundle([buy(user, 100), buy(user, 100, least_eth=900)]))
    bench.step(*bundle([buy(user, 100), sell(user, 0.01)]))
    queue = bench.view()
    assert len(np.unique(queue.transaction)) == 2
    bench.step()
    spent = 1_000_000 * UNIT - bench.usd(user)
    assert 70 * UNIT < spent < 90 * UNIT
    assert bench.chain.failed == 1


def test_bundles_are_atomic() -> None:
    bench = Bench(gas_fee=1.0)
    user = bench.users[0]
    before = bench.reserves()
    bench.step(*bundle([buy(user, 5_000), buy(user, 1, least_eth=5)]))
    assert bench.reserves() == before
    gas = -(-1 * UNIT * 221_000 // SWAP_GAS)
    assert bench.usd(user) == 1_000_000 * UNIT - gas
    assert len(bench.pool.drain_fills()) == 0


def sandwich(bench: Bench, searcher: int, usd: float = 50_000) -> list[tuple]:
    """Buy before, sell after each pending transaction of somebody else."""
    queue = bench.view()
    bought = bench.pool.observe(bench.moment()).output_atoms(BUY, int(usd * UNIT))
    return bundle(
        [
            buy(searcher, usd),
            include(0, searcher, int(queue.transaction[0])),
            swap_exact_in(0, searcher, SELL, bought),
        ]
    )


def test_a_sandwich_runs_around_its_victim() -> None:
    alone, bench = Bench(step_seconds=6.0, fee_ppm=0), Bench(step_seconds=6.0, fee_ppm=0)
    victim, searcher = bench.users[:2]
    for each in (alone, bench):
        each.step(buy(victim, 100_000))
    alone.step()
    bench.step(*sandwich(bench, searcher))
    assert bench.usd(searcher) > 1_000_000 * UNIT
    assert bench.eth(searcher) == 1_000 * UNIT
    assert bench.eth(victim) < alone.eth(victim)
    takers = bench.pool.drain_fills()["taker"].tolist()
    assert takers == [searcher, victim, searcher]
    assert len(bench.view().pending) == 0


def test_private_sending_prevents_it() -> None:
    bench = Bench(step_seconds=6.0, fee_ppm=0)
    victim, searcher = bench.users[:2]
    bench.step(privately(buy(victim, 100_000)))
    assert len(bench.view().pending) == 0
    guess = include(0, searcher, 1)
    bench.step(*bundle([buy(searcher, 50_000), guess, sell(searcher, 24)]))
    assert bench.usd(searcher) == 1_000_000 * UNIT
    assert bench.pool.drain_fills()["taker"].tolist() == [victim]


def test_a_limit_protects_the_victim_and_spares_the_searcher_the_gas() -> None:
    bench = Bench(step_seconds=6.0, gas_fee=2.0)
    victim, searcher = bench.users[:2]
    fair = bench.pool.observe(bench.moment()).output_atoms(BUY, 100_000 * UNIT)
    bench.step(swap_exact_in(0, victim, BUY, 100_000 * UNIT, fair))
    bench.step(*sandwich(bench, searcher))
    assert bench.usd(searcher) == 1_000_000 * UNIT
    assert bench.eth(victim) == 1_000 * UNIT + fair
    assert bench.usd(victim) == 899_998 * UNIT
    assert bench.pool.drain_fills()["taker"].tolist() == [victim]


def test_without_revert_protection_failed_private_transactions_pay() -> None:
    bench = Bench(gas_fee=2.0, revert_protection=False)
    user = bench.users[0]
    bench.step(privately(buy(user, 10, least_eth=1)))
    assert bench.usd(user) == 999_998 * UNIT


def test_rivals_for_a_victim_go_by_their_tips_even_below_the_victims() -> None:
    bench = Bench(step_seconds=6.0, fee_ppm=0)
    victim, poor, rich = bench.users[:3]
    bench.step(buy(victim, 100_000, tip=900))
    tips = {poor: 10, rich: 20}
    intents = []
    for searcher, tip in tips.items():
        rows = sandwich(bench, searcher)
        intents += [with_tip(rows[0], tip), *rows[1:]]
    bench.step(*intents)
    assert bench.pool.drain_fills()["taker"].tolist() == [rich, victim, rich]
    assert bench.usd(poor) == 1_000_000 * UNIT
    assert bench.usd(bench.chain.builder) == 920


def test_a_back_run_stands_right_behind_its_victim() -> None:
    bench = Bench(step_seconds=6.0, fee_ppm=0)
    victim, searcher, other = bench.users[:3]
    bench.step(buy(victim, 100_000), buy(other, 1_000, tip=50))
    queue = bench.view()
    number = int(queue.transaction[queue.pending["account"] == victim][0])
    bench.step(*bundle([include(0, searcher, number), sell(searcher, 10)]))
    assert bench.pool.drain_fills()["taker"].tolist() == [other, victim, searcher]


def test_liquidity_just_in_time_earns_the_fee_of_the_swap_it_surrounds() -> None:
    bench = Bench(step_seconds=6.0)
    victim, provider = bench.users[:2]
    bench.step(buy(victim, 1_000))
    number = int(bench.view().transaction[0])
    supply = bench.reserves()[2]
    rows = bundle(
        [
            add_liquidity(0, provider, 400 * UNIT, 800_000 * UNIT),
            include(0, provider, number),
            remove_liquidity(0, provider, supply * 4 // 10 - 1),
        ]
    )
    assert bench.step(*rows) == 3
    mid = bench.pool.observe(bench.moment()).mid
    gained = bench.usd(provider) - 1_000_000 * UNIT + mid * (bench.eth(provider) - 1_000 * UNIT)
    share = 0.4 / 1.4
    assert gained == pytest.approx(3 * share * UNIT, rel=0.2)
    assert bench.reserves()[2] - supply <= 2


def test_a_named_bundle_stays_whole() -> None:
    bench = Bench(step_seconds=6.0)
    victim, searcher = bench.users[:2]
    bench.step(*bundle([buy(victim, 1_000), buy(victim, 1_000, least_eth=2)]))
    bench.step(*sandwich(bench, searcher))
    assert bench.usd(victim) == 1_000_000 * UNIT
    assert bench.usd(searcher) == 1_000_000 * UNIT


def test_a_bundle_that_names_others_is_good_for_one_block() -> None:
    bench = Bench(step_seconds=6.0, public_delay_seconds=20.0)
    victim, searcher = bench.users[:2]
    bench.step(buy(victim, 1_000))
    bench.step(*sandwich(bench, searcher))
    assert bench.view().pending["account"].tolist() == [victim]
    bench.step()
    bench.step()
    assert bench.pool.drain_fills()["taker"].tolist() == [victim]


def test_the_order_of_asking_changes_nothing() -> None:
    ends = []
    for turn in (1, -1):
        bench = Bench(users=8, gas_fee=1.0, gas_limit=5 * SWAP_GAS)
        bench.step(*[buy(user, 100 + user, tip=user % 3) for user in bench.users][::turn])
        ends.append(bench.market.ledger.balances.copy())
    assert np.array_equal(*ends)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 30), st.booleans(), st.booleans(), st.booleans()
        ),
        max_size=12,
    ),
    st.integers(1, 8),
)
@settings(deadline=None, max_examples=60)
def test_any_traffic_conserves_money_and_empties_the_queue(traffic: list, swaps: int) -> None:
    bench = Bench(step_seconds=6.0, gas_fee=3.0, gas_limit=swaps * SWAP_GAS)
    for who, tip, hidden, paired, names in traffic:
        user = bench.users[who]
        swap = buy(user, 500, tip=tip, least_eth=0.1 * tip)
        rows = [swap, sell(user, 0.1)] if paired else [swap]
        queue = bench.view()
        if names and len(queue.pending):
            rows.insert(1, include(0, user, int(queue.transaction[-1])))
        if hidden:
            rows = [privately(row) for row in rows]
        bench.step(*bundle(rows))
    for _ in range(60):
        bench.step()
    assert not len(bench.chain.mempool) or swaps == 1
    gas = bench.chain.drain_flows()["atoms"].sum()
    assert gas == bench.usd(bench.chain.builder) + bench.usd(bench.chain.burner)


def test_codes_of_a_failed_bundle() -> None:
    bench = Bench()
    user = bench.users[0]
    rows = stack(bundle([buy(user, 10), buy(user, 10, least_eth=9)]))
    codes = bench.market._run(rows, bench.moment(), bench.chain)
    assert codes.tolist() == [Code.BUNDLE_FAILED] * 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("gas_limit", -1), ("blocks", "daily"), ("elasticity", 0.5), ("base_fee_change", 1.0)],
)
def test_impossible_rules_are_refused(field: str, value: object) -> None:
    from markets.chain import Chain

    with pytest.raises(ConfigError, match=field):
        Chain.Params.read({field: value})
