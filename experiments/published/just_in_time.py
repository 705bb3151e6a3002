"""Just-in-time liquidity: who gains and who loses when a swap is surrounded, by sign and size.

One concentrated pool over all prices, one swap that waits in the public queue, with and without a
provider who opens one tick spacing around it for the length of the swap. Published in words and
bounds, so each row is 1 where the claim holds:

    the swapper never gets less, and gains at most twice the fee          Wan and Adams
        as long as the swap alone stays inside the band of fees
    passive providers earn less fee, the more, the deeper the other       Capponi, Jia and Zhu
    passive liquidity leaves, since its return falls; with inelastic
        volume the swapper then has less depth when nobody is in time     the same
    on one swap passive profit can fall by 44 % and more                  arXiv 2509.16157
    a swap sent privately is not surrounded                               by construction

Return on passive liquidity is fees over its worth; in equilibrium providers stay while it pays what
they ask, so that with a given volume the liquidity that stays is in proportion to their fees.
"""

from typing import NamedTuple

from pydantic import Field

from agents.just_in_time import JustInTimeProvider
from agents.range_provider import RangeProvider
from agents.trader import NOTHING, Trader
from experiments.reproduction import Row
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.intents import SELL, Intent, privately, swap_exact_in
from markets.market import Market, View
from markets.pools.concentrated_pool import ConcentratedPool

CITATION = (
    "Wan and Adams (2022), Just-in-time liquidity on the Uniswap protocol; Capponi, Jia and Zhu "
    "(2024), The paradox of just-in-time liquidity in decentralized exchanges; arXiv 2509.16157"
)
DEFAULT_RUNS = 1

START, FEE_PPM = 2_000.0, 3_000
PASSIVE_BASE = 1_000.0
SIZES = (2.0, 10.0, 40.0)
"""Base sold in one swap."""
DEPTHS = (10.0, 50.0, 250.0)
"""Base, and as much worth of quote, of the provider in time."""
STEPS, STEP_SECONDS, SENT = 6, 6.0, 2


class Swapper(Trader):
    """Sells once."""

    class Params(Trader.Params):
        """Parameters of the swap."""

        base: float = Field(gt=0)
        """Base to sell."""
        private: bool = False
        """Whether it is sent past the public queue."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        self.account = self.endow(market, "chain", {"ETH": self.params.base})

    def act(self, view: View) -> tuple[Intent, ...]:
        """The swap, in its step."""
        if view.moment.step != SENT:
            return NOTHING
        atoms = view["pool"].coins[0].to_atoms(self.params.base)
        swap = swap_exact_in(view["pool"].index, self.account, SELL, atoms)
        return (privately(swap) if self.params.private else swap,)


class Outcome(NamedTuple):
    """Quote that the swapper received, and base that passive providers earned in fees."""

    received: float
    passive_fee: float


def run(size: float, depth: float, private: bool = False, passive: float = PASSIVE_BASE) -> Outcome:
    """One swap; a depth of 0 is a world without the provider in time."""
    base, quote = Asset("ETH", 9), Asset("USD", 6)
    pair = Instrument(base, quote, tick_size=0.01, lot_size=0.0001)
    rules = ConcentratedPool.Params(fee_ppm=FEE_PPM, initial_price=START, tick_spacing=60)
    stays = RangeProvider.Params(venue="pool", base=passive, quote=passive * START, gas=0)
    agents = [
        AgentSpec("passive", RangeProvider, stays),
        AgentSpec("swapper", Swapper, Swapper.Params(base=size, private=private)),
    ]
    if depth:
        comes = JustInTimeProvider.Params(pool="pool", base=depth, quote=depth * START)
        agents.append(AgentSpec("in_time", JustInTimeProvider, comes))
    world = World(
        Scenario(
            domains=(Chain("chain", 2 * STEP_SECONDS, quote.name),),
            venues=(ConcentratedPool("pool", "chain", pair, rules),),
            agents=agents,
            processes=(),
            steps=STEPS,
            step_seconds=STEP_SECONDS,
        ),
        seed=0,
        record=(),
    )
    for _ in range(STEPS):
        world.step()
    provider = next(t for t in world.traders if isinstance(t, RangeProvider))
    assert provider.ticks is not None
    view = world.market.venues["pool"].observe(world.moment(STEPS))
    fee = view.position(provider.account, *provider.ticks).base_fee_atoms
    names, column = world.market.ledger.owner_names, world.market.ledger.column
    received = world.holdings()[names.index("swapper"), column[quote.name]]
    return Outcome(float(received), base.to_units(fee))


def reproduce(runs: int, seed: int) -> list[Row]:
    """All claims; there is nothing random in them."""
    rows = []
    for size in SIZES:
        alone = run(size, 0)
        deeper = [run(size, depth) for depth in DEPTHS]
        rows += _swap_rows(size, alone, deeper)
    return [*rows, *_depth_rows()]


def _swap_rows(size: float, alone: Outcome, deeper: list[Outcome]) -> list[Row]:
    gains = [each.received / alone.received - 1 for each in deeper]
    fees = [each.passive_fee / alone.passive_fee for each in deeper]
    hidden = run(size, DEPTHS[-1], private=True)
    label = f"{size:g} of {PASSIVE_BASE:g}"
    band = 2 * FEE_PPM / 1e6
    inside = [_claim(f"{label}: by at most twice the fee", max(gains) <= band)]
    return [
        _claim(f"{label}: swapper gains", min(gains) > 0),
        *(inside if 2 * size / PASSIVE_BASE <= band else []),
        _claim(f"{label}: passive fee falls", max(fees) < 1),
        _claim(f"{label}: the more, the deeper", fees == sorted(fees, reverse=True)),
        _claim(f"{label}: by 44 % or more at the deepest", fees[-1] <= 1 - 0.44),
        _claim(f"{label}: private, not surrounded", hidden == alone),
    ]


def _depth_rows() -> list[Row]:
    """Passive liquidity that stays when it is paid by its share of the fees; then nobody comes."""
    size, depth = SIZES[1], DEPTHS[1]
    alone = run(size, 0)
    asked = alone.passive_fee / PASSIVE_BASE
    low, high = 1.0, PASSIVE_BASE
    for _ in range(20):
        middle = 0.5 * (low + high)
        if run(size, depth, passive=middle).passive_fee / middle >= asked:
            low = middle
        else:
            high = middle
    left = run(size, 0, passive=low)
    return [
        _claim("passive liquidity is crowded out", low < 0.9 * PASSIVE_BASE),
        _claim("whoever is not surrounded then gets less", left.received < alone.received),
    ]


def _claim(quantity: str, holds: bool) -> Row:
    return Row("just_in_time", quantity, 1.0, 0.0, float(holds), 0.0)
