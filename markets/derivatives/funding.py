"""Funding: the periodic payment that ties a perpetual to its index.

    premium  P = (max(0, impact_bid - index) - max(0, index - impact_ask)) / index
    rate     F8 = P + clamp(I - P, -d, +d) = median(P - d, I, P + d);  F = clamp(F8*h/8, -cap, +cap)

P average premium, I interest per 8 h, d damper, h interval in hours; all plain fractions. A long
pays when F > 0. BitMEX also limits the change of F; dYdX v4 has no damper and counts in ppm, cut
toward zero; Deribit accrues continuously on p = mark/index - 1.
Only the ppm rules round; atoms owed are rounded by the venue, against the holder.
Sources: BitMEX funding blog (2020-04-17), Binance (2025-09-18), Hyperliquid docs, dYdX v4-chain
`perpetuals` module, Deribit (secondary). State between samples and stamps: `funding_meter`.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from markets.derivatives.contract import Column
from markets.kernel import njit

PPM = 1_000_000
RATE_PERIOD_HOURS = 8.0
RATE_PERIOD_SECONDS = 28_800


class PremiumSamplesRule(NamedTuple):
    """How dYdX turns a list of premium samples into a rate: padding, cut tails, default, in ppm."""

    min_samples: int
    tail_removal_ppm: int
    default_ppm: int


@njit(cache=True)
def impact_price(
    level_prices: NDArray[np.float64], level_sizes: NDArray[np.float64], quote_notional: float
) -> float:
    """Average price, quote per base, of spending `quote_notional` on levels listed best first.

    Sizes are base units. NaN when the levels hold less than the notional.
    """
    left = quote_notional
    base = 0.0
    for level in range(level_prices.size):
        held = level_prices[level] * level_sizes[level]
        if held >= left:
            if level == 0:
                return level_prices[0]
            return quote_notional / (base + left / level_prices[level])
        base += level_sizes[level]
        left -= held
    return np.nan


def premium_sample(impact_bid: Column, impact_ask: Column, index: Column) -> Column:
    """Premium of the impact book over the index, a fraction; a NaN side contributes 0."""
    above = np.fmax(0.0, np.subtract(impact_bid, index))
    below = np.fmax(0.0, np.subtract(index, impact_ask))
    return (above - below) / index


def premium_average(samples: NDArray[np.float64], linear_weights: bool = False) -> Column:
    """Mean over the first axis (oldest sample first); linear weights are 1..n, newest heaviest."""
    if not linear_weights:
        return np.mean(samples, axis=0)
    weights = np.arange(1.0, len(samples) + 1.0)
    return np.average(samples, axis=0, weights=weights)


@register_jitable
def clamp(value: Column, low: Column, high: Column) -> Column:
    """`value` held between `low` and `high`."""
    return np.minimum(np.maximum(value, low), high)


@register_jitable
def damped_rate(average_premium: Column, interest: Column, damper: Column) -> Column:
    """Rate of one full period: the interest inside the dead band, else premium -+ damper."""
    return average_premium + clamp(interest - average_premium, -damper, damper)


@register_jitable
def interval_rate(rate_8h: Column, interval_hours: Column, cap: Column = np.inf) -> Column:
    """Rate charged each interval: the 8 h rate scaled to the interval, held within +-cap."""
    return clamp(rate_8h * interval_hours / RATE_PERIOD_HOURS, -cap, cap)


@register_jitable
def step_limited_rate(
    rate: Column, previous_rate: Column, initial_rate: Column, maintenance_rate: Column
) -> Column:
    """BitMEX limits: |F| <= 0.75 (IM - MM) and |change of F| <= 0.75 MM, margin rates at tier 0."""
    cap = 0.75 * (initial_rate - maintenance_rate)
    step = 0.75 * maintenance_rate
    return clamp(clamp(rate, -cap, cap), previous_rate - step, previous_rate + step)


@register_jitable
def dead_band_rate(mark: Column, index: Column, band: Column = 0.0005) -> Column:
    """Deribit rate per 8 h, accrued continuously: zero while |mark/index - 1| is within `band`."""
    premium = mark / index - 1.0
    return np.maximum(band, premium) + np.minimum(-band, premium)


def premium_ppm(
    best_bid: float, best_ask: float, impact_bid: float, impact_ask: float, index: float
) -> int:
    """dYdX v4 premium vote, ppm truncated toward zero; 0 inside the spread or without depth.

    A quotient within 1e-6 ppm of an integer counts as that integer (binary noise).
    """
    gap = 0.0
    if index < best_bid and impact_bid > index:
        gap = impact_bid - index
    elif index > best_ask and impact_ask < index:
        gap = impact_ask - index
    return int(np.trunc(np.round(gap * PPM / index, 6)))


def median_vote_ppm(votes_ppm: list[int]) -> int:
    """dYdX v4 median of one minute's votes; between two, their mean rounded away from zero."""
    votes = sorted(votes_ppm)
    total = votes[(len(votes) - 1) // 2] + votes[len(votes) // 2]
    return -(-total // 2) if total > 0 else total // 2


def rate_cap_ppm(im_ppm: int, maintenance_fraction_ppm: int, clamp_factor_ppm: int) -> int:
    """dYdX cap on the 8 h rate: factor times (IM - MM), floored, ppm."""
    mm_ppm = im_ppm * maintenance_fraction_ppm // PPM
    return clamp_factor_ppm * (im_ppm - mm_ppm) // PPM


def sampled_rate_ppm(samples_ppm: list[int], rule: PremiumSamplesRule, cap_ppm: int) -> int:
    """dYdX 8 h rate from one period's samples: pad with 0, cut tails, mean toward 0, add default.

    Python integers throughout, so large samples cannot overflow.
    """
    padding = [0] * (rule.min_samples - len(samples_ppm))
    samples = sorted([int(sample) for sample in samples_ppm] + padding)
    cut = len(samples) * 2 * rule.tail_removal_ppm // PPM
    if 0 < cut < len(samples):
        samples = samples[cut // 2 : len(samples) - (cut - cut // 2)]
    total = sum(samples)
    mean = abs(total) // max(1, len(samples)) * (1 if total >= 0 else -1)
    return max(-cap_ppm, min(cap_ppm, mean + rule.default_ppm))


def period_rate(rate_8h_ppm: Column, period_seconds: Column) -> Column:
    """Fraction of notional charged for a period of `period_seconds` at an 8 h rate in ppm."""
    return rate_8h_ppm * period_seconds / (PPM * RATE_PERIOD_SECONDS)
