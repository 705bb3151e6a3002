"""A crash across spot, pool and perpetual: makers withdraw, leverage unwinds, who pays whom?

One exchange with a spot book and a linear perpetual, one chain with a constant-product pool. Makers
follow the outside price and leave when it moves too fast; levered traders are liquidated through
the perpetual's book, then its insurance fund, then the winners; an arbitrageur ties the pool and a
basis trader the perpetual to the spot book; a whale sells into it. The outside price is BTC/USD of
12-13 March 2020 (`experiments.crash_prices`). Any other history can take its place (`--path`).
"""

import math
from typing import Literal

from pydantic import Field

from agents.arbitrageur import PoolArbitrageur
from agents.basis_trader import BasisTrader
from agents.liquidity_provider import LiquidityProvider
from agents.market_maker import MarketMaker, PerpetualMaker
from agents.noise import NoiseTakers
from agents.perpetual_traders import PerpetualTraders
from agents.whale import Whale
from experiments.crash_prices import FIRST_PRICE, crash_prices
from experiments.paths import History, Replay
from experiments.scenario import AgentSpec, Scenario
from markets import params
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.exchange import Exchange, Gateway
from markets.pools.constant_product_pool import ConstantProductPool
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

LEAST_PRICE = 100.0
"""A thousand ticks: below, the grid of the books is too coarse to quote on."""


class Params(params.Params):
    """Everything that can be set, venue by venue and agent by agent."""

    step_seconds: float = Field(60.0, gt=0, le=3600)
    """Length of a step."""
    bridge_volatility_per_year: float = Field(0.6, ge=0, le=20)
    """How much the outside price wanders between two known points."""
    withdraw_volatility_per_hour: float | None = Field(None, gt=0)
    """Where given, the volatility above which both makers cancel, in the place of their own."""
    block_seconds: float = Field(12.0, gt=0)
    """Time between blocks of the chain."""
    gas_fee: float = Field(1.0, ge=0)
    """Gas of one transaction on the chain, in quote units."""
    ordering: Literal["random", "arrival"] = "random"
    """Whose messages the exchange takes first in a step; arrival: by latency."""
    gateway: Gateway | None = None
    """Where given, how long messages travel to the exchange, as {mean_seconds = 0.2, law = ...}."""
    book: OrderBook.Params = OrderBook.Params(maker_fee_ppm=0, taker_fee_ppm=500)
    pool: ConstantProductPool.Params = ConstantProductPool.Params(fee_ppm=3_000)
    perpetual: Perpetual.Params = Perpetual.Params(
        index_venues=("spot",), insurance_fund_units=100_000
    )
    maker: MarketMaker.Params = MarketMaker.Params(
        venue="spot", base=3_000, quote=24e6, order_size=4
    )
    perpetual_maker: PerpetualMaker.Params = PerpetualMaker.Params(
        venue="perpetual", quote=30e6, order_size=10, risk_aversion=50, largest_skew=0.01
    )
    provider: LiquidityProvider.Params = LiquidityProvider.Params(
        venue="pool", base=500, quote=500 * FIRST_PRICE
    )
    arbitrageur: PoolArbitrageur.Params = PoolArbitrageur.Params(
        book="spot", pool="pool", base=400, quote=3e6
    )
    basis: BasisTrader.Params = BasisTrader.Params(
        spot="spot",
        perpetual="perpetual",
        base=1_000,
        quote=8e6,
        margin=8e6,
        largest_position=1_000,
        entry_premium=0.0015,
    )
    whale: Whale.Params = Whale.Params(
        venue="spot", size=500, start_seconds=10 * 3600, duration_seconds=3600
    )
    traders: PerpetualTraders.Params = PerpetualTraders.Params(venue="perpetual")
    noise: NoiseTakers.Params = NoiseTakers.Params(venue="spot")
    swappers: NoiseTakers.Params = NoiseTakers.Params(venue="pool", count=50)


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on the built-in anchors, or on a history that takes their place."""
    path = history or crash_prices()
    base, quote = Asset("BTC", 8), Asset("USDT", 6)
    instrument = Instrument(base, quote, tick_size=0.1, lot_size=0.0001)
    if path.price.min() < LEAST_PRICE:
        raise ConfigError("path", f"sizes are in BTC: prices below {LEAST_PRICE:g} make no sense")
    threshold = params.withdraw_volatility_per_hour
    withdraw = {} if threshold is None else {"withdraw_volatility_per_hour": threshold}
    scale = float(path.price[0]) / FIRST_PRICE
    provider = params.provider.model_copy(update={"quote": params.provider.quote * scale})
    return Scenario(
        domains=(
            Exchange("exchange", Ordering(params.ordering), params.gateway),
            Chain("chain", params.block_seconds, quote.name, params.gas_fee),
        ),
        venues=(
            OrderBook("spot", "exchange", instrument, params.book),
            Perpetual("perpetual", "exchange", instrument, params.perpetual),
            ConstantProductPool("pool", "chain", instrument, params.pool),
        ),
        agents=(
            AgentSpec("maker", MarketMaker, params.maker.model_copy(update=withdraw)),
            AgentSpec(
                "perpetual_maker",
                PerpetualMaker,
                params.perpetual_maker.model_copy(update=withdraw),
            ),
            AgentSpec("provider", LiquidityProvider, provider),
            AgentSpec("arbitrageur", PoolArbitrageur, params.arbitrageur),
            AgentSpec("basis", BasisTrader, params.basis),
            AgentSpec("whale", Whale, params.whale),
            AgentSpec("traders", PerpetualTraders, params.traders),
            AgentSpec("noise", NoiseTakers, params.noise),
            AgentSpec("swappers", NoiseTakers, params.swappers),
        ),
        processes=(Replay(base.name, path, params.bridge_volatility_per_year),),
        steps=max(1, math.floor(path.duration_seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
    )
