"""Adams, Moallemi, Reynolds and Robinson 2024: a pool whose management is let by auction (am-AMM).

The manager pays rent to the liquidity providers, names the fee, keeps it, and trades without it. In
each block outsiders trade first, where the outside price has moved by more than the fee f; then the
manager brings the pool to the outside price. So every block starts without mispricing, and

    outsiders' part of the loss = exp(-f/(sigma sqrt(dt/2)))        Poisson blocks of mean dt
    rent + outsiders' profit    = sigma^2/8 of the pool's value     if the manager bids all it earns

against P_trade = 1/(1 + f sqrt(2/dt)/sigma) of the loss in a pool with a plain fee. Volatility 5 %
a day, blocks of 12 s. Pool, auction and trades are the real ones; the manager's bid is its expected
profit in closed form, and that it comes out even is one of the rows.
Left out: the theorem on equilibrium liquidity, which needs a demand of noise traders.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.liquidity_provider import LiquidityProvider
from agents.outside_arbitrageur import OutsideArbitrageur
from agents.trader import NOTHING, Trader
from experiments.block_prices import BlockPrices, innovation
from experiments.control_variates import Estimate, estimates
from experiments.reproduction import Row
from experiments.scenario import AgentSpec, Scenario, find_scenario
from experiments.simulate import resolve, simulate
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.intents import BUY, SELL, Intent, add_liquidity, bid, set_fee, swap_exact_in
from markets.market import Market, View
from markets.pools.constant_product import input_until_price
from markets.pools.losses import lvr_rate_weighted, outsider_excess
from markets.pools.managed_pool import ManagedPool, ManagedView
from markets.rounding import ppm_down
from markets.sequencing import Ordering

CITATION = (
    "Adams, Moallemi, Reynolds and Robinson (2024), am-AMM: an auction-managed automated market "
    "maker, arXiv 2403.03367"
)
DEFAULT_RUNS = 1

BLOCKS, BLOCK_SECONDS, DAY_SECONDS = 20_000, 12.0, 86_400.0
SIGMA, START, BASE, QUOTE = 0.05, 2_000.0, 250_000.0, 5e8
NO_FEE = 1e4 * SIGMA**2 / 8
BEGIN = 4
"""Blocks until the lease runs."""
TABLE = ((1, 0.787, 0.806), (5, 0.301, 0.455), (10, 0.091, 0.294))
"""Fee in basis points, outsiders' part of the loss here, and in a pool with that fee."""


class Manager(Trader):
    """Bids for the lease once, names the fee, and closes each block at the outside price."""

    class Params(Trader.Params):
        """Parameters of the manager."""

        fee_ppm: int
        """The fee that it sets."""
        rent_fraction: float
        """Rent a block as a part of the pool's value."""
        latency_seconds: float = 1.0
        """Above the outsiders': they come first."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        held = {"ETH": 20 * BASE, "USD": 20 * QUOTE}
        self.account = self.endow(market, "chain", held)

    def act(self, view: View) -> Sequence[Intent]:
        """Shares, bid, fee, and from then on one swap a block."""
        pool, step = view["pool"], view.moment.step
        if step == 1:
            atoms = pool.base_atoms // 50, pool.quote_atoms // 50
            return [add_liquidity(pool.index, self.account, *atoms)]
        if step == 2:
            shares = int(view.balances[self.account, pool.share_column])
            rent = round(self.params.rent_fraction * pool.shares_atoms)
            return [bid(pool.index, self.account, rent, shares)]
        if pool.manager != self.account:
            return NOTHING
        rows = self._swap(pool, view.moment.reference["ETH"])
        if pool.fee_ppm != self.params.fee_ppm:
            rows.insert(0, set_fee(pool.index, self.account, self.params.fee_ppm))
        return rows

    def _swap(self, pool: ManagedView, outside: float) -> list[Intent]:
        """What is left to do after the outsiders of this block, whose rule is known."""
        side = BUY if pool.mid < outside else SELL
        paid, received = (1, 0) if side == BUY else (0, 1)
        held = [float(atoms) for atoms in pool.reserves_atoms]
        theirs = pool.input_until(side, outside)
        if theirs > 0:
            held[received] -= pool.output_atoms(side, theirs)
            held[paid] += theirs - ppm_down(theirs, pool.fee_ppm)
        atomic = outside * pool.coins[1].scale / pool.coins[0].scale
        limit = 1 / atomic if side == BUY else atomic
        atoms = int(input_until_price(held[paid], held[received], 0, limit))
        return [swap_exact_in(pool.index, self.account, side, atoms)] if atoms > 0 else []


class Rates(NamedTuple):
    """Basis points of the pool's value a day."""

    outsiders: Estimate
    manager: Estimate
    rent: float


