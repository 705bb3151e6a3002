"""One suite for every pool venue: conservation, rejects, round trips, quotes, limits, bundles."""

import math

import numpy as np
import pytest

from experiments.benchmarks import amm
from markets.intents import (
    BUY,
    SELL,
    add_coins,
    add_liquidity,
    bundle,
    intent_of,
    remove_liquidity,
    swap_coins,
    swap_exact_in,
    swap_exact_out,
    until_tick,
)
from markets.outcomes import Code, Reason
from markets.venue import Moment
from tests.pool_bench import KINDS, Bench, Draw, draw_liquidity, draw_swap, same

every_pool = pytest.mark.parametrize("kind", KINDS)
share_pools = pytest.mark.parametrize("kind", [k for k in KINDS if "concentrated" not in k])
DONE, PARTLY = int(Code.DONE), int(Code.PARTLY_FILLED)


def swap_and_compare(bench: Bench, draw: Draw) -> None:
    """A swap moves exactly what was quoted, or nothing at all."""
    view = bench.view_of(draw.account)
    quoted = draw.quote(view)
    taken = draw.size_atoms
    if draw.exact_in and hasattr(view, "swap_atoms"):
        taken = view.swap_atoms(draw.way, draw.size_atoms)[0]
    before = bench.everything()
    held = [bench.held(draw.account, coin) for coin in draw.way]
    limit = 0 if draw.exact_in else 2**61
    code = bench.run(draw.intent(limit))[0]
    moved = [bench.held(draw.account, coin) - had for coin, had in zip(draw.way, held, strict=True)]
    if code < 0:
        assert same(before, bench.everything())
        assert quoted <= 0 or code == Code.INSUFFICIENT_BALANCE
        assert code in (Code.NO_LIQUIDITY, Code.INSUFFICIENT_BALANCE)
        return
    assert code == DONE if taken == draw.size_atoms else PARTLY
    assert moved == ([-taken, quoted] if draw.exact_in else [-quoted, draw.size_atoms])


@every_pool
@pytest.mark.parametrize("seed", range(3))
def test_random_play_conserves_and_equals_its_quotes(kind, seed):
    bench, rng = Bench(kind), np.random.default_rng(seed)
    for _ in range(120):
        if rng.random() < 0.3:
            bench.next_step()
        if rng.random() < 0.6:
            swap_and_compare(bench, draw_swap(bench, rng))
        else:
            before = bench.everything()
            if bench.run(draw_liquidity(bench, rng))[0] < 0:
                assert same(before, bench.everything())


@every_pool
def test_no_round_trip_pays(kind):
    bench, rng = Bench(kind), np.random.default_rng(7)
    for _ in range(150):
        draw = draw_swap(bench, rng)
        account, (paid, received) = draw.account, draw.way
        held = bench.held(account, paid), bench.held(account, received)
        if bench.run(swap_coins(0, account, paid, received, draw.size_atoms))[0] < 0:
            continue
        gained = bench.held(account, received) - held[1]
        bench.run(swap_coins(0, account, received, paid, gained))
        assert bench.held(account, paid) <= held[0]
        assert bench.held(account, received) >= held[1]


@share_pools
def test_what_enters_the_pool_and_leaves_it_has_not_grown(kind):
    bench, rng = Bench(kind), np.random.default_rng(3)
    column, account = bench.pool.share_column, bench.accounts[1]
    for _ in range(40):
        part = 10 ** rng.uniform(-6, -0.5)
        reserves = bench.view.reserves_atoms
        before = [bench.held(account, coin) for coin in range(len(reserves))]
        wanted = [int(atoms * part) for atoms in reserves]
        two = kind in ("constant_product", "protocol_fee", "volatility_fee", "managed")
        joined = add_liquidity(0, account, *wanted) if two else add_coins(0, account, wanted)
        assert bench.run(joined) == [DONE]
        shares = int(bench.balances[account, column])
        assert bench.run(remove_liquidity(0, account, shares)) == [DONE]
        after = [bench.held(account, coin) for coin in range(len(reserves))]
        assert all(now <= then for now, then in zip(after, before, strict=True))
        assert min(after[k] - before[k] + wanted[k] for k in range(len(reserves))) >= 0


