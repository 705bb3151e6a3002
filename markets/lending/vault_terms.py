"""Terms of a vault protocol, and its arithmetic: what is safe, and what a liquidation takes.

    price         floor(oracle's price * 10**18) / 10**18             quote a unit, a fraction
    safe          collateral * price * PPM >= debt * minimum          (all integers, no rounding)
    lot           min(collateral, largest lot)
    debt of it    floor(debt * lot / collateral); all of it with the last lot
    goal          ceil(debt of the lot * (1 + penalty))

The floor of the price and the ceiling of the goal are the protocol's gain; the floor of the debt
leaves the odd atom with the vault, whose last lot pays it. Python integers: nothing overflows.
Source: Maker's Cat and Vat (cat.sol, vat.sol, 2019). Defaults: ETH-A of March 2020 where known
(150 %, 13 %, lots of 50 ETH, one hour, 10 minutes). Left out: stability fee, debt ceiling.
"""

import math

from pydantic import Field

from markets import params
from markets.assets import Instrument
from markets.rounding import PPM

PRICE_SCALE = 10**18


class VaultTerms(params.Params):
    """What is set by the protocol's governance."""

    minimum_ratio_ppm: int = Field(1_500_000, gt=PPM, le=100 * PPM)
    """Worth of the collateral over debt, below which a vault may be liquidated."""
    penalty_ppm: int = Field(130_000, ge=0, le=PPM)
    """What an auction is to raise beyond the debt, as a part of it."""
    largest_lot: float = Field(50.0, gt=0)
    """Collateral of one auction, in base units."""
    price_interval_seconds: float = Field(3600.0, ge=1e-6)
    """Time between readings of the oracle; a price is in force from the next one on."""
    raise_ppm: int = Field(30_000, ge=0, le=PPM)
    """How much a bid must exceed the standing one."""
    bid_seconds: float = Field(600.0, gt=0)
    """An auction ends so long after its last bid."""
    length_seconds: float = Field(3 * 86_400.0, gt=0)
    """The longest an auction with a bid may take."""


def exact_price(price: float, instrument: Instrument) -> tuple[int, int]:
    """Stablecoin atoms, and the collateral atoms that are worth as much; 0 of them if unknown."""
    quote, base = instrument.quote.scale, PRICE_SCALE * instrument.base.scale
    if not (math.isfinite(price) and price > 0):
        return 0, base
    numerator, denominator = price.as_integer_ratio()
    return numerator * PRICE_SCALE // denominator * quote, base


def is_safe(collateral_atoms: int, debt_atoms: int, price: tuple[int, int], ratio_ppm: int) -> bool:
    """Whether a vault is, at an `exact_price`."""
    worth_atoms, of_atoms = price
    return collateral_atoms * worth_atoms * PPM >= debt_atoms * ratio_ppm * of_atoms


def part_to_sell(collateral_atoms: int, debt_atoms: int, largest_atoms: int) -> tuple[int, int]:
    """Collateral and debt that one auction takes out of an unsafe vault."""
    lot_atoms = min(collateral_atoms, largest_atoms)
    return lot_atoms, debt_atoms * lot_atoms // collateral_atoms


def goal_of(debt_atoms: int, penalty_ppm: int) -> int:
    """What an auction is to raise for a debt."""
    return -(-debt_atoms * (PPM + penalty_ppm) // PPM)
