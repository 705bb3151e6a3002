"""Milionis and others 2022-2023, Nezlobin and Tassy 2025: arbitrage profit by fee and block time.

The scenario `lvr` at 5 % volatility a day, for fees of 1 to 100 basis points (0.01 %), blocks of
2, 12 and 600 seconds, at Poisson and at fixed intervals: arbitrage profit in basis points of the
pool's value a day, the share of Poisson blocks with a trade, and, without a fee, sigma^2/8. Profit
and fees together must make up sigma^2/8 as well. The published figures take fees in numeraire, the
pool in the token paid in: at 100 basis points that raises profit by 0.5 %.
A run is one seed; each cell simulates as many blocks as its scenario asks for.
"""

import math
from typing import NamedTuple

from experiments.reproduction import Row
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate

CITATION = (
    "Milionis, Moallemi, Roughgarden and Zhang (2022), arXiv 2208.06046; Milionis, Moallemi and "
    "Roughgarden (2023), arXiv 2305.14604; Nezlobin and Tassy (2025), arXiv 2505.05113"
)
DEFAULT_RUNS = 1

NO_FEE = 3.125
TOLERANCE = 0.02
WIDER = 0.03
"""For 100 basis points, where few blocks trade."""


class Cell(NamedTuple):
    """One combination and the published profit; for Poisson blocks of 12 s the share of trades."""

    fee_bp: int
    block_seconds: float
    blocks: str
    profit_bp: float
    traded: float = math.nan


CELLS = (
    Cell(1, 12, "poisson", 2.520, 0.806),
    Cell(5, 12, "poisson", 1.421, 0.455),
    Cell(30, 12, "poisson", 0.381, 0.122),
    Cell(100, 12, "poisson", 0.125, 0.040),
    Cell(1, 12, "fixed", 2.420),
    Cell(5, 12, "fixed", 1.272),
    Cell(30, 12, "fixed", 0.321),
    Cell(100, 12, "fixed", 0.104),
    Cell(1, 2, "poisson", 1.968),
    Cell(5, 2, "poisson", 0.793),
    Cell(30, 2, "poisson", 0.168),
    Cell(100, 2, "poisson", 0.052),
    Cell(1, 2, "fixed", 1.824),
    Cell(5, 2, "fixed", 0.684),
    Cell(30, 2, "fixed", 0.140),
    Cell(100, 2, "fixed", 0.043),
    Cell(1, 600, "poisson", 3.022),
    Cell(5, 600, "poisson", 2.672),
    Cell(30, 600, "poisson", 1.548),
    Cell(100, 600, "poisson", 0.711),
)
ROUNDING = 0.0005
"""Half of the last digit of a published figure."""


def reproduce(runs: int, seed: int) -> list[Row]:
    """All cells with `runs` seeds each, after the pool without a fee."""
    profit, error = _measure(Cell(0, 12, "fixed", NO_FEE), runs, seed)["arb_profit_bp_per_day"]
    rows = [Row("lvr", "no fee: profit, bp/day", NO_FEE, 0.01 * NO_FEE, profit, error)]
    for cell in CELLS:
        rows += _rows(cell, runs, seed)
    return rows


def _rows(cell: Cell, runs: int, seed: int) -> list[Row]:
    found = _measure(cell, runs, seed)
    label = f"{cell.fee_bp} bp, {cell.block_seconds:g} s {cell.blocks}"
    profit, profit_error = found["arb_profit_bp_per_day"]
    fees, fees_error = found["fee_income_bp_per_day"]
    within = WIDER if cell.fee_bp == 100 else TOLERANCE
    tolerance = within * cell.profit_bp + ROUNDING
    rows = [
        Row("lvr", f"{label}: profit, bp/day", cell.profit_bp, tolerance, profit, profit_error),
        Row(
            "lvr",
            f"{label}: profit and fees, bp/day",
            NO_FEE,
            0.01 * NO_FEE,
            profit + fees,
            math.hypot(profit_error, fees_error),
        ),
    ]
    if not math.isnan(cell.traded):
        traded, error = found["p_trade"]
        tolerance = within * cell.traded + ROUNDING
        rows.append(Row("lvr", f"{label}: p_trade", cell.traded, tolerance, traded, error))
    return rows


def _measure(cell: Cell, runs: int, seed: int) -> dict[str, tuple[float, float]]:
    """Each metric with its standard error, averaged over the seeds."""
    scenario = find_scenario("lvr")
    settings = {
        "fee_ppm": 100 * cell.fee_bp,
        "block_seconds": cell.block_seconds,
        "blocks": cell.blocks,
    }
    params = resolve(scenario, settings)
    metrics = [simulate(scenario, params, seed + run).metrics for run in range(runs)]
    names = [name[:-3] for name in metrics[0] if name.endswith("_se")]
    return {
        name: (
            sum(found[name] for found in metrics) / runs,
            math.sqrt(sum(found[f"{name}_se"] ** 2 for found in metrics)) / runs,
        )
        for name in names
    }
