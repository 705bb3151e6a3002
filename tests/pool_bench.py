"""Every kind of pool on a chain of its own, funded and ready for trade, with four traders.

`KINDS` names each pool with what it is built of and what a provider does to fund it; `LIQUIDITY`
what else can be done to it, given dice. Reserves are of the order of 10**12 atoms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.intents import (
    add_coin,
    add_coins,
    add_liquidity,
    add_range,
    bid,
    collect,
    remove_coin,
    remove_coins,
    remove_liquidity,
    remove_range,
    set_fee,
    stack,
    swap_coins,
    swap_coins_exact_out,
)
from markets.market import Market
from markets.pools.concentrated_pool import ConcentratedPool
from markets.pools.constant_product_pool import ConstantProductPool
from markets.pools.cryptoswap_pool import CryptoswapPool
from markets.pools.managed_pool import ManagedPool
from markets.pools.range_state import with_room
from markets.pools.stableswap_pool import StableSwapPool
from markets.pools.volatility_fee import VolatilityFee
from markets.pools.weighted_pool import WeightedPool
from markets.venue import Moment

WEALTH = 10**15
PAIR = Instrument(Asset("ETH", 9), Asset("USDC", 6), 0.01, 0.001)
DOLLARS = (Asset("DAI", 9), Asset("USDC", 6), Asset("USDT", 6))
RANGES = ((-887_220, 887_220), (75_960, 76_260), (76_020, 76_080), (75_000, 75_960))
STEP_SECONDS = 12.0


class Bench:
    """A market with one pool, a provider (account 0 of `accounts`) and traders."""

    def __init__(self, kind: str, funded: bool = True) -> None:
        build, fund = KINDS[kind]
        self.pool = build()
        domain = Chain("chain", STEP_SECONDS, self.pool.coins[1].name)
        self.market = Market([domain], [self.pool])
        self.accounts = [int(row) for row in self.market.open_accounts("traders", "chain", 5)]
        for coin in self.pool.coins:
            self.market.ledger.issue(np.array(self.accounts[:4]), coin.name, WEALTH)
        self.market.begin()
        if isinstance(self.pool, ConcentratedPool):
            self.pool.ranges = with_room(self.pool.ranges, 100)
        self.step = 0
        for intent in fund(self.accounts[0]) if funded else ():
            assert self.run(intent) == [6]

    @property
    def moment(self) -> Moment:
        return Moment(self.step, STEP_SECONDS * self.step, STEP_SECONDS, {"ETH": 2000.0})

    @property
    def view(self) -> Any:
        return self.pool.observe(self.moment)

    def view_of(self, account: int) -> Any:
        """The view as it holds for an account: a manager trades without the fee."""
        view = self.view
        return view.for_manager() if getattr(view, "manager", None) == account else view

    @property
    def balances(self) -> np.ndarray:
        return self.market.ledger.balances

    def run(self, *intents: Any) -> list[int]:
        """Execute rows in one call, check everything, return the codes."""
        codes = self.pool.execute(stack(intents), self.moment)
        self.market.check()
        return [int(code) for code in codes]

    def on_chain(self, *intents: Any) -> None:
        """Execute rows through the market, bundles included."""
        dice = {"chain": np.random.default_rng(0)}
        self.market.execute(stack(intents), self.moment, dice)
        self.market.check()

    def next_step(self) -> None:
        """Time goes by."""
        self.step += 1
        self.market.accrue(self.moment)
        self.market.check()

    def held(self, account: int, coin: int) -> int:
        """Atoms of a coin that an account holds."""
        return int(self.balances[account, self.pool.coin_columns[coin]])

    def everything(self) -> list[Any]:
        """The ledger and all that the pool knows, to be compared."""
        return [self.balances.copy(), *flat(self.pool.state())]


def flat(state: Any) -> list[Any]:
    """Nested tuples of arrays and numbers as one list."""
    if state is None:
        return []
    if isinstance(state, tuple):
        return [part for item in state for part in flat(item)]
    return [np.array(state, dtype=np.float64)]


def same(before: list[Any], after: list[Any]) -> bool:
    """Whether two results of `everything` are equal."""
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def _pair_pool(kind: type, **params: Any) -> Callable[[], Any]:
    return lambda: kind("pool", "chain", PAIR, kind.Params(**params))


def _coin_pool(kind: type, coins: int, **params: Any) -> Callable[[], Any]:
    chosen = DOLLARS[:coins] if kind is StableSwapPool else (PAIR.base, PAIR.quote, DOLLARS[0])
    return lambda: kind("pool", "chain", chosen[:coins], kind.Params(**params))


def _both(account: int) -> list[Any]:
    return [add_liquidity(0, account, 10**12, 2 * 10**12)]


def _ranges(account: int) -> list[Any]:
    return [add_range(0, account, *ticks, 10**11, 2 * 10**11) for ticks in RANGES]


def _coins(*amounts: int) -> Callable[[int], list[Any]]:
    return lambda account: [add_coins(0, account, amounts)]


FAST = VolatilityFee.Params(half_life_seconds=60.0, ppm_per_daily_variance=50.0)
PRICE = {"initial_price": 2000.0}
KINDS: dict[str, tuple[Callable[[], Any], Callable[[int], list[Any]]]] = {
    "constant_product": (_pair_pool(ConstantProductPool), _both),
    "protocol_fee": (_pair_pool(ConstantProductPool, protocol_fee=True), _both),
    "volatility_fee": (_pair_pool(ConstantProductPool, volatility_fee=FAST), _both),
    "managed": (_pair_pool(ManagedPool, delay_blocks=2), _both),
    "concentrated": (_pair_pool(ConcentratedPool, **PRICE), _ranges),
    "concentrated_protocol": (
        _pair_pool(ConcentratedPool, protocol_denominator=4, fee_ppm=500, **PRICE),
        _ranges,
    ),
    "stable_two": (_coin_pool(StableSwapPool, 2), _coins(10**15, 9 * 10**11)),
    "stable_three": (
        _coin_pool(StableSwapPool, 3, off_peg_multiplier=2.0, amplification=2000.0),
        _coins(10**15, 9 * 10**11, 2 * 10**12),
    ),
    "stable_plain_three": (
        _coin_pool(StableSwapPool, 3, admin_fee_ppm=0),
        _coins(3 * 10**14, 10**12, 10**12),
    ),
    "weighted_two": (
        _coin_pool(WeightedPool, 2, weights=(0.8, 0.2), protocol_fee_ppm=250_000),
        _coins(10**12, 5 * 10**11),
    ),
    "weighted_three": (
        _coin_pool(WeightedPool, 3, weights=(0.5, 0.3, 0.2)),
        _coins(10**12, 10**12, 10**15),
    ),
    "crypto_two": (
        _coin_pool(CryptoswapPool, 2, initial_prices=(2000.0, 1.0)),
        _coins(10**12, 2 * 10**12),
    ),
    "crypto_three": (
        _coin_pool(CryptoswapPool, 3, initial_prices=(2000.0, 1.0, 1.0)),
        _coins(10**11, 2 * 10**11, 2 * 10**14),
    ),
}


@dataclass(frozen=True)
class Draw:
    """One random swap: who, which way, how much."""

    account: int
    way: tuple[int, int]
    exact_in: bool
    size_atoms: int

    def intent(self, limit_atoms: int) -> Any:
        """The swap with a limit."""
        make = swap_coins if self.exact_in else swap_coins_exact_out
        return make(0, self.account, *self.way, self.size_atoms, limit_atoms)

    def quote(self, view: Any) -> int:
        """The other amount, as the view has it."""
        if self.exact_in:
            return view.output_atoms(self.way, self.size_atoms)
        return view.input_atoms(self.way, self.size_atoms)


def draw_swap(bench: Bench, rng: np.random.Generator, largest: float = 0.2) -> Draw:
    """A swap of 10**-9 to `largest` of a reserve, sizes spread over all magnitudes."""
    coins = len(bench.pool.coins)
    paid, received = (int(coin) for coin in rng.permutation(coins)[:2])
    exact_in = bool(rng.random() < 0.6)
    reserve = bench.view.reserves_atoms[paid if exact_in else received]
    size = max(1, int(reserve * largest * 10 ** rng.uniform(-8.3, 0)))
    account = bench.accounts[int(rng.integers(1, 4))]
    return Draw(account, (paid, received), exact_in, size)


def _shares(bench: Bench, account: int, rng: np.random.Generator) -> int:
    held = int(bench.balances[account, bench.pool.share_column])
    return int(held * rng.uniform(0, 1.05)) + int(rng.integers(0, 2))


def draw_liquidity(bench: Bench, rng: np.random.Generator) -> Any:
    """A random change of liquidity, or whatever else the pool can be asked for."""
    account = bench.accounts[int(rng.integers(0, 5))]
    part = 10 ** rng.uniform(-7, -0.5)
    amounts = [int(atoms * part * rng.uniform(0, 1)) for atoms in bench.view.reserves_atoms]
    if isinstance(bench.pool, ConcentratedPool):
        return _draw_range(bench, rng, account, amounts)
    if isinstance(bench.pool, ConstantProductPool):
        return _draw_pair(bench, rng, account, amounts)
    coin, choice = int(rng.integers(0, len(amounts))), rng.integers(0, 5)
    if choice == 0:
        return add_coins(0, account, amounts)
    if choice == 1:
        return add_coin(0, account, coin, amounts[coin])
    if choice == 2:
        return remove_coin(0, account, coin, _shares(bench, account, rng))
    if choice == 3:
        alone = [atoms if number == coin else 0 for number, atoms in enumerate(amounts)]
        spread = isinstance(bench.pool, StableSwapPool) and rng.random() < 0.5
        return remove_coins(0, account, amounts if spread else alone)
    return remove_liquidity(0, account, _shares(bench, account, rng))


def _draw_pair(bench: Bench, rng: np.random.Generator, account: int, amounts: list[int]) -> Any:
    choice = rng.integers(0, 6)
    if choice < 2:
        return add_liquidity(0, account, *amounts)
    if choice < 4:
        return remove_liquidity(0, account, _shares(bench, account, rng))
    if choice == 4:
        rent = int(10 ** rng.uniform(0, 6))
        return bid(0, account, rent, rent * int(rng.integers(1, 50)))
    return set_fee(0, account, int(rng.integers(0, 20_000)))


def _draw_range(bench: Bench, rng: np.random.Generator, account: int, amounts: list[int]) -> Any:
    view = bench.view
    near = [(76_020 + 60 * k, 76_020 + 60 * (k + 2)) for k in range(-2, 3)]
    ticks = (*RANGES, *near)[int(rng.integers(0, 9))]
    choice = rng.integers(0, 4)
    if choice < 2:
        return add_range(0, account, *ticks, *amounts)
    if choice == 2:
        size = int(view.position(account, *ticks).liquidity * rng.uniform(0, 1.2))
        return remove_range(0, account, *ticks, size)
    return collect(0, account, *ticks)
