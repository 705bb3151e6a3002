"""Cont, Stoikov and Talreja 2010, Tables 3 to 5, depth profile and volatility of their order book.

Unit orders; at i ticks from the opposite best quote limit orders arrive at rate lambda(i) a side
and each is withdrawn at rate theta(i); market orders arrive at rate mu a side. Rates a minute are
those of their Table 2, lambda(i) = 1.92 i**-0.52 beyond five ticks, cut off at `PLACES`.

A run is one race of each cell of the tables: with b orders at the bid, a at the ask and a spread of
one tick, which queue is empty first (Table 3, the mid rises), whether the own order at the bid
fills before the mid moves (4) and whether own orders on both sides do (5); own orders are last in
their queues. What is printed in Table 4 equals 1 - F(a, b), F(b, a) being the chance that the own
bid at place b fills before an ask queue of a orders is empty; that is what is compared here.

One in `RUNS_A_DAY` runs is also a day of the whole book: 370 trades from 744 ticks on. Volatility
is the root of the sum of squared log changes of the mid, at every change. Depths and the spread are
recomputed figures, as no table has them; their tolerance is that of the volatility.
"""

import math

import numpy as np
from numpy.typing import NDArray

from agents.poisson_flow import PoissonFlow
from experiments.poisson_book import PoissonWorld
from experiments.queue_race import QueueRaces
from experiments.reproduction import Row
from experiments.taped_scenario import VENUE, taped
from experiments.world import World

CITATION = (
    "Cont, R., Stoikov, S. and Talreja, R. (2010), A stochastic model for order book dynamics, "
    "Operations Research 58(3), 549-563, Tables 3-5 and Section 5"
)
DEFAULT_RUNS = 40_000
RUNS_A_DAY = 30

LIMIT_RATES = (1.85, 1.51, 1.09, 0.88, 0.77)
CANCEL_RATES = (0.71, 0.81, 0.68, 0.56, 0.47, 0.47)
MARKET_RATE = 0.94
PLACES = 20
HORIZON_MINUTES = 3.0
MINUTES_A_STEP, WARM_UP_STEPS = 5.0, 4
TRADES_A_DAY, START_TICKS = 370, 744
TOLERANCE, RELATIVE_TOLERANCE = 0.01, 0.025

RISING = (
    (0.500, 0.336, 0.259, 0.216, 0.188),
    (0.664, 0.500, 0.407, 0.348, 0.307),
    (0.741, 0.593, 0.500, 0.437, 0.391),
    (0.784, 0.652, 0.563, 0.500, 0.452),
    (0.812, 0.693, 0.609, 0.548, 0.500),
)
FILLING = (
    (0.497, 0.641, 0.709, 0.749, 0.776),
    (0.302, 0.449, 0.535, 0.591, 0.631),
    (0.206, 0.336, 0.422, 0.483, 0.528),
    (0.152, 0.263, 0.344, 0.404, 0.452),
    (0.118, 0.213, 0.287, 0.346, 0.393),
)
MAKING = (
    (0.266, 0.308, 0.309, 0.300, 0.288),
    (0.308, 0.386, 0.406, 0.406, 0.400),
    (0.309, 0.406, 0.441, 0.452, 0.452),
    (0.300, 0.406, 0.452, 0.471, 0.479),
    (0.288, 0.400, 0.452, 0.479, 0.491),
)
WHOLE_BOOK = {
    "volatility of a day": 0.0228,
    "mean spread (ticks)": 1.35,
    "mean depth at 1 tick": 1.58,
    "mean depth at 2 ticks": 1.65,
    "mean depth at 3 ticks": 1.58,
}
HUMP_TICKS = 2


def race_share(table: int, bids: int, asks: int, races: int, seed: int) -> float:
    """The share of races with the outcome that a table counts; 4 stands for F(bids, asks)."""
    params = QueueRaces.Params(
        venue=VENUE,
        limit_rate=LIMIT_RATES[0],
        market_rate=MARKET_RATE,
        cancel_rate=CANCEL_RATES[0],
        queues=(bids, asks),
        own=(table >= 4, table == 5),
        first_fill=table == 4,
        races=races,
    )
    world = World(taped(QueueRaces, params, HORIZON_MINUTES), seed, record=())
    flow = world.traders[0]
    assert isinstance(flow, QueueRaces)
    while flow.busy:
        world.step()
    return flow.won / flow.over


def day(seed: int) -> NDArray[np.float64]:
    """Volatility, mean spread and mean depths at 1 to 5 ticks of one day of the whole book."""
    far = tuple(1.92 * place**-0.52 for place in range(len(LIMIT_RATES) + 1, PLACES + 1))
    params = PoissonFlow.Params(
        venue=VENUE,
        count=1_000,
        limit_rates=LIMIT_RATES + far,
        cancel_rates=CANCEL_RATES,
        market_rate=MARKET_RATE,
        opening_bid_ticks=START_TICKS,
    )
    world = PoissonWorld(params, MINUTES_A_STEP, seed)
    for _ in range(WARM_UP_STEPS):
        world.step()
    mids, trades, figures = [world.mids_ticks()[-1:]], 0, []
    while trades < TRADES_A_DAY:
        world.step()
        so_far = world.book.feed["trades"]
        last = int(np.searchsorted(so_far, TRADES_A_DAY - trades, "left"))
        mids.append(world.mids_ticks()[: last + 1])
        trades += int(so_far[-1])
        figures.append([world.spread_ticks(), *world.depth_lots(5)])
    moved = np.concatenate(mids) - mids[0][0]
    volatility = np.sqrt((np.diff(np.log(START_TICKS + moved)) ** 2).sum())
    return np.array([volatility, *np.mean(figures, axis=0)])


def reproduce(runs: int, seed: int) -> list[Row]:
    """Three tables of 25 cells with `runs` races each, then days; fewer runs widen tolerances."""
    wider = max(1.0, math.sqrt(DEFAULT_RUNS / runs))
    rows = []
    for table, published in ((3, RISING), (4, FILLING), (5, MAKING)):
        for bids, figures in enumerate(published, 1):
            for asks, figure in enumerate(figures, 1):
                if table == 4:
                    got = 1 - race_share(table, asks, bids, runs, seed)
                else:
                    got = race_share(table, bids, asks, runs, seed)
                error = math.sqrt(got * (1 - got) / runs)
                label = f"Table {table}: {bids} bid, {asks} ask"
                rows.append(_row(label, figure, TOLERANCE * wider, got, error))
    return rows + whole_book(max(2, runs // RUNS_A_DAY), seed, wider)


def whole_book(days: int, seed: int, wider: float) -> list[Row]:
    """Means over days."""
    results = np.array([day(seed + number) for number in range(days)])
    means, errors = results.mean(axis=0), results.std(axis=0, ddof=1) / math.sqrt(days)
    rows = [
        _row(label, published, RELATIVE_TOLERANCE * published * wider, means[place], errors[place])
        for place, (label, published) in enumerate(WHOLE_BOOK.items())
    ]
    hump = float(np.argmax(means[2:5]) + 1)
    return [*rows, _row("hump of the depth (ticks)", HUMP_TICKS, 0.0, hump, 0.0)]


def _row(quantity: str, published: float, tolerance: float, got: float, error: float) -> Row:
    return Row("cont_stoikov_talreja", quantity, published, tolerance, float(got), float(error))
