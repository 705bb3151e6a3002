"""12-13 March 2020: two waves of liquidations on a perpetual whose insurance fund holds.

One exchange with a spot book and a linear perpetual under the rule of BitMEX: an order down to the
lower risk tier, else the fund takes the position and sells it better than bankruptcy where it can.
Makers on both books follow the outside price and leave when it moves too fast; levered traders,
mostly long, meet hedgers, short with little leverage; a basis trader ties both books. The outside
price is the day's (`experiments.crash_prices`), or any history. Reported, hours from the start:

    fall, worst_hour          lowest mid of the spot book over its first, least return of an hour
    first_wave, second_wave   mean hour, by size, of the liquidations in the `WAVE_HOURS` with most
                              of them, before and after `BETWEEN_HOURS`
    funding_second_day        mean rate of the stamps after 24 hours
    fund_drawdown             largest fall of the insurance fund from its peak, as a part of it
    adl_ratio                 ADL over liquidations

Traders do not lever their gains again: who did would be as large, after one fall, as the venue, and
his liquidation a wave of its own. Size and limit of the basis trader's orders are chosen to match
the published funding. Left out: the outage of 13 March, inverse contracts.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from agents.basis_trader import BasisTrader
from agents.market_maker import MarketMaker, PerpetualMaker
from agents.noise import NoiseTakers
from agents.perpetual_traders import PerpetualTraders
from experiments.crash_prices import crash_prices
from experiments.paths import History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

HOUR = 3600.0
DAY_HOURS, BETWEEN_HOURS, WAVE_HOURS = 24.0, 18.0, 4
"""The second fall took four hours, 23:00 to 02:00."""


class Params(params.Params):
    """Everything that can be set, venue by venue and agent by agent."""

    step_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Length of a step."""
    bridge_volatility_per_year: float = Field(default=0.6, ge=0)
    """How much the outside price wanders between two known points."""
    withdraw_volatility_per_hour: float = Field(default=0.2, gt=0)
    """Short-run volatility above which both makers cancel their quotes."""
    book: OrderBook.Params = OrderBook.Params(maker_fee_ppm=0, taker_fee_ppm=500)
    perpetual: Perpetual.Params = Perpetual.Params(
        index_venues=("spot",),
        insurance_fund_units=5e6,
        market_band_ppm=100_000,
        liquidation=LiquidationRule(preset="bitmex", rest_seconds=120.0),
    )
    maker: MarketMaker.Params = MarketMaker.Params(
        venue="spot", base=6_000, quote=48e6, order_size=8
    )
    perpetual_maker: PerpetualMaker.Params = PerpetualMaker.Params(
        venue="perpetual",
        quote=60e6,
        order_size=20,
        levels=10,
        risk_aversion=50,
        largest_skew=0.01,
    )
    traders: PerpetualTraders.Params = PerpetualTraders.Params(
        venue="perpetual",
        count=2_000,
        leverage_mean=8,
        long_share=0.75,
        leave_per_hour=0.1,
        reinvested=0.0,
    )
    hedgers: PerpetualTraders.Params = PerpetualTraders.Params(
        venue="perpetual",
        count=300,
        collateral_median=10_000,
        leverage_mean=1.3,
        leverage_most=3,
        long_share=0.0,
        leave_per_hour=0.02,
    )
    basis: BasisTrader.Params = BasisTrader.Params(
        spot="spot",
        perpetual="perpetual",
        base=1_000,
        quote=8e6,
        margin=8e6,
        order_size=3,
        largest_position=1_000,
        entry_premium=0.0015,
    )
    noise: NoiseTakers.Params = NoiseTakers.Params(venue="spot")


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on the built-in anchors, or on a history that takes their place."""
    path = history or crash_prices()
    base, quote = Asset("BTC", 8), Asset("USDT", 6)
    instrument = Instrument(base, quote, tick_size=0.1, lot_size=0.0001)
    withdraw = {"withdraw_volatility_per_hour": params.withdraw_volatility_per_hour}
    maker = params.maker.model_copy(update=withdraw)
    perpetual_maker = params.perpetual_maker.model_copy(update=withdraw)
    return Scenario(
        domains=(Exchange("exchange", Ordering.RANDOM),),
        venues=(
            OrderBook("spot", "exchange", instrument, params.book),
            Perpetual("perpetual", "exchange", instrument, params.perpetual),
        ),
        agents=(
            AgentSpec("maker", MarketMaker, maker),
            AgentSpec("perpetual_maker", PerpetualMaker, perpetual_maker),
            AgentSpec("traders", PerpetualTraders, params.traders),
            AgentSpec("hedgers", PerpetualTraders, params.hedgers),
            AgentSpec("basis", BasisTrader, params.basis),
            AgentSpec("noise", NoiseTakers, params.noise),
        ),
        processes=(Replay(base.name, path, params.bridge_volatility_per_year),),
        steps=max(1, round(path.duration_seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
        record=("steps", "flows"),
    )


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """The shapes of the two days; NaN where the run does not reach them."""
    steps = pd.DataFrame(dict(tables["steps"]))
    steps["hour"] = (steps["seconds"] - world.scenario.step_seconds) / HOUR
    spot, rows = (steps[steps["venue"] == name].set_index("hour") for name in ("spot", "perpetual"))
    mid = spot["mid"].dropna()
    hourly = mid.groupby(mid.index.to_numpy() // 1).last()
    liquidated = rows["liquidated"]
    fund = rows["insurance_fund"]
    second = rows.loc[rows.index >= DAY_HOURS, "funding_rate"]
    return {
        "fall": float(mid.min() / mid.iloc[0] - 1),
        "worst_hour": float(hourly.pct_change().min()),
        "first_wave": _centre(liquidated[liquidated.index < BETWEEN_HOURS]),
        "second_wave": _centre(liquidated[liquidated.index >= BETWEEN_HOURS]),
        "funding_second_day": float(second.mean()) if len(second) else np.nan,
        "fund_drawdown": float((1 - fund / fund.cummax()).max()),
        "fund_growth": float(fund.iloc[-1] / fund.iloc[0] - 1),
        "adl_ratio": float(rows["adl"].sum() / max(rows["liquidated"].sum(), 1e-9)),
    }


def _centre(liquidated: pd.Series) -> float:
    """Mean hour of a wave: of what was liquidated in the hours in a row that hold most of it."""
    if not liquidated.sum() > 0:
        return np.nan
    hours = liquidated.index.to_numpy()
    hourly = liquidated.groupby(hours // 1).sum()
    most = hourly.rolling(WAVE_HOURS, min_periods=1).sum().idxmax()
    wave = liquidated[(hours >= most - WAVE_HOURS + 1) & (hours < most + 1)]
    return float(np.average(wave.index, weights=wave))
