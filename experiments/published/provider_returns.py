"""Loesch and others 2021: in Uniswap v3 the providers lost more than their fees, half of them lost.

Over 17 pools fees were 199.3 M USD and impermanent loss 260.1 M, a ratio of 0.77, and about half of
the providers ended below holding (49.5 %, not confirmed in the text at hand). Here: one
concentrated pool with a fee of 0.3 %, a lognormal outside price of 80 % a year, an arbitrageur,
uninformed swappers, and a crowd of providers who come at random times for a random time with
ranges of random width. Volume is set, from two pilot runs, so that fees over loss come to about the
published ratio; that the ratio is met is a check, the share of losers is the result. A provider's
loss is the worth of its range against that of what it put in, at its exit; fees at their worth.
The crowd is ours: ranges of 1 to 30 % to a side, stays of five days in the mean. Wider ranges lose
more evenly, and fewer providers (36 to 42 %) are then below holding at the same ratio.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.noise import NoiseTakers
from agents.outside_arbitrageur import OutsideArbitrageur
from agents.range_provider import RangeProvider
from agents.trader import Cohort
from experiments.paths import GeometricBrownian
from experiments.reproduction import Row, standard_error
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.intents import Intent, add_range, collect, remove_range
from markets.market import Market, View
from markets.pools.concentrated_pool import ConcentratedPool, ConcentratedView

CITATION = (
    "Loesch, Hindman, Richardson and Welch (2021), Impermanent loss in Uniswap v3, arXiv 2111.09192"
)
DEFAULT_RUNS = 12

RATIO, LOSERS = 199.3 / 260.1, 0.495
STEPS, STEP_SECONDS = 4_320, 600.0
START, BASE = 2_000.0, 10.0
PILOTS = (0.5, 2.0)
"""Trades an hour and swapper in the two pilot runs."""


class Visitors(Cohort):
    """Each opens one range at a random time and closes it at another."""

    class Params(Cohort.Params):
        """Parameters of the crowd."""

        count: int = Field(150, ge=1)
        """Providers."""
        narrowest: float = 0.01
        """Least width of a range to a side, as a part of price."""
        widest: float = 0.3
        """Most width of a range to a side, uniform in the logarithm between the two."""
        stay_mean_steps: float = 700.0
        """Mean stay, exponential."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        count, params = self.params.count, self.params
        self.accounts = self.endow_all(market, "chain", {"ETH": BASE, "USD": BASE * START})
        self.begins = self.stream.integers(1, STEPS * 8 // 10, count)
        stay = self.stream.exponential(params.stay_mean_steps, count).astype(np.int64) + 2
        self.ends = np.minimum(self.begins + stay, STEPS - 1)
        span = np.log(params.widest / params.narrowest)
        self.widths = params.narrowest * np.exp(span * self.stream.random(count))
        self.ticks = np.zeros((count, 2), np.int64)
        self.put_in = np.zeros((count, 2))
        self.loss, self.fees = np.zeros(count), np.zeros(count)

    def act(self, view: View) -> Sequence[Intent]:
        """Entries and exits that are due."""
        pool, step = view["pool"], view.moment.step
        for member in np.flatnonzero(self.begins + 1 == step).tolist():
            self.put_in[member] = self._position(pool, member)[:2]
        rows: list[Intent] = []
        for member in np.flatnonzero(self.begins == step).tolist():
            rows.append(self._enter(pool, member))
        for member in np.flatnonzero(self.ends == step).tolist():
            rows += self._leave(view, pool, member)
        return rows

    def _enter(self, pool: ConcentratedView, member: int) -> Intent:
        wide = 1 + self.widths[member]
        low = pool.tick_for(pool.mid / wide)
        ticks = low, max(pool.tick_for(pool.mid * wide), low + pool.tick_spacing)
        self.ticks[member] = ticks
        base, quote = pool.coins[0].to_atoms(BASE), pool.coins[1].to_atoms(BASE * START)
        return add_range(pool.index, int(self.accounts[member]), *ticks, base, quote)

    def _position(self, pool: ConcentratedView, member: int) -> tuple[float, ...]:
        """Base, quote, and fees of both, in units."""
        found = pool.position(int(self.accounts[member]), *self.ticks[member].tolist())
        base, quote = pool.coins[0], pool.coins[1]
        return (
            base.to_units(found.base_atoms),
            quote.to_units(found.quote_atoms),
            base.to_units(found.base_fee_atoms),
            quote.to_units(found.quote_fee_atoms),
        )

    def _leave(self, view: View, pool: ConcentratedView, member: int) -> list[Intent]:
        """Note the result at the outside price, and close."""
        price, account = view.moment.reference["ETH"], int(self.accounts[member])
        base, quote, base_fee, quote_fee = self._position(pool, member)
        held = self.put_in[member, 0] * price + self.put_in[member, 1]
        self.loss[member] = base * price + quote - held
        self.fees[member] = base_fee * price + quote_fee
        lower, upper = self.ticks[member].tolist()
        liquidity = pool.position(account, lower, upper).liquidity
        return [
            remove_range(pool.index, account, lower, upper, liquidity),
            collect(pool.index, account, lower, upper),
        ]


class Crowd(NamedTuple):
    """Fees and losses (below 0) of all providers of a run, in quote."""

    fees: NDArray[np.float64]
    loss: NDArray[np.float64]


def run(trades_per_hour: float, seed: int) -> Crowd:
    """One month of 150 providers."""
    base, quote = Asset("ETH", 9), Asset("USD", 6)
    pair = Instrument(base, quote, tick_size=0.01, lot_size=0.0001)
    rules = ConcentratedPool.Params(fee_ppm=3_000, initial_price=START, tick_spacing=60)
    always = RangeProvider.Params(venue="pool", base=50, quote=50 * START, gas=0)
    swappers = NoiseTakers.Params(
        venue="pool",
        count=20,
        base=1e4,
        quote=1e4 * START,
        trades_per_hour=trades_per_hour,
        size_median=0.2,
    )
    world = World(
        Scenario(
            domains=(Chain("chain", STEP_SECONDS, quote.name),),
            venues=(ConcentratedPool("pool", "chain", pair, rules),),
            agents=(
                AgentSpec("always", RangeProvider, always),
                AgentSpec("visitors", Visitors, Visitors.Params()),
                AgentSpec("swappers", NoiseTakers, swappers),
                AgentSpec(
                    "arbitrageur",
                    OutsideArbitrageur,
                    OutsideArbitrageur.Params(pool="pool", base=1e5, quote=1e5 * START),
                ),
            ),
            processes=(GeometricBrownian(base.name, START, 0.8),),
            steps=STEPS,
            step_seconds=STEP_SECONDS,
        ),
        seed,
        record=(),
    )
    for _ in range(STEPS):
        world.step()
    visitors = next(trader for trader in world.traders if isinstance(trader, Visitors))
    return Crowd(visitors.fees, visitors.loss)


def _totals(crowds: Sequence[Crowd]) -> tuple[float, float]:
    """Fees over loss, and the share of providers below holding."""
    fees = np.concatenate([crowd.fees for crowd in crowds])
    loss = np.concatenate([crowd.loss for crowd in crowds])
    return float(fees.sum() / -loss.sum()), float((fees + loss < 0).mean())


def reproduce(runs: int, seed: int) -> list[Row]:
    """Pilots to set the volume, then the same months again with it."""
    seeds = range(seed, seed + runs)
    low, high = (_totals([run(rate, each) for each in seeds])[0] for rate in PILOTS)
    slope = (high - low) / (PILOTS[1] - PILOTS[0])
    rate = max(PILOTS[0] / 10, PILOTS[0] + (RATIO - low) / slope)
    crowds = [run(rate, each) for each in seeds]
    ratio, losers = _totals(crowds)
    error = standard_error(_totals([crowd])[1] for crowd in crowds)
    return [
        Row("provider_returns", "fees over impermanent loss", RATIO, 0.05 * RATIO, ratio, 0.0),
        Row("provider_returns", "share of providers below holding", LOSERS, 0.055, losers, error),
    ]
