"""Rates and impact of a pool-based perpetual: parameters and open interest in, floats out.

    impact    GMX v2 impact of the imbalance, capped by the impact pool and by parts of the
              notional, less size^2/scalar (Jupiter); quote units, below 0 the trader pays
    borrow    factor per second on the notional of a position, by usage = reserved/pool
    funding   factors per second that longs and shorts pay on their notional

The formulae stand in `oracle_pool` and `interest`; here a venue's parameters meet them. Nothing is
rounded: the venue does, in the pool's favour.
"""

from typing import NamedTuple

from markets.derivatives.interest import UsageCurve, usage_factor
from markets.derivatives.oracle_pool import (
    AdaptiveRule,
    ImpactCaps,
    ImpactRule,
    adaptive_factor,
    basic_funding,
    capped_impact,
    paid_rates,
    price_impact,
    size_impact_fraction,
)
from markets.derivatives.pool_perpetual_params import PoolFunding, PoolPerpetualParams


class Interest(NamedTuple):
    """Notional of longs and shorts, value of the pool and of the impact pool, in quote units."""

    longs: float
    shorts: float
    pool: float
    impact_pool: float


def impact_quote(
    params: PoolPerpetualParams, interest: Interest, change: float, forced: bool
) -> float:
    """Impact on a trade that moves longs less shorts by `change` quote units."""
    rule = ImpactRule(
        params.positive_impact_factor, params.negative_impact_factor, params.impact_exponent
    )
    worst = params.liquidation_impact_cap if forced else params.negative_impact_cap
    caps = ImpactCaps(params.positive_impact_cap, worst)
    impact = price_impact(interest.longs, interest.shorts, change, rule)
    held = float(capped_impact(impact, abs(change), interest.impact_pool, caps))
    if params.linear_impact_quote and not forced:
        held -= abs(change) * float(size_impact_fraction(abs(change), params.linear_impact_quote))
    return held


def borrow_per_second(params: PoolPerpetualParams, interest: Interest) -> float:
    """Factor per second; each side's notional is reserved."""
    if interest.pool <= 0:
        return 0.0
    usage = min(1.0, (interest.longs + interest.shorts) / interest.pool)
    curve = UsageCurve(
        params.borrow_optimal_usage, params.borrow_base_per_second, params.borrow_above_per_second
    )
    return float(usage_factor(curve, usage))


def funding_per_second(
    params: PoolPerpetualParams, interest: Interest, saved: float, seconds: float
) -> tuple[float, float, float]:
    """What longs and shorts pay per second, and the adaptive factor to be kept.

    While a side is empty nobody pays, and the adaptive factor begins anew (gmx-synthetics).
    """
    longs, shorts = interest.longs, interest.shorts
    if params.funding is PoolFunding.NONE or min(longs, shorts) <= 0:
        return 0.0, 0.0, 0.0
    if params.funding is PoolFunding.BASIC:
        paid = basic_funding(longs, shorts, params.funding_factor, params.funding_exponent)
        return float(paid[0]), float(paid[1]), saved
    rule = AdaptiveRule(
        params.funding_increase,
        params.funding_decrease,
        params.funding_stable_threshold,
        params.funding_decrease_threshold,
        params.funding_factor,
        params.funding_exponent,
    )
    factor = adaptive_factor(saved, longs, shorts, seconds, rule)
    if (factor > 0) == (longs > shorts):
        pays = paid_rates(abs(factor), longs, shorts)
        return float(pays[0]), float(pays[1]), factor
    payer, other = (longs, shorts) if factor > 0 else (shorts, longs)
    received = -abs(factor) * payer / other
    return (factor, received, factor) if factor > 0 else (received, -factor, factor)
