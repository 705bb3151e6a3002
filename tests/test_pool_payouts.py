"""No pool pays out more than exact arithmetic would: integers of the contracts, or 60 digits.

Before each operation the oracle is put where the pool stands, so that each is compared on its own;
the concentrated pool is also left alone for hundreds of swaps beside an oracle that counts along.
"""

from decimal import Decimal, localcontext
from functools import partial

import numpy as np
import pytest

from markets.intents import (
    BUY,
    SELL,
    add_coins,
    add_liquidity,
    add_range,
    collect,
    remove_coin,
    remove_coins,
    remove_liquidity,
    remove_range,
    swap_coins,
    swap_exact_in,
)
from markets.outcomes import Code
from markets.pools.concentrated import COUNT, LIQUIDITY, SQRT_PRICE
from markets.pools.ticks import MAX_TICK, MIN_TICK
from tests.pool_bench import RANGES, Bench, draw_swap
from tests.reference.integer_pools import (
    Q96,
    IntegerConcentrated,
    IntegerConstantProduct,
    IntegerStableSwap,
    sqrt_price_x96,
)

DONE = int(Code.DONE)
LOWEST, HIGHEST = sqrt_price_x96(MIN_TICK), sqrt_price_x96(MAX_TICK)


def gain(bench: Bench, account: int, coin: int, *intents: object) -> int:
    """How many atoms of a coin the account gains by intents that must succeed; 0 if they do not."""
    held = bench.held(account, coin)
    codes = bench.run(*intents)
    return bench.held(account, coin) - held if min(codes) > 0 else 0