def run(fee_bp: int, seed: int, blocks: int = BLOCKS) -> Rates:
    """One fee: what outsiders and manager earn before rent, and the rent paid."""
    world = World(_scenario(fee_bp, blocks), seed, record=("fills",))
    for _ in range(blocks):
        world.step()
    fills = world.recorder.tables()["fills"]
    outside, daily = world.reference["ETH"][:blocks], 1e4 * DAY_SECONDS / BLOCK_SECONDS
    view = world.market.venues["pool"].observe(world.moment(blocks))
    at, side = fills["step"], fills["side"]
    gain = side * fills["size"] * (outside[at] - fills["price"])
    fee = fills["taker_fee"] * np.where(side > 0, 1.0, outside[at])
    ours = fills["taker"] == "manager"
    root = math.sqrt(BASE * QUOTE) * 1.02
    value = 2 * root * np.sqrt(outside)
    earned = [
        np.bincount(at, np.where(ours, 0.0, gain), blocks) / value,
        np.bincount(at, np.where(ours, gain, fee), blocks) / value,
    ]
    controls = _controls(world, fee_bp)
    figures = np.stack(earned, axis=1)[BEGIN:]
    outsiders, manager = (
        Estimate(mean * daily, error * daily) for mean, error in estimates(figures, controls)
    )
    return Rates(outsiders, manager, view.rent_atoms / view.shares_atoms * daily)


def _controls(world: World, fee_bp: int) -> NDArray[np.float64]:
    """What the price did in each block, and beyond the fee, less the expectation of both."""
    (process,) = world.scenario.processes
    assert isinstance(process, BlockPrices)
    law, log_fee = innovation(process, BLOCK_SECONDS), -math.log1p(-fee_bp / 1e4)
    moves = np.diff(np.log(world.reference["ETH"][: world.now]))[BEGIN - 1 :]
    level = np.array([log_fee])
    beyond = law.above(level)[1] + law.below(level)[1]
    over = np.maximum(np.abs(moves) - log_fee, 0.0)
    return np.stack([moves**2 - law.mean_square, over**2 - beyond], axis=1)


def _scenario(fee_bp: int, blocks: int) -> Scenario:
    base, quote = Asset("ETH", 9), Asset("USD", 6)
    pair = Instrument(base, quote, tick_size=0.01, lot_size=0.0001)
    rules = ManagedPool.Params(fee_ppm=100 * fee_bp, delay_blocks=1, raise_ppm=0)
    days = BLOCK_SECONDS / DAY_SECONDS
    profit = lvr_rate_weighted(SIGMA, 0.5) - outsider_excess(SIGMA, days, fee_bp / 1e4)
    manager = Manager.Params(fee_ppm=100 * fee_bp, rent_fraction=profit * days)
    provider = LiquidityProvider.Params(venue="pool", base=BASE, quote=QUOTE, gas=0)
    outsider = OutsideArbitrageur.Params(pool="pool", base=20 * BASE, quote=20 * QUOTE)
    prices = BlockPrices(base.name, START, SIGMA / math.sqrt(DAY_SECONDS), True, blocks + 1)
    return Scenario(
        domains=(Chain("chain", BLOCK_SECONDS, quote.name, ordering=Ordering.ARRIVAL),),
        venues=(ManagedPool("pool", "chain", pair, rules),),
        agents=(
            AgentSpec("provider", LiquidityProvider, provider),
            AgentSpec("outsider", OutsideArbitrageur, outsider),
            AgentSpec("manager", Manager, manager),
        ),
        processes=(prices,),
        steps=blocks,
        step_seconds=BLOCK_SECONDS,
    )


def reproduce(runs: int, seed: int) -> list[Row]:
    """Each fee with `runs` seeds, beside a pool with a plain fee."""
    rows = []
    for fee_bp, part, plain in TABLE:
        rates = [run(fee_bp, seed + number) for number in range(runs)]
        rows += _rows(f"{fee_bp} bp", part, rates)
        rows.append(_plain_row(fee_bp, plain, seed))
    return rows


def _rows(label: str, part: float, rates: Sequence[Rates]) -> list[Row]:
    outsiders, error = _mean([each.outsiders for each in rates])
    manager, manager_error = _mean([each.manager for each in rates])
    rent = sum(each.rent for each in rates) / len(rates)
    within = 0.01 * part + 0.0005
    share, share_error = outsiders / NO_FEE, error / NO_FEE
    both = math.hypot(error, manager_error)
    figures = (
        ("outsiders' part of the loss", part, within, share, share_error),
        ("all arbitrage, bp/day", NO_FEE, 0.01 * NO_FEE, outsiders + manager, both),
        ("manager after rent, bp/day", 0.0, 0.01 * NO_FEE, manager - rent, manager_error),
        ("rent and outsiders, bp/day", NO_FEE, 0.01 * NO_FEE, rent + outsiders, error),
    )
    return [Row("managed_amm", f"{label}: {name}", *rest) for name, *rest in figures]


def _mean(found: Sequence[Estimate]) -> tuple[float, float]:
    mean = sum(each.mean for each in found) / len(found)
    return mean, math.sqrt(sum(each.standard_error**2 for each in found)) / len(found)


def _plain_row(fee_bp: int, plain: float, seed: int) -> Row:
    scenario = find_scenario("lvr")
    params = resolve(scenario, {"fee_ppm": 100 * fee_bp, "sigma_daily": SIGMA})
    found = simulate(scenario, params, seed, BLOCKS).metrics
    share = found["arb_profit_bp_per_day"] / NO_FEE
    error = found["arb_profit_bp_per_day_se"] / NO_FEE
    name = f"{fee_bp} bp: arbitrage's part with a plain fee"
    return Row("managed_amm", name, plain, 0.02 * plain, share, error)
