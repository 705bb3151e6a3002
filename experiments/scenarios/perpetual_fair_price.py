"""A perpetual tied to spot by carry arbitrageurs alone: where does its price settle?

One exchange with a spot book and a linear perpetual. The spot maker follows the outside price
without leaning; the perpetual's maker leans against its inventory, so that demand for leverage
moves the price; a cohort of levered traders, long more often than short, supplies that demand. An
arbitrageur with ample capital buys spot and sells the perpetual, or the reverse, as long as the
funding to be expected is worth more than the carry. Nobody knows a fair price. Reported:

    premium_mean, premium_deviation     of the books' mids, perpetual/spot - 1, at the end of each
                                        step, the first fifth of the run left out
    premium_se                          standard error of the mean, from the means of the days
    funding_mean                        of the rate a stamp, over the same time

Left out: interest on balances (the carry is the arbitrageur's own cost of capital).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from agents.carry_arbitrageur import CarryArbitrageur
from agents.market_maker import MarketMaker, PerpetualMaker
from agents.perpetual_traders import PerpetualTraders
from experiments.paths import GeometricBrownian, History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

START = 10_000.0
DAY_SECONDS = 86_400.0
SETTLING = 0.2
"""Part of a run that is left out of its figures."""
_HOURLY = 0.3 / np.sqrt(365 * 24)


class Params(params.Params):
    """Everything that can be set, venue by venue and agent by agent."""

    days: float = Field(default=20.0, gt=0)
    step_seconds: float = Field(default=300.0, gt=0, le=3600)
    volatility_per_year: float = Field(default=0.3, ge=0)
    arbitrage: bool = True
    """Whether there is an arbitrageur at all."""
    book: OrderBook.Params = OrderBook.Params(maker_fee_ppm=0, taker_fee_ppm=0)
    perpetual: Perpetual.Params = Perpetual.Params(
        index_venues=("spot",), maker_fee_ppm=0, taker_fee_ppm=0, funding_damper=0.0
    )
    maker: MarketMaker.Params = MarketMaker.Params(
        venue="spot",
        base=5_000,
        quote=50e6,
        order_size=5,
        half_spread=0.00002,
        level_distance=0.0001,
        largest_skew=0,
        risk_aversion=1e-3,
        withdraw_volatility_per_hour=1.0,
    )
    perpetual_maker: PerpetualMaker.Params = PerpetualMaker.Params(
        venue="perpetual",
        quote=50e6,
        order_size=1,
        levels=20,
        half_spread=0.00002,
        level_distance=0.00005,
        largest_skew=0.02,
        risk_aversion=300,
        volatility_half_life_seconds=DAY_SECONDS,
        initial_volatility_per_hour=_HOURLY,
        withdraw_volatility_per_hour=1.0,
    )
    traders: PerpetualTraders.Params = PerpetualTraders.Params(
        venue="perpetual",
        count=300,
        collateral_sigma=0.5,
        leverage_mean=3,
        leave_per_hour=0.25,
    )
    arbitrageur: CarryArbitrageur.Params = CarryArbitrageur.Params(
        spot="spot", perpetual="perpetual", base=2_000, quote=20e6, margin=20e6
    )


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on a random walk, or on a history that takes its place."""
    base, quote = Asset("BTC", 8), Asset("USDT", 6)
    instrument = Instrument(base, quote, tick_size=0.01, lot_size=0.001)
    agents = [
        AgentSpec("maker", MarketMaker, params.maker),
        AgentSpec("perpetual_maker", PerpetualMaker, params.perpetual_maker),
        AgentSpec("traders", PerpetualTraders, params.traders),
    ]
    if params.arbitrage:
        agents.append(AgentSpec("arbitrageur", CarryArbitrageur, params.arbitrageur))
    process = GeometricBrownian(base.name, START, params.volatility_per_year)
    seconds = history.duration_seconds if history else params.days * DAY_SECONDS
    return Scenario(
        domains=(Exchange("exchange", Ordering.RANDOM),),
        venues=(
            OrderBook("spot", "exchange", instrument, params.book),
            Perpetual("perpetual", "exchange", instrument, params.perpetual),
        ),
        agents=agents,
        processes=(Replay(base.name, history) if history else process,),
        steps=max(1, round(seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
    )


def cost_band(params: Params) -> float:
    """Premium that costs alone can hold up: half of both spreads and the arbitrageur's cost."""
    maker = params.perpetual_maker
    variance = params.volatility_per_year**2 / (365 * DAY_SECONDS)
    leaning = maker.risk_aversion * variance * maker.horizon_seconds / 2
    return params.maker.half_spread + maker.half_spread + leaning + params.arbitrageur.cost


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """Premium and funding once they have settled."""
    steps = pd.DataFrame(dict(tables["steps"]))
    steps = steps[steps["step"] >= SETTLING * len(steps) / 2]
    spot, perpetual = (steps[steps["venue"] == name] for name in ("spot", "perpetual"))
    premium = perpetual["mid"].to_numpy() / spot["mid"].to_numpy() - 1
    days = pd.Series(premium).groupby(perpetual["seconds"].to_numpy() // DAY_SECONDS).mean()
    return {
        "premium_mean": float(np.nanmean(premium)),
        "premium_se": float(days.std() / np.sqrt(len(days))) if len(days) > 1 else np.nan,
        "premium_deviation": float(np.nanstd(premium)),
        "funding_mean": float(perpetual["funding_rate"].mean()),
    }
