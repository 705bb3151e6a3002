"""Funding over the years: the plateau at 0.01 %, bulls above it, crashes below zero.

One exchange with a spot book and a linear perpetual under the clamped rule (interest 0.01 %, damper
0.05 %, every 8 hours). Demand for leverage follows the trend: a cohort is long after rises and
short after falls, another trades against it, a third trades at random. The maker leans against his
inventory. Two arbitrageurs of finite capital, one with low and one with high costs, carry spot
against the perpetual. The outside price jumps now and then, mostly down. Reported, by day:

    plateau_share      days whose three rates are all exactly the interest
    autocorrelation    of a day's mean rate with the day before
    negative_share     days whose mean rate is below zero
    crash_rate         mean rate of the day after a fall of more than `CRASH`, and its `crashes`
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from agents.carry_arbitrageur import CarryArbitrageur
from agents.market_maker import MarketMaker, PerpetualMaker
from agents.perpetual_traders import PerpetualTraders
from agents.trend_traders import TrendTraders
from experiments.paths import History, JumpDiffusion, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.derivatives.funding_meter import RATE_SCALE
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

START = 10_000.0
DAY_SECONDS = 86_400.0
CRASH = 0.10
"""Fall within a day that counts as a crash."""
SETTLING_DAYS = 30


class Params(params.Params):
    """Everything that can be set, venue by venue and agent by agent."""

    days: float = Field(default=500.0, gt=0)
    """Length of the run."""
    step_seconds: float = Field(default=7200.0, gt=0, le=28_800)
    """Length of a step."""
    volatility_per_year: float = Field(default=0.55, ge=0)
    """Volatility of the outside price between jumps."""
    drift_per_year: float = 0.5
    """Its drift, what jumps take back included."""
    jumps_per_year: float = Field(default=4.0, ge=0)
    """Mean number of jumps."""
    jump_mean: float = -0.10
    """Mean of the logarithm of a jump."""
    jump_deviation: float = Field(default=0.05, ge=0)
    """Standard deviation of the logarithm of a jump."""
    book: OrderBook.Params = OrderBook.Params(maker_fee_ppm=0, taker_fee_ppm=100)
    perpetual: Perpetual.Params = Perpetual.Params(
        index_venues=("spot",), insurance_fund_units=100_000, maker_fee_ppm=0, taker_fee_ppm=200
    )
    maker: MarketMaker.Params = MarketMaker.Params(
        venue="spot",
        base=50_000,
        quote=500e6,
        order_size=50,
        largest_skew=0,
        withdraw_volatility_per_hour=1.0,
    )
    perpetual_maker: PerpetualMaker.Params = PerpetualMaker.Params(
        venue="perpetual",
        quote=100e6,
        order_size=10,
        levels=30,
        half_spread=0.0001,
        level_distance=0.0001,
        largest_skew=0.003,
        risk_aversion=150,
        initial_volatility_per_hour=0.006,
        volatility_half_life_seconds=10 * DAY_SECONDS,
        withdraw_volatility_per_hour=1.0,
    )
    momentum: TrendTraders.Params = TrendTraders.Params(
        venue="perpetual",
        count=450,
        collateral_sigma=0.5,
        bias=0.15,
        weight=1.0,
        memory_hours=250,
        review_per_hour=0.2,
    )
    reversion: TrendTraders.Params = TrendTraders.Params(
        venue="perpetual", count=10, weight=-0.5, memory_hours=24
    )
    traders: PerpetualTraders.Params = PerpetualTraders.Params(
        venue="perpetual", count=100, leverage_mean=3, leave_per_hour=0.25
    )
    cheap_carry: CarryArbitrageur.Params = CarryArbitrageur.Params(
        spot="spot",
        perpetual="perpetual",
        base=2_000,
        quote=20e6,
        margin=20e6,
        order_size=5,
        largest_position=100,
        cost=0.0002,
    )
    dear_carry: CarryArbitrageur.Params = cheap_carry.model_copy(
        update={"largest_position": 200.0, "cost": 0.001}
    )


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on a random path with jumps, or on a history that takes its place."""
    base, quote = Asset("BTC", 8), Asset("USDT", 6)
    instrument = Instrument(base, quote, tick_size=0.1, lot_size=0.001)
    drift = params.drift_per_year - params.jumps_per_year * params.jump_mean
    process = JumpDiffusion(
        base.name,
        START,
        params.volatility_per_year,
        drift,
        params.jumps_per_year,
        params.jump_mean,
        params.jump_deviation,
    )
    seconds = history.duration_seconds if history else params.days * DAY_SECONDS
    return Scenario(
        domains=(Exchange("exchange", Ordering.RANDOM),),
        venues=(
            OrderBook("spot", "exchange", instrument, params.book),
            Perpetual("perpetual", "exchange", instrument, params.perpetual),
        ),
        agents=(
            AgentSpec("maker", MarketMaker, params.maker),
            AgentSpec("perpetual_maker", PerpetualMaker, params.perpetual_maker),
            AgentSpec("momentum", TrendTraders, params.momentum),
            AgentSpec("reversion", TrendTraders, params.reversion),
            AgentSpec("traders", PerpetualTraders, params.traders),
            AgentSpec("cheap_carry", CarryArbitrageur, params.cheap_carry),
            AgentSpec("dear_carry", CarryArbitrageur, params.dear_carry),
        ),
        processes=(Replay(base.name, history) if history else process,),
        steps=max(1, round(seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
        record=("steps",),
    )


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """What the days after the first month were like."""
    steps = pd.DataFrame(dict(tables["steps"]))
    rows = steps[steps["venue"] == "perpetual"].reset_index(drop=True)
    venue = world.market.venues["perpetual"]
    assert isinstance(venue, Perpetual)
    rows["day"] = ((rows["seconds"] - world.scenario.step_seconds) // DAY_SECONDS).astype(int)
    rows["plateau"] = (rows["funding_rate"] - venue.params.interest_rate).abs() * RATE_SCALE < 0.5
    by_day = rows.groupby("day")
    plateau = by_day["plateau"].all()
    rate, close = by_day["funding_rate"].mean(), by_day["reference"].last()
    crashed = (close.pct_change() < -CRASH).shift(1, fill_value=False)
    plateau, rate, crashed = (column[SETTLING_DAYS:] for column in (plateau, rate, crashed))
    return {
        "plateau_share": float(plateau.mean()),
        "autocorrelation": float(rate.autocorr(1)) if len(rate) > 2 else np.nan,
        "negative_share": float((rate < 0).mean()),
        "rate_mean": float(rate.mean()),
        "rate_low": float(rate.min()),
        "rate_high": float(rate.max()),
        "crash_rate": float(rate[crashed].mean()),
        "crashes": float(crashed.sum()),
    }
