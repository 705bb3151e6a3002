"""The quote-driven market: which quote is hit, what is paid, and what a dealer cannot honour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.errors import ConfigError
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    CANCEL_ALL,
    FILL_OR_KILL,
    IMMEDIATE_OR_CANCEL,
    MARKET,
    PLACE,
    POST_ONLY,
    QUOTE,
    SELL,
    cancel,
    cancel_all,
    good_till,
    iceberg_order,
    limit_order,
    market_order,
    quote,
    stack,
    stop_order,
)
from markets.market import Market
from markets.outcomes import Code
from markets.spot.dealer import DealerMarket
from tests.reference.dealer import ReferenceDealers
from tests.trading_floor import CASH, COIN, GRID, NOW

FILL_FIELDS = (
    "taker",
    "maker",
    "side",
    "price_ticks",
    "size_lots",
    "taker_fee_atoms",
    "maker_fee_atoms",
)


class Floor:
    """Two dealers and two takers."""

    def __init__(self, base: float = 1e6, quote: float = 1e6, **params) -> None:
        self.venue = DealerMarket("dealers", "exchange", GRID, DealerMarket.Params(**params))
        self.market = Market([Exchange("exchange"), Exchange("other")], [self.venue])
        self.rows = self.market.open_accounts("traders", "exchange", 4)
        self.stranger = int(self.market.open_accounts("stranger", "other")[0])
        self.market.ledger.issue(self.rows, "COIN", COIN.to_atoms(base))
        self.market.ledger.issue(self.rows, "CASH", CASH.to_atoms(quote))
        self.market.begin()
        self.one, self.two, self.taker, self.other = self.rows.tolist()

    def do(self, *intents) -> list[Code]:
        codes = self.venue.execute(stack(intents), NOW)
        self.market.check()
        return [Code(code) for code in codes.tolist()]

    def trades(self) -> list[tuple[int, int, int]]:
        fills = self.venue.drain_fills()
        columns = (fills[name].tolist() for name in ("maker", "price_ticks", "size_lots"))
        return list(zip(*columns, strict=True))


def test_the_best_quote_is_hit_first_and_of_equal_ones_the_oldest():
    floor = Floor()
    floor.do(quote(0, floor.one, 98, 102, 5, 5), quote(0, floor.two, 99, 102, 5, 5))
    codes = floor.do(market_order(0, floor.taker, BUY, 7), market_order(0, floor.taker, SELL, 7))
    assert codes == [Code.FILLED, Code.FILLED]
    assert floor.trades() == [
        (floor.one, 102, 5),
        (floor.two, 102, 2),
        (floor.two, 99, 5),
        (floor.one, 98, 2),
    ]
    view = floor.venue.observe(NOW)
    assert (view.bid_ticks, view.bid_lots, view.ask_ticks, view.ask_lots) == (98, 3, 102, 3)
    assert (view.last_ticks, view.volume_lots) == (98, 14)


def test_a_new_quote_replaces_the_old_one_and_waits_behind_equal_ones():
    floor = Floor()
    floor.do(quote(0, floor.one, 98, 102, 5, 5), quote(0, floor.two, 98, 102, 5, 5))
    floor.do(quote(0, floor.one, 98, 102, 4, 4))
    floor.do(market_order(0, floor.taker, BUY, 9))
    assert floor.trades() == [(floor.two, 102, 5), (floor.one, 102, 4)]
    floor.do(cancel_all(0, floor.one))
    assert floor.venue.standing()["dealer"].tolist() == [floor.two]


@pytest.mark.parametrize("quotes_first", [True, False])
def test_whether_quotes_of_a_batch_stand_before_its_orders(quotes_first):
    floor = Floor(quotes_first=quotes_first)
    codes = floor.do(market_order(0, floor.taker, BUY, 1), quote(0, floor.one, 98, 102, 5, 5))
    assert codes == [Code.FILLED if quotes_first else Code.NO_LIQUIDITY, Code.DONE]


@pytest.mark.parametrize("quotes_first", [True, False])
def test_a_dealer_who_withdraws_and_quotes_anew_stands_with_the_new_quote(quotes_first):
    floor = Floor(quotes_first=quotes_first)
    floor.do(quote(0, floor.one, 98, 102, 5, 5))
    codes = floor.do(
        cancel_all(0, floor.one),
        market_order(0, floor.taker, BUY, 1),
        quote(0, floor.one, 97, 103, 5, 5),
    )
    found = Code.FILLED if quotes_first else Code.NO_LIQUIDITY
    assert codes == [Code.CANCELLED, found, Code.DONE]
    assert floor.trades() == ([(floor.one, 103, 1)] if quotes_first else [])
    assert floor.venue.standing()["dealer"].tolist() == [floor.one]
    floor.do(quote(0, floor.one, 96, 104, 5, 5), cancel_all(0, floor.one), cancel_all(0, floor.two))
    assert len(floor.venue.standing()) == 0


def test_a_taker_is_not_blamed_for_a_quote_that_is_not_honoured():
    floor = Floor(base=0.0, quote=1e6)
    floor.do(quote(0, floor.one, 98, 102, 5, 5))
    codes = floor.do(
        market_order(0, floor.taker, BUY, 3),
        limit_order(0, floor.taker, BUY, 3, 102),
        market_order(0, floor.taker, SELL, 3),
    )
    assert codes == [Code.NO_LIQUIDITY, Code.UNFILLED, Code.INSUFFICIENT_BALANCE]
    assert floor.trades() == []


def test_limits_are_kept_and_nothing_rests():
    floor = Floor()
    floor.do(quote(0, floor.one, 98, 102, 5, 5), quote(0, floor.two, 97, 103, 5, 5))
    codes = floor.do(
        limit_order(0, floor.taker, BUY, 9, 102),
        limit_order(0, floor.taker, BUY, 9, 102, IMMEDIATE_OR_CANCEL),
        limit_order(0, floor.taker, SELL, 3, 98),
    )
    assert codes == [Code.PARTLY_FILLED, Code.UNFILLED, Code.FILLED]
    assert floor.trades() == [(floor.one, 102, 5), (floor.one, 98, 3)]


def test_a_dealer_gives_no_more_than_is_owned_and_never_trades_with_itself():
    floor = Floor(base=0.3, quote=1e6)
    floor.do(quote(0, floor.one, 98, 101, 9, 9), quote(0, floor.two, 98, 102, 9, 9))
    codes = floor.do(market_order(0, floor.taker, BUY, 9), market_order(0, floor.one, SELL, 1))
    assert codes == [Code.PARTLY_FILLED, Code.INSUFFICIENT_BALANCE]
    assert floor.trades() == [(floor.one, 101, 3), (floor.two, 102, 3)]


def test_what_is_no_order_is_invalid():
    floor = Floor()
    floor.do(quote(0, floor.two, 98, 102, 5, 5))
    codes = floor.do(
        quote(0, floor.one, 102, 102, 5, 5),
        quote(0, floor.one, 0, 102, 5, 5),
        quote(0, floor.one, 98, 2**26, 5, 5),
        quote(0, floor.one, 98, 102, -1, 5),
        quote(0, floor.stranger, 98, 102, 5, 5),
        quote(0, int(floor.venue.accounts[0]), 98, 102, 5, 5),
        market_order(0, floor.taker, BUY, 0),
        limit_order(0, floor.taker, BUY, 1, 0),
        limit_order(0, floor.taker, BUY, 1, 100, POST_ONLY),
        limit_order(0, floor.taker, 2, 1, 100),
        cancel(0, floor.one, 1),
        stop_order(0, floor.taker, BUY, 1, 500),
        stop_order(0, floor.taker, BUY, 1, 500, 501),
        iceberg_order(0, floor.taker, BUY, 5, 102, 1),
        good_till(limit_order(0, floor.taker, BUY, 1, 102), 9),
        limit_order(0, floor.taker, BUY, 1, 102, FILL_OR_KILL),
    )
    assert set(codes) == {Code.INVALID}


def test_a_side_without_lots_is_not_quoted():
    floor = Floor()
    assert floor.do(quote(0, floor.one, 0, 102, 0, 5)) == [Code.DONE]
    view = floor.venue.observe(NOW)
    assert (view.bid_ticks, view.ask_ticks) == (-1, 102)
    assert np.isnan(view.mid)
    assert floor.do(market_order(0, floor.taker, SELL, 5)) == [Code.NO_LIQUIDITY]


ROW = st.tuples(
    st.sampled_from(["quote", "quote", "market", "market", "limit", "withdraw"]),
    st.integers(0, 3),
    st.integers(0, 12),
    st.integers(95, 105),
    st.integers(-1, 4),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(ROW, max_size=6), max_size=12),
    st.integers(-20_000, 300_000),
    st.booleans(),
)
def test_agrees_with_plain_dealers_on_any_batches(batches, dealer_fee_ppm, quotes_first):
    """Codes, fills, balances and what stands, after each batch; the fee account explains itself."""
    fees_ppm = {"dealer_fee_ppm": dealer_fee_ppm, "taker_fee_ppm": 20_000}
    floor = Floor(2.0, 12.0, **fees_ppm, quotes_first=quotes_first)
    accounts, ledger = floor.rows.tolist(), floor.market.ledger
    balances = {account: ledger.balances[account].tolist() for account in accounts}
    grid = (GRID.lot_atoms, GRID.notional_atoms)
    plain = ReferenceDealers(balances, *grid, *fees_ppm.values(), quotes_first)
    for batch in batches:
        intents, rows = [], []
        for kind, who, lots, ticks, width in batch:
            account, side = accounts[who], BUY if ticks % 2 else SELL
            if kind == "quote":
                quoted = (ticks - width, 12 - lots, ticks, lots)
                intents.append(quote(0, account, quoted[0], quoted[2], quoted[1], quoted[3]))
                rows.append((QUOTE, account, *quoted))
            elif kind == "withdraw":
                intents.append(cancel_all(0, account))
                rows.append((CANCEL_ALL, account))
            elif kind == "market":
                intents.append(market_order(0, account, side, lots + 1))
                rows.append((PLACE, account, side, lots + 1, 0, MARKET))
            else:
                intents.append(limit_order(0, account, side, lots + 1, ticks))
                rows.append((PLACE, account, side, lots + 1, ticks, 0))
        assert floor.do(*intents) == plain.receive(rows)
        fills = floor.venue.drain_fills()[list(FILL_FIELDS)].tolist()
        assert fills == plain.fills
        plain.fills.clear()
        assert {account: ledger.balances[account].tolist() for account in accounts} == balances
        assert [list(row) for row in floor.venue.standing().tolist()] == plain.quotes
    flows, fees = floor.venue.drain_flows(), int(floor.venue.accounts[0])
    collected = int(ledger.balances[fees, 1])
    assert collected == plain.fees_atoms >= 0
    received = flows["atoms"][flows["receiver"] == fees].sum()
    assert collected == received - flows["atoms"][flows["payer"] == fees].sum()


def test_many_dealers_and_many_fills_grow_what_holds_them():
    floor = Floor(quotes_first=False)
    rows = floor.rows.tolist()
    orders = [quote(0, rows[i % 2], 98, 102 + i % 3, 1, 1) for i in range(300)]
    hits = [market_order(0, rows[2 + i % 2], BUY, 1) for i in range(3_000)]
    mixed = [intent for pair in zip(orders * 10, hits, strict=True) for intent in pair]
    assert floor.do(*mixed).count(Code.FILLED) == 3_000
    assert floor.venue.measure(NOW)["trades"] == 3_000


def test_a_rebate_above_the_taker_fee_is_a_config_error():
    with pytest.raises(ConfigError, match="dealer_fee_ppm"):
        DealerMarket.Params.read({"dealer_fee_ppm": -2, "taker_fee_ppm": 1}, "dealers")
