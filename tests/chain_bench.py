"""A chain with a constant-product pool and a few users, driven step by step for tests."""

from typing import Any

import numpy as np

from markets.assets import Asset, Instrument
from markets.chain import Chain, ChainView
from markets.intents import Intent, add_liquidity, stack
from markets.market import Market
from markets.pools.constant_product_pool import ConstantProductPool
from markets.sequencing import Ordering
from markets.venue import Moment

BASE, QUOTE = Asset("ETH", 6), Asset("USD", 6)
UNIT = 10**6


class Bench:
    """Pool 0 holds 1,000 ETH and 2,000,000 USD; each user 1,000 ETH and 1,000,000 USD."""

    def __init__(
        self,
        users: int = 4,
        block_seconds: float = 12.0,
        step_seconds: float = 12.0,
        gas_fee: float = 0.0,
        fee_ppm: int = 3_000,
        **rules: Any,
    ) -> None:
        params = Chain.Params(**rules)
        self.chain = Chain(
            "chain", block_seconds, QUOTE.name, gas_fee, Ordering.PRIORITY_FEE, params
        )
        instrument = Instrument(BASE, QUOTE, tick_size=0.01, lot_size=0.0001)
        self.pool = ConstantProductPool(
            "pool", "chain", instrument, ConstantProductPool.Params(fee_ppm=fee_ppm)
        )
        self.market = Market([self.chain], [self.pool])
        self.provider = int(
            self.market.endow("provider", "chain", {"ETH": 2_000, "USD": 4_000_000})[0]
        )
        self.users = [
            int(self.market.endow(f"user{n}", "chain", {"ETH": 1_000, "USD": 1_000_000})[0])
            for n in range(users)
        ]
        self.market.begin()
        self.step_seconds = step_seconds
        self.now = 0
        self.rng = np.random.default_rng(5)
        self._fill_pool()

    def _fill_pool(self) -> None:
        fill = stack([add_liquidity(0, self.provider, 1_000 * UNIT, 2_000_000 * UNIT)])
        self.pool.execute(fill, self.moment())

    def moment(self) -> Moment:
        return Moment(self.now, self.now * self.step_seconds, self.step_seconds)

    def step(self, *intents: Intent) -> int:
        """One step; the number of rows executed."""
        self.market.accrue(self.moment())
        done = self.market.execute(stack(intents), self.moment(), {"chain": self.rng})
        self.market.check()
        self.now += 1
        return done

    def view(self) -> ChainView:
        return self.market.observe(self.moment()).domains["chain"]

    def usd(self, account: int) -> int:
        return int(self.market.ledger.balances[account, self.market.ledger.column["USD"]])

    def eth(self, account: int) -> int:
        return int(self.market.ledger.balances[account, self.market.ledger.column["ETH"]])

    def reserves(self) -> tuple[int, int, int]:
        """Base, quote and shares in circulation, in atoms."""
        view = self.pool.observe(self.moment())
        return view.base_atoms, view.quote_atoms, view.shares_atoms
