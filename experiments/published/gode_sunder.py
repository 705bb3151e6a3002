"""Gode and Sunder 1993, Tables 2 and 3: markets of traders without intelligence, five schedules.

Six buyers and six sellers with induced values and costs trade by the rules of
`agents.zero_intelligence`, unconstrained (ZI-U) and under the constraint not to lose (ZI-C).
Efficiency is the profit of all in percent of the largest possible. Dispersion is the root over
traders of the mean squared difference between a trader's profit and that at the equilibrium price.

A run is one period of each market with both kinds of traders; figures are means over periods. The
paper does not say how many shouts a period has: 2,000 here, which exhausts the markets. ZI-U
efficiency follows from the schedules alone, as then all units trade. The schedules are read off the
paper's figures; market 5's steps are evened out. Left out: human traders, and the dispersion of
ZI-U, where replications are up to half off what is printed.
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.zero_intelligence import ZeroIntelligenceTraders
from experiments.reproduction import Row, mean_row
from experiments.taped_scenario import VENUE, taped
from experiments.world import World

CITATION = (
    "Gode, D. K. and Sunder, S. (1993), Allocative efficiency of markets with zero-intelligence "
    "traders, Journal of Political Economy 101(1), 119-137, Tables 2-3"
)
DEFAULT_RUNS = 120
_row = partial(mean_row, "gode_sunder")

Schedule = tuple[tuple[int, ...], ...]


def _dealt(first: int, last: int, others_ticks: int) -> Schedule:
    """Market 5: 18 steps dealt in turn to three traders, and three with seven units alike."""
    steps = [int(step) for step in np.rint(np.linspace(first, last, 18))]
    return tuple(tuple(steps[trader::3]) for trader in range(3)) + ((others_ticks,) * 7,) * 3


class Published(NamedTuple):
    """A market: schedules, equilibrium price in ticks, and the two tables."""

    values_ticks: Schedule
    costs_ticks: Schedule
    equilibrium_ticks: float
    efficiency_unconstrained: float
    efficiency: float
    dispersion: float


MARKETS = (
    Published(
        ((102, 97, 92, 87, 82, 77),) * 6, ((34, 46, 58, 70, 82, 94),) * 6, 82, 90.0, 99.9, 28.5
    ),
    Published(
        ((117, 105, 93, 81, 69, 57),) * 6, ((49, 54, 59, 64, 69, 74),) * 6, 69, 90.0, 99.2, 49.8
    ),
    Published(((133, 95, 90),) * 6, ((90, 95, 100),) * 6, 95, 76.7, 99.0, 15.9),
    Published(
        ((180, 175, 170, 165, 160),) * 6, ((90, 142, 170, 190, 198),) * 6, 170, 48.8, 98.2, 60.5
    ),
    Published(_dealt(159, 131, 127), _dealt(96, 124, 131), 129, 86.0, 97.1, 19.1),
)
UNCONSTRAINED_TOLERANCES = (0.1, 0.1, 0.1, 0.1, 1.0)
TOLERANCE, DISPERSION_TOLERANCE = 1.5, 0.30
"""Of ZI-C: percentage points of efficiency, and a share of the dispersion."""


def surplus_ticks(values_ticks: Schedule, costs_ticks: Schedule) -> int:
    """The largest profit that all traders together can make."""
    values = sorted(np.concatenate(values_ticks).tolist(), reverse=True)
    costs = sorted(np.concatenate(costs_ticks).tolist())
    return sum(max(value - cost, 0) for value, cost in zip(values, costs, strict=False))


def equilibrium_profits(market: Published) -> NDArray[np.float64]:
    """What each trader makes if all trade at the equilibrium price, buyers first."""
    gains = [np.array(own) - market.equilibrium_ticks for own in market.values_ticks]
    gains += [market.equilibrium_ticks - np.array(own) for own in market.costs_ticks]
    return np.array([np.maximum(gain, 0).sum() for gain in gains])


def periods(market: Published, constrained: bool, runs: int, seed: int) -> NDArray[np.float64]:
    """Efficiency in percent and dispersion in ticks, a row for each period."""
    params = ZeroIntelligenceTraders.Params(
        venue=VENUE,
        values_ticks=market.values_ticks,
        costs_ticks=market.costs_ticks,
        constrained=constrained,
    )
    world = World(taped(ZeroIntelligenceTraders, params, 1.0), seed, record=())
    traders = world.traders[0]
    assert isinstance(traders, ZeroIntelligenceTraders)
    while len(traders.profits) < runs:
        world.step()
    profits = np.array(traders.profits)
    most_ticks = surplus_ticks(market.values_ticks, market.costs_ticks)
    apart = profits - equilibrium_profits(market)
    dispersion = np.sqrt((apart**2).mean(axis=1))
    return np.column_stack([100 * profits.sum(axis=1) / most_ticks, dispersion])


def reproduce(runs: int, seed: int) -> list[Row]:
    """Both tables with `runs` periods a market; fewer than the default widen tolerances."""
    wider = max(1.0, math.sqrt(DEFAULT_RUNS / runs))
    rows = []
    for number, market in enumerate(MARKETS, 1):
        free = periods(market, False, runs, seed)[:, 0]
        bound = periods(market, True, runs, seed)
        exact = UNCONSTRAINED_TOLERANCES[number - 1]
        label = f"market {number}"
        spread = DISPERSION_TOLERANCE * market.dispersion * wider
        rows += [
            _row(f"{label}: ZI-U efficiency", market.efficiency_unconstrained, exact, free),
            _row(f"{label}: ZI-C efficiency", market.efficiency, TOLERANCE * wider, bound[:, 0]),
            _row(f"{label}: ZI-C dispersion", market.dispersion, spread, bound[:, 1]),
        ]
    return rows
