"""Cases played at a perpetual agree with plain formulas on cases that no file holds.

Sizes, prices, sides, contracts and rates are drawn at random; the formulas are those of the files,
written out in real numbers. Tolerance: that of the files, 1e-11.
"""

from math import isnan, nan

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from experiments.conformance.derivatives import KINDS
from experiments.conformance.perpetual_market import PerpetualMarket
from tests.reference.liquidation_prices import account_price, tiered_price

few = settings(max_examples=25, deadline=None)  # each example is a market of its own
sides = st.sampled_from(["long", "short"])
contracts = st.sampled_from(["linear", "inverse"])
ppm = st.integers(1_000, 200_000).map(lambda parts: parts / 1e6)
rates = st.integers(1, 1_000_000).map(lambda parts: parts / 1e6)


def decimals(low: float, high: float, places: int) -> st.SearchStrategy[float]:
    """Numbers with so many decimals."""
    scale = 10**places
    return st.integers(round(low * scale), round(high * scale)).map(lambda number: number / scale)


prices = decimals(1.0, 90_000.0, 2)


def near(figure: float, absolute: float = 1e-12) -> object:
    return pytest.approx(figure, rel=1e-11, abs=absolute, nan_ok=True)


def sign(case: dict) -> int:
    return 1 if case["side"] == "long" else -1


def value_of(case: dict) -> float:
    """In the settlement asset at entry."""
    size = case["qty"] * case.get("contract_value", 1.0)
    return size / case["entry"] if case["contract"] == "inverse" else size * case["entry"]


@st.composite
def positions(draw: st.DrawFn) -> dict:
    case = {"contract": draw(contracts), "side": draw(sides), "entry": draw(prices)}
    inverse = case["contract"] == "inverse"
    case["qty"] = draw(st.integers(1, 90_000)) if inverse else draw(decimals(0.01, 90.0, 3))
    return case


# --- prices ----------------------------------------------------------------------------------


@few
@given(
    positions(),
    st.floats(0.2, 1.5),
    st.one_of(ppm, st.integers(6, 100).map(lambda leverage: 1.0 / leverage)),
    st.sampled_from([0.0, 0.004]),
    st.one_of(st.just(0.0), st.floats(1e-4, 0.1)),
    st.floats(-0.1, 0.5),
)
def test_prices_of_an_account(case, backed, rate, deducted, others, profit) -> None:
    value, inverse = value_of(case), case["contract"] == "inverse"
    case |= {"mmr": rate, "wallet": backed * value, "cum": deducted * rate * value}
    case |= {"other_mm": others * value, "other_upnl": profit * value}
    found = KINDS["liq_account"](case)
    place = (inverse, sign(case), case["qty"], case["entry"])
    owned = case["wallet"] + case["other_upnl"]
    price = account_price(*place, owned + case["cum"] - case["other_mm"], rate)
    assert found["liquidation_price"] == near(price)
    bankruptcy = nan if isnan(price) else account_price(*place, owned, 0.0)
    assert found["bankruptcy_price"] == near(bankruptcy)


@few
@given(positions(), st.integers(2, 90), st.floats(0.1, 0.9), st.floats(0.0, 0.3))
def test_prices_of_margins_at_entry(case, leverage, share, extra) -> None:
    value, inverse = value_of(case), case["contract"] == "inverse"
    rate = round(share / leverage, 6)
    case |= {"leverage": leverage, "mmr": rate, "extra_margin": extra * value}
    held, needed = value / leverage + case["extra_margin"], value * rate
    found = KINDS["liq_entry_margin"](case)
    assert found["initial_margin"] == near(value / leverage)
    assert found["maintenance_margin"] == near(needed)
    place = (inverse, sign(case), case["qty"], case["entry"])
    price = account_price(*place, held - needed, 0.0)
    assert found["liquidation_price"] == near(price)
    bankruptcy = nan if isnan(price) else account_price(*place, held, 0.0)
    assert found["bankruptcy_price"] == near(bankruptcy)


