"""Pool as counterparty of leveraged traders: price impact of imbalance, and the borrow rate.

    same side of balance:  f |I|^e - f |I'|^e          crossing it:  f+ |I|^e+ - f- |I'|^e-
    borrow rate:           b u + max(a - b, 0) (u - u*)/(1 - u*) above the optimal usage u*

I, I' (USD): long less short interest before and after a trade; positive f+, e+ where the imbalance
shrinks, negative f-, e- where it grows. A positive impact is a payment to the trader, drawn from
the impact pool by the caller and capped there. u: share of the pool reserved; a, b: per second.
The published code does not halve the factor although a comment beside it says so.
Rounding: none; the caller rounds a payment down, a charge up.
Source: gmx-io/gmx-synthetics contracts/pricing/PricingUtils.sol, README.md.
Left out: virtual inventory, swap impact over two tokens.
"""

from typing import NamedTuple

from markets.kernel import njit


class ImpactTerms(NamedTuple):
    """Factors and exponents where a trade helps balance (positive) and harms it (negative)."""

    positive_factor: float
    negative_factor: float
    positive_exponent: float
    negative_exponent: float


@njit(cache=True)
def crosses_balance(imbalance_usd: float, change_usd: float) -> bool:
    """Whether a change turns the imbalance to the other side."""
    return imbalance_usd * (imbalance_usd + change_usd) < 0.0


@njit(cache=True)
def price_impact_usd(imbalance_usd: float, change_usd: float, terms: ImpactTerms) -> float:
    """Payment to the trader (negative: charge) for changing the imbalance."""
    before, after = abs(imbalance_usd), abs(imbalance_usd + change_usd)
    gain_factor, gain_exponent = terms.positive_factor, terms.positive_exponent
    loss_factor, loss_exponent = terms.negative_factor, terms.negative_exponent
    if not crosses_balance(imbalance_usd, change_usd):
        if after < before:
            loss_factor, loss_exponent = gain_factor, gain_exponent
        else:
            gain_factor, gain_exponent = loss_factor, loss_exponent
    return gain_factor * before**gain_exponent - loss_factor * after**loss_exponent


@njit(cache=True)
def borrow_rate(
    usage: float, optimal_usage: float, base_rate: float, above_optimal_rate: float
) -> float:
    """Borrow rate per second at a usage of the pool between 0 and 1."""
    rate = base_rate * usage
    if usage > optimal_usage:
        extra = max(above_optimal_rate - base_rate, 0.0)
        rate += extra * (usage - optimal_usage) / (1.0 - optimal_usage)
    return rate
