"""Liquidation rules: steps, paces, backstop, ADL prices, clawback; presets by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.scenario import find_scenario
from experiments.simulate import resolve
from markets.assets import Asset
from markets.derivatives.backstop import Backstop
from markets.derivatives.brackets import MarginTier
from markets.derivatives.liquidation_presets import PRESETS, Preset, Stage
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.derivatives.liquidation_work import MOST_PASSES
from markets.derivatives.perpetual import Perpetual
from markets.derivatives.ranking import drawn
from markets.errors import ConfigError
from markets.intents import BUY, SELL, cancel_all, deposit, limit_order, market_order
from markets.outcomes import Code, Reason
from tests.perpetual_bench import STEP_SECONDS, Bench, crowded
from tests.reference.liquidation import split_mix


def rule_of(preset="takeover", vault=None, **own):
    """A preset with the sizes that it asks for."""
    if preset in ("hyperliquid", "ftx") or vault:
        own = {"backstops": (vault or Backstop(capital=1e7),), **own}
    if preset == "ftx":
        own = {"volume_per_second": 1e6, **own}
    return LiquidationRule(preset=preset, **own)


def levered(base, margin, rule, fund=0.0, **params):
    """A long opened at 100 against a rich short, with nothing in the book."""
    bench = Bench(3, 1e6, insurance_fund_units=fund, liquidation=rule, **params)
    long, short, rich = bench.users
    bench.do(
        deposit(0, np.array([short, rich]), bench.atoms(5e5)), deposit(0, long, bench.atoms(margin))
    )
    bench.trade(long, short, base, 100)
    bench.venue.drain_fills()
    return bench, long, short, rich


def bid(bench, user, base, price):
    lots, ticks = bench.instrument.to_lots(base), bench.instrument.to_ticks(price)
    assert bench.do(limit_order(0, user, BUY, lots, ticks)) == [Code.RESTING]


def paid(bench, reason):
    flows = bench.venue.drain_flows()
    return bench.units(int(flows["atoms"][flows["reason"] == reason].sum()))


RISK_LIMITS = [
    MarginTier(maintenance_ppm=5_000),
    MarginTier(floor_units=5e4, maintenance_ppm=20_000),
]


def risk_limited(bought, rule, **params):
    """A long of 1,000 with 1,900 left at 96.4, where steps ask 2 % of 96,400 = 1,928."""
    bench, long, _, rich = levered(
        1_000, 5_500, rule, maintenance_tiers=RISK_LIMITS, tick=0.1, **params
    )
    bid(bench, rich, bought, 96)
    bench.mark(96.4)
    bench.liquidate()
    return bench, long


def test_bitmex_sells_down_to_the_risk_limit_below_and_stops_when_safe() -> None:
    bench, long = risk_limited(2_000, rule_of("bitmex"))
    assert bench.instrument.to_base(bench.lots(long)) == pytest.approx(5e4 / 96.4, abs=0.001)
    log = bench.venue.drain_liquidations()
    assert log.by.tolist() == ["orders"]
    assert log.price[0] == pytest.approx(96)
    assert log.account[0] == long
    assert log.equity[0] == pytest.approx(1_900)


def test_marginal_brackets_would_have_left_it_alone() -> None:
    """0.5 % of 50,000 and 2 % of 46,400 are 1,178."""
    bench, long = risk_limited(2_000, rule_of("bitmex"), tier_rule="marginal")
    assert bench.lots(long) == 10**6


def test_bitmex_takes_all_where_its_order_cannot_be_filled_whole() -> None:
    """Of 481 to sell the book takes 400: nothing is sold, the engine has it, and sells 400."""
    bench, long = risk_limited(400, rule_of("bitmex"))
    assert (bench.lots(long), bench.claim(long)) == (0, 0)
    assert bench.venue.drain_liquidations().by.tolist() == ["fund"]
    assert bench.venue.measure(bench.moment)["adl"] == 600
    assert bench.fund() == pytest.approx(400 * (96 - 94.5))


def test_bitmex_has_no_order_in_the_lowest_risk_limit() -> None:
    bench, long, _, rich = levered(400, 500, rule_of("bitmex"), maintenance_tiers=RISK_LIMITS)
    bid(bench, rich, 400, 99)
    bench.mark(99)  # equity 100 against 198
    bench.liquidate()
    assert bench.venue.drain_liquidations().by.tolist() == ["fund"]
    assert bench.fund() == 400 * 99 - (400 * 100 - 500)
    assert bench.lots(long) == 0


OKX_TIERS = [
    MarginTier(maintenance_ppm=10_000),
    MarginTier(floor_units=2e4, maintenance_ppm=15_000),
    MarginTier(floor_units=5e4, maintenance_ppm=30_000),
]


@pytest.mark.parametrize(
    ("size", "margin", "by"),
    [(1_000, 6_800, "orders"), (1_000, 4_900, "fund"), (400, 2_160, "fund")],
    ids=["third tier", "below what the lowest asks", "second tier"],
)
def test_okx_sells_large_positions_down_to_the_lowest_tier(size, margin, by) -> None:
    """At 96 the third tier asks 3 % of 96,000, the lowest 1 %, the second 1.5 % of 38,400."""
    params = {"maintenance_tiers": OKX_TIERS, "tick": 0.01, "initial_margin_ppm": 12_000}
    bench, long, _, rich = levered(size, margin, rule_of("okx"), fund=1e4, **params)
    bid(bench, rich, 5_000, 95.99)
    bench.mark(96)
    bench.liquidate()
    assert bench.venue.drain_liquidations().by.tolist() == [by]
    left = bench.instrument.to_base(bench.lots(long))
    assert left == pytest.approx(2e4 / 96 if by == "orders" else 0, abs=0.001)


def test_okx_orders_stay_near_the_market_and_wait_a_minute() -> None:
    """5 bp through the best bid and no farther; the next one a minute later."""
    params = {"maintenance_tiers": OKX_TIERS, "tick": 0.01, "initial_margin_ppm": 12_000}
    rule = rule_of("okx", cooldown_seconds=1.5 * STEP_SECONDS)
    bench, long, _, rich = levered(1_000, 6_000, rule, **params)
    for size, price in ((100, 96), (100, 95.96), (5_000, 95.95)):
        bid(bench, rich, size, price)
    sizes = []
    for _ in range(3):
        bench.mark(96)
        bench.liquidate()
        sizes.append(bench.instrument.to_base(bench.lots(long)))
    assert sizes[:2] == [800, 800]
    assert sizes[2] == pytest.approx(2e4 / 96, abs=0.001)


def test_orders_never_leave_a_debt() -> None:
    bench, long, _, rich = levered(1_000, 5_000, rule_of("binance", fee_ppm=0), tick=0.1)
    bid(bench, rich, 400, 95.2)
    bid(bench, rich, 400, 94.8)  # bankrupt at 95, and after 400 at 95.2 at 94.87
    bench.mark(95.2)
    bench.liquidate()
    fills = bench.venue.drain_fills()
    own = fills[(fills["reason"] == Reason.LIQUIDATION) & (fills["taker"] == long)]
    assert own["price_ticks"].tolist() == [952]
    assert bench.claim(long) >= 0
    assert bench.lots(long) == 0
    assert bench.venue.measure(bench.moment)["adl"] == 600


def test_the_fee_of_orders_goes_to_the_fund_and_is_bounded_by_what_is_left() -> None:
    bench, long, _, rich = levered(1_000, 5_000, rule_of("binance", fee_ppm=10_000))
    bid(bench, rich, 1_000, 98)
    bench.mark(95.4)
    bench.liquidate()
    assert bench.fund() == pytest.approx(980)
    assert bench.units(bench.claim(long)) == pytest.approx(5_000 - 2_000 - 980)
    assert bench.venue.drain_liquidations().fee.tolist() == [980]


def test_hyperliquid_closes_a_fifth_then_waits_then_all() -> None:
    rule = rule_of("hyperliquid", cooldown_seconds=1.5 * STEP_SECONDS)
    tiers = [MarginTier(maintenance_ppm=100_000)]
    bench, long, _, rich = levered(
        2_000, 3e4, rule, maintenance_tiers=tiers, initial_margin_ppm=150_000, tick=0.1
    )
    sizes = []
    for mark in (94, 92.4, 92.4, 92.4):  # equity 18,000 against 18,800; 14,640 against 14,784
        bench.mark(mark)
        bench.do(cancel_all(0, rich))
        bid(bench, rich, 3_000, 92)
        bench.liquidate()
        sizes.append(bench.instrument.to_base(bench.lots(long)))
    assert sizes == [1_600, 1_600, 0, 0]


def test_a_small_position_is_closed_whole_at_once() -> None:
    tiers = [MarginTier(maintenance_ppm=100_000)]
    bench, long, _, rich = levered(
        500, 7_500, rule_of("hyperliquid"), maintenance_tiers=tiers, initial_margin_ppm=150_000
    )
    bid(bench, rich, 3_000, 94)
    bench.mark(94)
    bench.liquidate()
    assert bench.lots(long) == 0
    assert bench.units(bench.claim(long)) == 7_500 - 6 * 500


def test_the_backstop_takes_position_and_margin_and_returns_nothing() -> None:
    rule = rule_of("hyperliquid", backstop_unwind_ppm=500_000)
    tiers = [MarginTier(maintenance_ppm=20_000)]
    bench, long, _, rich = levered(
        500, 1_500, rule, maintenance_tiers=tiers, initial_margin_ppm=25_000
    )
    backstop = bench.venue.accounts[3]
    assert bench.units(bench.claim(backstop)) == 1e7
    bench.mark(98)  # equity 500, maintenance 980
    bench.liquidate()
    assert (bench.lots(long), bench.claim(long)) == (0, 0)
    assert bench.instrument.to_base(bench.lots(backstop)) == 500
    assert bench.venue.equity(np.array([backstop]))[0] == 1e7 + 500
    assert paid(bench, Reason.LIQUIDATION) == 500
    assert dict(bench.venue.drain_events()) == {"backstop": 500.0}
    assert bench.venue.drain_liquidations().bankruptcy_price[0] == 97
    bid(bench, rich, 1_000, 98)
    bench.mark(98)
    bench.liquidate()
    assert bench.instrument.to_base(bench.lots(backstop)) == 250
    bench.market.check()


@pytest.mark.parametrize(
    ("vault", "taken"),
    [(Backstop(capital=1e6, most=40_000.0), 40_000 / 97), (Backstop(capital=100.0), 100 / 1.94)],
    ids=["position limit", "capital for 2 %"],
)
def test_what_the_backstop_may_not_take_goes_on(vault, taken) -> None:
    """Too large for the cap, or for its capital: winners are deleveraged."""
    rule = rule_of("hyperliquid", vault=vault)
    tiers = [MarginTier(maintenance_ppm=20_000)]
    bench, long, *_ = levered(500, 1_500, rule, maintenance_tiers=tiers, initial_margin_ppm=25_000)
    bench.mark(97)
    bench.liquidate()
    assert bench.lots(long) == 0
    backstop = bench.venue.accounts[3]
    got = bench.instrument.to_base(bench.lots(backstop))
    assert taken - 0.002 < got <= taken
    assert bench.venue.equity(np.array([backstop]))[0] == vault.capital
    assert bench.fund() == bench.claim(long) == 0
    assert bench.venue.measure(bench.moment)["adl"] == pytest.approx(500 - got)


def test_hyperliquid_deleverages_what_is_worth_less_than_nothing() -> None:
    bench, long, *_ = levered(
        500,
        1_500,
        rule_of("hyperliquid"),
        maintenance_tiers=[MarginTier(maintenance_ppm=20_000)],
        initial_margin_ppm=25_000,
    )
    bench.mark(96)
    bench.liquidate()
    assert bench.lots(long) == bench.lots(bench.venue.accounts[3]) == 0
    assert bench.venue.measure(bench.moment)["adl"] == 500


def test_a_backstop_that_has_lost_its_limit_takes_no_more() -> None:
    """The takeover of a position that falls further costs it 5,000 of a limit of 2,000."""
    rule = rule_of("hyperliquid", vault=Backstop(capital=1e5, loss=2_000.0))
    tiers = [MarginTier(maintenance_ppm=20_000)]
    bench, long, _, rich = levered(
        500, 1_500, rule, maintenance_tiers=tiers, initial_margin_ppm=25_000
    )
    bench.mark(98)
    bench.liquidate()
    backstop = bench.venue.accounts[3]
    assert bench.lots(backstop) > 0
    bench.mark(87)
    bench.do(deposit(0, long, bench.atoms(1_200)))
    bench.trade(long, rich, 500, 87)
    bench.mark(85)
    bench.liquidate()
    assert bench.lots(long) == 0
    assert bench.instrument.to_base(bench.lots(backstop)) == 500
    assert bench.venue.measure(bench.moment)["adl"] == 500


def test_dydx_closes_a_tenth_no_worse_than_the_fillable_price() -> None:
    tiers = [MarginTier(maintenance_ppm=50_000)]
    bench, long, _, rich = levered(
        1_000, 6_000, rule_of("dydx"), maintenance_tiers=tiers, initial_margin_ppm=60_000, tick=0.01
    )
    worst = 97 * (1 - (1 - 3_000 / 4_850) * 1.5 * 0.05)
    assert 94 < worst < 95
    bench.mark(97)  # equity 3,000 against 4,850
    bid(bench, rich, 30, np.ceil(worst * 100) / 100)
    bid(bench, rich, 2_000, np.floor(worst * 100) / 100)
    bench.liquidate()
    assert bench.instrument.to_base(bench.lots(long)) == 970
    price = np.ceil(worst * 100) / 100
    assert 0.015 * price > price - 94  # the fee is what the fill was better than bankruptcy
    assert bench.fund() == pytest.approx(30 * (price - 94))
    bench.do(cancel_all(0, rich))
    bid(bench, rich, 2_000, 97)
    bench.mark(97)
    bench.liquidate()
    assert bench.instrument.to_base(bench.lots(long)) == pytest.approx(970 - 97)


def test_all_accounts_share_the_volume_limit() -> None:
    rule = rule_of("ftx", volume_per_second=100.0, least=0.0, portion_ppm=1_000_000)
    tiers = [MarginTier(maintenance_ppm=100_000)]
    bench = Bench(4, 1e6, liquidation=rule, maintenance_tiers=tiers, initial_margin_ppm=120_000)
    one, two, short, rich = bench.users
    bench.do(deposit(0, np.array([short, rich]), bench.atoms(5e5)))
    for user in (one, two):
        bench.do(deposit(0, user, bench.atoms(6_000)))
        bench.trade(user, short, 500, 100)
    bid(bench, rich, 5_000, 97)
    bench.mark(97)  # 4,500 against 4,850
    bench.liquidate()
    left = [bench.instrument.to_base(bench.lots(user)) for user in (one, two)]
    assert left == [pytest.approx(500 - 6_000 / 97, abs=0.002), 500]


def test_winners_deleveraged_at_the_mark_forgo_only_what_the_fund_lacks() -> None:
    """Of 50 under water the fund has 20: at the mark as far as that goes."""
    for fund, forgone in ((60.0, 0.0), (20.0, 30.0), (0.0, 50.0)):
        rule = rule_of(stages=("adl",), adl_price="mark")
        bench, *_ = crowded(fund=fund, liquidation=rule)
        bench.mark(90)
        bench.liquidate()
        assert paid(bench, Reason.ADL) == forgone
        assert bench.fund() == max(fund - 50, 0)
        assert bench.venue.measure(bench.moment)["adl"] == 10


def test_pro_rata_takes_the_same_part_of_everybody() -> None:
    bench, *winners, rich = crowded(liquidation=rule_of(ranking="pro_rata"))
    long, sharp, calm = winners
    bench.trade(rich, sharp, 0.5, 100)
    held = np.array([bench.lots(user) for user in (sharp, calm, rich)])
    bench.mark(90)
    bench.liquidate()
    left = np.array([bench.lots(user) for user in (sharp, calm, rich)])
    assert bench.lots(long) == 0
    assert (left - held).sum() == 10_000
    np.testing.assert_allclose(left - held, -held, atol=1)
    assert paid(bench, Reason.ADL) == 50


def test_pro_rata_closes_a_part_of_each_winner() -> None:
    rule = rule_of(ranking="pro_rata")
    bench = Bench(5, 1e5, liquidation=rule)
    long, one, two, other, rich = bench.users
    bench.do(deposit(0, np.array(bench.users[1:]), bench.atoms(5e4)))
    bench.open_at(long, BUY, 10, 100, 95)
    for user, size in ((one, 7), (two, 21)):
        bench.trade(other, user, size, 100)
    bench.mark(90)
    bench.liquidate()
    closed = [bench.lots(user) + size for user, size in ((one, 7_000), (two, 21_000))]
    closed.append(bench.lots(rich) + 10_000)
    assert sum(closed) == 10_000
    np.testing.assert_allclose(closed, np.array([7, 21, 10]) / 38 * 10_000, atol=1.01)


def test_the_order_of_stages_is_a_parameter() -> None:
    """The fund could pay for all: it is spared only where deleveraging comes first."""
    for stages, adl in ((("fund", "adl"), 0.0), (("adl", "fund"), 10.0)):
        bench, _, _, _, rich = crowded(fund=1e4, liquidation=rule_of(stages=stages))
        bid(bench, rich, 50, 93)
        bench.mark(90)
        bench.liquidate()
        assert bench.venue.measure(bench.moment)["adl"] == adl


def test_splitmix_gives_its_published_numbers() -> None:
    """The first two of the seed 1234567 (the second seed is one golden step on), and of 0."""
    golden = 0x9E3779B97F4A7C15
    assert drawn(1234567) == split_mix(1234567) == 6457827717110365317
    assert drawn(1234567 + golden) == split_mix(1234567 + golden) == 3203168211198807973
    assert drawn(0) == 0xE220A8397B1DCDAF


def test_dydx_deleverages_round_from_an_account_that_the_step_draws() -> None:
    """Four equal shorts, one long that nobody buys: over steps each short is taken first."""
    first = set()
    for step in range(12):
        bench = Bench(5, 1e5, liquidation=rule_of(stages=("fund", "adl"), ranking="drawn"))
        long, *shorts = bench.users
        bench.do(deposit(0, np.array(shorts), bench.atoms(1e3)))
        bench.do(deposit(0, long, bench.atoms(40)))
        for short in shorts:
            bench.trade(long, short, 2, 100)
        for _ in range(step):
            bench.mark(100)
        bench.mark(94)
        bench.liquidate()
        fills = bench.venue.drain_fills()
        closed = fills["maker"][fills["reason"] == Reason.ADL].tolist()
        start = drawn(bench.moment.step) % 4
        assert closed == shorts[start:] + shorts[:start]
        first.add(closed[0])
    assert first == set(shorts)


def test_okx_2018_winners_of_the_period_give_back_what_the_fund_owes() -> None:
    rule = rule_of("okx_2018", clawback_seconds=5 * STEP_SECONDS)
    bench, long, sharp, calm, rich = crowded(fund=8.0, liquidation=rule)
    bid(bench, rich, 50, 93)
    bench.mark(90)
    bench.liquidate()
    assert (bench.lots(long), bench.lots(bench.venue._terms.fund)) == (0, 0)
    assert bench.fund() == 8 - 20  # 10 sold at 93 that were worth nothing at 95
    users = np.array([sharp, calm, rich])
    start = np.array([4 * 20, 4 * 100, 5e4])
    for _ in range(3):
        bench.mark(90)
    profits = bench.venue.equity(users) - start
    bench.mark(90)
    rate = 12 / np.maximum(profits, 0).sum()
    net = bench.venue.equity(users) - start
    assert bench.fund() == 0
    np.testing.assert_allclose(net, np.where(profits > 0, profits * (1 - rate), profits), atol=2e-6)
    events = dict(bench.venue.drain_events())
    assert events["clawback"] == 12
    assert events["clawback_rate"] == pytest.approx(rate)
    bench.market.check()
    log = bench.venue.drain_liquidations()
    winners = profits > 0
    assert log.account.tolist() == [long, *users[winners]]
    assert log.by.tolist() == ["fund", *["clawback"] * int(winners.sum())]
    np.testing.assert_allclose(log.fee[1:], (profits - net)[winners], atol=2e-6)
    np.testing.assert_allclose(log.equity[1:], (start + profits)[winners], atol=2e-6)
    np.testing.assert_array_equal(log.socialised, [12, *-log.fee[1:]])
    np.testing.assert_array_equal(log.fund[1:], 0.0)
    assert (log.fund[0], log.size[1:].sum(), log.lots[1:].any()) == (-8, 0, False)
    for _ in range(5):
        bench.mark(90)
    np.testing.assert_allclose(bench.venue.equity(users) - start, net)


def test_profits_are_paid_out_once_the_period_has_realised_them() -> None:
    rule = rule_of("okx_2018", clawback_seconds=2 * STEP_SECONDS)
    bench, _, sharp, *_ = crowded(liquidation=rule)
    bench.mark(97)
    positions, terms = bench.venue._positions, bench.venue._terms
    wallet = bench.claim(sharp) + positions.entry_atoms[sharp]
    assert bench.units(int(wallet)) == 80
    bench.mark(97)
    wallet = bench.claim(sharp) + positions.entry_atoms[sharp]
    assert bench.units(int(wallet)) == 80 + 4 * 3
    assert positions.entry_atoms[sharp] == bench.lots(sharp) * 97 * terms.notional_atoms


def test_a_winner_passed_over_often_is_left_out_for_the_step() -> None:
    """Shorts whom a close at 130 would ruin do not cost every further takeover a look."""
    losers = MOST_PASSES + 4
    bench = Bench(losers + 2, 1e6)
    *longs, short, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(5e5)))
    bench.mark(140)
    for user in longs:
        bench.open_at(user, BUY, 1, 140, 130)
    bench.mark(100)
    bench.do(deposit(0, short, bench.atoms(20.0 * losers)))
    bench.trade(rich, short, losers, 100)
    bench.liquidate()
    fund = bench.venue._terms.fund
    assert bench.instrument.to_base(bench.lots(fund)) == losers
    bench.market.check()


def taken_at_their_worth(bench, before, held):
    """Who has traded with nobody in between is taken over with the equity of what is taken."""
    log, fills = bench.venue.drain_liquidations(), bench.venue.drain_fills()
    traded = {*fills["maker"].tolist(), *fills["taker"].tolist()}
    if log is None:
        return
    taken = np.isin(log.by, ("fund", "backstop"))
    for account in set(log.account[taken].tolist()) - traded:
        rows = taken & (log.account == account)
        part = log.lots[rows].sum() / held[account] if held[account] else 1.0
        assert log.equity[rows].sum() == pytest.approx(before[account] * part, abs=6e-6)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    preset=st.sampled_from(list(Preset)),
    kind=st.sampled_from(("linear", "inverse", "quanto")),
    own=st.sampled_from(
        (
            {},
            {"ranking": "pro_rata"},
            {"adl_price": "mark"},
            {"stages": ("orders", "backstop", "fund", "adl", "social")},
            {"stages": ("backstop", "adl"), "backstop_price": "two_thirds"},
            {"adl_trigger_ppm": 300_000, "adl_stop_ppm": 100_000},
            {"ranking": "largest", "takeover_gradual": True},
            {"step": "portion", "portion_ppm": 300_000, "stages": ("orders", "social", "adl")},
        )
    ),
)
def test_random_play_under_every_rule_keeps_the_books(seed, preset, kind, own) -> None:
    """Each step the venue proves its own books and explains the fund; here equities are added."""
    rng = np.random.default_rng(seed)
    small = {"portion_above": 5.0, "least": 1.0, "most": 20.0}
    vaults = (Backstop(capital=10.0, loss=4.0), Backstop(capital=5.0, most=8.0, per_minute=3.0))
    rule = rule_of(
        preset,
        backstops=vaults,
        **{**small, "clawback_seconds": 300.0 * (preset == "okx_2018"), **own},
    )
    params = {"contract": kind, "lot": 0.01, "decimals": 6, "insurance_fund_units": 1.0}
    if kind == "quanto":
        params |= {"settlement": Asset("XBT", 6)}
    tiers = [MarginTier(maintenance_ppm=30_000), MarginTier(floor_units=20, maintenance_ppm=60_000)]
    params |= {"maintenance_tiers": tiers, "initial_margin_ppm": 60_000, "taker_fee_ppm": 500}
    bench = Bench(6, 100.0, liquidation=rule, **params)
    bench.do(deposit(0, np.array(bench.users), bench.atoms(20)))
    price, most = 100, (400 if kind != "inverse" else 1_000)
    terms = bench.venue._terms
    for _ in range(20):
        price = int(np.clip(price + rng.integers(-14, 15), 20, 400))
        bench.mark(price)
        for user in rng.permutation(bench.users).tolist():
            side, lots = int(rng.choice((BUY, SELL))), int(rng.integers(1, most))
            limit = max(1, price + int(rng.integers(-4, 5)))
            order = limit_order(0, user, side, lots, limit)
            bench.do(order if rng.random() < 0.7 else market_order(0, user, side, lots))
        rows = np.arange(len(bench.balances))
        before, held = bench.venue.equity(rows), bench.balances[:, terms.contract].copy()
        bench.venue.drain_fills()
        bench.liquidate()
        taken_at_their_worth(bench, before, held)
        balances = bench.balances
        rows = np.setdiff1d(np.arange(1, len(balances)), [terms.vault])
        total = round(bench.venue.equity(rows).sum() * 10**6)
        short = int(balances[terms.vault, terms.quote]) - total
        assert 0 <= short <= (len(rows) if kind == "inverse" else 0)
        users = np.array(bench.users)
        flat = users[balances[users, terms.contract] == 0]
        assert (balances[flat, terms.margin] >= 0).all()


@pytest.mark.parametrize("preset", list(Preset))
def test_presets_are_set_by_name(preset) -> None:
    path = "perpetual.liquidation."
    overrides = {path + "preset": preset.value, path + "cooldown_seconds": 7.0}
    overrides |= {path + "backstops": [{"capital": 5e5}], path + "volume_per_second": 1e4}
    params = resolve(find_scenario("flash_crash"), overrides)
    rule = params.perpetual.liquidation
    assert rule.value("cooldown_seconds") == 7.0
    for field, value in PRESETS[preset].items():
        assert field == "cooldown_seconds" or rule.value(field) == value


@pytest.mark.parametrize(
    ("preset", "given", "field"),
    [
        ("hyperliquid", {}, "backstops"),
        ("ftx", {"volume_per_second": 1e4}, "backstops"),
        ("ftx", {"backstops": [{"capital": 1e6}]}, "volume_per_second"),
        ("bybit", {"adl_stop_ppm": 400_000}, "adl_stop_ppm"),
    ],
)
def test_sizes_that_belong_to_the_market_must_be_set(preset, given, field) -> None:
    with pytest.raises(ConfigError, match=field):
        Perpetual.Params.read({"liquidation": {"preset": preset, **given}})


def test_wrong_rules_are_named() -> None:
    for wrong in (("orders",), ("fund", "fund"), ()):
        with pytest.raises(ConfigError, match="stages"):
            Perpetual.Params.read({"liquidation": {"stages": wrong}})
    assert rule_of("bitmex").has(Stage.ORDERS)


def cascade(depth, rule):
    """Longs of falling leverage, a mark that follows the book, and one sale of a fixed size."""
    bench = Bench(
        32,
        1e6,
        liquidation=rule,
        basis_bandwidth=0.5,
        basis_ema_seconds=1.0,
        initial_margin_ppm=20_000,
        tick=0.1,
    )
    *longs, maker, seller = bench.users
    bench.do(deposit(0, np.array([maker, seller]), bench.atoms(9e5)))
    for number, user in enumerate(longs):
        bench.do(deposit(0, user, bench.atoms(21 + 4 * number)))
        bench.trade(user, seller, 10, 100)
    bench.do(*[limit_order(0, maker, BUY, int(1_000 * depth), 999 - tick) for tick in range(400)])
    bench.do(limit_order(0, maker, SELL, 1, 1_010))
    bench.mark(100)
    bench.do(market_order(0, seller, SELL, 100_000))
    liquidated = 0
    for _ in range(30):
        bench.mark(100)
        bench.liquidate()
        liquidated += bench.venue.measure(bench.moment)["liquidated"]
    return liquidated


@pytest.mark.parametrize("preset", ["takeover", "binance", "bitmex"])
def test_thinner_books_liquidate_more(preset) -> None:
    deep, middle, thin = (cascade(depth, rule_of(preset)) for depth in (40.0, 8.0, 2.0))
    assert deep <= middle <= thin
    assert thin > deep
