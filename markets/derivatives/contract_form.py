"""The form of a venue's contract: what a lot is, what it is paid in, and how its value is counted.

    linear    a lot is `lot_size` of the base                value = c*P*k            quote
    quanto    the same at a fixed rate of settlement a quote value = c*P*k            a third asset
    inverse   a lot is N units of the quote                  value = -c*K/P           the base coin

c signed lots, P price in ticks; k atoms a lot and tick, K atoms a lot times ticks, both whole. A
trade moves c one way and its value the other, so an inverse contract has the same form as a linear
one: the long owes N/p coin at entry and is credited N/P at exit. A linear or quanto value is exact;
an inverse one is rounded once a trade, the same for both sides, against the taker, and claims still
sum to zero. At the mark it is floored for each holder: the sum of equities then falls short of the
collateral by less than one atom a holder, and by nothing when all have closed.
Sources: BitMEX (XBTUSD inverse, ETHUSD quanto), Binance COIN-M. Left out: powers of the price.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from markets.assets import Asset, Instrument
from markets.derivatives.contract import INVERSE, LINEAR
from markets.errors import ConfigError
from markets.outcomes import Fills


class ContractKind(StrEnum):
    """What a contract pays in, and how its value follows the price."""

    LINEAR = "linear"
    INVERSE = "inverse"
    QUANTO = "quanto"


@dataclass(frozen=True)
class ContractForm:
    """One contract in whole numbers; `lot_quote` is N, `quanto_rate` settlement a quote unit."""

    kind: ContractKind
    instrument: Instrument
    settlement: Asset
    lot_quote: float = 1.0
    quanto_rate: float = 1.0

    def __post_init__(self) -> None:
        own = {
            ContractKind.LINEAR: self.instrument.quote,
            ContractKind.INVERSE: self.instrument.base,
            ContractKind.QUANTO: self.settlement,
        }
        if self.settlement != own[self.kind]:
            asset = own[self.kind].name
            raise ConfigError("settlement", f"a {self.kind} contract settles in {asset}")
        _ = (self.notional_atoms, self.lot_atoms)

    @property
    def is_inverse(self) -> bool:
        """Whether value goes with 1/P."""
        return self.kind is ContractKind.INVERSE

    @property
    def code(self) -> int:
        """LINEAR or INVERSE of `contract`; a quanto counts like a linear one."""
        return INVERSE if self.is_inverse else LINEAR

    @property
    def notional_atoms(self) -> int:
        """k: atoms a lot and tick; or K: atoms a lot times ticks."""
        instrument = self.instrument
        if self.is_inverse:
            atoms = Decimal(str(self.lot_quote)) * self.settlement.scale
            return _whole(atoms / Decimal(str(instrument.tick_size)), "contract_value_quote")
        rate = Decimal(str(self.quanto_rate)) if self.kind is ContractKind.QUANTO else Decimal(1)
        value = Decimal(str(instrument.tick_size)) * Decimal(str(instrument.lot_size))
        return _whole(value * rate * self.settlement.scale, "quanto_rate")

    @property
    def lot_atoms(self) -> int:
        """What a lot counts, in atoms of the base; of the quote for an inverse contract."""
        if self.is_inverse:
            atoms = Decimal(str(self.lot_quote)) * self.instrument.quote.scale
            return _whole(atoms, "contract_value_quote")
        return self.instrument.lot_atoms

    def to_base(self, lots: Any, price: Any) -> Any:
        """Lots in base units at a price in quote per base, which only inverse contracts need."""
        if self.is_inverse:
            return lots * self.lot_quote / price
        return self.instrument.to_base(lots)

    def to_lots(self, size_base: Any, price: float) -> Any:
        """Base units in lots at a price, to the nearest."""
        if self.is_inverse:
            return self.instrument.to_lots(
                size_base * (price * self.instrument.lot_size / self.lot_quote)
            )
        return self.instrument.to_lots(size_base)

    def coin_atoms(self, price: float) -> float:
        """What contracts on one unit of the base are worth, in atoms of the settlement asset."""
        if self.is_inverse:
            return float(self.settlement.scale)
        rate = self.quanto_rate if self.kind is ContractKind.QUANTO else 1.0
        return price * rate * self.settlement.scale

    def reported(self, fills: Fills) -> Fills:
        """Fills for the record: of an inverse contract, base is coin and quote what it counts."""
        if not self.is_inverse:
            return fills
        reported = fills.copy()
        reported["quote_atoms"], reported["base_atoms"] = fills["base_atoms"], fills["quote_atoms"]
        return reported

    def unit_values(self, price: float, settlement_price: float) -> tuple[float, float]:
        """A lot and a unit of claims, in quote units, at the prices of base and settlement."""
        if self.is_inverse:
            return -self.lot_quote, price
        lot = self.instrument.to_base(price)
        if self.kind is ContractKind.QUANTO:
            return lot * self.quanto_rate * settlement_price, settlement_price
        return lot, 1.0


def form_of(params: Any, instrument: Instrument, settlement: Asset | None) -> ContractForm:
    """The form that a venue's parameters name; a contract settles in its own asset unless told."""
    own = instrument.base if params.contract is ContractKind.INVERSE else instrument.quote
    return ContractForm(
        params.contract,
        instrument,
        settlement or own,
        params.contract_value_quote,
        params.quanto_rate,
    )


def _whole(value: Decimal, field: str) -> int:
    if value < 1 or value != value.to_integral_value():
        raise ConfigError(field, f"atoms of one lot must be whole and >= 1, got {value}")
    return int(value)
