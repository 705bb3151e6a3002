"""What can be set at a pool-based perpetual, and the presets named after venues.

Fees and margins in ppm of the notional, amounts in quote units, funding and borrowing factors per
second, impact factors per quote unit to the power of the exponent less one. A preset fills every
field that is not set. GMX v1: no impact, borrow fee in proportion to what is reserved. GMX v2:
impact into and out of an impact pool, funding between the sides, a kinked borrow fee, a cap on the
profit paid and deleveraging above a factor. Jupiter: linear impact on the size, all collateral lost
in liquidation, 75 % of the fees to the providers. Sources: GMX v1 Vault, gmx-synthetics README,
Jupiter JLP docs. Factors of impact, funding and borrowing must be set for the market at hand.
"""

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from markets.params import Params
from markets.rounding import PPM


class PoolPreset(StrEnum):
    """Whose rules hold."""

    GMX_V1 = "gmx_v1"
    GMX_V2 = "gmx_v2"
    JUPITER = "jupiter"


class PoolFunding(StrEnum):
    """Payments between the sides: none, by the imbalance, or by a factor that adapts to it."""

    NONE = "none"
    BASIC = "basic"
    ADAPTIVE = "adaptive"


PRESETS: dict[PoolPreset, dict[str, Any]] = {
    PoolPreset.GMX_V1: {
        "fee_ppm": 1_000,
        "mint_fee_ppm": 2_500,
        "mint_tax_ppm": 5_000,
        "provider_part_ppm": 700_000,
        "funding": PoolFunding.NONE,
        "borrow_base_per_second": 1e-4 / 3_600,
        "max_profit_factor": 1.0,
        "adl_factor": 1.0,
    },
    PoolPreset.GMX_V2: {
        "fee_ppm": 600,
        "provider_part_ppm": 630_000,
        "positive_impact_factor": 1e-10,
        "negative_impact_factor": 2e-10,
        "funding": PoolFunding.BASIC,
        "funding_factor": 1e-8,
        "borrow_optimal_usage": 0.75,
        "borrow_base_per_second": 1.5e-8,
        "borrow_above_per_second": 6e-8,
    },
    PoolPreset.JUPITER: {
        "fee_ppm": 600,
        "provider_part_ppm": 750_000,
        "linear_impact_quote": 1.25e9,
        "funding": PoolFunding.NONE,
        "borrow_base_per_second": 1e-4 / 3_600,
        "loses_all_collateral": True,
        "max_profit_factor": 1.0,
        "adl_factor": 1.0,
    },
}


_ORDERED = (
    ("maintenance_ppm", "initial_margin_ppm"),
    ("adl_target", "adl_factor"),
    ("funding_decrease_threshold", "funding_stable_threshold"),
    ("positive_impact_factor", "negative_impact_factor"),
    ("positive_impact_cap", "negative_impact_cap"),
)
"""What must not exceed what; impact that pays more than it costs could be pumped (GMX)."""


