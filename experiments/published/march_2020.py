"""12-13 March 2020: the fall, the worst hour, two waves, funding below zero, a fund that held.

BTC/USD on Bitstamp fell from 7,934.57 to 3,850.00 (-51.5 %), -16.5 % from close to close in the
worst hour; two waves 13 to 16 hours apart (10:00 to 23:00-02:00); Binance's mean funding on the
13th, -0.127 % in 8 hours, is the lowest of its history; BitMEX's insurance fund lost 2,606 of about
35,000 XBT and nobody was deleveraged. Averages over runs of the scenario `march_2020`, on the
built-in turning points, or, where the folder of histories is named by `FATHOM_DATA`, on the day's
hourly bars; each row names the path.

The maker of the spot book follows the path: fall and hour show that the book keeps up. The funding
was fitted, by size and limit of the basis trader's orders: its row is a fit. The fund's size and
the two minutes for which it rests what it takes over were chosen: its row says that it paid, and
lost no more than twice the published part.

Maker's auctions are the scenario `collateral_auctions` on the same path: 8.32 million dollars of
ether, 36 % of all liquidations, went for zero bids; gas rose about sixfold, to 80 gwei
(Whiterabbit, Glassnode). Both are fitted and predict nothing: the zero bids by the keepers' count,
caps (`cap_low`, `cap_high`) and stablecoin (`stable`), the gas by the crowd (`urgency`, `most`,
`memory_seconds`, `worth_median`, `calm_per_hour`). Zero bids come of dear gas and, three tenths of
them, of keepers out of stablecoin; by run their share is 0.16 to 0.72, in 12 runs on the bars 0.43
on average. Nobody published what gas-aware keepers would have changed: below 2 % is our target. No
rows: the missing 5.67 million DAI, 0.68 of what went for nothing (here about a half, and too
uncertain to tell anything), and that one bidder won most of it (there is one).
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.paths import History
from experiments.reproduction import Range, Row, mean_row
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate
from markets.errors import ConfigError

CITATION = (
    "BTC/USD on Bitstamp, hourly, 12-13 March 2020; funding of Binance BTCUSDT; insurance fund of "
    "BitMEX, March 2020; Whiterabbit, Black Thursday for MakerDAO, 14 March 2020"
)
DEFAULT_RUNS = 4

BARS = "btc_hourly/bitstamp_btcusd_1h_2020-03-09_15.csv"
FIRST, LAST = datetime(2020, 3, 11, 23), datetime(2020, 3, 13, 23)
VARIABLE = "FATHOM_DATA"
FUND_FALL = 2_606 / 35_000
Shape = tuple[str, str, float, float | Range]

SHAPES: tuple[Shape, ...] = (
    ("fall of the spot book", "fall", -0.515, 0.02),
    ("worst hour of the spot book", "worst_hour", -0.165, 0.02),
    ("mean funding on the 13th, % in 8 hours (fitted)", "funding_percent", -0.127, 0.1),
    ("hours between the waves", "waves_apart", math.nan, Range(13.0, 16.0)),
    ("largest fall of the fund, part of it", "fund_drawdown", FUND_FALL, Range(0, 2 * FUND_FALL)),
    ("ADL over liquidations", "adl_ratio", 0.0, 0.02),
)
"""Quantity, metric, published figure if there is one, and what is accepted."""

AUCTIONS: tuple[Shape, ...] = (
    ("zero bids over liquidated collateral (fitted)", "zero_share", 0.36, 0.09),
    ("gas price, times the calm one (fitted)", "gas_rise", 6.0, 1.5),
)
AWARE: tuple[Shape, ...] = (
    ("zero bids with gas-aware keepers (our target)", "zero_share", math.nan, Range(high=0.02)),
)
"""The same of the auctions, with default keepers and with gas-aware ones."""


def history() -> History | None:
    """The hourly bars of the two days, from the close before; None where no folder is named.

    Raises ConfigError where the folder that is named does not have them.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    path = Path(folder) / BARS
    if not path.is_file():
        raise ConfigError(VARIABLE, f"no {BARS} in {folder}")
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
    rows = [*_rows(SHAPES, crash), *_rows(AUCTIONS, default), *_rows(AWARE, aware)]
    name = "turning points" if path is None else "hourly bars"
    return [replace(row, quantity=f"{name}: {row.quantity}") for row in rows]


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
        mean_row("march_2020", quantity, published, accepted, [run[metric] for run in metrics])
        for quantity, metric, published, accepted in shapes
    ]