@few
@given(sides, st.integers(100, 90_000), prices, st.floats(0.1, 0.9), ppm, ppm)
def test_prices_with_a_closing_fee(side, size, entry, backed, rate, fee) -> None:
    value, rate = size / entry, rate / 4
    rate, fee = round(rate, 6), round(fee / 10, 6)
    case = {"side": side, "contracts": size, "entry": entry, "balance": backed * value}
    found = KINDS["liq_inverse_cross_fee"](case | {"mmr": rate, "taker_fee": fee})
    s = sign(case)
    bankruptcy = (1 + s * fee) * size / (value + s * case["balance"])
    owned = case["balance"] - value * rate - size * fee / bankruptcy
    assert found["bankruptcy_price"] == near(bankruptcy)
    assert found["liquidation_price"] == near(account_price(True, s, size, entry, owned, 0.0))


@few
@given(sides, decimals(0.01, 300.0, 3), st.floats(0.02, 0.5))
def test_prices_under_brackets(side, size, backed) -> None:
    floors, rates = (0, 50e3, 250e3, 1e6, 10e6), (0.004, 0.005, 0.01, 0.025, 0.05)
    case = {"side": side, "qty": size, "entry": 40_000, "wallet": backed * size * 40_000}
    found = KINDS["liq_tiered"](case | {"tiers": list(zip(floors, rates, strict=True))})
    price, tier = tiered_price(sign(case), size, 40_000, case["wallet"], floors, rates)
    assert found["liquidation_price"] == near(price)
    assert found["tier"] == tier


@few
@given(sides, prices, decimals(0.1, 50.0, 2), st.integers(6, 100), st.floats(-0.5, 0.5))
def test_prices_from_the_present_mark(side, price, size, leverage, more) -> None:
    needed = size * price / leverage * (1 + more)
    case = {"side": side, "price": price, "size": size, "maintenance_leverage": leverage}
    case |= {"account_value": 1.6 * needed, "maintenance_required": needed}
    found = KINDS["liq_hyperliquid"](case)
    expected = price - sign(case) * 0.6 * needed / size / (1 - sign(case) / leverage)
    assert found["liquidation_price"] == near(expected)


# --- close-outs and losses -------------------------------------------------------------------


@few
@given(
    st.lists(
        st.tuples(st.sampled_from([1, -1]), decimals(0.01, 9.0, 2), prices, ppm),
        min_size=1,
        max_size=3,
    ),
    st.floats(-0.5, 1.5),
    st.integers(1, 4),
)
def test_an_account_of_dydx(held, health, quarters) -> None:
    rows = [{"size": s * q, "oracle": p, "mmf": rate} for s, q, p, rate in held]
    assume(abs(health - 1.0) > 1e-6)
    needed = sum(abs(row["size"]) * row["oracle"] * row["mmf"] for row in rows)
    quote = round(health * needed - sum(row["size"] * row["oracle"] for row in rows), 4)
    worth = quote + sum(row["size"] * row["oracle"] for row in rows)
    (side, size, oracle, rate), *_ = held
    closed = size if quarters == 4 else round(size * quarters / 4, 3)
    case = {"quote_balance": quote, "positions": rows, "target": 0, "close_size": closed}
    found = KINDS["dydx_liquidation"](case | {"bankruptcy_adjustment": 1.2, "spread_to_mm": 1.5})
    bankruptcy = side * closed * oracle - worth * closed * oracle * rate / needed
    assert found["net_collateral"] == near(worth, 1e-11 * needed)
    assert found["maintenance_requirement"] == near(needed)
    assert found["liquidatable"] == (worth < needed)
    assert found["bankruptcy_quote"] == near(bankruptcy, 1e-11 * (closed * oracle + needed))
    rating = min(max(1.2 * (1 - worth / needed), 0), 1)
    assert found["fillable_price"] == near(oracle * (1 - side * rating * 1.5 * rate))


