"""Liquidation as single venues have it: funds that fall, providers of FTX, dYdX's fund, depth."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.derivatives.backstop import (
    LEFT_HOUR,
    LEFT_MINUTE,
    Backstop,
    backstop_rows,
    turn_clocks,
)
from markets.derivatives.brackets import MarginTier
from markets.derivatives.drawdown import Drawdown
from markets.derivatives.liquidation_presets import Preset
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.intents import BUY, SELL, cancel_all, deposit, limit_order, market_order, withdraw
from markets.outcomes import Code, Reason
from tests.perpetual_bench import STEP_SECONDS, Bench

VECTORS = Path(__file__).parent / "vectors"
TRIGGER = next(
    case
    for case in json.loads((VECTORS / "perp_adl.json").read_text())["cases"]
    if case["kind"] == "adl_trigger_drawdown"
)
ALLOCATION = next(
    case
    for case in json.loads((VECTORS / "perp_adl.json").read_text())["cases"]
    if case["kind"] == "backstop_allocation"
)


def atoms_of(bench, reason):
    flows = bench.venue.drain_flows()
    return bench.units(int(flows["atoms"][flows["reason"] == reason].sum()))


def bid(bench, user, base, price):
    lots, ticks = bench.instrument.to_lots(base), bench.instrument.to_ticks(price)
    assert bench.do(limit_order(0, user, BUY, lots, ticks)) == [Code.RESTING]


def fallen(preset, mark, bought, **own):
    """A pool of 1,000,000 takes a long of 10,000 that was bankrupt at 95."""
    pool = TRIGGER["inputs"]["pool_max_8h"]
    rule = LiquidationRule(preset=preset, **own)
    bench = Bench(4, 1e7, insurance_fund_units=pool, liquidation=rule)
    long, second, short, rich = bench.users
    bench.do(deposit(0, np.array([short, rich]), bench.atoms(5e6)))
    for user in (long, second):
        bench.do(deposit(0, user, bench.atoms(50_000)))
    bench.trade(long, short, 10_000, 100)
    if bought:
        bid(bench, rich, bought, mark)
    bench.venue.drain_flows()
    bench.mark(mark)
    bench.liquidate()
    return bench


def test_bybit_passes_on_what_takes_the_pool_below_seventy_percent() -> None:
    """The loss of 350,000 is -35 %: the pool pays 300,000 in the book, counterparties 50,000."""
    loss = -TRIGGER["inputs"]["pnl_now"]
    bench = fallen("bybit", 95 - loss / 10_000, 20_000)
    passed_on = TRIGGER["expected"]["loss_passed_to_counterparties"]
    assert atoms_of(bench, Reason.ADL) == pytest.approx(passed_on, abs=0.035)
    assert bench.fund() == pytest.approx(700_000, abs=0.035)
    assert bench.fund() >= 700_000


def test_bybit_deleverages_until_the_pool_has_recovered_to_three_quarters() -> None:
    """Without a book 35 % are open losses; winners take over until 25 % are left."""
    bench = fallen("bybit", 60, 0)
    assert atoms_of(bench, Reason.ADL) == pytest.approx(100_000, abs=0.04)
    fund = bench.venue.accounts[1:2]
    assert bench.venue.equity(fund)[0] == pytest.approx(750_000, abs=0.04)
    left = bench.instrument.to_base(bench.lots(int(fund[0])))
    assert left == pytest.approx(250_000 / 35, abs=0.002)


def test_bybit_keeps_what_the_maintenance_at_entry_needs_from_being_withdrawn() -> None:
    """10 from 100 to 40: maintenance is 5 % of 1,000; what an opening needs at 40 would be 24."""
    tiers = [MarginTier(maintenance_ppm=50_000)]
    bench = Bench(
        2, 1e5, liquidation={"preset": "bybit"}, maintenance_tiers=tiers, initial_margin_ppm=60_000
    )
    user, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(1e4)), deposit(0, user, bench.atoms(1_000)))
    bench.trade(user, rich, 10, 100)
    bench.mark(40)
    equity, needed = 1_000 - 600, 0.06 * 1_000
    most = bench.atoms(equity - needed)
    assert bench.do(withdraw(0, user, most + 1)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(withdraw(0, user, most)) == [Code.DONE]
    assert bench.do(limit_order(0, user, BUY, 1, 40)) == [Code.INSUFFICIENT_MARGIN]
    bench.do(deposit(0, user, bench.atoms(0.06 * 0.04)))
    assert bench.do(limit_order(0, user, BUY, 1, 40)) == [Code.RESTING]
    bench.liquidate()
    assert bench.lots(user) == 10_000


def test_bybit_keeps_the_lots_while_the_pool_has_not_fallen_far() -> None:
    bench = fallen("bybit", 75, 0)
    assert bench.venue.measure(bench.moment)["adl"] == 0
    assert bench.instrument.to_base(bench.lots(bench.venue._terms.fund)) == 10_000
    bid(bench, bench.users[-1], 10_000, 80)
    bench.mark(80)
    bench.liquidate()
    assert bench.lots(bench.venue._terms.fund) == 0
    assert bench.fund() == 1e6 - 15 * 10_000


def test_adl_once_on_offers_nothing_to_the_book_until_the_peak_is_forgotten() -> None:
    bench = fallen("bybit", 60, 20_000, adl_window_seconds=3 * STEP_SECONDS)
    assert bench.venue._liquidator._drawdown.on
    second, short, rich = bench.users[1:]
    bench.do(cancel_all(0, rich))
    bench.trade(second, short, 1_000, 60)
    bid(bench, rich, 5_000, 9)
    bench.mark(9)
    bench.liquidate()
    assert bench.venue.measure(bench.moment)["adl"] == 1_000
    assert bench.venue.measure(bench.moment)["volume"] == 0
    for _ in range(4):
        bench.mark(9)
        bench.liquidate()
    assert not bench.venue._liquidator._drawdown.on


def test_okx_closes_at_the_mark_and_its_fund_pays() -> None:
    bench = fallen("okx", 60, 0)
    assert atoms_of(bench, Reason.ADL) == 0
    assert bench.venue.measure(bench.moment)["adl"] == 10_000
    assert bench.fund() == 650_000


@given(
    values=st.lists(st.integers(-50, 1_000), min_size=1, max_size=40),
    window=st.integers(0, 12),
)
def test_the_peak_is_that_of_the_window(values, window) -> None:
    drawdown = Drawdown(300_000, 250_000, 0, float(window))
    on = False
    for second, value in enumerate(values):
        drawdown.sample(float(second), value)
        peak = max(values[max(0, second - window) : second + 1])
        assert drawdown.peak_atoms == peak
        fallen_far = value <= 0 or (peak > 0 and 10 * (peak - value) > 3 * peak)
        recovered = value > 0 and (peak <= 0 or 4 * (peak - value) < peak)
        on = fallen_far or (on and not recovered)
        assert drawdown.on == on


def provided(providers, shorts, margin, mark, **own):
    """A long of 50 at 100 against shorts of some sizes under FTX's rule; nothing in the book."""
    sizes = {"volume_per_second": 1e6, "least": 0.0, **own}
    rule = LiquidationRule(preset="ftx", backstops=providers, **sizes)
    bench = Bench(
        len(shorts) + 2,
        1e6,
        tick=0.0001,
        decimals=8,
        liquidation=rule,
        maintenance_tiers=[MarginTier(maintenance_ppm=100_000)],
        initial_margin_ppm=100_000,
    )
    long, *sellers, rich = bench.users
    bench.do(deposit(0, long, bench.atoms(margin)), deposit(0, rich, bench.atoms(5e5)))
    bench.do(deposit(0, np.array(sellers, np.int64), bench.atoms(5e4)))
    bench.trade(long, rich, 50, 100)
    for seller, size in zip(sellers, shorts, strict=True):
        bench.trade(rich, seller, size, 100)
    bench.mark(mark)
    bench.liquidate()
    held = [bench.instrument.to_base(bench.lots(int(row))) for row in bench.venue._backstops]
    return bench, held


