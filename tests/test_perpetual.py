"""Orders, margin, funding and the view of the perpetual venue."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.derivatives.perpetual import Perpetual
from markets.derivatives.perpetual_audit import FAULTS
from markets.errors import BrokenInvariant, ConfigError
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    IMMEDIATE_OR_CANCEL,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    cancel,
    cancel_all,
    deposit,
    limit_order,
    market_order,
    stack,
    withdraw,
)
from markets.market import Market
from markets.outcomes import Code, Reason
from markets.spot.order_book import OrderBook
from markets.venue import Moment
from tests.perpetual_bench import Bench, crowded


def test_price_then_time_decide_who_trades() -> None:
    bench = Bench(4)
    first, second, better, taker = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.do(*[limit_order(0, user, SELL, 100, 101) for user in (first, second)])
    bench.do(limit_order(0, better, SELL, 50, 100))
    assert bench.do(limit_order(0, taker, BUY, 180, 101)) == [Code.FILLED]
    fills = bench.venue.drain_fills()
    assert fills["maker"].tolist() == [better, first, second]
    assert fills["price_ticks"].tolist() == [100, 101, 101]
    assert fills["size_lots"].tolist() == [50, 100, 30]


def test_margin_needed_for_orders() -> None:
    """10 of equity at 1 % carry 1,000 of notional, resting orders included, either side alone."""
    bench = Bench(2, initial_margin_ppm=10_000)
    user = bench.users[0]
    bench.do(deposit(0, user, bench.atoms(10)))
    assert bench.do(limit_order(0, user, BUY, 10_001, 100)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(limit_order(0, user, BUY, 6_000, 100)) == [Code.RESTING]
    assert bench.do(limit_order(0, user, BUY, 4_001, 99)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(limit_order(0, user, SELL, 10_000, 101)) == [Code.RESTING]
    assert bench.do(limit_order(0, user, BUY, 4_000, 99)) == [Code.RESTING]


def test_an_order_worse_than_the_mark_must_carry_its_loss() -> None:
    bench = Bench(2, initial_margin_ppm=10_000)
    user, rich = bench.users
    bench.do(deposit(0, np.array([user, rich]), np.array([bench.atoms(10), bench.atoms(1e4)])))
    bench.do(limit_order(0, rich, SELL, 100_000, 104))
    assert bench.do(limit_order(0, user, BUY, 2_001, 104)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(limit_order(0, user, BUY, 2_000, 104)) == [Code.FILLED]


def test_market_orders_stop_at_the_band() -> None:
    bench = Bench(2, market_band_ppm=20_000)
    user, rich = bench.users
    bench.do(deposit(0, np.array([user, rich]), bench.atoms(1e4)))
    bench.do(*[limit_order(0, rich, SELL, 100, ticks) for ticks in (101, 102, 103)])
    assert bench.do(market_order(0, user, BUY, 300)) == [Code.PARTLY_FILLED]
    assert bench.lots(user) == 200
    assert bench.do(market_order(0, user, BUY, 100)) == [Code.NO_LIQUIDITY]


def test_reducing_needs_no_margin_but_may_not_leave_a_debt() -> None:
    bench, long, _, _, rich = crowded()
    bench.do(limit_order(0, rich, BUY, 4_000, 96), limit_order(0, rich, BUY, 50_000, 94))
    bench.mark(96)
    assert bench.do(limit_order(0, long, SELL, 10_000, 94)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(market_order(0, long, SELL, 10_000)) == [Code.PARTLY_FILLED]
    assert bench.lots(long) == 6_000
    assert bench.claim(long) + bench.atoms(95 * 6) > 0


def test_reduce_only_is_cut_to_the_position_and_dropped_with_it() -> None:
    bench, long, _, _, rich = crowded()
    reduce = limit_order(0, long, SELL, 99_000, 105, REDUCE_ONLY)
    assert bench.do(reduce) == [Code.RESTING]
    _, resting = bench.venue.book.own_orders(long)
    assert resting["remaining_lots"].tolist() == [10_000]
    bench.trade(rich, long, 7, 104)
    assert bench.do(market_order(0, rich, BUY, 50_000)) == [Code.PARTLY_FILLED]
    assert bench.lots(long) == 0
    assert bench.venue.book.count == 0
    assert bench.do(reduce) == [Code.REDUCE_ONLY]
    bench.market.check()


@pytest.mark.parametrize(("margin", "left"), [(106, 0), (107, 1), (153, 1), (154, 2)])
@pytest.mark.parametrize("resting", [False, True])
def test_orders_that_lose_their_position_must_be_covered(margin, left, resting) -> None:
    """A long of 10 at 100, the mark 94, two asks of 5 that need 47 each once it is gone."""
    bench = Bench(initial_margin_ppm=100_000)
    user, rich = bench.users[0], bench.users[-1]
    bench.do(deposit(0, user, bench.atoms(margin)), deposit(0, rich, bench.atoms(1e5)))
    bench.trade(user, rich, 10, 100)
    bench.mark(94)
    asks = [limit_order(0, user, SELL, 5_000, price) for price in (96, 97)]
    assert bench.do(*asks) == [Code.RESTING] * 2
    close = limit_order(0, user, SELL, 10_000, 94, REDUCE_ONLY)
    other = limit_order(0, rich, BUY, 10_000, 94)
    bench.do(*((close, other) if resting else (other, close)))
    assert bench.lots(user) == 0
    view = bench.market.observe(bench.moment)["perp"]
    assert view.open_orders(user).price_ticks.tolist() == [97, 96][2 - left :]
    bench.market.check()


def test_post_only_and_immediate_orders() -> None:
    bench = Bench(2)
    user, other = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.do(limit_order(0, other, SELL, 100, 101))
    assert bench.do(limit_order(0, user, BUY, 50, 101, POST_ONLY)) == [Code.WOULD_CROSS]
    assert bench.do(limit_order(0, user, BUY, 50, 100, POST_ONLY)) == [Code.RESTING]
    immediate = limit_order(0, user, BUY, 300, 101, IMMEDIATE_OR_CANCEL)
    assert bench.do(immediate, immediate) == [Code.PARTLY_FILLED, Code.UNFILLED]
    order = bench.venue.observe(bench.moment).newest_order[user]
    assert bench.do(cancel(0, other, order)) == [Code.UNKNOWN_ORDER]
    assert bench.do(cancel(0, user, order)) == [Code.CANCELLED]


def test_fees_are_rounded_up_and_rebates_down() -> None:
    bench = Bench(2, decimals=2, lot=0.01, taker_fee_ppm=700, maker_fee_ppm=-300)
    maker, taker = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    bench.do(limit_order(0, maker, SELL, 11, 100), limit_order(0, taker, BUY, 11, 100))
    fill = bench.venue.drain_fills()[0]
    assert fill["quote_atoms"] == 1_100
    assert (fill["taker_fee_atoms"], fill["maker_fee_atoms"]) == (1, 0)
    assert bench.claim(bench.venue._terms.fees) == 1
    bench.market.check()


def test_collateral_goes_in_and_only_free_margin_comes_out() -> None:
    bench = Bench(2, 100.0, initial_margin_ppm=100_000)
    user, other = bench.users
    assert bench.do(deposit(0, user, bench.atoms(101))) == [Code.INSUFFICIENT_BALANCE]
    assert bench.do(deposit(0, np.array(bench.users), bench.atoms(100))) == [Code.DONE] * 2
    bench.trade(user, other, 2, 100)
    assert bench.do(withdraw(0, user, bench.atoms(80) + 1)) == [Code.INSUFFICIENT_MARGIN]
    bench.mark(110)  # unrealised profit is margin, and needs more of it, but is not paid out
    assert bench.do(withdraw(0, user, bench.atoms(78) + 1)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(withdraw(0, user, bench.atoms(78))) == [Code.DONE]
    bench.market.check()


@pytest.mark.parametrize("contract", ["linear", "inverse"])
def test_collateral_comes_out_again_before_the_first_price(contract) -> None:
    class Unpriced(Bench):
        def mark(self, price):
            super().mark(float("nan"))

    bench = Unpriced(contract=contract)
    user = bench.users[0]
    assert bench.do(deposit(0, user, 1_000)) == [Code.DONE]
    codes = bench.do(withdraw(0, user, 1_001), withdraw(0, user, 1_000))
    assert codes == [Code.INSUFFICIENT_MARGIN, Code.DONE]
    assert bench.claim(user) == 0


def test_margin_can_be_placed_before_the_first_step() -> None:
    bench = Bench(2, 100.0)
    bench.venue.fund_margin(np.array(bench.users), np.array([bench.atoms(40), bench.atoms(60)]))
    assert [bench.claim(user) for user in bench.users] == [40_000_000, 60_000_000]
    bench.market.check()
    with pytest.raises(ConfigError, match=r"perp\.margin"):
        bench.venue.fund_margin(np.array(bench.users[:1]), np.array([bench.atoms(61)]))


@settings(max_examples=60)
@given(
    lots=st.lists(st.integers(-40, 40).filter(bool), min_size=1, max_size=6),
    rate=st.floats(-0.0075, 0.0075),
)
def test_funding_sums_to_zero_and_dust_is_the_funds(lots, rate) -> None:
    users = len(lots) + 1
    bench = Bench(users, decimals=2, lot=0.01, interest_rate=rate, funding_damper=1.0)
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e3)))
    for user, size in zip(bench.users, lots, strict=False):
        pair = (user, bench.users[-1]) if size > 0 else (bench.users[-1], user)
        bench.trade(*pair, abs(size) * 0.01, 100)
    before = [bench.claim(user) for user in bench.users]
    bench.step = 28_800 // 60 - 1
    bench.mark(103)
    assert bench.venue.funding.rate == pytest.approx(rate, abs=1e-12)
    owed = [had - bench.claim(user) for had, user in zip(before, bench.users, strict=True)]
    applied = round(bench.venue.funding.rate * 1e9)
    for user, paid in zip(bench.users, owed, strict=True):
        exact = bench.lots(user) * 103 * applied / 1e9
        assert exact <= paid + 1e-9 < exact + 1
    assert sum(owed) == bench.claim(bench.venue._terms.fund) >= 0
    flows = bench.venue.drain_flows()
    flows = flows[flows["reason"] == Reason.FUNDING]
    for user, paid in zip(bench.users, owed, strict=True):
        given_out = flows["atoms"][flows["payer"] == user].sum()
        received = flows["atoms"][flows["receiver"] == user].sum()
        assert given_out - received == paid
    bench.market.check()


def test_the_view_says_what_agents_need() -> None:
    bench, long, _, _, rich = crowded()
    bench.do(limit_order(0, rich, BUY, 100, 99), limit_order(0, rich, SELL, 100, 101))
    view = bench.venue.observe(bench.moment)
    assert (view.bid, view.ask, view.mid, view.mark) == (99, 101, 100, 100)
    assert view.index_price == bench.venue.marking.index
    assert bench.balances[long, view.contract_column] == 10_000
    assert bench.units(int(bench.balances[long, view.margin_column])) == -950
    assert view.equity(np.array([long])) == 50
    assert (view.initial_margin_rate, view.maintenance_margin_rate) == (0.01, 0.005)
    assert view.seconds_to_funding == 28_800
    values = bench.venue.asset_values(bench.moment)
    assert values == {"perp:contract": pytest.approx(0.1), "perp:margin": 1.0}


@pytest.mark.parametrize("contract", ["linear", "inverse"])
def test_every_member_of_the_view_answers(contract) -> None:
    bench = Bench(contract=contract, contract_value_quote=100.0)
    one, two = bench.users[:2]
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e5)))
    for price in (100, 110):
        codes = bench.do(limit_order(0, one, SELL, 3, price), limit_order(0, two, BUY, 2, price))
        assert codes == [Code.RESTING, Code.FILLED]
        bench.do(cancel_all(0, one))
        bench.mark(price)
    bench.do(limit_order(0, one, BUY, 5, 100), limit_order(0, two, SELL, 4, 112))
    view = bench.market.observe(bench.moment)["perp"]
    arguments = {
        "bids": (),
        "asks": (),
        "imbalance": (),
        "trades": (),
        "realised_volatility": (),
        "depth_lots": (1, 99),
        "depth": (1, 0.1),
        "open_orders": (one,),
        "queue_ahead": (one,),
        "waiting_stops": (one,),
        "newest_orders": (np.array([one]),),
        "equity": (np.array([one]),),
    }
    members = {name for name in dir(view) if not name.startswith("_")}
    assert set(arguments) == {name for name in members if callable(getattr(view, name))}
    answers = {name: getattr(view, name)(*own) for name, own in arguments.items()}
    assert answers["trades"]["price_ticks"].tolist() == [100, 110]
    drained = bench.venue.drain_fills()
    assert answers["trades"]["base_atoms"].tolist() == drained["base_atoms"].tolist()
    assert answers["realised_volatility"] == pytest.approx(np.log(1.1))
    assert len(answers["waiting_stops"].order) == 0
    assert answers["queue_ahead"].tolist() == [0]
    assert (view.phase, view.indicative.volume_lots) == ("continuous", 0)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"maintenance_tiers": [{"floor_units": 5.0}]}, "floor 0"),
        ({"maker_fee_ppm": -600, "taker_fee_ppm": 500}, "taker_fee_ppm"),
        ({"initial_margin_ppm": 100}, "initial_margin_ppm"),
        ({"funding_cap": -1.0}, "funding_cap"),
    ],
)
def test_wrong_parameters_are_named(params, field) -> None:
    with pytest.raises(ConfigError, match=field):
        Perpetual.Params.read(params)


def test_an_index_venue_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"perp\.index_venues"):
        Bench(index_venues=("nowhere",))


def test_the_index_comes_from_spot_venues() -> None:
    base, quote = Asset("BTC", 9), Asset("USDT", 6)
    instrument = Instrument(base, quote, 1.0, 0.001)
    spot = OrderBook("spot", "ex", instrument)
    perpetual = Perpetual(
        "perp", "ex", instrument, Perpetual.Params(index_venues=("spot",), basis_bandwidth=0.0)
    )
    market = Market([Exchange("ex")], [spot, perpetual])
    user = int(market.endow("user", "ex", {"USDT": 1e4, "BTC": 10}, 1)[0])
    market.begin()
    now = Moment(0, 0.0, 60.0, {"BTC": 50.0})
    market.accrue(now)
    assert perpetual.observe(now).mark == 50.0
    spot.execute(stack([limit_order(0, user, BUY, 1, 90), limit_order(0, user, SELL, 1, 94)]), now)
    later = now._replace(step=1, seconds=60.0)
    market.accrue(later)
    assert perpetual.observe(later).index_price == perpetual.observe(later).mark == 92.0


@pytest.mark.parametrize(("column", "asset"), [("entry_atoms", 3), ("open_bid_lots", 4)])
def test_the_check_finds_columns_that_disagree(column, asset) -> None:
    bench = Bench(2)
    getattr(bench.venue._positions, column)[bench.users[0]] = 1
    with pytest.raises(BrokenInvariant, match=FAULTS[asset]):
        bench.venue.check()


def test_the_check_finds_claims_without_collateral() -> None:
    bench = Bench(2)
    bench.balances[bench.venue._terms.vault, bench.venue._terms.margin] -= 1
    with pytest.raises(BrokenInvariant, match=FAULTS[1]):
        bench.venue.check()
