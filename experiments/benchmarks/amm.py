"""How fast the pools are: swaps a second on one core, in the kernel and with ledger settlement.

A swap is an exact input of random side and size by one of a hundred accounts. With settlement means
the whole venue call on a batch: limits, balances, reserves, fee and the fill record. The bare
kernel figure is the constant-product formula over moving reserves, rounded to atoms, nothing else.
The concentrated pool has 120 narrow ranges over a wide one; the sizes are such that a swap crosses
about half a tick, and the crossings found are in the note.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.figure import Figure, best_seconds
from markets.assets import MAX_ATOMS, Asset, Instrument
from markets.exchange import Exchange
from markets.intents import (
    BUY,
    INTENT,
    SELL,
    SWAP_EXACT_IN,
    Intent,
    add_coins,
    add_liquidity,
    add_range,
    stack,
)
from markets.kernel import njit
from markets.market import Market
from markets.pools.concentrated import CURSOR
from markets.pools.concentrated_pool import ConcentratedPool
from markets.pools.constant_product_pool import ConstantProductPool, quote_exact_in
from markets.pools.cryptoswap_pool import CryptoswapPool
from markets.pools.managed_pool import ManagedPool
from markets.pools.pool import Pool
from markets.pools.stableswap_pool import StableSwapPool
from markets.pools.weighted_pool import WeightedPool
from markets.venue import Moment

SWAPS = 500_000
_ACCOUNTS = 100
_NOW = Moment(step=0, seconds=0.0, step_seconds=1.0)
_COINS = tuple(Asset(f"COIN{number}", 6) for number in range(3))
_PAIR = Instrument(_COINS[0], _COINS[1], tick_size=0.01, lot_size=0.001)
_DEPTH = 10**12


@njit(cache=True)
def _kernel_swaps(sizes: NDArray[np.int64], reserve: int, fee_ppm: int) -> int:
    """Swaps to and fro by the formula alone; returns what is left of one reserve."""
    one, two = reserve, reserve
    for at in range(sizes.size):
        paid = quote_exact_in(one, two, fee_ppm, sizes[at])
        one, two = two - paid, one + sizes[at]
    return one


@dataclass
class Session:
    """A funded pool and the swaps that it is to carry out."""

    pool: Pool
    market: Market
    rows: NDArray[np.void]
    balances: NDArray[np.int64]
    state: Any

    def rewind(self) -> None:
        """Back to the state before the swaps."""
        self.market.ledger.balances[...] = self.balances
        self.pool.forget()
        self.pool.set_state(self.state)
        self.state = self.pool.state()

    def run(self) -> None:
        """All swaps as one batch."""
        self.pool.execute(self.rows, _NOW)


def prepare(
    pool: Pool, fund: Callable[[int], Sequence[Intent]], swaps: int, largest_atoms: float = 1e9
) -> Session:
    """Open a market for the pool, fund it, and draw the swaps."""
    market = Market([Exchange("exchange")], [pool])
    accounts = market.open_accounts("traders", "exchange", _ACCOUNTS)
    for coin in pool.coins:
        market.ledger.issue(accounts, coin.name, MAX_ATOMS // (2 * _ACCOUNTS))
    market.begin()
    pool.execute(stack(fund(int(accounts[0]))), _NOW)
    rng = np.random.default_rng(1)
    rows = np.zeros(swaps, INTENT)
    rows["action"], rows["account"] = SWAP_EXACT_IN, rng.choice(accounts, swaps)
    rows["side"] = rng.choice([BUY, SELL], swaps)
    rows["size"] = rng.integers(int(largest_atoms / 10), int(largest_atoms), swaps)
    return Session(pool, market, rows, market.ledger.balances.copy(), pool.state())


def _both(account: int) -> list[Intent]:
    return [add_liquidity(0, account, _DEPTH, _DEPTH)]


def _three(account: int) -> list[Intent]:
    return [add_coins(0, account, [_DEPTH] * 3)]


def _ranges(account: int) -> list[Intent]:
    narrow = [(10 * place, 10 * (place + 3)) for place in range(-60, 60)]
    wide = add_range(0, account, -887_220, 887_220, _DEPTH, _DEPTH)
    return [wide, *(add_range(0, account, *ticks, 10**9, 10**9) for ticks in narrow)]


def _pair_session(kind: Any, fund: Any, swaps: int, size: float = 1e9, **params: Any) -> Session:
    pool = kind("pool", "exchange", _PAIR, kind.Params(**params))
    return prepare(pool, fund, swaps, size)


def _coin_session(kind: Any, coins: int, swaps: int, **params: Any) -> Session:
    pool = kind("pool", "exchange", _COINS[:coins], kind.Params(**params))
    return prepare(pool, _both if coins == 2 else _three, swaps)


def _rate(session: Session) -> float:
    session.run()
    return len(session.rows) / best_seconds(session.run, session.rewind)


def _crossings(session: Session, swaps: int = 2_000) -> float:
    """Ticks crossed a swap, over the first swaps."""
    session.rewind()
    crossed, pool = 0, session.pool
    assert isinstance(pool, ConcentratedPool)
    for row in range(swaps):
        before = int(pool.ranges.pool.whole[CURSOR])
        pool.execute(session.rows[row : row + 1], _NOW)
        crossed += abs(int(pool.ranges.pool.whole[CURSOR]) - before)
    return crossed / swaps


def _one_by_one(session: Session, swaps: int) -> float:
    """Swaps a second when each is a call of its own."""
    rows = [session.rows[row : row + 1] for row in range(swaps)]

    def run() -> None:
        for row in rows:
            session.pool.execute(row, _NOW)

    return swaps / best_seconds(run, session.rewind, 3)


def measure(scale: float = 1.0) -> list[Figure]:
    """Every kind of pool in batch; constant product and concentrated also one swap a call."""
    swaps, unit = max(int(SWAPS * scale), 5_000), "swaps/s"
    sizes = np.random.default_rng(0).integers(10**6, 10**9, 4 * swaps)

    def run() -> None:
        _kernel_swaps(sizes, _DEPTH, 3_000)

    run()
    rate = len(sizes) / best_seconds(run)
    figures = [Figure("constant product, kernel", rate, unit, 10e6, "formula and rounding")]
    plain = _pair_session(ConstantProductPool, _both, swaps)
    figures.append(Figure("constant product, settled", _rate(plain), unit, 3e6))
    rate = _one_by_one(plain, min(swaps, 10_000))
    figures.append(Figure("constant product, one swap a call", rate, unit))
    grid = {"initial_price": 1.0, "tick_spacing": 10}
    ranged = _pair_session(ConcentratedPool, _ranges, swaps, 1.4e9, **grid)
    rate, crossed = _rate(ranged), _crossings(ranged)
    note = f"{crossed:.2f} crossings a swap"
    figures.append(Figure("concentrated, settled", rate, unit, 2e6, note))
    rate = _one_by_one(ranged, min(swaps, 10_000))
    figures.append(Figure("concentrated, one swap a call", rate, unit))
    prices = {"initial_prices": (1.0, 1.0)}
    others = (
        ("StableSwap, 2 coins, settled", _coin_session(StableSwapPool, 2, swaps), 1e6),
        ("StableSwap, 3 coins, settled", _coin_session(StableSwapPool, 3, swaps), 1e6),
        ("weighted, settled", _coin_session(WeightedPool, 2, swaps), None),
        ("managed, settled", _pair_session(ManagedPool, _both, swaps), None),
        ("cryptoswap, settled", _coin_session(CryptoswapPool, 2, swaps // 10, **prices), None),
    )
    return figures + [Figure(name, _rate(one), unit, target) for name, one, target in others]
