"""A perpetual tied to spot by carry arbitrageurs alone: where does its price settle?

One exchange with a spot book and a perpetual: linear, inverse (paid in the coin) or quanto (paid in
a third asset whose price goes with the coin's). The spot maker follows the outside price without
leaning; the perpetual's maker leans against its inventory, so that demand for leverage moves the
price; a cohort of levered traders, long more often than short, supplies that demand. An arbitrageur
with ample capital buys spot and sells the perpetual, or the reverse, as long as the funding to be
expected is worth more than the carry. Nobody knows a fair price. A unit of the settlement asset
costs one quote at the start, for an inverse contract by counting the coin in small units. Reported:

    premium_mean, premium_deviation     of the books' mids, perpetual/spot - 1, at the end of each
                                        step, the first fifth of the run left out
    premium_se                          standard error of the mean, from the means of the days
    funding_mean                        of the rate a stamp, over the same time

Left out: interest on balances (the carry is the arbitrageur's own cost of capital).
"""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import pandas as pd
from pydantic import Field

from agents.contract_arbitrageur import ContractArbitrageur
from agents.market_maker import MarketMaker, PerpetualMaker
from agents.perpetual_traders import PerpetualTraders
from agents.trader import Trader
from experiments.correlated_path import Follower, Leader
from experiments.paths import GeometricBrownian, History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.derivatives.contract_form import ContractKind
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.exchange import Exchange
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

AnyParams = TypeVar("AnyParams", bound=Trader.Params)

START = 10_000.0
_TICK, _LOT = 0.1, 0.001
_CONTRACT_QUOTE = _LOT * START
"""What a lot of any form is worth at the start."""
DAY_SECONDS = 86_400.0
SETTLING = 0.2
"""Part of a run that is left out of its figures."""
_HOURLY = 0.3 / np.sqrt(365 * 24)


class Params(params.Params):
    """Everything that can be set, venue by venue and agent by agent."""

    days: float = Field(default=20.0, gt=0)
    """Length of the run."""
    step_seconds: float = Field(default=300.0, gt=0, le=3600)
    """Length of a step."""
    volatility_per_year: float = Field(default=0.3, ge=0)
    """Of the outside price."""
    contract: ContractKind = ContractKind.LINEAR
    """What the perpetual pays in; `perpetual.contract` follows it, and may be no other."""
    settlement_volatility_per_year: float = Field(default=1.0, ge=0)
    """Of the asset that a quanto pays in."""
    correlation: float = Field(default=0.0, ge=-1, le=1)
    """Of its returns with those of the base."""
    arbitrage: bool = True
    """Whether there is an arbitrageur at all."""
    book: OrderBook.Params = OrderBook.Params(maker_fee_ppm=0, taker_fee_ppm=0)
    perpetual: Perpetual.Params = Perpetual.Params(
        index_venues=("spot",),
        maker_fee_ppm=0,
        taker_fee_ppm=0,
        funding_damper=0.0,
        contract_value_quote=_CONTRACT_QUOTE,
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
    arbitrageur: ContractArbitrageur.Params = ContractArbitrageur.Params(
        spot="spot", perpetual="perpetual", base=2_000, quote=20e6, margin=20e6
    )


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on a random walk, or on a history that takes its place."""
    base, quote = Asset("BTC", 6), Asset("USDT", 6)
    units = START if params.contract is ContractKind.INVERSE else 1.0
    instrument = Instrument(base, quote, tick_size=_TICK / units, lot_size=_LOT * units)
    perpetual = _perpetual(params)
    settlement = Asset("PAID", 6) if params.contract is ContractKind.QUANTO else None
    agents = [
        AgentSpec("maker", MarketMaker, _in_units(params.maker, units)),
        AgentSpec("perpetual_maker", PerpetualMaker, _in_units(params.perpetual_maker, units)),
        AgentSpec("traders", PerpetualTraders, params.traders),
    ]
    if params.arbitrage:
        arbitrageur = _in_units(params.arbitrageur, units)
        agents.append(AgentSpec("arbitrageur", ContractArbitrageur, arbitrageur))
    walk = GeometricBrownian(base.name, START / units, params.volatility_per_year)
    leader = Leader(Replay(base.name, history) if history else walk)
    rest = (params.settlement_volatility_per_year, params.correlation, leader)
    seconds = history.duration_seconds if history else params.days * DAY_SECONDS
    return Scenario(
        domains=(Exchange("exchange", Ordering.RANDOM),),
        venues=(
            OrderBook("spot", "exchange", instrument, params.book),
            Perpetual("perpetual", "exchange", instrument, perpetual, settlement),
        ),
        agents=agents,
        processes=(leader, Follower(settlement.name, 1.0, *rest)) if settlement else (leader,),
        steps=max(1, round(seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
    )


def _perpetual(params: Params) -> Perpetual.Params:
    """The venue's parameters for the contract; ConfigError where they ask for another."""
    venue = params.perpetual
    if venue.contract not in (ContractKind.LINEAR, params.contract):
        raise ConfigError(
            "perpetual.contract", f"is {venue.contract} where contract is {params.contract}"
        )
    if venue.contract_value_quote != _CONTRACT_QUOTE:
        raise ConfigError(
            "perpetual.contract_value_quote",
            f"must be {_CONTRACT_QUOTE:g} quote, a lot at the start",
        )
    return venue.model_copy(update={"contract": params.contract})


def _in_units(params: AnyParams, units: float) -> AnyParams:
    """Sizes in base units, counted in units so many times smaller."""
    sizes = {"base", "order_size", "largest_position"} & set(type(params).model_fields)
    return params.model_copy(update={name: getattr(params, name) * units for name in sizes})


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