@few
@given(
    sides,
    st.lists(st.tuples(decimals(0.5, 20.0, 1), decimals(60.0, 140.0, 1)), min_size=1, max_size=5),
    decimals(1.0, 60.0, 1),
    decimals(0.5, 9.0, 1),
)
def test_a_queue_closes_in_order(side, rows, quantity, better) -> None:
    queue = [{"id": n, "size": size, "entry": entry} for n, (size, entry) in enumerate(rows)]
    s = -1 if side == "long" else 1  # of the counterparties
    close, mark = 100.0, round(100.0 + s * better, 1)
    case = {"counterparty_side": "short" if s < 0 else "long", "queue": queue, "qty": quantity}
    found = KINDS["adl_queue_close"](case | {"close_price": close, "mark": mark})
    left = quantity
    for row, fill in zip(queue, found["fills"], strict=True):
        closed = min(left, row["size"])
        left -= closed
        assert fill["closed"] == near(closed, 1e-9)
        assert fill["remaining"] == near(row["size"] - closed, 1e-9)
        assert fill["realised"] == near(s * closed * (close - row["entry"]), 1e-9)
        assert fill["forgone_vs_mark"] == near(closed * better, 1e-9)
    assert found["unallocated"] == near(left, 1e-9)


@few
@given(
    sides, st.integers(-40, 39), st.integers(1, 90), st.sampled_from([100.0, 310.5, 2_048.0, 9e3])
)
def test_what_ftx_hands_to_backstops(side, part, size, mark) -> None:
    fraction, limit = part / 2_000, 0.02
    case = {"side": side, "margin_fraction": fraction, "auto_close_fraction": limit}
    found = KINDS["ftx_backstop"](case | {"size": size, "mark": mark})
    closed = min(max((1 - fraction / limit) * size, 1_000 / mark), size)
    zero_price = mark * (1 - sign(case) * fraction)
    assert found["close_size"] == near(closed)
    assert found["zero_price"] == near(zero_price)
    assert found["counterparty_price"] == near((2 * zero_price + mark) / 3)


@few
@given(
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=3),
    st.lists(st.integers(1, 40), min_size=3, max_size=5, unique=True),
)
def test_shares_of_backstops_and_of_the_largest(quantity, room, sizes) -> None:
    least = [min(pair) for pair in room]
    largest = sorted(sizes, reverse=True)[:2]
    left = max(0, quantity - sum(least))
    assume(left <= sum(largest))
    case = {
        "qty": quantity,
        "providers": [{"id": n, "left_minute": m, "left_hour": h} for n, (m, h) in enumerate(room)],
        "opposing": [{"id": n, "size": size} for n, size in enumerate(sizes)],
        "top_n": 2,
    }
    found = KINDS["backstop_allocation"](case)
    share = min(1.0, quantity / max(sum(least), 1))
    assert list(found["providers"].values()) == near([share * most for most in least])
    expected = [left * size / sum(largest) if size in largest else 0.0 for size in sizes]
    assert list(found["opposing"].values()) == near(expected)


@few
@given(
    decimals(0.0, 900.0, 1),
    decimals(0.0, 2_000.0, 2),
    st.lists(decimals(-900.0, 900.0, 2), min_size=1, max_size=5),
)
def test_what_winners_give_back(fund, deficit, profits) -> None:
    won = sum(max(profit, 0.0) for profit in profits)
    used = min(fund, deficit)
    rate = min(1.0, (deficit - used) / won) if won else 0.0
    left = [profit * (1 - rate) if profit > 0 else profit for profit in profits]
    found = KINDS["clawback"]({"fund": fund, "deficit": deficit, "profits": profits})
    assert found["fund_used"] == near(used)
    assert found["clawback_rate"] == near(rate)
    assert found["net_profits"] == near(left, 1e-8)
    rows = [{"id": number, "upnl": profit} for number, profit in enumerate(profits)]
    found = KINDS["adl_pro_rata_profit"]({"deficit": deficit, "positions": rows})
    assert found["haircut_rate"] == near(min(1.0, deficit / won) if won else 0.0)
    assert found["uncovered"] == near(max(0.0, deficit - won), 1e-8)


