"""Close-out stages: how much a venue takes from an unsafe account, and by which door.

    dYdX v4       close min(max(min_notional, 10 %), what the block still allows the subaccount)
    Hyperliquid   equity >= MM none; >= 2/3 MM order to the book (20 % first above 100k quote);
                  >= 0 backstop takes all; < 0 ADL
    FTX           below auto-close: (1 - MF/ACMF) of the position to backstop providers at
                  2/3 zero price + 1/3 mark, zero price = mark*(1 - side*MF)
    risk tiers    reduce to the next bracket's floor and try again            BitMEX, OKX

Equity, MM and notional in quote units, MF the margin fraction. Quantities are real numbers; a venue
rounds them up to lots, which closes more, never less. Sources: dYdX v4-chain liquidations config,
Hyperliquid docs, FTX liquidations page, BitMEX and OKX guides. Left out: FTX's random pacing by
second (a venue's stream decides it).
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column
from markets.derivatives.margin import Tiers, tier_of


class Stage(IntEnum):
    """Where an account stands in the liquidation waterfall."""

    NONE = 0
    BOOK = 1
    BACKSTOP = 2
    ADL = 3


class CloseLimits(NamedTuple):
    """dYdX limits on one liquidation: quote minimum, position share, quote limit per block."""

    min_notional: Column = 1_000.0
    max_portion: Column = 0.1
    block_limit: Column = 100_000.0


class BookRule(NamedTuple):
    """Hyperliquid rule: backstop below MM/divisor; above the notional only a part first."""

    backstop_divisor: float = 1.5
    large_notional: float = 100_000.0
    first_part: float = 0.2


class BackstopRule(NamedTuple):
    """FTX backstop: auto-close margin fraction, smallest quote size, weight of the zero price."""

    auto_close_fraction: float
    min_notional: float = 1_000.0
    zero_price_weight: float = 2.0 / 3.0


class BackstopTerms(NamedTuple):
    """Size handed over (base), zero price and the provider's price (quote per base)."""

    close_size: Column
    zero_price: Column
    counterparty_price: Column


def block_close_notional(
    notional: Column, already_liquidated: Column, limits: CloseLimits
) -> Column:
    """Quote notional dYdX may close of a position in this block."""
    smallest = np.minimum(limits.min_notional, notional)
    largest = np.maximum(smallest, np.multiply(notional, limits.max_portion))
    left = np.maximum(0.0, np.subtract(limits.block_limit, already_liquidated))
    return np.minimum(notional, np.minimum(largest, left))


def margin_stage(equity: Column, requirement: Column, rule: BookRule) -> Column:
    """`Stage` codes of accounts by equity against maintenance requirement, quote units."""
    below = np.less(equity, requirement).astype(np.int64)
    far_below = below & np.less(np.multiply(rule.backstop_divisor, equity), requirement)
    return below + far_below + (far_below & np.less(equity, 0.0))


def staged_notional(
    stage: Column, notional: Column, after_cooldown: Column, rule: BookRule
) -> Column:
    """Quote notional closed at a stage: a part first of a large position sent to the book."""
    part = np.equal(stage, Stage.BOOK) & np.greater(notional, rule.large_notional)
    part = part & ~np.asarray(after_cooldown, bool)
    closed = np.where(part, rule.first_part * np.asarray(notional, np.float64), notional)
    return np.where(np.equal(stage, Stage.NONE), 0.0, closed)


def backstop_terms(
    side: Column, size: Column, mark: Column, margin_fraction: Column, rule: BackstopRule
) -> BackstopTerms:
    """What FTX hands to backstop providers; nothing at or above the auto-close fraction."""
    share = 1.0 - margin_fraction / rule.auto_close_fraction
    smallest = np.minimum(np.divide(rule.min_notional, mark), size)
    closed = np.minimum(np.maximum(share * size, smallest), size)
    closed = np.where(np.greater_equal(margin_fraction, rule.auto_close_fraction), 0.0, closed)
    zero_price = mark * (1.0 - side * margin_fraction)
    weight = rule.zero_price_weight
    return BackstopTerms(closed, zero_price, weight * zero_price + (1.0 - weight) * mark)


def tier_reduction(tiers: Tiers, notional: Column) -> Column:
    """Quote notional to close so that a position falls into the bracket below (all in tier 0)."""
    return notional - tiers.floors[tier_of(tiers, notional)]
