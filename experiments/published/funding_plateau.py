"""The shape of funding over years: a plateau at the interest, persistence, and falls below zero.

Daily means of Binance BTCUSDT, September 2019 to February 2026: a quarter of the days exactly at
0.01 % in 8 hours, autocorrelation from day to day 0.82, mean 0.0113 %, year means from 0.004 to
0.028 %, lowest day -0.127 % on 13 March 2020. The plateau is the dead band of the rule

    F = P + clamp(0.01 % - P, -0.05 %, +0.05 %),    F = 0.01 % while -0.04 % <= P <= 0.06 %,

so its share says how closely the perpetual is tied. Shapes, not days, are compared: plateau 0.2 to
0.5 of the days, autocorrelation above 0.7, the mean no lower than the lowest year's nor as far
above. Of the rate after a fall of a tenth in a day hardly more than the sign is held: one day.
Averages over `runs` paths of the scenario `funding`, whose demand was set by these shapes.
"""

from functools import partial

import numpy as np

from experiments.reproduction import Range, Row, mean_row, standard_error
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate

CITATION = (
    "Funding rates of Binance BTCUSDT, 2019-09-10 to 2026-02-12, daily; targets for a run as a "
    "shape"
)
DEFAULT_RUNS = 3
_row = partial(mean_row, "funding_plateau")

PERCENT = 100.0


def reproduce(runs: int, seed: int) -> list[Row]:
    """The four shapes, averaged; rates after crashes are weighted by the number of crashes."""
    scenario = find_scenario("funding")
    params = resolve(scenario, {})
    metrics = [simulate(scenario, params, seed + run).metrics for run in range(runs)]
    columns = {key: np.array([run[key] for run in metrics]) for key in metrics[0]}
    crashes = columns["crashes"]
    after = np.nan_to_num(columns["crash_rate"])
    fallen = PERCENT * float(np.average(after, weights=crashes)) if crashes.any() else np.nan
    return [
        _row("share of days at the plateau", 0.25, Range(0.2, 0.5), columns["plateau_share"]),
        _row("autocorrelation of daily means", 0.82, Range(low=0.7), columns["autocorrelation"]),
        _row("mean rate, % in 8 hours", 0.0113, 0.0073, PERCENT * columns["rate_mean"]),
        Row(
            "funding_plateau",
            "mean rate the day after a fall of 10 %, % in 8 hours",
            -0.127,
            0.126,
            fallen,
            standard_error(PERCENT * columns["crash_rate"][crashes > 0]),
        ),
    ]
