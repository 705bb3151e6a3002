"""Collateral other than the settlement asset: its price, its haircut, its size.

    value = min(net*w, net)*price,    w = min(weight, 1.1/(1 + f*sqrt(units)))

net the account's claim on the coin, price the coin's own index in settlement units: the weighted
median of the mids of the named spot venues, or a reference price; a floor can hold it up (an index
tied to the redemption value). A venue that is mispriced misprices the collateral: the case of USDe
on 10 October 2025 is one price venue, thin. Values are rounded down. Weight 1 and f 0 is no
haircut. Sources: Binance unified account, Backpack and FTX collateral weights (`margin`). Left out:
different weights for initial and maintenance margin.
"""

from math import isnan, nan

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets.assets import Asset
from markets.derivatives.margin import collateral_value
from markets.derivatives.mark import weighted_median
from markets.params import Params

_SIZE_CEILING = 1.1


class CollateralParams(Params):
    """One coin accepted as margin; prices in settlement units."""

    asset: str
    weight: float = Field(default=1.0, gt=0, le=1)
    size_factor: float = Field(default=0.0, ge=0)
    price_venues: tuple[str, ...] = ()
    """Spot venues of the coin; without any, the reference price of the asset, else 1."""
    least_price: float = Field(default=0.0, ge=0)


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

    def weights(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Collateral weight of net balances of a size, falling with its square root."""
        root = self.params.size_factor * np.sqrt(np.maximum(units, 0.0))
        return np.minimum(self.params.weight, _SIZE_CEILING / (1.0 + root))

    def values(self, claims_atoms: NDArray[np.int64], scale: int) -> NDArray[np.int64]:
        """What claims count as margin, in atoms of the settlement asset, rounded down."""
        units = self.asset.to_units(claims_atoms)
        value = collateral_value(units, self.price, self.weights(units))
        return np.floor(np.asarray(value) * scale).astype(np.int64)
