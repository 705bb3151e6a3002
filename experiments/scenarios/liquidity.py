"""A chain with everybody who lives on its pools: providers, farmers, searchers, users, arbitrage.

A constant-product and a concentrated pool of one pair on a chain with little block space, a base
fee and a public queue. Providers of several kinds, a reward program that stops half-way and the
farmers who follow it, an arbitrageur who bids for its place, a sandwicher and a just-in-time
provider who watch the queue, users who split their orders over both pools and noise that does not.
`users_private` hides the users from the searchers. Steps are shorter than blocks, so that what is
sent can be seen before it is executed. Reported beside profits: blocks, gas burnt and tips in
quote, failed transactions, attempts of the searchers, and the most shares that farmers held.
"""

import math
from collections.abc import Mapping

import numpy as np
from pydantic import Field

from agents.aggregator_user import AggregatorUser
from agents.just_in_time import JustInTimeProvider
from agents.liquidity_provider import LiquidityProvider
from agents.noise import NoiseTakers
from agents.outside_arbitrageur import OutsideArbitrageur
from agents.range_provider import RangeProvider
from agents.sandwicher import Sandwicher
from agents.volatility_provider import VolatilityProvider
from agents.yield_farmers import YieldFarmers
from experiments.paths import GeometricBrownian
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.pools.concentrated_pool import ConcentratedPool
from markets.pools.constant_product_pool import ConstantProductPool
from markets.reward_program import RewardProgram

START = 2_000.0
HOUR_SECONDS = 3_600.0
POOLS = ("pool", "ranges")


class Params(params.Params):
    """What can be set; amounts of agents in units."""

    hours: float = Field(6.0, gt=0, le=240)
    """Length of the run."""
    step_seconds: float = Field(4.0, gt=0)
    """Length of a step."""
    block_seconds: float = Field(12.0, gt=0)
    """Time between blocks."""
    volatility_per_year: float = Field(0.8, ge=0)
    """Volatility of the outside price."""
    gas_fee: float = Field(1.0, ge=0)
    """Quote that a swap burns at the start."""
    reward_per_day: float = Field(5_000.0, ge=0)
    """Reward units a day in the first half of the run; a unit is worth one quote."""
    users_private: bool = False
    """Whether users send past the public queue."""
    chain: Chain.Params = Chain.Params(gas_limit=600_000)
    pool: ConstantProductPool.Params = ConstantProductPool.Params(fee_ppm=3_000)
    ranges: ConcentratedPool.Params = ConcentratedPool.Params(
        fee_ppm=500, initial_price=START, tick_spacing=10
    )
    passive: LiquidityProvider.Params = LiquidityProvider.Params(
        venue="pool", base=1_000, quote=1_000 * START
    )
    careful: VolatilityProvider.Params = VolatilityProvider.Params(
        venue="pool", base=200, quote=200 * START
    )
    whole: RangeProvider.Params = RangeProvider.Params(venue="ranges", base=500, quote=500 * START)
    mover: RangeProvider.Params = RangeProvider.Params(
        venue="ranges", base=100, quote=100 * START, width=0.03, trigger=0.5
    )
    farmers: YieldFarmers.Params = YieldFarmers.Params(
        pool="pool", program="program", looks_per_day=96.0
    )
    arbitrageur: OutsideArbitrageur.Params = OutsideArbitrageur.Params(
        pool="pool", base=5_000, quote=5_000 * START, bid_fraction=0.8, private=True
    )
    sandwicher: Sandwicher.Params = Sandwicher.Params(pool="pool", base=200, quote=200 * START)
    just_in_time: JustInTimeProvider.Params = JustInTimeProvider.Params(
        pool="ranges", base=100, quote=100 * START, bid_fraction=0.5
    )
    users: AggregatorUser.Params = AggregatorUser.Params(
        pools=POOLS,
        base="ETH",
        quote="USD",
        base_held=2_000,
        quote_held=2_000 * START,
        trades_per_hour=60.0,
        size_median=3.0,
    )
    noise: NoiseTakers.Params = NoiseTakers.Params(venue="pool", count=50, trades_per_hour=2.0)


def build(params: Params) -> Scenario:
    """Everything on one chain."""
    base, quote = Asset("ETH", 9), Asset("USD", 6)
    pair = Instrument(base, quote, tick_size=0.01, lot_size=0.0001)
    half = params.hours * HOUR_SECONDS / 2
    schedule = ((0.0, params.reward_per_day), (half, 0.0))
    program = RewardProgram.Params(pool="pool", schedule=schedule)
    users = params.users.model_copy(update={"private": params.users_private})
    ranged = params.arbitrageur.model_copy(update={"pool": "ranges"})
    return Scenario(
        domains=(
            Chain("chain", params.block_seconds, quote.name, params.gas_fee, params=params.chain),
        ),
        venues=(
            ConstantProductPool("pool", "chain", pair, params.pool),
            ConcentratedPool("ranges", "chain", pair, params.ranges),
            RewardProgram("program", "chain", quote, program),
        ),
        agents=(
            AgentSpec("passive", LiquidityProvider, params.passive),
            AgentSpec("careful", VolatilityProvider, params.careful),
            AgentSpec("whole", RangeProvider, params.whole),
            AgentSpec("mover", RangeProvider, params.mover),
            AgentSpec("farmers", YieldFarmers, params.farmers),
            AgentSpec("arbitrageur", OutsideArbitrageur, params.arbitrageur),
            AgentSpec("ranged_arbitrageur", OutsideArbitrageur, ranged),
            AgentSpec("sandwicher", Sandwicher, params.sandwicher),
            AgentSpec("just_in_time", JustInTimeProvider, params.just_in_time),
            AgentSpec("users", AggregatorUser, users),
            AgentSpec("noise", NoiseTakers, params.noise),
        ),
        processes=(GeometricBrownian(base.name, START, params.volatility_per_year),),
        steps=max(1, math.floor(params.hours * HOUR_SECONDS / params.step_seconds)),
        step_seconds=params.step_seconds,
    )


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """The chain's figures, the searchers' attempts, the farmers' peak."""
    chain = world.market.domains["chain"]
    assert isinstance(chain, Chain)
    ledger = world.market.ledger
    column = ledger.column["USD"]
    attempts = {
        trader.name: float(trader.attempts)
        for trader in world.traders
        if isinstance(trader, Sandwicher | JustInTimeProvider)
    }
    accounts = {name: np.asarray(values) for name, values in tables["accounts"].items()}
    shares = accounts["asset"] == "pool:share"
    farmed = accounts["balance"][shares & (accounts["owner"] == "farmers")]
    return {
        "blocks": float(chain.blocks),
        "gas_burnt": float(ledger.balances[chain.burner, column] / ledger.assets[column].scale),
        "tips": float(ledger.balances[chain.builder, column] / ledger.assets[column].scale),
        "failed": float(chain.failed),
        "sandwiches": attempts["sandwicher"],
        "surrounded": attempts["just_in_time"],
        "farmed_shares_high": float(farmed.max()) if len(farmed) else 0.0,
    }