def test_ftx_providers_share_pro_rata_to_capacity_and_the_largest_take_the_rest() -> None:
    """The published allocation; the rest here goes to all of three, who are fewer than ten."""
    mark, inputs = 94.0, ALLOCATION["inputs"]
    providers = tuple(
        Backstop(
            capital=1e5,
            per_minute=given["left_minute"] * mark + 0.01,
            per_hour=given["left_hour"] * mark + 0.01,
        )
        for given in inputs["providers"]
    )
    shorts = [position["size"] for position in inputs["opposing"]]
    bench, held = provided(providers, shorts, 500, mark, takeover_gradual=False)
    assert held == list(ALLOCATION["expected"]["providers"].values())
    opposing = [*shorts, 50 - sum(shorts)]
    users = [*bench.users[1:-1], bench.users[-1]]
    taken = [bench.instrument.to_base(bench.lots(user)) for user in users]
    sharing = [size for size in opposing if size > 0]
    for user_left, size in zip(taken, opposing, strict=True):
        part = 35 * size / sum(sharing) if size > 0 else 0
        assert user_left == pytest.approx(-size + part, abs=0.002)


def test_ftx_closes_at_two_thirds_of_the_zero_price_and_a_third_of_the_mark() -> None:
    """The fund has a third of the equity, a provider two thirds."""
    bench, held = provided((Backstop(capital=1e5),), [], 500, 94.0, takeover_gradual=False)
    equity = 500 - 50 * 6
    assert held == [50]
    assert bench.fund() == pytest.approx(equity / 3, abs=1e-3)
    got = bench.venue.equity(bench.venue._backstops)[0] - 1e5
    assert got == pytest.approx(equity * 2 / 3, abs=1e-3)
    zero_price = 94 - equity / 50
    assert got == pytest.approx(50 * (94 - (2 * zero_price + 94) / 3), abs=1e-3)


