"""Two depegs in StableSwap pools: UST in May 2022, USDC in March 2023, price by share of the pool.

UST: a pool of 350 million UST and 350 million of the other stable coin, A = 100 (two coins), no
fee; the issuer withdraws 150 million UST, 85 million are sold, then 100 million in lots of 25, the
issuer withdraws 100 million more, and a further 100 million are sold, twice. The price hardly
moves until 85 % of the pool are UST and then falls off a cliff.
USDC: three coins, A = 2,000, price of USDC in USDT while USDC and DAI crowd USDT out.
Both A as the contract stores it. The pool is the real venue: every figure is the marginal price
after deposits, withdrawals and swaps that it executed.
The sequence is that of the published accounts (Chainalysis; sizes of the pools from ViaBTC and from
on-chain reports), the prices follow from the invariant.
"""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.reproduction import Row
from markets.assets import Asset
from markets.chain import Chain
from markets.intents import Intent, add_coins, remove_coins, stack, swap_coins
from markets.market import Market
from markets.pools.stableswap_pool import StableSwapPool, StableSwapView
from markets.venue import Moment

CITATION = (
    "Chainalysis (2022), How TerraUSD collapsed; Cintra and Holloway (2023), Detecting depegs; "
    "Egorov (2019), StableSwap"
)
DEFAULT_RUNS = 1

NOW = Moment(0, 0.0, 12.0)
MILLION = 1e6
FIGURE, COARSE = 1e-4, 6e-4
"""Tolerance of prices published with four digits, and with three."""


class Stage(NamedTuple):
    """Something that happened in the UST pool, in millions, and the price and share after it."""

    label: str
    withdrawn: float
    sold: tuple[float, ...]
    price: float
    share: float
    tolerance: float


UST_STAGES = (
    Stage("150 M withdrawn", 150, (), 1.0063, 0.36, FIGURE),
    Stage("85 M sold", 0, (85,), 0.9993, 0.52, FIGURE),
    Stage("100 M sold", 0, (25, 25, 25, 25), 0.9889, 0.70, FIGURE),
    Stage("100 M withdrawn", 100, (), 0.9939, 0.63, FIGURE),
    Stage("100 M more sold", 0, (100,), 0.949, 0.85, COARSE),
    Stage("and 100 M more", 0, (100,), 0.125, 0.99, COARSE),
)
USDC_SHARES = (
    ((46.0, 47.0, 7.0), 0.9951),
    ((48.0, 49.0, 3.0), 0.9735),
    ((49.0, 49.0, 2.0), 0.9423),
    ((49.5, 49.5, 1.0), 0.8043),
)


class Pool:
    """One StableSwap pool with one account that may do everything."""

    def __init__(self, names: Sequence[str], amplification: float) -> None:
        coins = tuple(Asset(name, 6) for name in names)
        params = StableSwapPool.Params(amplification=amplification, fee_ppm=0)
        self.venue = StableSwapPool("pool", "chain", coins, params)
        self.market = Market([Chain("chain", 12.0, names[0])], [self.venue])
        held = dict.fromkeys(names, 2_000 * MILLION)
        self.account = int(self.market.endow("user", "chain", held)[0])
        self.market.begin()

    def do(self, intent: Intent) -> None:
        """Execute one intent; it must succeed."""
        (code,) = self.venue.execute(stack([intent]), NOW)
        self.market.check()
        assert code > 0, code

    def deposit(self, millions: Sequence[float]) -> None:
        """Deposit so many million of each coin."""
        atoms = [round(amount * MILLION * 1e6) for amount in millions]
        self.do(add_coins(0, self.account, atoms))

    def withdraw(self, millions: Sequence[float]) -> None:
        """Withdraw exactly so many million of each coin."""
        atoms = [round(amount * MILLION * 1e6) for amount in millions]
        self.do(remove_coins(0, self.account, atoms))

    def sell(self, millions: float) -> None:
        """Sell coin 0 for coin 1."""
        self.do(swap_coins(0, self.account, 0, 1, round(millions * MILLION * 1e6)))

    @property
    def view(self) -> StableSwapView:
        """The pool now."""
        return self.venue.observe(NOW)


def reproduce(runs: int, seed: int) -> list[Row]:
    """Both pools; there is nothing random in them."""
    return [*_ust(), *_usdc()]


def _ust() -> list[Row]:
    pool = Pool(("UST", "3CRV"), 100)
    pool.deposit((350, 350))
    rows = []
    for stage in UST_STAGES:
        if stage.withdrawn:
            pool.withdraw((stage.withdrawn, 0))
        for lot in stage.sold:
            pool.sell(lot)
        view = pool.view
        price = view.curve_price((0, 1))
        share = view.reserves_atoms[0] / sum(view.reserves_atoms)
        label = f"UST, {stage.label}"
        rows.append(Row("depegs", f"{label}: price", stage.price, stage.tolerance, price, 0.0))
        rows.append(Row("depegs", f"{label}: share of UST", stage.share, 0.01, share, 0.0))
    return rows


def _usdc() -> list[Row]:
    rows = []
    for shares, published in USDC_SHARES:
        pool = Pool(("USDC", "DAI", "USDT"), 2_000)
        pool.deposit([5.1 * share for share in shares])
        label = "/".join(f"{share:g}" for share in shares)
        price = pool.view.curve_price((0, 2))
        rows.append(Row("depegs", f"USDC at {label}: price", published, FIGURE, price, 0.0))
    return rows
