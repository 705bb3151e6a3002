"""A monotone check of cascades: the thinner the book, the more the same shock liquidates."""

import numpy as np
import pytest

from markets.intents import BUY, SELL, deposit, limit_order
from tests.perpetual_bench import Bench

LONGS, SHOCK, STEPS = 24, 97.0, 30


def liquidated(lots_a_level: int) -> int:
    """How many of the longs go when the index falls once, in a book of so many lots a level."""
    bench = Bench(
        LONGS + 1,
        1e6,
        tick=0.01,
        basis_bandwidth=0.02,
        basis_ema_seconds=30.0,
        market_band_ppm=500_000,
        insurance_fund_units=1e6,
    )
    *longs, rich = bench.users
    bench.do(deposit(0, rich, bench.atoms(9e5)))
    for number, long in enumerate(longs):
        bench.open_at(long, BUY, 10, 100, 99 - number / 5)
    ladder = np.arange(1, 2_000)
    ticks = bench.instrument.to_ticks(100.0) - 2 * ladder
    bench.do(limit_order(0, rich, BUY, lots_a_level, int(ticks[0])))
    for level in ticks[1:].tolist():
        bench.do(limit_order(0, rich, BUY, lots_a_level, level))
    bench.do(limit_order(0, rich, SELL, 1, bench.instrument.to_ticks(100.0)))
    for _ in range(STEPS):
        bench.mark(SHOCK)
        bench.liquidate()
    return sum(bench.lots(long) == 0 for long in longs)


def test_thinner_books_liquidate_more() -> None:
    counts = [liquidated(lots) for lots in (20_000, 400, 250)]
    assert counts[0] >= 1
    assert counts == sorted(counts)
    assert counts[2] > 3 * counts[0]


def test_a_deep_book_stops_at_the_shock() -> None:
    assert liquidated(200_000) == pytest.approx(3, abs=2)
