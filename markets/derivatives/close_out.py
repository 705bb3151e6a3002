"""FTX's backstop: how much of an unsafe position goes to providers, and at what price.

    close size    (1 - MF/ACMF) of the position, at least 1,000 US dollars of it; all where MF < 0
    price         2/3 zero price + 1/3 mark,    zero price = mark*(1 - side*MF)

MF is the margin fraction of the account, ACMF the one below which positions are closed for it; in
real numbers and exact thirds. The venue's form stands in `takeover`: lots rounded up, and a third
in whole ppm. Source: FTX liquidations page. Left out: pacing by second (a venue's stream decides).
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column


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
