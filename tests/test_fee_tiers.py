"""Fee tiers: volumes of thirty days, the rates that follow, and what they must not do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.errors import ConfigError
from markets.intents import BUY, SELL
from markets.spot.fees import DAY_SECONDS, DAYS, FeeTiers, Tier
from markets.spot.order_book import OrderBook
from markets.venue import Moment
from tests.trading_floor import CASH, GRID, Floor


def test_volumes_of_thirty_days_decide_the_rates_of_the_next():
    tier = Tier(volume=1.0, maker_fee_ppm=-100, taker_fee_ppm=400)
    floor = Floor(maker_fee_ppm=100, taker_fee_ppm=500, tiers=(tier,))
    floor.do(floor.limit(0, SELL, 10, 100), floor.take(1, BUY, 10))
    tiers = floor.venue.fee_tiers
    assert tiers.rates[floor.traders[1]].tolist() == [100, 500]
    notional = 10 * 100 * GRID.notional_atoms
    seen = []
    for day in range(1, DAYS + 3):
        floor.venue.accrue(Moment(day, day * DAY_SECONDS, DAY_SECONDS))
        volumes = tiers.volume_atoms()[floor.rows].tolist()
        assert volumes == ([notional] * 2 + [0] * 2 if day <= DAYS else [0] * 4)
        seen.append(tiers.rates[floor.rows].tolist())
    assert seen[0] == seen[DAYS - 1] == [[-100, 400]] * 2 + [[100, 500]] * 2
    assert seen[-1] == [[100, 500]] * 4


def test_an_order_keeps_the_rate_with_which_it_came_to_rest():
    tier = Tier(volume=1.0, maker_fee_ppm=0, taker_fee_ppm=400)
    floor = Floor(maker_fee_ppm=1_000, taker_fee_ppm=1_000, tiers=(tier,))
    floor.do(floor.limit(0, SELL, 10, 100), floor.take(1, BUY, 10), floor.limit(1, BUY, 100, 100))
    floor.fills()
    floor.venue.accrue(Moment(1, DAY_SECONDS, DAY_SECONDS))
    floor.do(floor.take(0, SELL, 50), floor.limit(1, BUY, 50, 99), floor.take(0, SELL, 100))
    fees = floor.fills()["maker_fee_atoms"].tolist()
    assert fees == [50 * 100 * GRID.notional_atoms // 1_000] * 2 + [0]


def test_days_without_a_step_count_as_days():
    tiers = FeeTiers((5, 7), (Tier(volume=1.0, maker_fee_ppm=1, taker_fee_ppm=2),), CASH.scale)
    tiers.open(2)
    fills = np.zeros(1, [("taker", int), ("maker", int), ("quote_atoms", int)])
    fills["maker"], fills["quote_atoms"] = 1, CASH.scale
    tiers.count(fills)
    assert not tiers.advance(DAY_SECONDS - 1)
    assert tiers.advance(29 * DAY_SECONDS)
    assert tiers.rates.tolist() == [[1, 2]] * 2
    assert tiers.advance(31 * DAY_SECONDS)
    assert tiers.rates.tolist() == [[5, 7]] * 2
    tiers.count(fills)
    assert tiers.advance(500 * DAY_SECONDS)
    assert tiers.tiers().tolist() == [0, 0]


@pytest.mark.parametrize("fills", [1, 8, 70_000])
def test_volumes_stop_at_their_cap_and_never_turn_over(fills):
    tiers = FeeTiers((5, 7), (Tier(volume=1e6, maker_fee_ppm=0, taker_fee_ppm=0),), 10**9)
    tiers.open(3)
    rows = np.zeros(fills, [("taker", int), ("maker", int), ("quote_atoms", int)])
    rows["taker"], rows["maker"], rows["quote_atoms"] = 1, 2, 2**62 - 1
    tiers.count(rows[:0])
    tiers.count(rows)
    small = rows[:1].copy()
    small["quote_atoms"] = 2**33 + 5
    tiers.count(small)
    tiers.advance(DAY_SECONDS)
    assert tiers.volume_atoms().tolist() == [0, 2**57, 2**57]
    assert tiers.tiers().tolist() == [0, 1, 1]


@given(st.lists(st.lists(st.integers(0, 2**40), max_size=6), max_size=5))
def test_volumes_are_the_sums_of_all_notionals(batches):
    tiers = FeeTiers((5, 7), (), 1)
    tiers.open(2)
    for notionals in batches:
        rows = np.zeros(len(notionals), [("taker", int), ("maker", int), ("quote_atoms", int)])
        rows["taker"], rows["maker"], rows["quote_atoms"] = 1, 0, notionals
        tiers.count(rows)
    tiers.advance(DAY_SECONDS)
    assert tiers.volume_atoms().tolist() == [sum(map(sum, batches))] * 2


def test_tiers_that_could_overdraw_the_fee_account_are_config_errors():
    low = {"volume": 1.0, "maker_fee_ppm": -300, "taker_fee_ppm": 900}
    with pytest.raises(ConfigError, match="maker_fee_ppm"):
        OrderBook.Params.read({"taker_fee_ppm": 200, "tiers": [low]}, "book")
    with pytest.raises(ConfigError, match="must rise"):
        OrderBook.Params.read({"taker_fee_ppm": 500, "tiers": [low, low]}, "book")
