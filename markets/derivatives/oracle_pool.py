"""Oracle-priced pool perpetuals: impact, funding and fees of a pool that is the counterparty.

    impact    factor*(d0^e - d1^e) of the imbalance d = |long - short|, paid into or out of the
              impact pool; when the sign flips: positive*d0^e - negative*d1^e
    funding   per second: larger side pays factor*d^e/total, the smaller receives it times
              larger/smaller; adaptive: F += +-k*(d^e/total)*t above a threshold, decays below one
    average   v1 entry after adding keeps the position's profit unchanged
    mint fee  fee + tax*mean distance/target away from the target, less towards it

Quote (USD) amounts as floats, factors plain, prices oracle prices. The contracts floor every
division in favour of the pool; here the arithmetic is real and the venue rounds when it posts.
Sources: GMX v1 Vault and VaultUtils, GMX v2 (gmx-synthetics README, PricingUtils, MarketUtils);
Jupiter JLP docs. Left out: virtual inventories, swap impact, token-denominated impact amounts.
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column

SMALLEST_FACTOR = 1e-30  # one unit of the contract: a decayed factor keeps its sign


class ImpactRule(NamedTuple):
    """Impact factors when the imbalance shrinks and grows, and their common exponent."""

    positive_factor: Column
    negative_factor: Column
    exponent: Column = 2.0


class AdaptiveRule(NamedTuple):
    """GMX v2 adaptive funding: speeds per second, skew thresholds, largest factor per second."""

    increase_speed: float
    decrease_speed: float
    stable_threshold: float
    decrease_threshold: float
    max_factor: float
    exponent: float = 1.0


class ImpactCaps(NamedTuple):
    """Largest impact in the trader's favour and against him, as shares of the notional."""

    positive: Column
    negative: Column


class MintRule(NamedTuple):
    """GLP fee terms in basis points."""

    fee_bps: Column
    tax_bps: Column


def raised(distance: Column, exponent: Column) -> Column:
    """distance^exponent; 0 below one quote unit, as the contract has it."""
    distance = np.asarray(distance, np.float64)
    return np.where(distance < 1.0, 0.0, np.maximum(distance, 1.0) ** exponent)


def price_impact(
    long_interest: Column, short_interest: Column, signed_change: Column, rule: ImpactRule
) -> Column:
    """Quote impact on the trader (negative: pays); a long increase or short decrease is +.

    `signed_change` moves long minus short; caps by the impact pool come after.
    """
    before = np.subtract(long_interest, short_interest)
    after = before + signed_change
    start = raised(np.abs(before), rule.exponent)
    end = raised(np.abs(after), rule.exponent)
    better = np.abs(after) < np.abs(before)
    factor = np.where(better, rule.positive_factor, rule.negative_factor)
    crossed = before * after < 0.0
    return np.where(
        crossed, rule.positive_factor * start - rule.negative_factor * end, factor * (start - end)
    )


def capped_impact(
    impact: Column, notional: Column, impact_pool: Column, caps: ImpactCaps
) -> Column:
    """Impact held within the pool that pays it and within shares of the notional."""
    ceiling = np.minimum(impact_pool, np.multiply(caps.positive, notional))
    return np.clip(impact, -np.multiply(caps.negative, notional), ceiling)


def size_impact_fraction(notional: Column, scalar: Column) -> Column:
    """Jupiter linear impact: extra fee as a fraction of the notional, notional/scalar."""
    return notional / scalar


def skew_share(long_interest: Column, short_interest: Column, exponent: Column) -> Column:
    """Imbalance^exponent over total open interest; 0 without open interest."""
    total = np.add(long_interest, short_interest)
    skew = np.abs(np.subtract(long_interest, short_interest))
    some = total > 0.0
    return np.where(
        some, np.asarray(skew, np.float64) ** exponent / np.where(some, total, 1.0), 0.0
    )


def paid_rates(
    larger_pays: Column, long_interest: Column, short_interest: Column
) -> tuple[Column, Column]:
    """Rates longs and shorts pay: the larger side's rate, and what the smaller then receives."""
    longs_larger = np.greater(long_interest, short_interest)
    larger = np.maximum(long_interest, short_interest)
    smaller = np.minimum(long_interest, short_interest)
    shared = np.greater(smaller, 0.0)
    received = np.where(shared, -larger_pays * larger / np.where(shared, smaller, 1.0), 0.0)
    return (
        np.where(longs_larger, larger_pays, received),
        np.where(longs_larger, received, larger_pays),
    )


def basic_funding(
    long_interest: Column, short_interest: Column, factor: Column, exponent: Column
) -> tuple[Column, Column]:
    """Rates per second that longs and shorts pay (negative: receive)."""
    rate = factor * skew_share(long_interest, short_interest, exponent)
    return paid_rates(rate, long_interest, short_interest)


def adaptive_factor(
    saved_factor: float,
    long_interest: float,
    short_interest: float,
    seconds: float,
    rule: AdaptiveRule,
) -> float:
    """Next signed funding factor per second (positive: longs pay) after `seconds`."""
    skew = float(skew_share(long_interest, short_interest, rule.exponent))
    direction = np.sign(long_interest - short_interest)
    factor = saved_factor
    if saved_factor * direction <= 0.0 or skew > rule.stable_threshold:
        factor += direction * skew * rule.increase_speed * seconds
    elif skew < rule.decrease_threshold:
        fall = rule.decrease_speed * seconds
        factor = float(np.sign(factor)) * max(SMALLEST_FACTOR, abs(factor) - fall)
    return float(np.clip(factor, -rule.max_factor, rule.max_factor))


def mint_fee_bps(held: Column, change: Column, target: Column, rule: MintRule) -> Column:
    """Fee in basis points for moving a token's value in the pool by a signed quote change."""
    before = np.abs(np.subtract(held, target))
    after = np.abs(np.subtract(np.maximum(0.0, np.add(held, change)), target))
    known = np.greater(target, 0.0)
    goal = np.where(known, target, 1.0)
    rebate = np.maximum(0.0, rule.fee_bps - rule.tax_bps * before / goal)
    tax = rule.tax_bps * np.minimum((before + after) / 2.0, goal) / goal
    fee = np.where(after < before, rebate, rule.fee_bps + tax)
    return np.where(known, fee, rule.fee_bps)
