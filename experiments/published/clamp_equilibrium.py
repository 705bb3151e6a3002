"""The clamp equilibrium: costless arbitrage parks the premium just outside the dead band.

With the damped rule F = P + clamp(I - P, -d, +d) a hedge that carries g an interval breaks even at

    P = (g + d)/(1 - g) where g > I,    P = (g - d)/(1 - g) where g < I,

since inside the band F is I, which is not g: at d = 5 bp and I = 1 bp a carry of 1.5 bp holds the
premium at +6.5 bp, and the premium jumps by 2d when g crosses I. It is the linear contract of
Ackerer, Hugonnier and Jermann with kappa = 1 and iota = -d or +d. Found by the arbitrageur of the
scenario `perpetual_fair_price`, who compares the next funding rate with his carry and knows no
equilibrium. Tolerance: what costs can hold up, as there; of the jump, twice that. The funding rate
is a row where neither zero nor the interest itself would pass.
"""

from experiments.published.perpetual_fair_price import BP, settled_rows
from experiments.reproduction import Row
from markets.derivatives.fair_price import clamped_equilibrium

CITATION = (
    "Equilibrium of the clamped funding rule of BitMEX and Binance, derived from Ackerer, D., "
    "Hugonnier, J. and Jermann, U. (2024), Perpetual Futures Pricing, NBER working paper 32936"
)
DEFAULT_RUNS = 2

CARRIES_BP = (-1.0, 0.5, 1.5, 3.0)
INTEREST_BP, DAMPER_BP = 1.0, 5.0


def reproduce(runs: int, seed: int) -> list[Row]:
    """Premium and funding at each carry, and the jump between the two next to the interest."""
    rule = {"perpetual.interest_rate": INTEREST_BP / BP, "perpetual.funding_damper": DAMPER_BP / BP}
    rows, premia = [], {}
    for carry_bp in CARRIES_BP:
        carry = carry_bp / BP
        found = clamped_equilibrium(carry, INTEREST_BP / BP, DAMPER_BP / BP)
        expected = (carry, float(found.premium), float(found.funding_rate))
        premium, funding = settled_rows("clamp_equilibrium", rule, expected, runs, seed)
        premia[carry_bp] = premium
        rows += [premium, funding] if _tells(funding) else [premium]
    low, high = premia[0.5], premia[1.5]
    rows.append(
        Row(
            "clamp_equilibrium",
            "jump of the premium across the interest, bp",
            high.published - low.published,
            (high.accepted.high - high.published) + (low.published - low.accepted.low),
            high.got - low.got,
            (high.standard_error**2 + low.standard_error**2) ** 0.5,
        )
    )
    return rows


def _tells(funding: Row) -> bool:
    """Whether neither no funding at all nor the bare interest would be accepted."""
    low, high = funding.accepted
    return not any(low <= rate_bp <= high for rate_bp in (0.0, INTEREST_BP))
