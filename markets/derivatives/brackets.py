"""Margin brackets in whole numbers: what a notional must hold, in atoms.

    requirement = ceil(notional*rate_k) - floor(deduction_k),    notional in (floor_k, floor_{k+1}]

with the deductions of `margin.bracket_tiers`, which make it continuous up to the atom (marginal:
Binance, Bybit, Hyperliquid), or none, so that the whole position is margined at the rate of its
bracket (step: BitMEX risk limits, OKX); or, where
that is more, notional*f*sqrt(coins), the law of `margin.size_rates` (FTX, Backpack). Initial
rates stand to the maintenance rates of their brackets as in the lowest one, at most 100 %: a
position that may be opened is never unsafe at once. Rounding: against the account, by at most two
atoms.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from markets.derivatives.margin import Tiers, bracket_tiers
from markets.kernel import kernel
from markets.params import Params
from markets.rounding import PPM, ppm_up


class TierRule(StrEnum):
    """What a bracket's rate is for: the part of the position in it, or the whole position."""

    MARGINAL = "marginal"
    STEP = "step"


class MarginBasis(StrEnum):
    """What the maintenance of a position is a part of: its notional at the mark, or at entry."""

    MARK = "mark"
    ENTRY = "entry"


class MarginTier(Params):
    """A bracket: what lies above the floor, or all, is margined at this rate.

    The floor is a notional in units of the settlement asset: coins of an inverse contract.
    """

    floor_units: float = Field(default=0.0, ge=0)
    """Notional above which the bracket begins."""
    maintenance_ppm: int = Field(default=5_000, gt=0, le=PPM)
    """Maintenance rate of the bracket."""


class Brackets(NamedTuple):
    """Brackets in whole numbers: notional floors, rates, deductions rounded down.

    `root_ppm` is the rate of a notional of one atom that grows with its square root; 0: none.
    """

    floors_atoms: NDArray[np.int64]
    rates_ppm: NDArray[np.int64]
    deductions_atoms: NDArray[np.int64]
    root_ppm: float


def ruled_tiers(floors: ArrayLike, rates: ArrayLike, rule: TierRule) -> Tiers:
    """Brackets of floors (settlement units) and plain rates under a rule."""
    tiers = bracket_tiers(floors, rates)
    if rule is TierRule.STEP:
        return tiers._replace(deductions=np.zeros_like(tiers.deductions))
    return tiers


def margin_tiers(
    tiers: Sequence[MarginTier], initial_ppm: int, rule: TierRule = TierRule.MARGINAL
) -> tuple[Tiers, Tiers]:
    """Maintenance and initial brackets; `initial_ppm` is the initial rate of the lowest one."""
    floors = [tier.floor_units for tier in tiers]
    rates = [tier.maintenance_ppm for tier in tiers]
    initial = [min(PPM, -(-rate * initial_ppm // rates[0])) for rate in rates]
    return (
        ruled_tiers(floors, np.array(rates) / PPM, rule),
        ruled_tiers(floors, np.array(initial) / PPM, rule),
    )


def whole_brackets(tiers: Tiers, scale: int) -> Brackets:
    """Brackets of `margin.bracket_tiers` in atoms and ppm; `scale` is atoms in a quote unit."""
    return Brackets(
        np.rint(tiers.floors * scale).astype(np.int64),
        np.rint(tiers.rates * PPM).astype(np.int64),
        np.floor(tiers.deductions * scale + 1e-6).astype(np.int64),
        0.0,
    )


@kernel(inline="always")
def bracket_of(brackets: Brackets, notional_atoms: int) -> int:
    """Number from 0 of the bracket that holds a notional; a floor belongs to the one below."""
    tier = len(brackets.floors_atoms) - 1
    while tier > 0 and notional_atoms <= brackets.floors_atoms[tier]:
        tier -= 1
    return tier


@kernel(inline="always")
def requirement_atoms(brackets: Brackets, notional_atoms: int) -> int:
    """Margin that a notional needs, in atoms, rounded up; a floor belongs to the tier below."""
    tier = 0
    last = len(brackets.floors_atoms) - 1
    while tier < last and notional_atoms > brackets.floors_atoms[tier + 1]:
        tier += 1
    needed = ppm_up(notional_atoms, brackets.rates_ppm[tier]) - brackets.deductions_atoms[tier]
    if brackets.root_ppm > 0.0:
        root = min(int(np.ceil(brackets.root_ppm * np.sqrt(float(notional_atoms)))), PPM)
        needed = max(needed, ppm_up(notional_atoms, root))
    return needed
