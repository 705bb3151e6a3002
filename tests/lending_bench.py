"""A lending pool on a chain with a few rich users; the third of its coins is no collateral."""

from typing import Any

import numpy as np

from markets.assets import Asset
from markets.chain import Chain
from markets.intents import stack
from markets.lending.lending_params import ReserveParams
from markets.lending.lending_pool import LendingPool
from markets.market import Market
from markets.outcomes import Code
from markets.venue import Moment

COINS = (Asset("ETH", 9), Asset("USDC", 6), Asset("GHO", 4))
ETH, USDC, GHO = range(3)
STEP_SECONDS = 3_600.0
RESERVES = (
    ReserveParams(kink=0.8, rate_at_0=0.01, rate_at_kink=0.048, rate_at_1=0.848),
    ReserveParams(rate_at_kink=0.035, rate_at_1=0.635, ltv_ppm=800_000, threshold_ppm=850_000),
    ReserveParams(ltv_ppm=0, threshold_ppm=0),
)


class Bench:
    """One pool; users hold a million units of every coin; steps of an hour."""

    def __init__(self, users: int = 4, reserves: tuple[Any, ...] = RESERVES, **params: Any) -> None:
        chosen = LendingPool.Params(reserves=reserves, **params)
        self.pool = LendingPool("bank", "chain", COINS[: len(reserves)], chosen)
        self.market = Market([Chain("chain", STEP_SECONDS, "USDC")], [self.pool])
        held = {coin.name: 1e6 for coin in self.pool.coins}
        self.users = self.market.endow("users", "chain", held, users).tolist()
        self.market.begin()
        self.step, self.price = -1, 2_000.0
        self.next()

    def next(self, price: float | None = None, seconds: float = STEP_SECONDS) -> None:
        """Begin a step, at a price of ETH."""
        self.price = price or self.price
        self.step += 1
        before = self.moment.seconds if self.step else -seconds
        self.moment = Moment(self.step, before + seconds, seconds, {"ETH": self.price})
        self.market.accrue(self.moment)
        self.market.check()

    def do(self, *intents: Any) -> list[Code]:
        """Execute rows in one call, check everything, return the codes."""
        codes = self.pool.execute(stack(intents), self.moment)
        self.market.check()
        return [Code(code) for code in codes]

    @property
    def view(self) -> Any:
        return self.pool.observe(self.moment)

    @property
    def balances(self) -> np.ndarray:
        return self.market.ledger.balances

    def atoms(self, coin: int, units: float) -> int:
        return int(COINS[coin].to_atoms(units))

    def held(self, account: int, coin: int) -> float:
        """Units of a coin in an account's own hands."""
        return float(COINS[coin].to_units(int(self.balances[account, self.pool.terms.coins[coin]])))

    def shares(self, account: int, coin: int) -> int:
        """Supply shares of an account."""
        return int(self.balances[account, self.pool.terms.shares[coin]])

    def supplied(self, account: int, coin: int) -> float:
        """Units that an account's supply is worth."""
        return float(COINS[coin].to_units(self.view.supplied_atoms(account, coin)))

    def owed(self, account: int, coin: int) -> float:
        """Units that an account owes."""
        return float(COINS[coin].to_units(self.view.owed_atoms(account, coin)))
