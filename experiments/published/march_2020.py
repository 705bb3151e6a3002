"""12-13 March 2020: the fall, the worst hour, two waves, funding below zero, a fund that held.

BTC/USD on Bitstamp fell from 7,934.57 to 3,850.00 (-51.5 %), -16.5 % from close to close in the
worst hour; two waves 13 to 16 hours apart (10:00 to 23:00-02:00); Binance's mean funding on the
13th, -0.127 % in 8 hours, is the lowest of its history; BitMEX's insurance fund lost 2,606 of about
35,000 XBT and nobody was deleveraged. The books, not the path, are compared: the low and the hour
are those of the spot book's mid, the waves those of the liquidations on the perpetual. Averages
over runs of the scenario `march_2020`, on the built-in turning points or, where the folder of
histories is named by `FATHOM_DATA`, on the day's hourly bars.

Maker's auctions are the scenario `collateral_auctions` on the same path: 8.32 million dollars of
ether, 36 % of all liquidations, went for zero bids; 5.67 million DAI were missing; gas rose about
sixfold, to 80 gwei (Whiterabbit, Glassnode). What would have been had keepers paid for gas what it
took, nobody published: the target is ours, below 2 %. That one bidder won most of it is no result
here: there is one in the scenario.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.paths import History
from experiments.reproduction import Row
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate

CITATION = (
    "BTC/USD on Bitstamp, hourly, 12-13 March 2020; funding of Binance BTCUSDT; insurance fund of "
    "BitMEX, March 2020; Whiterabbit, Black Thursday for MakerDAO, 14 March 2020"
)
DEFAULT_RUNS = 4

BARS = "btc_hourly/bitstamp_btcusd_1h_2020-03-09_15.csv"
FIRST, LAST = datetime(2020, 3, 11, 23), datetime(2020, 3, 13, 23)
Shape = tuple[str, str, float, float]

SHAPES = (
    ("fall of the spot book", "fall", -0.515, 0.02),
    ("worst hour of the spot book", "worst_hour", -0.165, 0.02),
    ("mean funding on the 13th, % in 8 hours", "funding_percent", -0.127, 0.1),
    ("hours between the waves", "waves_apart", 14.5, 1.5),
    ("ADL over liquidations", "adl_ratio", 0.0, 0.02),
)
"""Quantity, metric, published figure and tolerance."""

AUCTIONS = (
    ("zero bids over liquidated collateral", "zero_share", 0.36, 0.09),
    ("gas price, times the calm one", "gas_rise", 6.0, 1.5),
    ("shortfall over what zero bids won", "short_of_zero", 5.67 / 8.32, 0.3),
)
AWARE = (("zero bids where keepers pay for gas what it takes", "zero_share", 0.0, 0.02),)
"""The same of the auctions, with default keepers and with gas-aware ones."""


def history() -> History | None:
    """The hourly bars of the two days where they are at hand, from the close before."""
    folder = os.environ.get("FATHOM_DATA")
    path = Path(folder) / BARS if folder else None
    if path is None or not path.is_file():
        return None
    bars = pd.read_csv(path, parse_dates=["date"]).set_index("date")
    before, bars = bars.loc[FIRST, "close"], bars.loc[FIRST:LAST].iloc[1:]
    columns = {name: np.array(bars[name], np.float64) for name in ("open", "high", "low", "close")}
    columns["open"][0] = before
    seconds = 3600.0 * np.arange(len(bars), dtype=np.float64)
    return History.from_bars(seconds, list(columns.values()))


def reproduce(runs: int, seed: int) -> list[Row]:
    """All shapes, averaged over `runs`."""
    seeds, path = range(seed, seed + runs), history()
    crash = _metrics("march_2020", {}, seeds, path)
    for run in crash:
        run["funding_percent"] = 100 * run["funding_second_day"]
        run["waves_apart"] = run["second_wave"] - run["first_wave"]
    default = _metrics("collateral_auctions", {}, seeds, path)
    aware = _metrics("collateral_auctions", {"keepers.gas_aware": True}, seeds, path)
    return [*_rows(SHAPES, crash), *_rows(AUCTIONS, default), *_rows(AWARE, aware)]


def _metrics(
    name: str, overrides: dict[str, Any], seeds: Iterable[int], path: History | None
) -> list[dict[str, float]]:
    """The metrics of a scenario for each seed."""
    scenario = find_scenario(name)
    params = resolve(scenario, overrides)
    return [simulate(scenario, params, seed, history=path).metrics for seed in seeds]


def _rows(shapes: Sequence[Shape], metrics: Sequence[dict[str, float]]) -> list[Row]:
    """A row for each shape, its mean over the runs."""
    return [
        _row(quantity, published, tolerance, np.array([run[metric] for run in metrics]))
        for quantity, metric, published, tolerance in shapes
    ]


def _row(quantity: str, published: float, tolerance: float, values: np.ndarray) -> Row:
    """A mean over runs with its standard error; NaN for a single run."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return Row("march_2020", quantity, published, tolerance, float(values.mean()), float(error))