def test_ftx_hands_over_a_part_a_second() -> None:
    """1 - MF/ACMF of it each second leaves (MF/ACMF)**60 after a minute."""
    bench, held = provided((Backstop(capital=1e5),), [], 750, 89.4266)
    fraction = (750 - 50 * (100 - 89.4266)) / (50 * 89.4266) / 0.05
    assert 0.98 < fraction < 1
    assert held[0] == pytest.approx(50 * (1 - fraction**60), abs=0.001)
    long = bench.users[0]
    assert bench.instrument.to_base(bench.lots(long)) == pytest.approx(50 - held[0])
    equity = bench.venue.equity(np.array([long]))[0]
    left = bench.instrument.to_base(bench.lots(long))
    assert equity / (left * 89.4266) == pytest.approx(fraction * 0.05, rel=1e-5)


def test_ftx_deleverages_the_ten_largest_in_proportion() -> None:
    shorts = [4.0 + 0.25 * number for number in range(12)]
    tiny = (Backstop(capital=1e3, per_minute=1e-6, per_hour=1e-6),)
    bench, held = provided(tiny, shorts, 500, 94.0, takeover_gradual=False)
    assert held == [0]
    assert bench.lots(bench.users[0]) == 0
    left = [-bench.instrument.to_base(bench.lots(user)) for user in bench.users[1:-1]]
    assert left[:2] == shorts[:2]
    expected = [size * (1 - 50 / sum(shorts[2:])) for size in shorts[2:]]
    np.testing.assert_allclose(left[2:], expected, atol=0.0011)
    assert bench.fund() == pytest.approx((500 - 50 * 6) / 3, abs=1e-3)


def test_a_minute_and_an_hour_of_a_long_step_have_a_limit_each() -> None:
    """Of steps of a day: 1,440 minutes and 24 hours, or as much as can be counted."""
    most = 2**62
    vaults = (Backstop(capital=1.0, per_minute=2.0, per_hour=3.0), Backstop(capital=1.0))
    for scale, limits in ((10**6, [2_880 * 10**6, 72 * 10**6]), (10**18, [most, most])):
        rows = backstop_rows(vaults, np.array([7, 8]), scale)
        turn_clocks(rows, 0.0, 86_400.0)
        assert rows[0, [LEFT_MINUTE, LEFT_HOUR]] == pytest.approx(limits, rel=1e-3)
        assert rows[1, [LEFT_MINUTE, LEFT_HOUR]].tolist() == [most, most]


def test_a_backstop_of_the_other_side_turns_no_further_than_its_limit() -> None:
    rule = LiquidationRule(
        stages=("backstop", "fund", "adl"),
        backstops=(Backstop(capital=1e5, most=100.0),),
        backstop_unwind_ppm=1,
    )
    tiers = [MarginTier(maintenance_ppm=5_000)]
    bench = Bench(8, 1e6, tick=0.1, liquidation=rule, maintenance_tiers=tiers)
    small, large, *_, rich = bench.users
    backstop = bench.venue.accounts[3]
    bench.do(deposit(0, rich, bench.atoms(5e5)))
    bench.open_at(small, SELL, 0.5, 100, 105)
    bench.open_at(large, BUY, 50, 100, 95.2)
    bench.mark(104.9)
    bench.liquidate()
    assert bench.lots(backstop) == -500
    bench.mark(95.3)
    bench.liquidate()
    assert 99.0 < bench.lots(backstop) * 0.001 * 95.3 <= 100.0


