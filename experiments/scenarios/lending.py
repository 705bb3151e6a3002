"""A lending pool in a falling market: rates, liquidations, bad debt, and lenders who cannot leave.

One chain with a lending pool of ETH and USDC and a constant-product pool where seized ETH is sold.
Lenders supply USDC for a rate, borrowers pledge ETH and borrow USDC as long as the rate suits them,
a liquidator repays unsafe loans where the outlet pays enough for the collateral, and an
arbitrageur ties the outlet to the outside price, which may crash on a day. `run_above` of the
lenders makes them run when utilisation is high. Reported beside profits:

    utilisation_mean, borrow_rate_mean, borrow_rate_high    of USDC, over the steps
    exhausted_share     steps at whose end less than a thousandth of the supply is there
    refused             withdrawals without cash        liquidations   of accounts
    bad_debt_share      written off, of the most that was owed
    shortfall_share     what debts exceed their collateral by at the end, likewise
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from agents.borrowers import Borrowers
from agents.lenders import Lenders
from agents.liquidity_provider import LiquidityProvider
from agents.loan_liquidator import LoanLiquidator
from agents.outside_arbitrageur import OutsideArbitrageur
from experiments.paths import GeometricBrownian, History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.lending.lending_params import LendingRules, ReserveParams
from markets.lending.lending_pool import LendingPool
from markets.pools.constant_product_pool import ConstantProductPool

START = 2_000.0
DAY_SECONDS = 86_400.0


class Params(params.Params):
    """What can be set; amounts of agents in units."""

    days: float = Field(20.0, gt=0, le=2_000)
    """Length of the run."""
    step_seconds: float = Field(300.0, gt=0)
    """Length of a step."""
    block_seconds: float = Field(12.0, gt=0)
    """Time between blocks."""
    volatility_per_year: float = Field(0.8, ge=0)
    """Of the price outside, the crash apart."""
    crash: float = Field(0.3, ge=0, lt=1)
    """Part by which the price falls in the `crash_hours` from the middle of the run."""
    crash_hours: float = Field(6.0, gt=0)
    """How long the fall takes."""
    gas_fee: float = Field(2.0, ge=0)
    """Quote that a swap burns."""
    bank: LendingRules = LendingRules()
    collateral: ReserveParams = ReserveParams(
        kink=0.8, rate_at_0=0.01, rate_at_kink=0.048, rate_at_1=0.848
    )
    loan: ReserveParams = ReserveParams(rate_at_kink=0.035, rate_at_1=0.635)
    outlet: ConstantProductPool.Params = ConstantProductPool.Params(fee_ppm=3_000)
    lenders: Lenders.Params = Lenders.Params(venue="bank")
    borrowers: Borrowers.Params = Borrowers.Params(venue="bank", collateral_median=10.0)
    liquidator: LoanLiquidator.Params = LoanLiquidator.Params(
        venue="bank", outlet="outlet", quote=500_000.0
    )
    provider: LiquidityProvider.Params = LiquidityProvider.Params(
        venue="outlet", base=1_000, quote=1_000 * START
    )
    arbitrageur: OutsideArbitrageur.Params = OutsideArbitrageur.Params(
        pool="outlet", base=20_000, quote=20_000 * START
    )


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on a random walk with a crash, or on a history that takes its place."""
    base, quote = Asset("ETH", 9), Asset("USDC", 6)
    pair = Instrument(base, quote, tick_size=0.01, lot_size=0.0001)
    reserves = (params.collateral, params.loan)
    bank = LendingPool.Params(**params.bank.model_dump(), reserves=reserves)
    seconds = history.duration_seconds if history else params.days * DAY_SECONDS
    return Scenario(
        domains=(Chain("chain", params.block_seconds, quote.name, params.gas_fee),),
        venues=(
            LendingPool("bank", "chain", (base, quote), bank),
            ConstantProductPool("outlet", "chain", pair, params.outlet),
        ),
        agents=(
            AgentSpec("lenders", Lenders, params.lenders),
            AgentSpec("borrowers", Borrowers, params.borrowers),
            AgentSpec("liquidator", LoanLiquidator, params.liquidator),
            AgentSpec("provider", LiquidityProvider, params.provider),
            AgentSpec("arbitrageur", OutsideArbitrageur, params.arbitrageur),
        ),
        processes=(Replay(base.name, history) if history else _Crash(base.name, params),),
        steps=max(1, round(seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
    )


class _Crash:
    """A random walk that falls by a part within some hours of its middle."""

    def __init__(self, asset: str, params: Params) -> None:
        self.asset = asset
        self._walk = GeometricBrownian(asset, START, params.volatility_per_year)
        self._fall, self._seconds = np.log1p(-params.crash), params.crash_hours * 3_600

    def sample(self, steps: int, step_seconds: float, stream: np.random.Generator) -> np.ndarray:
        """See `Process.sample`."""
        into = (np.arange(steps + 1) - steps // 2) * step_seconds / self._seconds
        walk = self._walk.sample(steps, step_seconds, stream)
        return np.asarray(walk * np.exp(self._fall * np.clip(into, 0.0, 1.0)))


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """What the pool went through."""
    steps = pd.DataFrame(dict(tables["steps"]))
    rows = steps[steps["venue"] == "bank"]
    pool = world.market.venues["bank"]
    assert isinstance(pool, LendingPool)
    scale = pool.coins[1].scale
    lent = rows["quote_reserve"] * rows["utilisation"] / (1 - rows["utilisation"]).clip(lower=1e-9)
    most = max(float(lent[rows["utilisation"] < 1].max()), 1.0)
    return {
        "utilisation_mean": float(rows["utilisation"].mean()),
        "borrow_rate_mean": float(rows["borrow_rate"].mean()),
        "borrow_rate_high": float(rows["borrow_rate"].max()),
        "exhausted_share": float((rows["utilisation"] > 0.999).mean()),
        "refused": float(pool.refused_withdrawals),
        "loans_liquidated": float(rows["liquidations"].sum()),
        "bad_debt_share": float(pool.bad_debt_atoms[1] / scale / most),
        "shortfall_share": pool.shortfall() / most,
    }