@few
@given(
    sides,
    st.integers(1, 900),
    st.sampled_from([10.0, 100.0]),
    prices,
    st.lists(decimals(-0.05, 0.05, 4), min_size=1, max_size=7),
    st.integers(0, 1_000),
)
def test_settlement_of_a_dated_inverse_future(side, size, value, entry, moves, fee) -> None:
    samples = [round(entry * (1 + move), 2) for move in moves]
    case = {"side": side, "contracts": size, "contract_value": value, "entry": entry}
    case |= {"index_samples": samples, "settlement_fee_rate": fee / 1e6}
    found = KINDS["dated_inverse_settlement"](case)
    price = sum(samples) / len(samples)
    gross = sign(case) * size * value * (1 / entry - 1 / price)
    paid = fee / 1e6 * size * value / price
    scale = 1e-12 * size * value / entry
    assert found["settlement_price"] == near(price)
    assert found["gross_pnl"] == near(gross, scale)
    assert found["fee"] == near(paid, scale)
    assert found["net_pnl"] == near(gross - paid, scale)


@few
@given(st.lists(st.tuples(decimals(-5e3, 5e3, 2), rates, rates), min_size=1, max_size=4))
def test_an_account_earns_on_profit_and_pays_on_losses(hours) -> None:
    balance, profit = 1_000.0, 0.0
    for profit, lend, borrow in hours:
        net = balance + profit
        balance += net * (lend if net >= 0.0 else borrow) / 8_760
    found = KINDS["interest_bearing_account"]({"balance": 1_000.0, "hours": hours})
    assert found["balance"] == near(balance, 1e-8)
    assert found["equity"] == near(balance + profit, 1e-8)


@few
@given(sides, decimals(1.0, 1e4, 2), decimals(1.0, 1e4, 2), prices, prices)
def test_adding_to_a_pool_position_keeps_its_profit(side, size, more, average, following) -> None:
    """In quote, as GMX v1 counts sizes: s (p - a)/a."""
    case = {"side": side, "size": size, "average": average}
    case |= {"next_price": following, "size_delta": more}
    entry = KINDS["gmx_v1_average_price"](case)["average"]
    profit = sign(case) * size * (following / average - 1.0)
    kept = sign(case) * (size + more) * (following / entry - 1.0)
    assert kept == pytest.approx(profit, abs=1e-9 * (size + more) * (1.0 + following / average))


@pytest.mark.parametrize(("fee_ppm", "got"), [(100_000, 3.6), (10_000, 2.976)])
def test_the_fund_gains_on_the_positions_own_part_of_a_group(fee_ppm, got) -> None:
    """dYdX's fourth case: bankrupt at 2,940, filled at the fillable price of 2,976."""
    rates = {"maintenance_tiers": ({"maintenance_ppm": 100_000},), "initial_margin_ppm": 100_000}
    rule = {"preset": "dydx", "portion_ppm": 1_000_000, "least": 0.0, "most": 0.0}
    rule |= {"fee_ppm": fee_ppm, "spread_to_mm": 0.1}
    market = PerpetualMarket(
        [3_000.0, 50_000.0], [0.1, 0.004], others=[rates], liquidation=rule, **rates
    )
    (trader,) = market.traders
    market.open_at(trader, 1, 0.1, 3_000.0, 10.0)
    market.open_at(trader, 1, 0.004, 50_000.0, on=1)
    market.mark(3_000.0)
    market.mark(50_000.0, on=1)
    market.offer(1, [(2_975.0, 0.1)])
    market.liquidate()
    assert market.position(trader) == 0.1
    market.clear()
    market.offer(1, [(2_976.0, 0.1)])
    market.venue.liquidate(market.moment)
    assert market.position(trader) == 0.0
    assert market.fund() == near(got)
