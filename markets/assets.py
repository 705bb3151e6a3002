"""Assets and instruments: the only doors between units (floats, for people) and integers (owned).

An asset of `d` decimals is counted in atoms: 1 unit = 10**d atoms, d <= 9. An instrument quotes a
base asset in a quote asset on a grid: prices are whole ticks, sizes whole lots,

    quote atoms of a trade = price_ticks * size_lots * notional_atoms,
    notional_atoms         = tick_size * lot_size * 10**quote.decimals   (a whole number >= 1),

so that the notional of every trade is exact. Conversions to integers round to the nearest atom,
tick or lot; they take floats or arrays of floats and return int or int64 arrays alike.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from markets.errors import ConfigError

MAX_DECIMALS = 9
MAX_ATOMS = 2**62
"""No balance, order or notional may exceed this, so that sums of two stay inside int64."""


def _round(value: Any, scale: float) -> Any:
    if isinstance(value, (int, float)):
        return round(value * scale)
    return np.rint(np.asarray(value, dtype=np.float64) * scale).astype(np.int64)


@dataclass(frozen=True)
class Asset:
    """Something that can be owned, counted in atoms of 10**-decimals units.

    `signed` assets (contracts, margin claims) may be owed as well as owned by any account; of all
    others only the issuer may hold less than nothing.
    """

    name: str
    decimals: int = 6
    signed: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= MAX_DECIMALS:
            raise ConfigError(
                f"{self.name}.decimals", f"must be 0 to {MAX_DECIMALS}, got {self.decimals}"
            )

    @property
    def scale(self) -> int:
        """Atoms in one unit."""
        return 10**self.decimals

    def to_atoms(self, units: Any) -> Any:
        """Units to whole atoms, to the nearest."""
        return _round(units, self.scale)

    def to_units(self, atoms: Any) -> Any:
        """Atoms to units, as float64."""
        return atoms / self.scale


def _whole(value: Decimal, field: str, meaning: str) -> int:
    if value < 1 or value != value.to_integral_value():
        raise ConfigError(field, f"{meaning} must be a whole number >= 1, got {value.normalize()}")
    return int(value)


@dataclass(frozen=True)
class Instrument:
    """A base asset quoted in a quote asset, with tick size (quote per base) and lot size (base)."""

    base: Asset
    quote: Asset
    tick_size: float
    lot_size: float

    def __post_init__(self) -> None:
        for field in ("tick_size", "lot_size"):
            if not getattr(self, field) > 0:
                raise ConfigError(f"{self.name}.{field}", "must be above 0")
        _ = (self.lot_atoms, self.notional_atoms)

    @property
    def name(self) -> str:
        return f"{self.base.name}-{self.quote.name}"

    @cached_property
    def lot_atoms(self) -> int:
        """Base atoms in one lot."""
        atoms = Decimal(str(self.lot_size)) * self.base.scale
        return _whole(atoms, f"{self.name}.lot_size", "base atoms of a lot")

    @cached_property
    def notional_atoms(self) -> int:
        """Quote atoms that one lot costs for each tick of its price."""
        atoms = Decimal(str(self.tick_size)) * Decimal(str(self.lot_size)) * self.quote.scale
        return _whole(atoms, f"{self.name}.tick_size", "quote atoms of one lot at one tick")

    def to_ticks(self, price: Any) -> Any:
        """Price in quote per base to ticks, to the nearest."""
        return _round(price, 1 / self.tick_size)

    def to_price(self, price_ticks: Any) -> Any:
        """Ticks to quote per base."""
        return price_ticks * self.tick_size

    def to_lots(self, size_base: Any) -> Any:
        """Base units to lots, to the nearest."""
        return _round(size_base, 1 / self.lot_size)

    def to_base(self, size_lots: Any) -> Any:
        """Lots to base units."""
        return size_lots * self.lot_size
