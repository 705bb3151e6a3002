"""What can be set at a lending pool: of each coin, and of the pool as a whole.

A coin's supply shares count as collateral: `ltv_ppm` of their value may be borrowed, and where debt
is more than `threshold_ppm` of it the account may be liquidated. A coin with threshold 0 is no
collateral. The defaults of the pool are those of Aave v3: half of a debt may be repaid by a
liquidator, all of it at a health of 0.95 or less and for small debts; a tenth of the bonus is the
protocol's. Sources: Aave v3 (validation and liquidation logic), Compound v2 and III (reserves bear
bad debt first).
"""

from pydantic import Field, model_validator

from markets.lending.rate_curve import CurveParams
from markets.params import Params
from markets.rounding import PPM


class ReserveParams(CurveParams):
    """One coin: its rates, what it counts as collateral, its caps in units (0: none)."""

    kink: float = Field(default=0.9, gt=0, lt=1)
    """Utilisation from which the curve is steeper."""
    rate_at_kink: float = Field(default=0.04, ge=0)
    """Borrow rate a year at the kink."""
    rate_at_1: float = Field(default=0.64, ge=0)
    """Borrow rate a year where all is lent."""
    borrowable: bool = True
    """Whether the coin is lent."""
    ltv_ppm: int = Field(default=750_000, ge=0, lt=PPM)
    """Part of its worth that may be borrowed."""
    threshold_ppm: int = Field(default=800_000, ge=0, lt=PPM)
    """Part of its worth that debts may reach before liquidation; 0: no collateral."""
    bonus_ppm: int = Field(default=50_000, ge=0, lt=PPM)
    """What a liquidator gets of this coin beyond what he pays."""
    supply_cap: float = Field(default=0.0, ge=0)
    """Units beyond which nothing more is taken; 0: no cap."""
    borrow_cap: float = Field(default=0.0, ge=0)
    """Units beyond which nothing more is lent; 0: no cap."""

    @model_validator(mode="after")
    def _is_coherent(self) -> "ReserveParams":
        if self.ltv_ppm > self.threshold_ppm:
            raise ValueError("ltv_ppm must be at most threshold_ppm")
        if (PPM + self.bonus_ppm) * self.threshold_ppm >= PPM * PPM:
            raise ValueError("threshold times (1 + bonus) must be below 1")
        return self


class LendingRules(Params):
    """The rules that all coins of a pool share."""

    close_factor_ppm: int = Field(default=500_000, gt=0, le=PPM)
    """Part of a debt that one liquidation may repay."""
    full_close_health: float = Field(default=0.95, ge=0, le=1)
    """Health at or below which it may repay all."""
    full_close_quote: float = Field(default=2_000.0, ge=0)
    """Worth of a debt below which it may repay all."""
    protocol_part_ppm: int = Field(default=100_000, ge=0, le=PPM)
    """The protocol's part of the bonus."""
    reserve_bears_losses: bool = True
    """Whether bad debt is first borne by what the protocol has earned."""
    oracle_deviation: float = Field(default=0.0, ge=0, lt=1)
    """Move of the outside price that makes the oracle follow; 0: it always does."""
    oracle_heartbeat_seconds: float = Field(default=3_600.0, gt=0)
    """Longest time after which it follows in any case."""


class LendingPoolParams(LendingRules):
    """The rules, and the coins in the order of the pool."""

    reserves: tuple[ReserveParams, ...] = (ReserveParams(), ReserveParams())
    """What can be set for each coin."""