@pytest.mark.parametrize("kind", ["constant_product", "protocol_fee"])
def test_constant_product_pays_at_most_what_the_contract_pays(kind):
    bench, rng = Bench(kind), np.random.default_rng(1)
    account, column = bench.accounts[1], bench.pool.share_column
    for number in range(300):
        view = bench.view
        oracle = IntegerConstantProduct(3000)
        oracle.reserves, oracle.supply = list(view.reserves_atoms), view.shares_atoms
        side, token = ((BUY, 1), (SELL, 0))[number % 2]
        size = max(1, int(view.reserves_atoms[token] * 10 ** rng.uniform(-9, -0.3)))
        if number % 5 < 3:
            exact = oracle.swap_in(token, size)
            paid = gain(bench, account, 1 - token, swap_exact_in(0, account, side, size))
            assert exact - 1 <= paid <= exact
        elif number % 5 == 3:
            asked = view.input_atoms(side, min(size, view.reserves_atoms[1 - token] // 2))
            exact = oracle.swap_out(token, min(size, view.reserves_atoms[1 - token] // 2))
            assert exact <= asked <= exact + 1
        elif kind == "constant_product":
            had = int(bench.balances[account, column])
            amounts = [atoms // 1000 for atoms in view.reserves_atoms]
            assert bench.run(add_liquidity(0, account, *amounts)) == [DONE]
            minted = int(bench.balances[account, column]) - had
            assert minted <= oracle.mint(*amounts)
            burnt = oracle.burn(minted)
            paid = gain(bench, account, 0, remove_liquidity(0, account, minted))
            assert paid <= burnt[0]


def test_protocol_fee_is_a_sixth_of_the_growth_and_never_more_than_the_contract_mints():
    bench, rng = Bench("protocol_fee"), np.random.default_rng(2)
    oracle = IntegerConstantProduct(3000, True)
    oracle.mint(10**12, 2 * 10**12)
    for _ in range(200):
        draw = draw_swap(bench, rng)
        if draw.exact_in:
            out = gain(bench, draw.account, draw.way[1], draw.intent(0))
            oracle.reserves[draw.way[0]] += draw.size_atoms if out else 0
            oracle.reserves[draw.way[1]] -= out
    assert bench.run(remove_liquidity(0, bench.accounts[0], 10**6)) == [DONE]
    oracle.burn(10**6)
    minted = int(bench.balances[bench.pool.protocol_row, bench.pool.share_column])
    assert 0 < minted <= oracle.protocol
    assert minted == pytest.approx(oracle.protocol, rel=1e-6)


def oracle_of(bench: Bench) -> IntegerConcentrated:
    """An integer pool at the price, the tick and with the ranges of the venue."""
    pool, view = bench.pool.ranges.pool, bench.view
    oracle = IntegerConcentrated(0, view.fee_ppm)
    oracle.root, oracle.tick = int(float(pool.real[SQRT_PRICE]) * Q96), view.tick
    oracle.liquidity = int(pool.whole[LIQUIDITY])
    for slot in range(int(pool.whole[COUNT])):
        state = {"net": int(pool.net_liquidity[slot]), "gross": 1, "outside": [0, 0]}
        oracle.ticks[int(pool.tick[slot])] = state
    return oracle


@pytest.mark.parametrize("kind", ["concentrated", "concentrated_protocol"])
def test_concentrated_pays_at_most_what_the_contract_pays(kind):
    bench, rng = Bench(kind), np.random.default_rng(4)
    account = bench.accounts[1]
    for number in range(150):
        side, paid, down = ((BUY, 1, False), (SELL, 0, True))[int(rng.integers(0, 2))]
        oracle, view = oracle_of(bench), bench.view
        size = max(1, int(view.reserves_atoms[paid] * 10 ** rng.uniform(-8, -0.3)))
        limit = LOWEST if down else HIGHEST
        if number % 3 == 2:
            wanted = max(1, view.reserves_atoms[1 - paid] // 10 ** int(rng.integers(1, 8)))
            assert view.input_atoms(side, wanted) >= oracle.swap(down, -wanted, limit)[0]
            continue
        out = gain(bench, account, 1 - paid, swap_exact_in(0, account, side, size))
        exact = oracle.swap(down, size, limit)[1]
        assert out <= exact
        assert out >= exact * (1 - 1e-9) - 100


def test_positions_cost_at_least_and_pay_at_most_what_the_contract_has_it():
    bench, rng = Bench("concentrated"), np.random.default_rng(12)
    account = bench.accounts[1]
    for _ in range(80):
        side = int(rng.choice([BUY, SELL]))
        bench.run(swap_exact_in(0, account, side, 10 ** int(rng.integers(3, 11))))
        lower = 60 * int(rng.integers(1262, 1272))
        ticks = (lower, lower + 60 * int(rng.integers(1, 4)))
        view, oracle = bench.view, oracle_of(bench)
        amounts = [10 ** int(rng.integers(2, 11)), 10 ** int(rng.integers(2, 11))]
        liquidity, *cost = view.deposit(*ticks, *amounts)
        if liquidity == 0:
            continue
        held = [bench.held(account, coin) for coin in (0, 1)]
        assert bench.run(add_range(0, account, *ticks, *amounts)) == [DONE]
        assert [had - bench.held(account, k) for k, had in enumerate(held)] == cost
        exact = oracle.change(*ticks, liquidity)
        assert all(paid >= due for paid, due in zip(cost, exact, strict=True))
        assert all(paid <= most for paid, most in zip(cost, amounts, strict=True))
        size = int(liquidity * rng.uniform(0, 1)) + 1
        oracle = oracle_of(bench)
        oracle.positions[ticks] = {"liquidity": liquidity, "inside": [0, 0], "owed": [0, 0]}
        held = [bench.held(account, coin) for coin in (0, 1)]
        assert bench.run(remove_range(0, account, *ticks, size)) == [DONE]
        released = oracle.change(*ticks, -size)
        for coin in (0, 1):
            assert bench.held(account, coin) - held[coin] <= -released[coin]


def test_concentrated_beside_an_oracle_that_counts_along():
    bench, rng = Bench("concentrated"), np.random.default_rng(5)
    account, paid_out = bench.accounts[1], [0, 0]
    oracle, exact_out = oracle_of(bench), [0, 0]
    for _ in range(400):
        down = bool(rng.random() < 0.5)
        token = 0 if down else 1
        size = int(bench.view.reserves_atoms[token] * 10 ** rng.uniform(-5, -1.5))
        side = SELL if down else BUY
        paid_out[1 - token] += gain(
            bench, account, 1 - token, swap_exact_in(0, account, side, size)
        )
        exact_out[1 - token] += oracle.swap(down, size, LOWEST if down else HIGHEST)[1]
    assert all(got <= exact for got, exact in zip(paid_out, exact_out, strict=True))
    assert paid_out == pytest.approx(exact_out, rel=1e-7)
    root = float(bench.pool.ranges.pool.real[SQRT_PRICE])
    assert root == pytest.approx(oracle.root / Q96, rel=1e-8)


def test_all_positions_can_be_paid_in_full_after_long_play():
    bench, rng = Bench("concentrated"), np.random.default_rng(6)
    account, provider = bench.accounts[1], bench.accounts[0]
    for _ in range(1500):
        side = int(rng.choice([BUY, SELL]))
        reserve = bench.view.reserves_atoms[1 if side == BUY else 0]
        bench.run(swap_exact_in(0, account, side, 1 + int(reserve * 10 ** rng.uniform(-11, -1))))
    for ticks in RANGES:
        size = bench.view.position(provider, *ticks).liquidity
        assert bench.run(remove_range(0, provider, *ticks, size), collect(0, provider, *ticks)) == [
            DONE,
            DONE,
        ]
    assert bench.view.liquidity == 0
    left = bench.view.reserves_atoms
    assert all(0 <= atoms < 30_000 for atoms in left)


def stable_oracle(bench: Bench) -> IntegerStableSwap:
    """An integer pool with the balances and the supply of the venue."""
    params, view = bench.pool.params, bench.view
    rates = [10 ** (18 - coin.decimals) for coin in bench.pool.coins]
    fee, admin = params.fee_ppm * 10**4, params.admin_fee_ppm * 10**4
    oracle = IntegerStableSwap(int(params.amplification), fee, admin, rates)
    oracle.balances, oracle.supply = list(view.reserves_atoms), view.shares_atoms
    return oracle


@pytest.mark.parametrize("kind", ["stable_two", "stable_plain_three"])
def test_stableswap_pays_at_most_what_the_contract_pays(kind):
    bench, rng = Bench(kind), np.random.default_rng(8)
    account, column = bench.accounts[1], bench.pool.share_column
    coins = len(bench.pool.coins)
    assert bench.run(add_coins(0, account, [10**14, *[10**11] * (coins - 1)])) == [DONE]
    for number in range(300):
        oracle, reserves = stable_oracle(bench), bench.view.reserves_atoms
        coin, other = (int(k) for k in rng.permutation(coins)[:2])
        size = max(1, int(reserves[coin] * 10 ** rng.uniform(-9, -1)))
        shares, choice = int(bench.balances[account, column]), number % 6
        if choice < 3:
            exact = oracle.exchange(coin, other, size)
            paid = gain(bench, account, other, swap_coins(0, account, coin, other, size))
            assert paid <= exact
            assert paid == 0 or paid >= exact * (1 - 1e-12) - 2
        elif choice == 3:
            amounts = [size if k == coin else 0 for k in range(coins)]
            exact = oracle.change(amounts)
            if bench.run(add_coins(0, account, amounts)) == [DONE]:
                assert int(bench.balances[account, column]) - shares <= exact
        elif choice == 4:
            part = shares // int(rng.integers(50, 5000))
            exact = oracle.withdraw_one(part, coin)
            assert gain(bench, account, coin, remove_coin(0, account, coin, part)) <= exact
        else:
            amounts = [min(reserve // 10**4, size) for reserve in reserves]
            exact = -oracle.change([-atoms for atoms in amounts])
            if bench.run(remove_coins(0, account, amounts)) == [DONE]:
                assert shares - int(bench.balances[account, column]) >= exact


def exact_weighted(view: object, way: tuple[int, int], size: int) -> Decimal:
    """Output of a weighted pool in 60 digits, as atoms."""
    paid, received = way
    with localcontext(prec=60):
        fee = Decimal(view.fee_ppm) / 10**6
        held_in, held_out = (Decimal(view.reserves_atoms[coin]) for coin in way)
        weights = [Decimal(float(weight)) for weight in view.terms.weights]
        ratio = held_in / (held_in + size * (1 - fee))
        return held_out * (1 - ratio ** (weights[paid] / weights[received]))


@pytest.mark.parametrize("kind", ["weighted_two", "weighted_three"])
def test_weighted_pays_at_most_the_exact_output(kind):
    bench, rng = Bench(kind), np.random.default_rng(9)
    for _ in range(200):
        draw = draw_swap(bench, rng)
        if not draw.exact_in:
            continue
        exact = exact_weighted(bench.view, draw.way, draw.size_atoms)
        paid = gain(bench, draw.account, draw.way[1], draw.intent(0))
        assert paid <= exact
        assert paid == 0 or paid >= exact * (1 - Decimal("1e-12")) - 2


def invariant_gap(balances: list[Decimal], view: object, d: Decimal) -> Decimal:
    """The cryptoswap invariant divided by (D/N)^N: below 0 inside the curve."""
    coins, gamma = len(balances), Decimal(view.terms.gamma)
    closeness = Decimal(1)
    for balance in balances:
        closeness *= balance * coins / d
    lack = gamma + 1 - closeness
    pull = Decimal(view.terms.amplification) * coins**coins * gamma**2 * closeness / lack**2
    return pull * (sum(balances) / d - 1) + closeness - 1


def root(gap: object, low: Decimal, high: Decimal) -> Decimal:
    """Where a rising function is zero."""
    for _ in range(150):
        middle = (low + high) / 2
        low, high = (low, middle) if gap(middle) > 0 else (middle, high)
    return (low + high) / 2


@pytest.mark.parametrize("kind", ["crypto_two", "crypto_three"])
def test_cryptoswap_pays_at_most_the_exact_output_before_the_fee(kind):
    bench, rng = Bench(kind), np.random.default_rng(10)
    for _ in range(25):
        draw, view = draw_swap(bench, rng), bench.view
        size = max(1, view.reserves_atoms[draw.way[0]] // 10 ** int(rng.integers(1, 9)))
        with localcontext(prec=60):
            scaled = [Decimal(float(balance)) for balance in view.reserves]
            product = Decimal(1)
            for balance in scaled:
                product *= balance
            lowest = len(scaled) * product ** (Decimal(1) / len(scaled))
            inside = partial(invariant_gap, scaled, view)
            d = root(lambda at, inside=inside: -inside(at), lowest, sum(scaled))
            units = [Decimal(float(unit)) for unit in view.scales]
            paid, received = draw.way
            after = list(scaled)
            after[paid] += size * units[paid]

            def gap(at: Decimal, after=after, d=d, received=received, view=view) -> Decimal:
                trial = list(after)
                trial[received] = at
                return invariant_gap(trial, view, d)

            left = root(gap, scaled[received] / 4, scaled[received])
            gross = (scaled[received] - left) / units[received]
        out = gain(bench, draw.account, received, swap_coins(0, draw.account, *draw.way, size))
        assert out <= gross * (1 - Decimal("0.0026"))
        assert out == 0 or out >= gross * (1 - Decimal("0.0046")) - 5
