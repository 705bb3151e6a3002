"""10 October 2025: longs are liquidated, makers leave, the backstop gives up, winners are closed.

One perpetual under the rule of Hyperliquid: market orders below maintenance, a backstop vault with
a loss limit below two thirds of it, then auto-deleveraging (ADL). A cohort of levered traders,
mostly long, faces a cohort of hedgers, short with little leverage; one maker quotes near the
outside price and leaves when it moves too fast, another only bids 4 to 10 % away. The outside price
is exogenous: its first point, its low (106,560 on the CADLI index) and the times of the
announcement (20:50 UTC) and of the worst minute (21:15) are those of the day, the points between
are ours. A step is ten seconds, a run the fourteen hours from 13:00 UTC. Reported:

    worst_40_share, worst_minute_share    of the notional liquidated in the run
    adl_ratio, adl_delay_seconds          ADL over liquidations; first after first, from 21:15 on
    long_share                            of the lots liquidated
    depth_left, depth_gone_minutes        least depth within 1 % over that before; time below 5 %
    top_haircut, other_haircut            part of their position that the tenth of the winners with
                                          most profit on their margin lost to ADL, and the others

Left out: other coins, whose falls were deeper; collateral other than the settlement asset.
Source: Amberdata, Kaiko and public replays of Hyperliquid's fills, as figures only.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from agents.market_maker import PerpetualMaker
from agents.perpetual_traders import PerpetualTraders
from experiments.paths import History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.derivatives.backstop import Backstop
from markets.derivatives.brackets import MarginTier
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.sequencing import Ordering

MINUTE = 60.0
WAVE_MINUTES = 495.0
"""21:15 UTC, counted from 13:00."""
ANCHORS = (
    (0.0, 121_700.0),
    (120.0, 121_000.0),
    (180.0, 118_800.0),
    (300.0, 117_600.0),
    (470.0, 117_000.0),
    (480.0, 115_900.0),
    (494.0, 114_600.0),
    (495.0, 114_400.0),
    (496.0, 111_400.0),
    (497.5, 108_000.0),
    (500.0, 106_560.0),
    (506.0, 110_200.0),
    (530.0, 111_800.0),
    (600.0, 112_600.0),
    (840.0, 113_300.0),
)
"""Minutes since 13:00 UTC and BTC/USD."""
_GONE = 0.05


class Params(params.Params):
    """Everything that can be set, venue and agent by agent."""

    step_seconds: float = Field(default=10.0, gt=0, le=60)
    """Length of a step."""
    bridge_volatility_per_year: float = Field(default=0.35, ge=0)
    """How much the outside price wanders between two known points."""
    withdraw_volatility_per_hour: float = Field(default=0.04, gt=0)
    """Short-run volatility above which the near maker cancels his quotes."""
    perpetual: Perpetual.Params = Perpetual.Params(
        maker_fee_ppm=150,
        taker_fee_ppm=450,
        initial_margin_ppm=25_000,
        maintenance_tiers=(MarginTier(maintenance_ppm=12_500),),
        funding_interval_seconds=3_600,
        market_band_ppm=100_000,
        liquidation=LiquidationRule(
            preset="hyperliquid", backstops=(Backstop(capital=10e6, loss=250e3),)
        ),
    )
    maker: PerpetualMaker.Params = PerpetualMaker.Params(
        venue="perpetual",
        quote=500e6,
        order_size=15,
        levels=10,
        half_spread=0.0001,
        level_distance=0.0005,
        risk_aversion=20,
        largest_skew=0.005,
        volatility_half_life_seconds=60,
    )
    far_maker: PerpetualMaker.Params = PerpetualMaker.Params(
        venue="perpetual",
        quote=300e6,
        order_size=20,
        levels=7,
        half_spread=0.04,
        level_distance=0.01,
        risk_aversion=1e-6,
        largest_skew=0,
        withdraw_volatility_per_hour=10.0,
    )
    traders: PerpetualTraders.Params = PerpetualTraders.Params(
        venue="perpetual",
        count=4_000,
        collateral_median=4_000,
        collateral_sigma=1.3,
        leverage_mean=9,
        leverage_most=39,
        long_share=0.85,
        enter_per_hour=1.0,
        leave_per_hour=0.1,
    )
    hedgers: PerpetualTraders.Params = PerpetualTraders.Params(
        venue="perpetual",
        count=1_000,
        collateral_median=100_000,
        collateral_sigma=1.3,
        leverage_mean=1.3,
        leverage_most=3,
        long_share=0.0,
        enter_per_hour=1.0,
        leave_per_hour=0.02,
    )


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on the built-in anchors, or on a history that takes their place."""
    base, quote = Asset("BTC", 8), Asset("USDC", 6)
    instrument = Instrument(base, quote, tick_size=1.0, lot_size=0.0001)
    minutes, prices = (np.array(column) for column in zip(*ANCHORS, strict=True))
    path = history or History(minutes * MINUTE, prices)
    withdraw = {"withdraw_volatility_per_hour": params.withdraw_volatility_per_hour}
    return Scenario(
        domains=(Exchange("exchange", Ordering.RANDOM),),
        venues=(Perpetual("perpetual", "exchange", instrument, params.perpetual),),
        agents=(
            AgentSpec("maker", PerpetualMaker, params.maker.model_copy(update=withdraw)),
            AgentSpec("far_maker", PerpetualMaker, params.far_maker),
            AgentSpec("traders", PerpetualTraders, params.traders),
            AgentSpec("hedgers", PerpetualTraders, params.hedgers),
        ),
        processes=(Replay(base.name, path, params.bridge_volatility_per_year),),
        steps=max(1, round(path.duration_seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
        record=("steps", "fills"),
    )


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """The shapes of the day, as far as the run goes."""
    steps, fills = (pd.DataFrame(dict(tables[name])) for name in ("steps", "fills"))
    per_step = world.scenario.step_seconds
    notional = (steps["liquidated"] * steps["mark"]).fillna(0.0).to_numpy()
    total = max(notional.sum(), 1e-9)
    wave = round(WAVE_MINUTES * MINUTE / per_step)
    adl = (steps["adl"] * steps["mark"]).fillna(0.0).to_numpy()
    first = _first(notional[wave:]), _first(adl[wave:])
    sides = fills.loc[fills["reason"] == "liquidation"].groupby("side")["size"].sum()
    return {
        "liquidated_notional": float(notional.sum()),
        "worst_40_share": _worst(notional, round(40 * MINUTE / per_step)) / total,
        "worst_minute_share": _worst(notional, round(MINUTE / per_step)) / total,
        "adl_ratio": float(adl.sum() / total),
        "adl_delay_seconds": (first[1] - first[0]) * per_step,
        "long_share": float(sides.get(-1, 0.0) / max(sides.sum(), 1e-9)),
        **_depth(steps, wave, per_step),
        **_haircuts(fills, _collateral(world)),
    }


def _worst(values: np.ndarray, width: int) -> float:
    """The largest sum over so many steps on end."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    return float((sums[width:] - sums[:-width]).max()) if len(values) >= width else np.nan


def _first(values: np.ndarray) -> float:
    found = np.flatnonzero(values > 0)
    return float(found[0]) if len(found) else np.nan


def _depth(steps: pd.DataFrame, wave: int, step_seconds: float) -> dict[str, float]:
    """Bids and offers within 1 % of the mid; a book without a mid has none."""
    depth = (steps["bid_depth"] + steps["ask_depth"]).fillna(0.0)
    usual, after = depth.iloc[:wave].median(), depth.iloc[wave:]
    return {
        "depth_left": float(after.min() / usual) if len(after) else np.nan,
        "depth_gone_minutes": float((after < _GONE * usual).sum() * step_seconds / MINUTE),
    }


def _haircuts(fills: pd.DataFrame, collateral: pd.Series) -> dict[str, float]:
    """Part of the position lost to ADL by winners, as they stood before the first ADL."""
    closed = fills[fills["reason"] == "adl"]
    if not len(closed):
        return {"top_haircut": np.nan, "other_haircut": np.nan}
    before = fills[fills["step"] < closed["step"].iloc[0]]
    signed = before["side"] * before["size"]
    sides = [(before["taker_account"], signed), (before["maker_account"], -signed)]
    position, paid = (
        pd.concat([values.groupby(account).sum() for account, values in books])
        .groupby(level=0)
        .sum()
        .reindex(collateral.index, fill_value=0.0)
        for books in (sides, [(account, size * before["price"]) for account, size in sides])
    )
    gain = (position * closed["price"].iloc[0] - paid) / collateral
    lost = closed.groupby("maker_account")["size"].sum().reindex(collateral.index, fill_value=0.0)
    won = (position < 0) & (gain > 0)
    haircut = (lost[won] / -position[won]).clip(upper=1.0)
    top = gain[won].sort_values().index[-max(1, won.sum() // 10) :]
    return {
        "top_haircut": float(haircut[top].mean()),
        "other_haircut": float(haircut.drop(top).mean()),
    }


def _collateral(world: World) -> pd.Series:
    """What every trader and hedger deposited, by account, in quote units."""
    cohorts = [trader for trader in world.traders if isinstance(trader, PerpetualTraders)]
    scale = world.market.venues["perpetual"].columns()[1].scale
    return pd.concat(
        [pd.Series(cohort.collateral_atoms / scale, cohort.accounts) for cohort in cohorts]
    )
