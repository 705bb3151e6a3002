"""Ackerer, Hugonnier, Jermann: the fair price of a perpetual, found by arbitrageurs who trade it.

A linear perpetual whose longs pay kappa (f - x) + iota x is worth, with rates ra of quote and rb of
base and funding on the spot before,

    f = x (kappa - iota)(1 + rb) / (rb - ra + kappa (1 + rb))        all per interval,

and without damper the venue's rule is kappa = 1, iota = 0 per 8 hours. In the scenario
`perpetual_fair_price` an arbitrageur with ample capital compares the funding to be expected with
his carry, ra - rb, and trades on real books against a demand for leverage; the formula is known to
nobody. Compared are the time-mean of f/x - 1, and of the funding rate with the carry. The tolerance
is what costs can hold up: half of both spreads and the arbitrageur's own cost, below 1 bp.
Left out: inverse and quanto contracts, random rates.
"""

import numpy as np

from experiments.reproduction import Row
from experiments.scenario import find_scenario
from experiments.scenarios.perpetual_fair_price import Params, cost_band
from experiments.simulate import resolve, simulate
from markets.derivatives.contract import LINEAR
from markets.derivatives.fair_price import Carry, discrete_price

CITATION = (
    "Ackerer, D., Hugonnier, J. and Jermann, U. (2024), Perpetual Futures Pricing, "
    "NBER working paper 32936: fair price of the linear contract"
)
DEFAULT_RUNS = 2

RATES_PER_YEAR = (0.05, 0.5, 1.0, -0.5, -1.0)
"""Rate of quote less rate of base."""
INTERVALS_A_YEAR = 365 * 3
BP = 1e4


def reproduce(runs: int, seed: int) -> list[Row]:
    """Premium and funding at each rate, in basis points, over `runs` paths of some weeks."""
    rows = []
    for rate in RATES_PER_YEAR:
        carry = rate / INTERVALS_A_YEAR
        fair = float(discrete_price(LINEAR, 1.0, Carry(1.0, 0.0, carry, 0.0))) - 1.0
        rows += settled_rows("perpetual_fair_price", {}, (carry, fair, carry), runs, seed)
    return rows


def settled_rows(
    name: str,
    overrides: dict[str, float],
    expected: tuple[float, float, float],
    runs: int,
    seed: int,
) -> list[Row]:
    """Rows of the scenario at one carry; expected = (carry, premium, funding) an interval."""
    carry, premium, funding = expected
    scenario = find_scenario("perpetual_fair_price")
    rate = carry * INTERVALS_A_YEAR
    params = resolve(scenario, {**overrides, "arbitrageur.carry_per_year": rate})
    assert isinstance(params, Params)
    metrics = [simulate(scenario, params, seed + run).metrics for run in range(runs)]
    band = BP * cost_band(params)
    error = BP * float(np.sqrt(np.mean([m["premium_se"] ** 2 for m in metrics]) / runs))
    means = {key: BP * float(np.mean([m[key] for m in metrics])) for key in metrics[0]}
    label = f"carry {BP * carry:+.3g} bp an interval"
    return [
        Row(name, f"{label}: premium, bp", BP * premium, band, means["premium_mean"], error),
        Row(name, f"{label}: funding, bp", BP * funding, band, means["funding_mean"], error),
    ]
