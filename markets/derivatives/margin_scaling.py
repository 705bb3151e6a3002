"""Margin rates that move with the market: open interest, and the size of a position.

    open interest    initial rate from its base to 100 % between two caps of open notional (dYdX v4)
    size             initial f*sqrt(coins), maintenance 0.6 of it, where above the brackets (FTX)

The caps and f are parameters; the laws stand in `margin`. Maintenance does not follow the open
interest, so nobody is liquidated because others trade. The root law is set anew at each mark, since
it counts coins and requirements count notional.
"""

import math
from typing import Any

from markets.derivatives.brackets import Brackets, TierRule, ruled_tiers, whole_brackets
from markets.derivatives.margin import Tiers, open_interest_rate
from markets.rounding import PPM

_MAINTENANCE_PART = 0.6


def open_interest_brackets(
    initial: Tiers, scale: int, open_notional: float, caps: tuple[float, float]
) -> Brackets:
    """Initial brackets at an open notional in quote units; `scale` is atoms in a unit.

    Brackets without deductions stay steps.
    """
    rates: Any = open_interest_rate(initial.rates, open_notional, *caps)
    rule = TierRule.MARGINAL if initial.deductions.any() else TierRule.STEP
    return whole_brackets(ruled_tiers(initial.floors, rates, rule), scale)


def rooted(
    initial: Brackets, maintenance: Brackets, factor: float, coin_atoms: float
) -> tuple[Brackets, Brackets]:
    """Both brackets with the root law; `coin_atoms` is what one coin is worth at the mark."""
    root = factor * PPM / math.sqrt(coin_atoms)
    return initial._replace(root_ppm=root), maintenance._replace(root_ppm=_MAINTENANCE_PART * root)
