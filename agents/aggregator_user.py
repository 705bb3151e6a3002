"""Aggregator users: swappers whose orders are split over all pools of a chain by the router.

Orders arrive at a Poisson rate, buy or sell a base asset with equal chance, in lognormal sizes.
Each order is split over the direct pools and the paths through other coins that share no pool, gas
counted, and sent as one bundle: every hop names the least output it must give, and later hops
spend what the earlier one must at least have paid.
"""

import math
from collections.abc import Sequence

from pydantic import Field

from agents.trader import NOTHING, Trader
from markets.intents import SWAP_EXACT_IN, Intent, bundle, privately, swap_coins
from markets.market import Market, View
from markets.pools import router
from markets.pools.pool import PoolView
from markets.rounding import PPM

MOST_SWAPS = 10
"""Swaps whose gas is kept back."""


class AggregatorUser(Trader):
    """One account that trades one asset against another over many pools."""

    class Params(Trader.Params):
        """Parameters; sizes and endowments in units."""

        pools: tuple[str, ...] = Field(min_length=1)
        """Names of the pools that it may route through."""
        base: str
        """Name of the asset that sizes count."""
        quote: str
        """Name of the asset traded against it."""
        base_held: float = Field(100.0, ge=0)
        """Base held at the start."""
        quote_held: float = Field(200_000.0, ge=0)
        """Quote held at the start."""
        trades_per_hour: float = Field(6.0, ge=0)
        """Mean number of trades (Poisson)."""
        size_median: float = Field(1.0, gt=0)
        """Median size of a trade, in base."""
        size_sigma: float = Field(1.0, ge=0)
        """Standard deviation of the logarithm of size."""
        slippage_ppm: int = Field(5_000, ge=0, lt=PPM)
        """How far below the quoted output a trade may end."""
        most_hops: int = Field(router.MOST_HOPS, ge=1, le=router.MOST_HOPS)
        """Most pools in one path."""
        private: bool = False
        """Whether to send past the public queue."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        held = {self.params.base: self.params.base_held, self.params.quote: self.params.quote_held}
        self._domain = market.venues[self.params.pools[0]].domain
        self.account = self.endow(market, self._domain, held)
        self._column = market.ledger.column
        self._assets = {asset.name: asset for asset in market.ledger.assets}

    def act(self, view: View) -> Sequence[Intent]:
        """An order, if one is due."""
        hours = view.moment.step_seconds / 3600
        if self.dice.random() >= -math.expm1(-self.params.trades_per_hour * hours):
            return NOTHING
        buys = self.dice.random() < 0.5
        size = self.params.size_median * math.exp(self.params.size_sigma * self.dice.gauss(0, 1))
        return self.order(view, buys, size)

    def order(self, view: View, buys: bool, size: float) -> Sequence[Intent]:
        """Buy or sell about `size` of base at the present prices, as far as funds reach."""
        pools = {name: view[name] for name in self.params.pools}
        paid, received = self.params.quote, self.params.base
        if not buys:
            paid, received = received, paid
        found = router.find_routes(pools, paid, received, self.params.most_hops)
        routes = router.without_overlap(found)
        if not routes:
            return NOTHING
        if buys:
            size /= router.marginal_price(routes[0])
        held = int(view.balances[self.account, self._column[paid]])
        if buys:
            held -= MOST_SWAPS * int(self._gas(view, routes[0], paid))
        atoms = min(self._assets[paid].to_atoms(size), held)
        if atoms <= 0:
            return NOTHING
        parts, _ = router.best_split(routes, atoms, self._gas(view, routes[0], received))
        return self._send(parts)

    def _gas(self, view: View, best: router.Route, received: str) -> float:
        """Gas of one swap in atoms of the coin received; gas is paid in quote."""
        chain = view.domains[self._domain]
        fee_atoms = chain.fee_atoms(SWAP_EXACT_IN) if chain else 0
        if received == self.params.quote:
            return float(fee_atoms)
        worth = router.marginal_price(best)
        scales = self._assets[received].scale / self._assets[self.params.quote].scale
        return fee_atoms * worth * scales

    def _send(self, parts: Sequence[router.Part]) -> Sequence[Intent]:
        """All hops of all parts in one bundle."""
        rows: list[Intent] = []
        for part in parts:
            amount = part.input_atoms
            for hop in part.route:
                quoted = router.output_atoms((hop,), amount)
                least = quoted * (PPM - self.params.slippage_ppm) // PPM
                if least <= 0:
                    return NOTHING
                rows.append(_swap(hop.pool, self.account, hop, (amount, least)))
                amount = least
        if self.params.private:
            rows = [privately(row) for row in rows]
        return bundle(rows) if len(rows) > 1 else rows


def _swap(pool: PoolView, account: int, hop: router.Hop, amounts: tuple[int, int]) -> Intent:
    return swap_coins(pool.index, account, hop.paid, hop.received, *amounts)
