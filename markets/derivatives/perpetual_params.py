"""What can be set at a perpetual or dated future: contract, fees, margins, expiry.

Rates in ppm of the notional; amounts in units of the settlement asset, which is the quote of a
linear contract and the base of an inverse one. `maintenance_tiers` are marginal brackets or steps
on the whole position (`tier_rule`), and the initial rate of higher ones stands to theirs as in the
lowest. Two laws may raise the rates above the brackets (see `margin`): with the square root of the
position (FTX, Backpack), and the initial rate alone with the open interest between two caps (dYdX).
"""

from collections.abc import Iterator

from pydantic import Field, model_validator

from markets.assets import MAX_ATOMS, Asset
from markets.derivatives.brackets import MarginBasis, MarginTier, TierRule, margin_tiers
from markets.derivatives.contract_form import ContractKind
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.derivatives.margin import Tiers
from markets.derivatives.marking import MarkingParams
from markets.derivatives.ranking import Ranking
from markets.errors import ConfigError
from markets.rounding import PPM


class PerpetualParams(MarkingParams):
    """Parameters of the contract."""

    index_venues: tuple[str, ...] = ()
    """Spot venues whose mids make the index; none: the reference price."""
    contract: ContractKind = ContractKind.LINEAR
    """What it pays in: linear (quote), inverse (base) or quanto (a third asset)."""
    contract_value_quote: float = Field(default=1.0, gt=0)
    """Quote units of one inverse contract, which is its lot."""
    quanto_rate: float = Field(default=1.0, gt=0)
    """Units of the settlement asset that a quanto pays for one quote unit of profit."""
    expiry_seconds: float | None = Field(default=None, gt=0)
    """When a dated future settles, from the start of the run; a perpetual never does."""
    settlement_window_seconds: float = Field(default=1_800.0, ge=0)
    """Time before expiry over which the index is averaged to settle at."""
    settlement_fee_ppm: int = Field(default=0, ge=0, le=100_000)
    """Of the notional settled at expiry."""
    maker_fee_ppm: int = Field(default=200, ge=-100_000, le=100_000)
    """Of the notional, below 0 a rebate."""
    taker_fee_ppm: int = Field(default=500, ge=0, le=100_000)
    """Of the notional."""
    initial_margin_ppm: int = Field(default=10_000, gt=0, le=PPM)
    """Margin of a new position in the lowest bracket, of the notional."""
    maintenance_tiers: tuple[MarginTier, ...] = (MarginTier(),)
    """Brackets of the maintenance margin by notional."""
    tier_rule: TierRule | None = None
    """None: as the liquidation preset has it (steps for bitmex and okx)."""
    maintenance_at: MarginBasis | None = None
    """Whether maintenance is of the notional at the mark or at entry; None: as the preset has it.

    A rate that grows with the size counts coins at the mark.
    """
    size_factor: float = Field(default=0.0, ge=0)
    """f of the initial rate f*sqrt(coins); the maintenance rate is 0.6 of it."""
    open_interest_caps_quote: tuple[float, float] = (0.0, 0.0)
    """Open notional from which, and at which, the initial rate rises, and is 100 %; 0: never."""
    house: str = ""
    """Clearing house whose claims are the margin here too; without, the venue has its own."""
    market_band_ppm: int = Field(default=50_000, ge=0, lt=PPM)
    """How far from the mark market orders may trade."""
    insurance_fund_units: float = Field(default=0.0, ge=0)
    """Of the settlement asset, brought in from outside at the start."""
    adl_ranking: Ranking = Ranking.LEVERAGE
    """Who is deleveraged first, or that all share."""
    liquidation: LiquidationRule = LiquidationRule()

    @property
    def tiers(self) -> tuple[Tiers, Tiers]:
        """Maintenance and initial brackets under the tier rule in force."""
        rule = self.tier_rule or TierRule(self.liquidation.value("tier_rule"))
        return margin_tiers(self.maintenance_tiers, self.initial_margin_ppm, rule)

    def amounts(self) -> Iterator[tuple[str, float]]:
        """Each amount that is counted in atoms, in units of the settlement asset, by its path."""
        yield "insurance_fund_units", self.insurance_fund_units
        for place, tier in enumerate(self.maintenance_tiers):
            yield f"maintenance_tiers.{place}.floor_units", tier.floor_units
        for field, units in self.liquidation.amounts():
            yield f"liquidation.{field}", units

    @property
    def margins_at_entry(self) -> bool:
        """Whether maintenance in force is of the notional at entry."""
        basis = self.maintenance_at or self.liquidation.value("maintenance_at")
        return basis == MarginBasis.ENTRY

    @model_validator(mode="after")
    def _is_coherent(self) -> "PerpetualParams":
        floors = [tier.floor_units for tier in self.maintenance_tiers]
        rates = [tier.maintenance_ppm for tier in self.maintenance_tiers]
        if not floors or floors[0] != 0 or sorted(set(floors)) != floors:
            raise ValueError("maintenance_tiers must begin at floor 0 and rise")
        if sorted(rates) != rates or rates[0] > self.initial_margin_ppm:
            raise ValueError("maintenance rates must rise from at most initial_margin_ppm")
        lower, upper = self.open_interest_caps_quote
        if not (0 <= lower < upper or lower == upper == 0):
            raise ValueError("open_interest_caps_quote must rise from 0 or more")
        if self.index_weights and len(self.index_weights) != len(self.index_venues):
            raise ValueError("index_weights must be as many as index_venues")
        if self.house and self.liquidation.value("clawback_seconds"):
            raise ValueError("liquidation.clawback_seconds needs margin of the venue's own")
        if self.maker_fee_ppm + self.taker_fee_ppm < 0:
            raise ValueError("maker_fee_ppm must not give back more than taker_fee_ppm takes")
        return self


def refuse_too_large(name: str, params: PerpetualParams, settlement: Asset) -> None:
    """Raise ConfigError where a venue's amount is more atoms of the asset than can be counted."""
    for field, units in params.amounts():
        if units * settlement.scale > MAX_ATOMS:
            most = f"{MAX_ATOMS / settlement.scale:.3g} {settlement.name}"
            raise ConfigError(f"{name}.{field}", f"must be at most {most}, got {units:g}")