@pytest.mark.parametrize(("fund", "sold"), [(1e4, 100.0), (75.0, 25.0), (0.0, 0.0)])
def test_dydx_fund_pays_down_to_the_fillable_price(fund, sold) -> None:
    """Bankrupt at 96, fillable to 92.7: at 93 the fund pays 3 for each of a tenth of 1,000."""
    bench = Bench(
        3,
        1e6,
        tick=0.01,
        insurance_fund_units=fund,
        liquidation=LiquidationRule(preset="dydx"),
        maintenance_tiers=[MarginTier(maintenance_ppm=40_000)],
        initial_margin_ppm=40_000,
    )
    long, short, rich = bench.users
    bench.do(
        deposit(0, np.array([short, rich]), bench.atoms(5e5)), deposit(0, long, bench.atoms(4e3))
    )
    bench.trade(long, short, 1_000, 100)
    bid(bench, rich, 2_000, 93)
    bench.mark(97)
    bench.liquidate()
    left = bench.instrument.to_base(bench.lots(long))
    assert left == pytest.approx(1_000 - sold)
    assert bench.fund() == pytest.approx(fund - 3 * sold)
    assert bench.venue.equity(np.array([long]))[0] == pytest.approx(left)


def shaken(preset, depth=8.0, fund=0.0, capital=50.0, leverage=1.0):
    """Longs of falling leverage, a mark that follows the book, and one sale of a fixed size."""
    sizes = {"least": 1.0, "portion_above": 100.0, "volume_per_second": 50.0}
    rule = LiquidationRule(preset=preset, backstops=(Backstop(capital=capital),), **sizes)
    bench = Bench(
        32,
        1e6,
        liquidation=rule,
        insurance_fund_units=fund,
        basis_bandwidth=0.5,
        basis_ema_seconds=1.0,
        market_band_ppm=500_000,
        initial_margin_ppm=15_000,
        maintenance_tiers=[MarginTier(maintenance_ppm=10_000)],
        tick=0.1,
    )
    *longs, maker, seller = bench.users
    bench.do(deposit(0, np.array([maker, seller]), bench.atoms(9e5)))
    for number, user in enumerate(longs):
        bench.do(deposit(0, user, bench.atoms((25 + 4 * number) / leverage)))
        bench.trade(user, seller, 10, 100)
    bench.do(*[limit_order(0, maker, BUY, int(1_000 * depth), 999 - tick) for tick in range(400)])
    bench.do(limit_order(0, maker, SELL, 1, 1_010))
    bench.mark(100)
    bench.do(market_order(0, seller, SELL, 400_000))
    liquidated = adl = 0.0
    for _ in range(25):
        bench.mark(100)
        bench.liquidate()
        figures = bench.venue.measure(bench.moment)
        liquidated, adl = liquidated + figures["liquidated"], adl + figures["adl"]
    return liquidated, adl


@settings(max_examples=60, deadline=None)
@given(
    preset=st.sampled_from(list(Preset)),
    depth=st.floats(2.5, 30.0),
    ratio=st.floats(1.5, 10.0),
)
def test_thinner_books_liquidate_no_less(preset, depth, ratio) -> None:
    """By half at least: whole positions make steps, so that small differences are not ordered."""
    assert shaken(preset, depth)[0] >= shaken(preset, depth * ratio)[0]


@pytest.mark.parametrize("preset", list(Preset))
def test_the_thinnest_book_liquidates_most(preset) -> None:
    assert shaken(preset, 2.5)[0] > shaken(preset, 50.0)[0]


EXHAUSTION = [
    preset
    for preset in Preset
    if not LiquidationRule(
        preset=preset, backstops=(Backstop(capital=1.0),), volume_per_second=1.0
    ).value("adl_trigger_ppm")
]


@settings(max_examples=40, deadline=None)
@given(
    preset=st.sampled_from(EXHAUSTION),
    small=st.floats(0.0, 500.0),
    ratio=st.floats(3.0, 20.0),
)
def test_a_larger_fund_deleverages_no_more(preset, small, ratio) -> None:
    large = 30.0 + ratio * small
    assert shaken(preset, 4.0, fund=large)[1] <= shaken(preset, 4.0, fund=small)[1]


@settings(max_examples=30, deadline=None)
@given(
    preset=st.sampled_from((Preset.HYPERLIQUID, Preset.FTX)),
    capitals=st.lists(st.floats(1.0, 2_000.0), min_size=2, max_size=2),
)
def test_a_larger_backstop_deleverages_no_more(preset, capitals) -> None:
    small, large = sorted(capitals)
    assert shaken(preset, 4.0, capital=large)[1] <= shaken(preset, 4.0, capital=small)[1]


@settings(max_examples=40, deadline=None)
@given(
    preset=st.sampled_from(list(Preset)),
    low=st.floats(0.7, 1.0),
    ratio=st.floats(1.4, 1.6),
)
def test_higher_leverage_is_liquidated_no_less(preset, low, ratio) -> None:
    assert shaken(preset, leverage=low * ratio)[0] >= shaken(preset, leverage=low)[0]
