"""Impermanent loss of full-range and of concentrated positions, through pools and arbitrage.

Pools without a fee, each with a provider and an arbitrageur; the outside price jumps from P to r P
and the pool follows. The position's worth over that of what was deposited, less one, is

    2 sqrt(r)/(1 + r) - 1    full range;    a range [P/a, P a]: by valuation, for small moves
                             the former times 1/(1 - 1/sqrt(a))

Published to two or three digits (multipliers and figures at r = 1.5 for a = 1.1, 1.5, 2, 4); the
closed forms beside them hold to a part in a billion of the deposit, which is what whole atoms and
ticks leave. Edges of ranges are ticks, 0.01 % apart, so the closed form is that of the tick range.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.liquidity_provider import LiquidityProvider
from agents.outside_arbitrageur import OutsideArbitrageur
from agents.range_provider import RangeProvider
from experiments.reproduction import Row
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.pools.concentrated_pool import ConcentratedPool
from markets.pools.constant_product_pool import ConstantProductPool
from markets.pools.losses import impermanent_loss, impermanent_loss_concentrated

CITATION = (
    "Pintail (2019), Uniswap: a good deal for liquidity providers?; Loesch, Hindman, Richardson "
    "and Welch (2021), Impermanent loss in Uniswap v3, arXiv 2111.09192"
)
DEFAULT_RUNS = 1

START = 2_000.0
BASE, QUOTE = 500_000.0, 1e9
FULL = ((1.25, -0.0062), (1.5, -0.0202), (2, -0.0572), (3, -0.134), (4, -0.200), (5, -0.255))
"""Price ratio and loss."""
RANGES = ((1.1, -0.181, 21.5), (1.5, -0.110, 5.45), (2, -0.069, 3.41), (4, -0.040, 2.00))
"""a, loss at a price ratio of 1.5, and the multiplier of small moves."""
EXACT = 1e-9
SMALL_MOVE = 1.002


@dataclass(frozen=True)
class Jump:
    """A price that stands still for a step and then at a multiple."""

    asset: str
    ratio: float

    def sample(
        self, steps: int, step_seconds: float, stream: np.random.Generator
    ) -> NDArray[np.float64]:
        """See `Process.sample`."""
        prices = np.full(steps + 1, START * self.ratio)
        prices[0] = START
        return prices


def full_range_loss(ratio: float) -> float:
    """Loss of a constant-product position, from the real pool."""
    world = _world(ratio, None)
    view = world.market.venues["pool"].observe(world.moment(world.now))
    base = view.coins[0].to_units(view.base_atoms)
    quote = view.coins[1].to_units(view.quote_atoms)
    return _loss((base, quote), (BASE, QUOTE), ratio)


def range_loss(ratio: float, width: float) -> tuple[float, float]:
    """Loss of a range [P/a, P a] of width a - 1, from the real pool, and by valuation."""
    world = _world(ratio, width)
    provider = next(t for t in world.traders if isinstance(t, RangeProvider))
    view = world.market.venues["pool"].observe(world.moment(world.now))
    assert provider.ticks is not None
    low, high = (view.price_at(tick) for tick in provider.ticks)
    now = view.position(provider.account, *provider.ticks)
    held = view.coins[0].to_units(now.base_atoms), view.coins[1].to_units(now.quote_atoms)
    idle = world.holdings()[world.market.ledger.owner_names.index("provider")]
    columns = world.market.ledger.column
    free = [idle[columns[coin.name]] - part for coin, part in zip(view.coins, held, strict=True)]
    put_in = BASE - free[0], QUOTE - free[1]
    exact = impermanent_loss_concentrated(START, START * ratio, low, high)
    return _loss(held, put_in, ratio), exact


def _world(ratio: float, width: float | None) -> World:
    """One pool without a fee after its price has jumped."""
    base, quote = Asset("ETH", 9), Asset("USD", 6)
    pair = Instrument(base, quote, tick_size=0.01, lot_size=0.0001)
    pool: ConcentratedPool | ConstantProductPool
    if width is None:
        pool = ConstantProductPool("pool", "chain", pair, ConstantProductPool.Params(fee_ppm=0))
        provider = AgentSpec(
            "provider",
            LiquidityProvider,
            LiquidityProvider.Params(venue="pool", base=BASE, quote=QUOTE, gas=0),
        )
    else:
        rules = ConcentratedPool.Params(fee_ppm=0, initial_price=START, tick_spacing=1)
        pool = ConcentratedPool("pool", "chain", pair, rules)
        chosen = RangeProvider.Params(venue="pool", base=BASE, quote=QUOTE, width=width, gas=0)
        provider = AgentSpec("provider", RangeProvider, chosen)
    rich = OutsideArbitrageur.Params(pool="pool", base=100 * BASE, quote=100 * QUOTE)
    world = World(
        Scenario(
            domains=(Chain("chain", 12.0, quote.name),),
            venues=(pool,),
            agents=(provider, AgentSpec("arbitrageur", OutsideArbitrageur, rich)),
            processes=(Jump(base.name, ratio),),
            steps=2,
            step_seconds=12.0,
        ),
        seed=0,
        record=(),
    )
    for _ in range(2):
        world.step()
    return world


def _loss(held: tuple[float, float], put_in: tuple[float, float], ratio: float) -> float:
    price = START * ratio
    return (held[0] * price + held[1]) / (put_in[0] * price + put_in[1]) - 1


def reproduce(runs: int, seed: int) -> list[Row]:
    """All figures; there is nothing random in them."""
    rows = []
    for ratio, published in FULL:
        got, label = full_range_loss(ratio), f"full range, price x {ratio:g}"
        tolerance = 0.00005 if abs(published) < 0.1 else 0.0005
        rows.append(Row("impermanent_loss", label, published, tolerance, got, 0.0))
        exact = impermanent_loss(ratio)
        rows.append(Row("impermanent_loss", f"{label}: closed form", exact, EXACT, got, 0.0))
    for a, published, multiplier in RANGES:
        rows += _range_rows(a, published, multiplier)
    return rows


def _range_rows(a: float, published: float, multiplier: float) -> list[Row]:
    """Loss at 1.5, its closed form, and the multiple of the full range's for a small move."""
    got, exact = range_loss(1.5, a - 1)
    label = f"range a = {a:g}"
    small = range_loss(SMALL_MOVE, a - 1)[0] / impermanent_loss(SMALL_MOVE)
    loss_label = f"{label}, price x 1.5"
    return [
        Row("impermanent_loss", loss_label, published, 0.0012, got, 0.0),
        Row("impermanent_loss", f"{loss_label}: closed form", exact, EXACT, got, 0.0),
        Row("impermanent_loss", f"{label}: multiplier", multiplier, 0.01 * multiplier, small, 0.0),
        Row(
            "impermanent_loss",
            f"{label}: multiplier, closed form",
            1 / (1 - 1 / math.sqrt(a)),
            0.01 * multiplier,
            small,
            0.0,
        ),
    ]
