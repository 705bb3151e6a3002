"""Pools of two to eight coins with shares: what StableSwap, cryptoswap and weighted pools share.

The share has the decimals of the finest coin. The view holds the reserves in common units, atoms of
that coin (see `coin_settlement`), in which the kernels compute. The first coin is the base of the
pool's figures, the second their quote; every other pair is asked for by its two indices.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.assets import Asset
from markets.errors import BrokenInvariant
from markets.market import Market
from markets.pools.coin_settlement import CoinPlace
from markets.pools.pool import LARGEST, Pool, PoolView, Way, coins_of


@dataclass(frozen=True)
class CoinView(PoolView, ABC):
    """A pool of several coins as agents see it; subclasses quote between two coins by index."""

    reserves: NDArray[np.float64]
    """Reserves in common units, finest atoms."""
    scales: NDArray[np.float64]
    terms: Any
    """What the kernels of the pool ask for beside the reserves."""

    @abstractmethod
    def _price(self, coins: tuple[int, int], free: bool) -> float:
        """Common units received per common unit paid by a tiny swap; `free`: as without fee."""

    @abstractmethod
    def _output(self, coins: tuple[int, int], input_atoms: int) -> int:
        """What a swap pays out."""

    @abstractmethod
    def _needed(self, coins: tuple[int, int], output_atoms: int) -> int:
        """What a swap costs; -1 where it is not to be had."""

    @abstractmethod
    def _until(self, coins: tuple[int, int], price: float) -> float:
        """Common units to pay until a tiny swap earns `price`, fee paid."""

    def curve_price(self, way: Way) -> float:
        """See `PoolView.curve_price`."""
        return self._from_common(way, True)

    def marginal_price(self, way: Way) -> float:
        """See `PoolView.marginal_price`; the fee is the one at these balances."""
        return self._from_common(way, False)

    def output_atoms(self, way: Way, input_atoms: int) -> int:
        """See `PoolView.output_atoms`."""
        if not (self.shares_atoms and 0 < input_atoms < LARGEST):
            return 0
        return int(self._output(coins_of(way), input_atoms))

    def input_atoms(self, way: Way, output_atoms: int) -> int:
        """See `PoolView.input_atoms`."""
        if not (self.shares_atoms and 0 < output_atoms < LARGEST):
            return -1
        return int(self._needed(coins_of(way), output_atoms))

    def input_until(self, way: Way, limit: float) -> int:
        """See `PoolView.input_until`; held below what a swap may be."""
        if not self.shares_atoms:
            return 0
        coins = coins_of(way)
        wanted = float(self._until(coins, self._common(way, limit)))
        return int(min(wanted / self.scales[coins[0]], LARGEST - 1))

    def _common(self, way: Way, limit: float) -> float:
        """A limit as common units received per common unit paid."""
        paid, received = coins_of(way)
        return float(self._atomic(way, limit) * self.scales[received] / self.scales[paid])

    def _from_common(self, way: Way, free: bool) -> float:
        """The price of a tiny swap in units per unit; NaN for an empty pool."""
        if not self.shares_atoms:
            return math.nan
        paid, received = coins_of(way)
        price = float(self._price((paid, received), free))
        return self._per_unit(way, price * self.scales[paid] / self.scales[received])


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

    def _fields(self, fee_ppm: int) -> dict[str, Any]:
        """The fields that every pool's view has."""
        return {
            "index": self.index,
            "instrument": self.instrument,
            "coins": self.coins,
            "fee_ppm": fee_ppm,
            "reserves_atoms": self.reserves_atoms(),
            "shares_atoms": self.shares_atoms(),
            "share_column": self.share_column,
            "terms": self._terms(),
        }

    @abstractmethod
    def _terms(self) -> Any:
        """What the pool's kernels ask for beside the reserves."""

    def check(self) -> None:
        """A pool with shares holds some of every coin."""
        shares = self.shares_atoms()
        if shares and min(self.reserves_atoms()) <= 0:
            raise BrokenInvariant("a reserve is empty", self.name, self.share.name, shares)
