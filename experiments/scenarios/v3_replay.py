"""Five days of a real v3 pool replayed: USDC/WETH 0.05 % on Polygon, up to 17 August 2023's crash.

The pool's minutes are read from the folder that the environment variable FATHOM_DATA names (there:
`uniswap_v3_minute`). Liquidity is the median of the file over all prices; an arbitrageur brings the
pool to the outside price in every block of two seconds. Outside price is that of the file, between
minutes a straight line in its logarithm; since it is the pool's own close, the replay tests whether
pool, chain and arbitrageur follow a real path, not whether the real pool did. Base is USDC, quote
WETH, as in the contract; a tick is a factor of 1.0001.

    ticks_median, ticks_max          distance of simulated and recorded close, in ticks
    within_10_ticks                  part of the minutes before 21:37 on the 17th within ten ticks
    within_10_ticks_after            the same from then on, when liquidity had left the real pool
    low_usdc                         lowest price of WETH, in USDC
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from agents.outside_arbitrageur import OutsideArbitrageur
from agents.pool_observer import PoolObserver
from agents.range_provider import RangeProvider
from experiments.paths import History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.errors import ConfigError
from markets.pools.concentrated_pool import ConcentratedPool

VARIABLE, FOLDER = "FATHOM_DATA", "uniswap_v3_minute"
FILES = "polygon-*.minute.csv"
LOG_TICK = math.log(1.0001)
RAW_DECIMALS = (6, 18)
CRASH = "2023-08-17 21:37:00"


class Params(params.Params):
    """What can be set."""

    block_seconds: float = Field(2.0, gt=0, le=60)
    """Time between blocks."""
    fee_ppm: int = Field(500, ge=0, lt=100_000)
    """Fee of the pool."""
    days: int = Field(5, ge=1, le=5)
    """How many days from the first are replayed."""


def minutes() -> pd.DataFrame:
    """The recorded minutes in order; ConfigError where the folder is not named or lacks them."""
    root = os.environ.get(VARIABLE)
    if not root:
        raise ConfigError(VARIABLE, "must name the folder of market histories")
    files = sorted((Path(root) / FOLDER).glob(FILES))
    if not files:
        raise ConfigError(VARIABLE, f"no {FOLDER}/{FILES} in {root}")
    frame = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    frame["seconds"] = _seconds(frame["timestamp"]) - _seconds(frame["timestamp"])[0]
    return frame


def _seconds(stamps: pd.Series) -> NDArray[np.float64]:
    """Seconds since 1970; a minute closes at the end of it."""
    times = pd.to_datetime(stamps).to_numpy().astype("datetime64[s]")
    return times.astype(np.int64).astype(np.float64)


def closes(frame: pd.DataFrame) -> NDArray[np.float64]:
    """WETH per USDC at the end of each minute, from the closing tick."""
    ticks = frame["closeTick"].to_numpy(np.float64)
    return np.exp(ticks * LOG_TICK) * 10.0 ** (RAW_DECIMALS[0] - RAW_DECIMALS[1])


def build(params: Params) -> Scenario:
    """The pool with its median liquidity, and the path of its closes."""
    frame = minutes()
    frame = frame[frame["seconds"] < params.days * 86_400.0]
    base, quote = Asset("USDC", 6), Asset("WETH", 9)
    price, start = closes(frame), float(closes(frame)[0])
    liquidity = float(frame["currentLiquidity"].astype(np.float64).median())
    units = liquidity / 10.0 ** (sum(RAW_DECIMALS) / 2)
    held = units / math.sqrt(start), units * math.sqrt(start)
    rules = ConcentratedPool.Params(fee_ppm=params.fee_ppm, initial_price=start, tick_spacing=10)
    seconds = frame["seconds"].to_numpy()
    return Scenario(
        domains=(Chain("chain", params.block_seconds, quote.name),),
        venues=(
            ConcentratedPool("pool", "chain", Instrument(base, quote, 0.001, 0.000001), rules),
        ),
        agents=(
            AgentSpec(
                "provider",
                RangeProvider,
                RangeProvider.Params(venue="pool", base=held[0], quote=held[1], gas=0),
            ),
            AgentSpec(
                "arbitrageur",
                OutsideArbitrageur,
                OutsideArbitrageur.Params(pool="pool", base=9 * held[0], quote=9 * held[1]),
            ),
            AgentSpec("observer", PoolObserver, PoolObserver.Params(venue="pool")),
        ),
        processes=(Replay(base.name, History(seconds, price)),),
        steps=int(seconds[-1] / params.block_seconds) + 1,
        step_seconds=params.block_seconds,
        record=("fills",),
    )


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """Simulated against recorded closes."""
    frame = minutes()
    (observer,) = (trader for trader in world.traders if isinstance(trader, PoolObserver))
    mids = np.array(observer.mids)
    step = np.rint(frame["seconds"].to_numpy() / world.scenario.step_seconds).astype(np.int64) + 1
    seen = step < len(mids)
    ticks = np.abs(np.log(mids[step[seen]] / closes(frame)[seen])) / LOG_TICK
    before = (frame["timestamp"] < CRASH).to_numpy()[seen]
    after = ticks[~before]
    return {
        "minutes": float(seen.sum()),
        "ticks_median": float(np.median(ticks)),
        "ticks_max": float(ticks.max()),
        "within_10_ticks": float((ticks[before] <= 10).mean()),
        "within_10_ticks_after": float((after <= 10).mean()) if len(after) else math.nan,
        "low_usdc": float(1 / mids.max()),
    }
