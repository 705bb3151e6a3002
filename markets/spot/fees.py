"""Fee tiers: rates by what an account traded on the venue in the last thirty days.

An account's volume is the notional of all its fills, as maker and as taker, in quote atoms. A day
is 86,400 s of simulated time. At the start of each day the thirty days before it are added up, and
the account gets the rates of the highest tier whose volume it reaches; below the first it pays the
venue's own. Rates hold all day; an order keeps the maker rate with which it came to rest.

Volumes are exact integers up to 2**57 atoms a day, where they stop. So that the fee account is
never overdrawn, the lowest maker rate and the lowest taker rate of all tiers must not add up to
less than 0. The scheme is that of the large exchanges (Binance, Kraken and Coinbase publish such
tables).
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.outcomes import Fills

DAYS = 30
DAY_SECONDS = 86_400.0
_MOST_ATOMS = 2**57
_HALF_BITS = 32


class Tier(params.Params):
    """Rates of accounts that trade so much."""

    volume: float = Field(gt=0)
    """Quote traded in thirty days from which the tier holds."""
    maker_fee_ppm: int = Field(ge=-500_000, le=500_000)
    """Of the notional, below 0 a rebate."""
    taker_fee_ppm: int = Field(ge=0, le=500_000)
    """Of the notional."""


class FeeTiers:
    """Volumes of all accounts by day, and the rates that follow from them."""

    def __init__(self, base_ppm: tuple[int, int], tiers: tuple[Tier, ...], scale: int) -> None:
        self._thresholds = np.array([round(tier.volume * scale) for tier in tiers], np.int64)
        rates = [base_ppm, *((tier.maker_fee_ppm, tier.taker_fee_ppm) for tier in tiers)]
        self._rates_of_tier = np.array(rates, np.int64)
        self._day = 0
        self.open(0)

    def open(self, accounts: int) -> None:
        """Begin with so many accounts, none of which has traded."""
        self._volume_atoms = np.zeros((DAYS, accounts), np.int64)
        self._today_atoms = np.zeros(accounts, np.int64)
        self.rates = np.repeat(self._rates_of_tier[:1], accounts, axis=0)

    def count(self, fills: Fills) -> None:
        """Add fills to the day's volumes of their takers and makers.

        Upper and lower halves are added apart, so that no sum leaves int64 before it is capped.
        """
        upper = np.zeros_like(self._today_atoms)
        lower = self._today_atoms & (2**_HALF_BITS - 1)
        for who in ("taker", "maker"):
            np.add.at(upper, fills[who], fills["quote_atoms"] >> _HALF_BITS)
            np.add.at(lower, fills[who], fills["quote_atoms"] & (2**_HALF_BITS - 1))
        upper += (self._today_atoms >> _HALF_BITS) + (lower >> _HALF_BITS)
        lower &= 2**_HALF_BITS - 1
        np.minimum(upper, _MOST_ATOMS >> _HALF_BITS, out=upper)
        np.minimum((upper << _HALF_BITS) + lower, _MOST_ATOMS, out=self._today_atoms)

    def volume_atoms(self) -> NDArray[np.int64]:
        """By account: the thirty full days before today."""
        total: NDArray[np.int64] = self._volume_atoms.sum(axis=0)
        return total

    def tiers(self) -> NDArray[np.int64]:
        """By account: the tier, 0 for the venue's own rates."""
        return np.searchsorted(self._thresholds, self.volume_atoms(), side="right")

    def advance(self, seconds: float) -> bool:
        """Go on to the day of this moment; True where rates may have changed."""
        day = int(seconds // DAY_SECONDS)
        if day == self._day:
            return False
        for past in range(self._day, min(day, self._day + DAYS)):
            self._volume_atoms[past % DAYS] = self._today_atoms
            self._today_atoms[:] = 0
        if day - self._day > DAYS:
            self._volume_atoms[:] = 0
        self._day = day
        self.rates[:] = self._rates_of_tier[self.tiers()]
        return True
