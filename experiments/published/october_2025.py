"""10 October 2025 as a shape: the burst, the vanished depth, auto-deleveraging (ADL) and who paid.

Published, market-wide (Amberdata): of the notional liquidated in 14 hours 70 % within 40 minutes
and 32 % in the peak minute, 21:15 UTC. Of Hyperliquid, 21:15 to 21:27 (public replay of its fills):
ADL over liquidations 0.38, first ADL 61.7 s after the first liquidation. Kaiko: almost nothing near
the mid for minutes, while the 4 % and 10 % bands held bids. Chitra (arXiv 2512.01112 v3): a queue
closes the most profitable far beyond what pro rata asks of them. One contract stands for 162 here,
so sizes in dollars are not compared. Averages over runs of the scenario `october_2025`, each once
with the queue and once pro rata. A share is accepted in a range about what was published; of depth
no figure was, "almost nothing" is taken for less than 5 %; of the haircuts only the sign is held.
"""

import math
from functools import partial

from experiments.reproduction import ABOVE_ZERO, Range, Row, mean_row
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate

CITATION = (
    "Amberdata, Kaiko and public replays of Hyperliquid's fills of 10 October 2025; Chitra, T., "
    "Autodeleveraging: Impossibilities and Optimization, arXiv 2512.01112 v3"
)
DEFAULT_RUNS = 2
_row = partial(mean_row, "october_2025")

SHAPES = (
    ("worst 40 minutes, part of liquidations", "worst_40_share", 0.70, Range(0.6, 0.8)),
    ("worst minute, part of liquidations", "worst_minute_share", 0.32, 0.07),
    ("ADL over liquidations", "adl_ratio", 0.38, 0.07),
    ("first ADL after first liquidation, s", "adl_delay_seconds", 61.7, Range(30.0, 120.0)),
    ("least depth within 1 % over that before", "depth_left", math.nan, Range(high=0.05)),
)
"""Quantity, metric, published figure if there is one, and what is accepted."""
PRO_RATA = {"perpetual.liquidation.ranking": "pro_rata"}


def reproduce(runs: int, seed: int) -> list[Row]:
    """The shapes under the queue; what the tenth that won most lose more than pro rata; money."""
    scenario = find_scenario("october_2025")
    queue, shared = (
        [
            simulate(scenario, resolve(scenario, overrides), seed + run).metrics
            for run in range(runs)
        ]
        for overrides in ({}, PRO_RATA)
    )
    rows = [
        _row(quantity, published, accepted, [run[metric] for run in queue])
        for quantity, metric, published, accepted in SHAPES
    ]
    over = [a["top_haircut"] - b["top_haircut"] for a, b in zip(queue, shared, strict=True)]
    rows.append(
        _row("top winners' haircut, queue less pro rata (sign)", math.nan, ABOVE_ZERO, over)
    )
    residual = [run["ledger_residual_atoms"] for run in (*queue, *shared)]
    rows.append(_row("money made or lost, atoms", 0.0, 0.0, residual))
    return rows
