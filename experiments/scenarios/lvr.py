"""Loss-versus-rebalancing: what arbitrage takes from a pool, by volatility, fee and block time.

A pool over all prices whose fees stay outside the curve (v3), a price outside without drift, blocks
at a fixed or a Poisson interval, and one arbitrageur who trades in each block until the pool's
price is within its fee of the outside price. A step is a block. Reported, each with its standard
error, from the blocks after the pool has settled:

    arb_profit_bp_per_day    profit of the arbitrageur at the outside price, in basis points (1e-4)
                             of the pool's value a day
    fee_income_bp_per_day    fees that it pays on the way, likewise
    p_trade                  share of the blocks in which it trades

The profits of arbitrageur and provider themselves (`arbitrageur.profit`, `provider.profit`) are
against holding: neither hedges, so that they say more of the price than of arbitrage.
Without a fee the loss is sigma^2/8 a day; with it, arbitrage and fees share about that between
them. Errors come from batch means with controls that the price alone determines (see
`experiments.control_variates`). The number of blocks grows with the memory of the mispricing; of
the tables only the fills are kept, and the pool's price by an agent that notes it.
Source: arXiv 2208.06046, 2305.14604 (Poisson blocks), 2505.05113 (fixed blocks).
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.outside_arbitrageur import OutsideArbitrageur
from agents.pool_observer import PoolObserver
from agents.range_provider import RangeProvider
from experiments.block_prices import BlockPrices, Innovation, fresh, innovation
from experiments.control_variates import BATCHES, Estimate, estimates
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.pools.concentrated_pool import ConcentratedPool

DAY_SECONDS = 86_400.0
START, VALUE = 2_000.0, 1e9
FEWEST_BLOCKS, MEMORIES, MOST_BLOCKS = 100_000, 150, 4_000_000
WIDEST = 0.7
"""Standard deviation of ln P over one stretch of the path."""

Values = NDArray[np.float64]


class Params(params.Params):
    """The four numbers that matter."""

    sigma_daily: float = Field(0.05, ge=1e-4, le=1)
    """Standard deviation of a day's return."""
    fee_ppm: int = Field(3_000, ge=0, lt=500_000)
    """Fee of the pool."""
    block_seconds: float = Field(12.0, ge=0.01, le=86_400)
    """Time between blocks, or its mean."""
    blocks: Literal["poisson", "fixed"] = "poisson"
    """Whether the time between blocks is exponential or always the same."""

    @property
    def log_fee(self) -> float:
        """Half the width of the band without trade, in the logarithm of price."""
        return -math.log1p(-self.fee_ppm / 1e6)

    @property
    def deviation(self) -> float:
        """Standard deviation of ln P over a block."""
        return self.sigma_daily * math.sqrt(self.block_seconds / DAY_SECONDS)

    @property
    def memory(self) -> int:
        """Blocks in which the price crosses half the band: how long mispricing is remembered."""
        return math.ceil((self.log_fee / self.deviation) ** 2) + 1


def build(params: Params) -> Scenario:
    """One pool, one provider, one arbitrageur, a step a block."""
    base, quote = Asset("ETH", 9), Asset("USD", 6)
    instrument = Instrument(base, quote, tick_size=0.01, lot_size=0.0001)
    half = VALUE / 2
    pool = ConcentratedPool.Params(fee_ppm=params.fee_ppm, initial_price=START, tick_spacing=1)
    provider = RangeProvider.Params(venue="pool", base=half / START, quote=half, gas=0)
    arbitrageur = OutsideArbitrageur.Params(pool="pool", base=20 * half / START, quote=20 * half)
    blocks = min(MOST_BLOCKS, max(FEWEST_BLOCKS, MEMORIES * params.memory))
    return Scenario(
        domains=(Chain("chain", params.block_seconds, quote.name),),
        venues=(ConcentratedPool("pool", "chain", instrument, pool),),
        agents=(
            AgentSpec("provider", RangeProvider, provider),
            AgentSpec("arbitrageur", OutsideArbitrageur, arbitrageur),
            AgentSpec("observer", PoolObserver, PoolObserver.Params(venue="pool")),
        ),
        processes=(_prices(params),),
        steps=blocks,
        step_seconds=params.block_seconds,
        account_steps=blocks,
        record=("fills", "accounts"),
    )


