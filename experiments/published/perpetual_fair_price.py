"""Ackerer, Hugonnier, Jermann: the fair price of a perpetual, found by arbitrageurs who trade it.

A perpetual whose longs pay kappa (f - x) + iota x is worth, with rates ra of quote and rb of base,

    linear     f = x (kappa - iota)(1 + rb) / (rb - ra + kappa (1 + rb))    on the spot before
    inverse    f = x (kappa + ra - rb) / (kappa - iota_b)
    quanto     f = x (kappa - iota) / (kappa + rb - ra - rho sx sz)         paid in an asset z

all per interval, and without damper the venue's rule is kappa = 1, iota = 0 per 8 hours. In the
scenario `perpetual_fair_price` an arbitrageur with ample capital compares the funding to be
expected with his carry, ra - rb, and trades on real books against a demand for leverage; that of a
quanto measures the covariance that his hedge will cost him. The formula is known to nobody.
Compared is the time-mean of the funding rate, which at these prices is f/x - 1 for f the impact
prices of the book, those that a trade of some size gets. (The premium of the mids is no second row:
it has the same target and lies 0.7 to 1.0 bp beyond it, at -1,500 % outside the tolerance.) The
tolerance is what costs can hold up: half of both spreads and the arbitrageur's own cost, below
1 bp. At a carry of +-50 or +-100 % a year linear and inverse prices differ by a hundredth of that:
these rows show that arbitrage brings the premium to the carry, in either form. At +-1,500 % they
lie 1.9 bp apart, and those rows tell the forms apart; the quanto's tell the covariance, 8.2 bp,
from none. At the 5 % of real markets the premium is 0.46 bp: zero would pass, and it is no row.
Left out: random rates.
"""

from collections.abc import Mapping

import numpy as np

from experiments.reproduction import Row
from experiments.scenario import find_scenario
from experiments.scenarios.perpetual_fair_price import Params, cost_band
from experiments.simulate import resolve, simulate
from markets.derivatives.contract import INVERSE, LINEAR, QUANTO
from markets.derivatives.fair_price import Carry, continuous_price, discrete_price

CITATION = (
    "Ackerer, D., Hugonnier, J. and Jermann, U. (2024), Perpetual Futures Pricing, "
    "NBER working paper 32936: fair prices of linear, inverse and quanto contracts"
)
DEFAULT_RUNS = 2

RATES_PER_YEAR = (0.5, 1.0, -0.5, -1.0)
"""Rate of quote less rate of base, where both forms are worth the same."""
FAR_RATES_PER_YEAR = (15.0, -15.0)
"""Where they are not."""
FAR: dict[str, object] = {"perpetual_maker.largest_skew": 0.1, "perpetual.funding_cap": 0.5}
"""What leaves room for a premium of 1.4 %."""
CORRELATIONS = (0.9, -0.9)
QUANTO_RATE_PER_YEAR = 0.05
VOLATILE: dict[str, object] = {
    "contract": "quanto",
    "volatility_per_year": 1.0,
    "settlement_volatility_per_year": 1.0,
    "perpetual_maker.risk_aversion": 27,
}
"""Both assets at 100 % a year, and a maker who leans as much as at 30 %."""
INTERVALS_A_YEAR = 365 * 3
BP = 1e4


def reproduce(runs: int, seed: int) -> list[Row]:
    """Funding of each case, in basis points, over `runs` paths of some weeks."""
    cases: list[tuple[dict[str, object], float, float]] = []
    for rate in RATES_PER_YEAR:
        carry = rate / INTERVALS_A_YEAR
        cases.append(({}, carry, _linear(carry)))
    for rate in FAR_RATES_PER_YEAR:
        carry = rate / INTERVALS_A_YEAR
        cases.append((FAR, carry, _linear(carry)))
        cases.append(({**FAR, "contract": "inverse"}, carry, _inverse(carry)))
    for correlation in CORRELATIONS:
        carry, covariance = QUANTO_RATE_PER_YEAR / INTERVALS_A_YEAR, correlation / INTERVALS_A_YEAR
        fair = _quanto(carry, covariance)
        cases.append(({**VOLATILE, "correlation": correlation}, carry, fair))
    return [
        settled_rows("perpetual_fair_price", overrides, (carry, fair, fair), runs, seed)[1]
        for overrides, carry, fair in cases
    ]


def _linear(carry: float) -> float:
    return float(discrete_price(LINEAR, 1.0, Carry(1.0, 0.0, carry, 0.0))) - 1.0


def _inverse(carry: float) -> float:
    return float(continuous_price(INVERSE, 1.0, Carry(1.0, 0.0, carry, 0.0))) - 1.0


def _quanto(carry: float, covariance: float) -> float:
    return float(continuous_price(QUANTO, 1.0, Carry(1.0, 0.0, carry, 0.0), covariance)) - 1.0


def settled_rows(
    name: str,
    overrides: Mapping[str, object],
    expected: tuple[float, float, float],
    runs: int,
    seed: int,
) -> list[Row]:
    """Premium and funding of the scenario at one carry; all three of `expected` an interval."""
    carry, premium, funding = expected
    scenario = find_scenario("perpetual_fair_price")
    rate = carry * INTERVALS_A_YEAR
    params = resolve(scenario, {**overrides, "arbitrageur.carry_per_year": rate})
    assert isinstance(params, Params)
    metrics = [simulate(scenario, params, seed + run).metrics for run in range(runs)]
    band = BP * cost_band(params)
    error = BP * float(np.sqrt(np.mean([m["premium_se"] ** 2 for m in metrics]) / runs))
    means = {key: BP * float(np.mean([m[key] for m in metrics])) for key in metrics[0]}
    label = f"{params.contract}, carry {BP * carry:+.3g} bp an interval"
    if params.correlation:
        label += f", correlation {params.correlation:+.1f}"
    return [
        Row(name, f"{label}: premium, bp", BP * premium, band, means["premium_mean"], error),
        Row(name, f"{label}: funding, bp", BP * funding, band, means["funding_mean"], error),
    ]
