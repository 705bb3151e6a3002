"""Intervals for means of runs, with runs that share a seed counted as one.

Runs at different points with one seed see the same random numbers, so they are not independent;
what is drawn anew is the seed. The unit is therefore the replicate: the mean over points of the
runs with one seed (or, where each point has seeds of its own, of the k-th run of each point). With
a single replicate the runs themselves are the units.

    t interval          mean ± t(97.5 %, n - 1) s / sqrt(n) over the n units
    bootstrap interval  2.5 and 97.5 % points of the means of 2,000 resamples of the units

Both are about 95 %. A metric that a run does not have is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from markets.errors import ConfigError
from runner.results import Results
from runner.summary import chosen_metrics

RESAMPLES = 2_000
LEVEL = 0.95
BLOCK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A mean with both ends of its interval; the ends are NaN where one unit is all there is."""

    mean: float
    low: float
    high: float
    standard_error: float
    units: int


def good_runs(results: Results) -> pd.DataFrame:
    """The runs that went well, with `point` and `replicate`; raises ConfigError if none did."""
    runs = results.runs
    runs = runs[runs["status"] == "ok"].sort_values("seed", kind="stable").copy()
    if runs.empty:
        raise ConfigError("results", f"no run in {results.folder} went well")
    runs["point"] = runs.groupby(["scenario", "params", "steps"], observed=True).ngroup()
    shared = runs["seed"].nunique() < len(runs)
    runs["replicate"] = runs["seed"] if shared else runs.groupby("point").cumcount()
    return runs


def wanted_metrics(
    runs: pd.DataFrame, named: list[str], most: int | None = None, shown: Sequence[str] = ()
) -> list[str]:
    """The named metrics, or those shown, or those that differ; ConfigError for an unknown name."""
    known = [name.removeprefix("m_") for name in runs.columns if name.startswith("m_")]
    for name in named:
        if name not in known:
            raise ConfigError("--metric", f"no metric {name!r}; known: {', '.join(known)}")
    return named or chosen_metrics(runs, shown, most)


def units(runs: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """What counts as drawn independently: means of replicates, or the runs of a single one."""
    column = runs[f"m_{metric}"].astype(np.float64)
    if runs["replicate"].nunique() > 1:
        column = column.groupby(runs["replicate"]).mean()
    return column.dropna().to_numpy()


def t_interval(values: NDArray[np.float64]) -> Interval:
    """Student's interval for the mean."""
    from scipy.special import stdtrit

    if len(values) < 2:
        mean = float(values.mean()) if len(values) else float("nan")
        return Interval(mean, float("nan"), float("nan"), float("nan"), len(values))
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    wide = float(stdtrit(len(values) - 1, 0.5 + LEVEL / 2)) * error
    return Interval(mean, mean - wide, mean + wide, error, len(values))


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """Percentile interval for the mean; the same values give the same ends."""
    plain = t_interval(values)
    if len(values) < 2:
        return plain
    rng = np.random.default_rng(seed)
    rows = max(1, min(RESAMPLES, BLOCK // len(values)))
    means = [
        values[rng.integers(0, len(values), (min(rows, RESAMPLES - at), len(values)))].mean(axis=1)
        for at in range(0, RESAMPLES, rows)
    ]
    ends = np.quantile(np.concatenate(means), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    low, high = (float(end) for end in ends)
    return Interval(plain.mean, low, high, plain.standard_error, plain.units)