def _prices(params: Params) -> BlockPrices:
    deviation = params.sigma_daily / math.sqrt(DAY_SECONDS)
    stretch = max(20 * params.memory, int((WIDEST / params.deviation) ** 2))
    return BlockPrices("ETH", START, deviation, params.blocks == "poisson", stretch)


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """The three rates with their standard errors; NaN where the run is too short for them."""
    (process,) = world.scenario.processes
    assert isinstance(process, BlockPrices)
    path = _path(world)
    law = innovation(process, world.scenario.step_seconds)
    venue = world.market.venues["pool"]
    assert isinstance(venue, ConcentratedPool)
    log_fee = -math.log1p(-venue.fee_ppm / 1e6)
    memory = math.ceil((log_fee / law.deviation) ** 2) + 1
    settled = fresh(process, world.now, 3 * memory)
    found = [Estimate(math.nan, math.nan)] * 3
    if settled.sum() >= 2 * BATCHES:
        figures = _figures(path, tables["fills"])[settled]
        found = estimates(figures, _controls(path, log_fee, law)[settled])
    daily = 1e4 * DAY_SECONDS / world.scenario.step_seconds
    metrics = {}
    for (name, scale), estimate in zip(_metrics(daily), found, strict=True):
        metrics[name] = estimate.mean * scale
        metrics[f"{name}_se"] = estimate.standard_error * scale
    return metrics


def _metrics(daily: float) -> tuple[tuple[str, float], ...]:
    return (("arb_profit_bp_per_day", daily), ("fee_income_bp_per_day", daily), ("p_trade", 1.0))


class Path(NamedTuple):
    """By block: the outside price, the pool's price before the block, the pool's value."""

    outside: Values
    pool: Values
    value: Values


def _path(world: World) -> Path:
    (observer,) = (trader for trader in world.traders if isinstance(trader, PoolObserver))
    outside, pool = world.reference["ETH"][: world.now], np.array(observer.mids)
    view = world.market.venues["pool"].observe(world.moment(world.now))
    liquidity = view.liquidity / math.sqrt(view.coins[0].scale * view.coins[1].scale)
    return Path(outside, pool, liquidity * (outside / np.sqrt(pool) + np.sqrt(pool)))


def _figures(path: Path, fills: Columns) -> Values:
    """Profit and fees as parts of the pool's value, and whether there was a trade, by block."""
    at, side, count = fills["step"], fills["side"], len(path.outside)
    outside = path.outside[at]
    profit = side * fills["size"] * (outside - fills["price"])
    fee = fills["taker_fee"] * np.where(side > 0, 1.0, outside)
    traded = np.bincount(at, minlength=count) > 0
    sums = [np.bincount(at, weights, count) / path.value for weights in (profit, fee)]
    return np.stack([*sums, traded.astype(np.float64)], axis=1)


def _controls(path: Path, log_fee: float, law: Innovation) -> Values:
    """Four figures of the outside price and of where the pool stood: each has mean zero.

    Three compare what the price did in the block with its expectation, given the mispricing before
    it: of its square, of the trade beyond the band, of whether there was one. The last is the
    change of the squared mispricing, which averages out over a run in its steady state.
    """
    outside, pool = np.log(path.outside), np.log(path.pool)
    reached = outside - pool
    gap = np.append(0.0, outside[:-1]) - pool
    squares = reached**2 - gap**2 - 2 * gap * law.mean - law.mean_square
    up, up_square = law.above(np.maximum(log_fee - gap, 0.0))
    down, down_square = law.below(np.maximum(log_fee + gap, 0.0))
    over = np.maximum(np.abs(reached) - log_fee, 0.0)
    missed = (over > 0) - up - down
    change = np.append(np.diff(gap**2), 0.0)
    return np.stack([squares, over**2 - up_square - down_square, missed, change], axis=1)
