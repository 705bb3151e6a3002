"""The rate curve as it is set: annual rates at three utilisations, and the reserve's part.

    borrowers pay r0 -> r_kink on [0, kink], -> r1 on [kink, 1]; lenders get borrow*U*(1 - reserve)

U is what is borrowed over what is supplied. The formulae are those of `interest`; a lending pool
and a clearing house that lends idle margin are set by the same five figures. Sources: Aave v3
(default interest rate strategy), Compound v2 (jump rate model), Gauntlet's Jupiter Lend proposal.
Left out: curves that a controller moves.
"""

from pydantic import Field, model_validator

from markets.derivatives.interest import RateCurve
from markets.params import Params
from markets.rounding import PPM


class CurveParams(Params):
    """Annual plain rates at utilisation 0, at the kink and at 1; the reserve's part of interest."""

    kink: float = Field(default=0.8, gt=0, lt=1)
    """Utilisation from which the curve is steeper."""
    rate_at_0: float = Field(default=0.0, ge=0)
    """Borrow rate a year of an idle pool."""
    rate_at_kink: float = Field(default=0.15, ge=0)
    """Borrow rate a year at the kink."""
    rate_at_1: float = Field(default=0.8, ge=0)
    """Borrow rate a year where all is lent."""
    reserve_ppm: int = Field(default=100_000, ge=0, le=PPM)
    """Part of the interest that lenders do not get."""

    @model_validator(mode="after")
    def _rises(self) -> "CurveParams":
        if not self.rate_at_0 <= self.rate_at_kink <= self.rate_at_1:
            raise ValueError("rate_at_0, rate_at_kink and rate_at_1 must not fall")
        return self

    @property
    def curve(self) -> RateCurve:
        """The kinked curve."""
        return RateCurve(self.kink, self.rate_at_0, self.rate_at_kink, self.rate_at_1)