@every_pool
def test_limits_hold_to_the_atom(kind):
    bench, rng = Bench(kind), np.random.default_rng(11)
    for _ in range(60):
        draw = draw_swap(bench, rng, 0.02)
        quoted = draw.quote(bench.view)
        if quoted <= 0:
            continue
        before = bench.everything()
        worse = quoted + 1 if draw.exact_in else quoted - 1
        assert bench.run(draw.intent(worse)) == [Code.BEYOND_LIMIT]
        assert same(before, bench.everything())
        assert bench.run(draw.intent(quoted)) == [DONE]


@every_pool
def test_what_cannot_be_is_rejected_and_moves_nothing(kind):
    bench = Bench(kind)
    rich, poor = bench.accounts[1], bench.accounts[4]
    reserve = bench.view.reserves_atoms[0]
    before = bench.everything()
    codes = bench.run(
        swap_exact_in(0, rich, SELL, 0),
        swap_exact_in(0, rich, SELL, -5),
        swap_exact_in(0, rich, SELL, 2**62),
        swap_coins(0, rich, 0, 0, 10),
        swap_coins(0, rich, 0, 8, 10),
        swap_coins(0, rich, -1, 0, 10),
        swap_exact_in(0, poor, SELL, reserve // 100),
        swap_exact_out(0, rich, BUY, reserve, 2**61),
        remove_liquidity(0, poor, 5),
        intent_of(99, 0, rich),
    )
    refused = {int(Code.INVALID), int(Code.INSUFFICIENT_BALANCE), int(Code.NO_LIQUIDITY)}
    assert set(codes) <= refused
    assert codes[6:8] == [Code.INSUFFICIENT_BALANCE, Code.NO_LIQUIDITY]
    assert same(before, bench.everything())


@every_pool
def test_a_bundle_that_fails_leaves_no_trace(kind):
    bench = Bench(kind)
    account, reserve = bench.accounts[1], bench.view.reserves_atoms[0]
    bench.pool.drain_fills()
    bench.pool.drain_flows()
    before, quote = bench.everything(), bench.view.output_atoms(SELL, reserve // 7)
    good = swap_exact_in(0, account, SELL, reserve // 50)
    bad = swap_exact_in(0, account, BUY, 10**6, 2**60)
    bench.on_chain(*bundle([good, good, bad]))
    assert same(before, bench.everything())
    assert bench.view.output_atoms(SELL, reserve // 7) == quote
    assert not len(bench.pool.drain_fills())
    assert not len(bench.pool.drain_flows())
    bench.step += 1
    bench.on_chain(*bundle([good, good]))
    assert len(bench.pool.drain_fills()) == 2
    assert not same(before, bench.everything())


@every_pool
@pytest.mark.parametrize("side", [BUY, SELL])
def test_input_until_ends_at_the_limit_price(kind, side):
    bench = Bench(kind)
    view = bench.view
    limit = view.ask * 1.003 if side == BUY else view.bid * 0.997
    wanted = view.input_until(side, limit)
    assert wanted > 0
    assert bench.run(swap_exact_in(0, bench.accounts[1], side, wanted)) == [DONE]
    after = bench.view
    assert (after.ask if side == BUY else after.bid) == pytest.approx(limit, rel=2e-4)
    assert after.input_until(side, limit) <= wanted * 0.08
    assert view.input_until(side, view.ask * 0.99 if side == BUY else view.bid * 1.01) == 0


@every_pool
def test_prices_are_those_of_small_swaps(kind):
    view = Bench(kind).view
    size = view.base_atoms // 10**6
    sold = view.output_atoms(SELL, size)
    scale = view.coins[0].scale / view.coins[1].scale
    assert sold / size * scale == pytest.approx(view.bid, rel=2e-5)
    bought = view.input_atoms(BUY, size)
    assert bought / size * scale == pytest.approx(view.ask, rel=2e-5)
    assert view.bid < view.mid < view.ask
    assert view.mid == pytest.approx(1.0 / view.curve_price(BUY), rel=1e-12)


@every_pool
def test_fills_and_flows_explain_what_moved(kind):
    bench = Bench(kind)
    account, reserve = bench.accounts[2], bench.view.reserves_atoms[1]
    bench.pool.drain_flows()
    held = [bench.held(account, coin) for coin in (0, 1)]
    bench.run(swap_exact_in(0, account, BUY, reserve // 1000))
    fill = bench.pool.drain_fills()[0]
    assert fill["base_atoms"] == bench.held(account, 0) - held[0]
    assert fill["quote_atoms"] == held[1] - bench.held(account, 1)
    assert (fill["taker"], fill["side"]) == (account, BUY)
    flows = bench.pool.drain_flows()
    fee = flows[flows["reason"] == 1][0]
    assert fee["atoms"] == fill["taker_fee_atoms"]
    assert fee["asset"] == bench.pool.coin_columns[0 if bench.pool.fee_on_output else 1]
    figures = bench.pool.measure(bench.moment)
    assert figures["trades"] == 1
    assert figures["volume"] == pytest.approx(fill["base_atoms"] / bench.pool.coins[0].scale)
    assert 0 < figures["ask_depth"] < figures["base_reserve"] * 1.0001


@every_pool
@pytest.mark.parametrize("side", [BUY, SELL])
def test_fee_and_value_flows_are_all_that_the_taker_gained(kind, side):
    bench = Bench(kind)
    account, paid = bench.accounts[2], 1 if side == BUY else 0
    bench.pool.drain_flows()
    held = [bench.held(account, coin) for coin in (0, 1)]
    bench.run(swap_exact_in(0, account, side, bench.view.reserves_atoms[paid] // 1000))
    moved = [bench.held(account, coin) - had for coin, had in zip((0, 1), held, strict=True)]
    flows = bench.pool.drain_flows()
    by_reason = {reason: flows[flows["reason"] == reason] for reason in Reason}
    won, lost = by_reason[Reason.ARBITRAGE], by_reason[Reason.SLIPPAGE]
    if "stable" in kind:
        assert len(won) == len(lost) == 0
        return
    worth = 2000.0 * bench.pool.coins[1].scale / bench.pool.coins[0].scale
    fees = by_reason[Reason.FEE]
    in_base = fees["asset"] == bench.pool.coin_columns[0]
    fee_atoms = np.where(in_base, worth, 1.0) @ fees["atoms"]
    gained = won["atoms"].sum() - lost["atoms"].sum() - fee_atoms
    assert gained == pytest.approx(moved[0] * worth + moved[1], abs=2.0)
    assert (won["receiver"] == account).all()
    assert (lost["payer"] == account).all()


@every_pool
def test_a_pool_without_trades_drains_nothing(kind):
    bench = Bench(kind)
    fills = bench.pool.drain_fills()
    assert len(fills) == 0
    assert all(np.size(scale) == 0 for scale in bench.pool.fill_scales(fills))
    figures = bench.pool.measure(bench.moment)
    assert figures["trades"] == figures["volume"] == 0


@share_pools
@pytest.mark.parametrize("reference", [{}, {"ETH": 2_000.0}, {"USDC": 1.01}])
def test_a_share_is_worth_its_part_where_prices_are_missing(kind, reference):
    bench = Bench(kind)
    value = bench.pool.asset_values(Moment(0, 0.0, 12.0, reference))[bench.pool.share.name]
    reserves = zip(bench.pool.coins, bench.view.reserves_atoms, strict=True)
    total = sum(coin.to_units(atoms) * reference.get(coin.name, 1.0) for coin, atoms in reserves)
    shares = bench.pool.share.to_units(bench.pool.shares_atoms())
    assert value * shares == pytest.approx(total)


@every_pool
def test_an_empty_pool_has_no_price_and_takes_no_swap(kind):
    empty = Bench(kind, funded=False)
    view = empty.view
    assert view.output_atoms(SELL, 1000) == 0
    assert view.input_atoms(BUY, 1000) == -1
    assert empty.run(swap_exact_in(0, empty.accounts[1], SELL, 1000))[0] < 0
    assert math.isnan(view.mid) or "concentrated" in kind
    empty.pool.measure(empty.moment)


@share_pools
def test_only_a_concentrated_pool_stops_at_a_tick(kind):
    bench = Bench(kind)
    swap = swap_exact_in(0, bench.accounts[1], SELL, 10**6)
    assert bench.run(until_tick(swap, -100)) == [Code.INVALID]


def test_the_benchmark_measures_every_kind():
    figures = amm.measure(0.001)
    assert len(figures) == 10
    assert all(figure.value > 0 for figure in figures)
