"""The integer oracles against the contracts, and the float64 kernels against the oracles."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.pools import concentrated, constant_product, positions, stable_liquidity, stableswap
from markets.pools.ticks import sqrt_price_at, tick_at
from tests.reference.integer_pools import (
    IntegerConcentrated,
    IntegerConstantProduct,
    IntegerStableSwap,
    sqrt_price_x96,
)

VECTORS = Path(__file__).parent / "vectors"
WAD = 10**18
LOWEST, HIGHEST = sqrt_price_x96(-5000), sqrt_price_x96(5000)


def scenarios(name: str) -> list[dict]:
    return json.loads((VECTORS / name).read_text())["scenarios"]


def replay_v2(pool: IntegerConstantProduct, op: dict) -> list[int]:
    token = 0 if op.get("zero_for_one") else 1
    if op["op"] == "mint":
        return [pool.mint(int(op["amount0"]), int(op["amount1"]))]
    if op["op"] == "burn":
        return list(pool.burn(int(op["liquidity"])))
    if op["op"] == "swap_exact_in":
        return [pool.swap_in(token, int(op["amount_in"]))]
    return [pool.swap_out(token, int(op["amount_out"]))]


@pytest.mark.parametrize("scenario", scenarios("amm_v2.json"), ids=lambda s: s["name"])
def test_constant_product_oracle_equals_the_contract(scenario):
    pool = IntegerConstantProduct(3000, scenario["protocol_fee_on"])
    for op in scenario["ops"]:
        result, names = op["result"], ("liquidity", "amount0", "amount1", "amount_in", "amount_out")
        assert replay_v2(pool, op) == [int(result[n]) for n in names if n in result]
        assert pool.supply == int(result["after"]["total_supply"])
        assert pool.reserves == [int(result["after"][f"reserve{k}"]) for k in (0, 1)]


def replay_stable(pool: IntegerStableSwap, op: dict) -> int | list[int]:
    if op["op"] == "exchange":
        return pool.exchange(op["i"], op["j"], int(op["dx"]))
    if op["op"] == "add_liquidity":
        return pool.change([int(a) for a in op["amounts"]])
    if op["op"] == "remove_liquidity":
        return pool.withdraw(int(op["lp_burned"]))
    if op["op"] == "remove_liquidity_one_coin":
        return pool.withdraw_one(int(op["lp_burned"]), op["i"])
    burnt = -pool.change([-int(a) for a in op["amounts"]]) + 1
    pool.supply -= 1
    return burnt


@pytest.mark.parametrize(
    "scenario", scenarios("amm_curve_stableswap.json"), ids=lambda s: s["name"]
)
def test_stableswap_oracle_equals_the_contract(scenario):
    rates = [10 ** (18 - decimals) for decimals in scenario["decimals"]]
    pool = IntegerStableSwap(scenario["A"], int(scenario["fee"]), 5 * 10**9, rates)
    for op in scenario["ops"]:
        result, got = op["result"], replay_stable(pool, op)
        stated = next(result[n] for n in ("dy", "lp_minted", "lp_burned", "amounts") if n in result)
        assert got == ([int(a) for a in stated] if isinstance(stated, list) else int(stated))
        assert pool.balances == [int(b) for b in result["after"]["balances"]]


def test_concentrated_oracle_equals_the_contract():
    scenario = scenarios("amm_v3_pools.json")[1]
    pool = IntegerConcentrated(0, scenario["fee_pips"])
    for op in scenario["ops"]:
        result = op["result"]
        if op["op"] in ("mint", "burn"):
            size = int(op["liquidity"]) * (1 if op["op"] == "mint" else -1)
            got = [abs(a) for a in pool.change(op["tick_lower"], op["tick_upper"], size)]
        elif op["op"] == "swap":
            down = op["zero_for_one"]
            paid, out = pool.swap(down, int(op["amount_specified"]), LOWEST if down else HIGHEST)
            got = [paid, -out] if down else [-out, paid]
            assert pool.tick == result["after"]["tick"]
        else:
            continue
        assert got == pytest.approx([int(result["amount0"]), int(result["amount1"])], abs=4)


amounts = st.integers(10**12, 10**24)


@settings(deadline=None)
@given(x=amounts, y=amounts, a=st.integers(10**9, 10**24), fee=st.integers(0, 100_000))
def test_constant_product_kernel_follows_the_oracle(x, y, a, fee):
    oracle = IntegerConstantProduct(fee)
    oracle.reserves = [x, y]
    out = constant_product.amount_out(float(x), float(y), fee, float(a))
    exact = oracle.swap_in(0, a)
    assert out == pytest.approx(exact, rel=1e-14, abs=2)
    oracle.reserves = [x, y]
    if 0 < exact < y // 2:
        paid = constant_product.amount_in(float(x), float(y), fee, float(exact))
        assert paid == pytest.approx(oracle.swap_out(0, exact), rel=1e-14, abs=2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(10**12, 10**23)), min_size=1, max_size=8))
def test_protocol_shares_follow_the_oracle(swaps):
    oracle = IntegerConstantProduct(3000, protocol_fee_on=True)
    oracle.mint(10**24, 3 * 10**24)
    supply, growth = oracle.supply, 0.0
    for first, amount in swaps:
        token = 0 if first else 1
        growth += constant_product.fee_growth(float(oracle.reserves[token]), 3000, float(amount))
        oracle.swap_in(token, amount)
    oracle.burn(0)
    shares = constant_product.protocol_shares(growth, float(supply))
    assert shares == pytest.approx(oracle.protocol, rel=1e-9, abs=1e5)


grid_ticks = st.integers(-20, 20).map(lambda k: 60 * k)
ranges = st.tuples(grid_ticks, grid_ticks).filter(lambda r: r[0] != r[1]).map(sorted)
mints = st.lists(st.tuples(ranges, st.integers(10**17, 4 * 10**18)), min_size=1, max_size=4)
swaps = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(10**13, 10**18)), min_size=1, max_size=6
)


def open_both(mints: list) -> tuple:
    pool, oracle = concentrated.empty_pool(1.0), IntegerConcentrated(0, 3000)
    book = positions.empty_positions(len(mints))
    merged: dict[tuple, int] = {}
    for (lower, upper), liquidity in mints:
        merged[lower, upper] = merged.get((lower, upper), 0) + liquidity // 4
    for row, ((lower, upper), liquidity) in enumerate(merged.items()):
        book.bounds[:, row] = lower, upper
        got = positions.change_liquidity(pool, book, row, liquidity)
        exact = oracle.change(lower, upper, liquidity)
        assert got == pytest.approx(exact, rel=1e-12, abs=2)
    return pool, book, oracle, list(merged)


@settings(deadline=None, max_examples=60)
@given(mints=mints, swaps=swaps)
def test_concentrated_kernel_follows_the_oracle(mints, swaps):
    pool, book, oracle, ranges = open_both(mints)
    low, high = LOWEST / 2**96, HIGHEST / 2**96
    fees = [0.0, 0.0]
    for down, exact_in, amount in swaps:
        signed = amount if exact_in else -amount
        limit = low if down else high
        end = concentrated.swap(pool, 3000, down, float(signed), limit, True)
        paid, out = oracle.swap(down, signed, LOWEST if down else HIGHEST)
        assert (end.amount_in, end.amount_out) == pytest.approx((paid, out), rel=1e-9, abs=300)
        assert end.sqrt_price == pytest.approx(oracle.root / 2**96, rel=1e-12)
        fees[0 if down else 1] += end.fee
    owed = np.zeros(2)
    for row, (lower, upper) in enumerate(ranges):
        positions.change_liquidity(pool, book, row, 0)
        oracle.change(lower, upper, 0)
        exact = oracle.positions[lower, upper]["owed"]
        assert list(book.owed[:, row]) == pytest.approx(exact, rel=1e-8, abs=100)
        owed += positions.collect(book, row)
    assert list(owed) == pytest.approx(fees, rel=1e-9, abs=100)


@settings(deadline=None)
@given(st.integers(-887_272, 887_272))
def test_tick_prices_follow_the_oracle(tick):
    root = sqrt_price_at(tick)
    if abs(tick) < 400_000:
        assert root == pytest.approx(sqrt_price_x96(tick) / 2**96, rel=5e-16)
    assert tick_at(root) == tick
    assert tick_at(root * (1 + 1e-9)) == tick
    assert tick_at(root * (1 - 1e-9)) == tick - 1


stable_balances = st.lists(st.integers(10**22, 10**25), min_size=2, max_size=4)


def stable_pools(balances: list[int], amplification: int) -> tuple:
    oracle = IntegerStableSwap(amplification, 4_000_000, 5 * 10**9, [1] * len(balances))
    oracle.change(balances)
    terms = stableswap.StableTerms(float(amplification), 0.0004, 1.0)
    return oracle, terms, np.array([b / WAD for b in balances])


@settings(deadline=None)
@given(stable_balances, st.integers(10, 3000), st.integers(10**15, 10**25))
def test_stableswap_kernel_follows_the_oracle(balances, amplification, dx):
    oracle, terms, reals = stable_pools(balances, amplification)
    assert stableswap.invariant(reals, terms.amplification) * WAD == pytest.approx(
        oracle.supply, rel=1e-14
    )
    out = stableswap.amount_out(reals, terms, 0, 1, dx / WAD)
    exact = oracle.exchange(0, 1, dx)
    assert out * WAD == pytest.approx(exact, rel=1e-11, abs=10)
    if out < 0.9 * reals[1]:
        paid = stableswap.amount_in(reals, terms, 0, 1, out)
        assert paid == pytest.approx(dx / WAD, rel=1e-9)


@settings(deadline=None)
@given(stable_balances, st.integers(10, 3000), st.integers(10**20, 10**24))
def test_stableswap_liquidity_follows_the_oracle(balances, amplification, amount):
    oracle, terms, reals = stable_pools(balances, amplification)
    supply, changes = oracle.supply, [amount] + [0] * (len(balances) - 1)
    added = np.array([change / WAD for change in changes])
    shares, _ = stable_liquidity.share_change(reals, terms, added, supply / WAD)
    minted = oracle.change(changes)
    assert shares * WAD == pytest.approx(minted, rel=1e-9)
    after = np.array([b / WAD for b in oracle.balances])
    paid, _ = stable_liquidity.withdraw_one(after, terms, 1, minted / WAD, oracle.supply / WAD)
    assert paid * WAD == pytest.approx(oracle.withdraw_one(minted, 1), rel=1e-9)
