"""Collateral other than the settlement asset: its price, its haircut, its size.

    value = min(net*w, net)*price,    w = min(weight, 1.1/(1 + f*sqrt(units)))

so that what is owed counts in full. A coin has two weights: the initial one for orders and
withdrawals, and the maintenance one, no lower, for liquidation. net is the account's claim on the
coin, price the coin's own index in settlement units: the weighted median of the mids of the named
spot venues, or a reference price; a floor can hold it up (an index tied to the redemption value). A
venue that is mispriced misprices the collateral: the case of USDe on 10 October 2025 is one price
venue, thin. Values are rounded down. Weight 1 and f 0 is no
haircut. Sources: Binance unified account, Backpack and FTX collateral weights (`margin`). Left out:
weights that follow the open interest.
"""

from math import isnan, nan

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from markets.assets import Asset
from markets.derivatives.margin import collateral_value
from markets.derivatives.mark import weighted_median
from markets.params import Params

_SIZE_CEILING = 1.1


class CollateralParams(Params):
    """One coin accepted as margin; prices in settlement units."""

    asset: str
    """The coin's name."""
    weight: float = Field(default=1.0, gt=0, le=1)
    """For orders and withdrawals."""
    maintenance_weight: float | None = Field(default=None, gt=0, le=1)
    """For liquidation, at least `weight`; None: the same."""
    size_factor: float = Field(default=0.0, ge=0)
    """f of the weight 1.1/(1 + f*sqrt(units)), which falls with size; 0: none."""
    price_venues: tuple[str, ...] = ()
    """Spot venues of the coin; without any, the reference price of the asset, else 1."""
    least_price: float = Field(default=0.0, ge=0)
    """Floor of the price, in settlement units."""

    @model_validator(mode="after")
    def _weights_are_ordered(self) -> "CollateralParams":
        if self.maintenance_weight is not None and self.maintenance_weight < self.weight:
            raise ValueError("maintenance_weight must be at least weight")
        return self


class Collateral:
    """A coin in custody: claims on it, and what they count as margin."""

    def __init__(self, owner: str, asset: Asset, params: CollateralParams) -> None:
        self.asset, self.params = asset, params
        self.claims = Asset(f"{owner}:{asset.name}", asset.decimals, signed=True)
        self.price = nan

    def update(self, mids: list[float], reference: float) -> None:
        """Take the index of the step; without any price the last one stands."""
        price = weighted_median(np.array(mids, np.float64), np.ones(len(mids)))
        if isnan(price):
            price = reference if isnan(self.price) or not mids else self.price
        self.price = max(price, self.params.least_price)

    def _counted(self, units: NDArray[np.float64], weight: float, scale: int) -> NDArray[np.int64]:
        """Value of net balances at a weight that falls with the square root of their size."""
        root = self.params.size_factor * np.sqrt(np.maximum(units, 0.0))
        weights = np.minimum(weight, _SIZE_CEILING / (1.0 + root))
        value = collateral_value(units, self.price, weights)
        return np.floor(np.asarray(value) * scale).astype(np.int64)

    def values(
        self, claims_atoms: NDArray[np.int64], scale: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What claims count as maintenance margin, and how much less as initial margin.

        In atoms of the settlement asset, of which a unit has `scale`; values are rounded down.
        """
        units, params = self.asset.to_units(claims_atoms), self.params
        initial = self._counted(units, params.weight, scale)
        if params.maintenance_weight in (None, params.weight):
            return initial, np.zeros_like(initial)
        maintenance = self._counted(units, params.maintenance_weight, scale)
        return maintenance, maintenance - initial
