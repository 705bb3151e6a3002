"""Pools of two to eight coins with shares: what StableSwap, cryptoswap and weighted pools share.

The share has the decimals of the finest coin. The view holds the reserves in common units, atoms of
that coin (see `coin_settlement`), in which the kernels compute. The first coin is the base of the
pool's figures, the second their quote; every other pair is asked for by its two indices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from markets.assets import Asset
from markets.errors import BrokenInvariant
from markets.market import Market
from markets.pools.coin_settlement import CoinPlace
from markets.pools.pool import LARGEST, Pool, PoolView, Way, coins_of


@dataclass(frozen=True)
class CoinView(PoolView):
    """A pool of several coins as agents see it."""

    reserves: NDArray[np.float64]
    """Reserves in common units, finest atoms."""
    scales: NDArray[np.float64]

    def _common(self, way: Way, limit: float) -> float:
        """A limit as common units received per common unit paid."""
        paid, received = coins_of(way)
        return float(self._atomic(way, limit) * self.scales[received] / self.scales[paid])

    def _from_common(self, way: Way, price: float) -> float:
        """Common units received per common unit paid as units per unit."""
        paid, received = coins_of(way)
        return self._per_unit(way, price * self.scales[paid] / self.scales[received])

    def _input(self, way: Way, wanted: float) -> int:
        """Common units of the coin paid as atoms, floored and held below what a swap may be."""
        return int(min(wanted / self.scales[coins_of(way)[0]], LARGEST - 1))


class CoinPool(Pool):
    """Base of pools of several coins."""

    def __init__(self, name: str, domain: str, coins: Sequence[Asset], params: Pool.Params) -> None:
        super().__init__(name, domain, coins, params)
        finest = max(coin.decimals for coin in coins)
        self.scales = np.array([10.0 ** (finest - coin.decimals) for coin in coins])

    def _share_decimals(self) -> int:
        return max(coin.decimals for coin in self.coins)

    def open(self, market: Market) -> None:
        """See `Venue.open`."""
        super().open(market)
        rows = (self.pool_row, self.lock_row, self.protocol_row)
        self.place = CoinPlace(*rows, self.share_column, self.coin_columns, self.scales)

    def reserves(self) -> NDArray[np.float64]:
        """Reserves in common units."""
        held = self._ledger.balances[self.pool_row, self.coin_columns]
        return np.asarray(held * self.scales)

    def check(self) -> None:
        """A pool with shares holds some of every coin."""
        shares = self.shares_atoms()
        if shares and min(self.reserves_atoms()) <= 0:
            raise BrokenInvariant("a reserve is empty", self.name, self.share.name, shares)