class PoolPerpetualParams(Params):
    """A preset and what differs from it."""

    preset: PoolPreset = PoolPreset.GMX_V2
    """The venue whose rules fill what is not set."""
    fee_ppm: int = Field(default=600, ge=0, le=100_000)
    """Of the notional opened or closed."""
    provider_part_ppm: int = Field(default=630_000, ge=0, le=PPM)
    """Part of all fees that stays with the providers; the venue keeps the rest."""
    half_spread_ppm: int = Field(default=0, ge=0, le=100_000)
    """Distance of the oracle's lowest and highest price from its middle; the worse counts."""
    mint_fee_ppm: int = Field(default=0, ge=0, le=100_000)
    """Of a deposit or withdrawal of providers."""
    mint_tax_ppm: int = Field(default=0, ge=0, le=100_000)
    """Added in full where a coin is as far from its target as the target is large."""
    base_weight_ppm: int = Field(default=0, ge=0, lt=PPM)
    """Target of base in the pool; 0: providers bring quote alone, and there is no tax."""
    positive_impact_factor: float = Field(default=0.0, ge=0)
    """Of trades that lessen the imbalance of the sides, who are paid."""
    negative_impact_factor: float = Field(default=0.0, ge=0)
    """Of trades that add to it, who pay."""
    impact_exponent: float = Field(default=2.0, ge=1)
    """Power of the imbalance, in quote units, that impact goes with."""
    positive_impact_cap: float = Field(default=0.005, ge=0, le=1)
    """Most that impact pays, as a part of the notional;"""
    negative_impact_cap: float = Field(default=0.005, ge=0, le=1)
    """most that it costs;"""
    liquidation_impact_cap: float = Field(default=0.0, ge=0, le=1)
    """most that it costs in a liquidation, against cascades."""
    linear_impact_quote: float = Field(default=0.0, ge=0)
    """A trade of size s pays s^2 over this besides; 0: nothing."""
    impact_pool_quote: float = Field(default=0.0, ge=0)
    """Brought in from outside at the start."""
    funding: PoolFunding = PoolFunding.NONE
    """Payments between the sides: none, basic or adaptive."""
    funding_factor: float = Field(default=0.0, ge=0)
    """Per second at full imbalance; with adaptive funding the largest factor."""
    funding_exponent: float = Field(default=1.0, ge=0)
    """Power of the imbalance that funding goes with."""
    funding_increase: float = Field(default=1e-12, ge=0)
    """Rise of the adaptive factor in a second, for each unit of imbalance."""
    funding_decrease: float = Field(default=0.0, ge=0)
    """Its fall in a second."""
    funding_stable_threshold: float = Field(default=0.05, ge=0)
    """Imbalance, as a part of all, above which the adaptive factor rises."""
    funding_decrease_threshold: float = Field(default=0.0, ge=0)
    """Imbalance below which it falls."""
    borrow_optimal_usage: float = Field(default=1.0, gt=0, le=1)
    """Notional over pool at which the borrow fee has its kink."""
    borrow_base_per_second: float = Field(default=0.0, ge=0)
    """Borrow fee at full usage without the kink, of the notional."""
    borrow_above_per_second: float = Field(default=0.0, ge=0)
    """Borrow fee at full usage with it."""
    accrual_seconds: float = Field(default=3_600.0, gt=0)
    """Funding and borrow fees run by the second and are paid at whole multiples of this."""
    reserve_factor: float = Field(default=0.8, gt=0, le=1)
    """Largest notional of a side over the value of the pool."""
    largest_side_quote: float = Field(default=0.0, ge=0)
    """Largest notional of a side; 0: no such cap."""
    initial_margin_ppm: int = Field(default=20_000, gt=0, le=PPM)
    """Margin of a new position, of the notional."""
    maintenance_ppm: int = Field(default=10_000, gt=0, le=PPM)
    """Margin below which a position is liquidated, of the notional."""
    loses_all_collateral: bool = False
    """Whether liquidation leaves the account nothing."""
    max_profit_factor: float = Field(default=0.9, gt=0, le=1)
    """Profit of a side over the pool beyond which profits are paid in part only."""
    adl_factor: float = Field(default=0.6, gt=0, le=1)
    """Profit of a side over the pool at which its positions are closed;"""
    adl_target: float = Field(default=0.5, ge=0, le=1)
    """where that ends."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**PRESETS[PoolPreset(values.get("preset", PoolPreset.GMX_V2))], **values}

    @model_validator(mode="after")
    def _is_coherent(self) -> "PoolPerpetualParams":
        if self.borrow_optimal_usage < 1 and (
            self.borrow_above_per_second < self.borrow_base_per_second
        ):
            raise ValueError("borrow_above_per_second must be at least borrow_base_per_second")
        for least, most in _ORDERED:
            if getattr(self, least) > getattr(self, most):
                raise ValueError(f"{least} must be at most {most}")
        return self
