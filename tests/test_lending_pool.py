"""The lending pool: rates, accrual, cover, liquidation, bad debt, a plain model, random play."""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset
from markets.errors import ConfigError
from markets.intents import add_coin, bundle, remove_coin, stack
from markets.lending.lending_intents import borrow, in_shares, liquidate, repay
from markets.lending.lending_params import ReserveParams
from markets.lending.lending_pool import LendingPool
from markets.lending.shares import part_down, part_up
from markets.outcomes import Code, Reason
from tests.lending_bench import COINS, ETH, GHO, RESERVES, USDC, Bench
from tests.reference.lending import PlainLending

VECTORS = Path(__file__).parent / "vectors" / "perp_interest.json"
CASES = {case["id"]: case for case in json.loads(VECTORS.read_text())["cases"]}
DAY = 86_400.0


def with_loan(eth: float = 50.0, loan: float = 74_000.0, supply: float = 1e5, **params) -> Bench:
    """User 0 supplies USDC, user 1 borrows it against ETH; ETH is at 2,000."""
    bench = Bench(**params)
    lender, borrower = bench.users[:2]
    codes = bench.do(
        add_coin(0, lender, USDC, bench.atoms(USDC, supply)),
        add_coin(0, borrower, ETH, bench.atoms(ETH, eth)),
        borrow(0, borrower, USDC, bench.atoms(USDC, loan)),
    )
    assert codes == [Code.DONE] * 3
    return bench


@given(st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1), st.integers(1, 2**62 - 1))
def test_parts_are_exact(count: int, whole: int, of: int) -> None:
    if count * whole // of >= 2**62:
        whole %= of
    assert part_down(count, whole, of) == count * whole // of
    assert part_up(count, whole, of) == -(-count * whole // of)


@pytest.mark.parametrize("name", ["kinked_rate_01", "kinked_rate_02", "kinked_rate_03"])
def test_published_rates(name: str) -> None:
    inputs, expected = CASES[name]["inputs"], CASES[name]["expected"]
    curve = {key: inputs[key] for key in ("kink", "rate_at_0", "rate_at_kink", "rate_at_1")}
    reserve = ReserveParams(**curve, reserve_ppm=round(inputs["reserve_factor"] * 1e6))
    bench = with_loan(
        eth=1e6, loan=inputs["borrowed"], supply=inputs["supplied"], reserves=(RESERVES[0], reserve)
    )
    view = bench.view
    assert view.utilisation[USDC] == pytest.approx(expected["utilisation"], rel=1e-12)
    assert view.borrow_rates[USDC] == pytest.approx(expected["borrow_apr"], rel=1e-12)
    assert view.supply_rates[USDC] == pytest.approx(expected["lend_apr"], rel=1e-12)


def test_published_accrual() -> None:
    """The supplier moves his stake so that the loan is charged the rates of the case in turn."""
    case = CASES["hourly_accrual_01"]
    steep = ReserveParams(kink=0.5, rate_at_kink=1.0, rate_at_1=2.0)
    principal = case["inputs"]["principal"]
    bench = with_loan(eth=1e6, loan=principal, reserves=(RESERVES[0], steep))
    lender, borrower = bench.users[:2]
    for hours, rate in case["inputs"]["segments"]:
        change = bench.owed(borrower, USDC) / (rate / 2) - float(bench.view.supplied[USDC])
        atoms = bench.atoms(USDC, abs(change))
        move = add_coin(0, lender, USDC, atoms)
        if change < 0:
            move = remove_coin(
                0, lender, USDC, int(bench.view.shares_for(USDC, np.array([atoms]))[0])
            )
        assert bench.do(move) == [Code.DONE]
        assert bench.view.borrow_rates[USDC] == pytest.approx(rate, rel=1e-9)
        bench.next(seconds=hours * 3_600)
    assert bench.owed(borrower, USDC) == pytest.approx(case["expected"]["balance"], abs=3e-6)


def test_interest_goes_to_suppliers_and_protocol() -> None:
    bench = with_loan()
    lender, borrower = bench.users[:2]
    before = bench.supplied(lender, USDC)
    for _ in range(24 * 90):
        bench.next()
    interest = bench.owed(borrower, USDC) - 74_000
    assert interest == pytest.approx(74_000 * 0.0288 * 90 / 365, rel=0.01)
    earned = bench.supplied(lender, USDC) - before
    assert earned == pytest.approx(0.9 * interest, rel=1e-3)
    assert bench.pool.earned() == pytest.approx(0.1 * interest, rel=3e-3)
    flows = bench.pool.drain_flows()
    paid = flows["atoms"][flows["reason"] == Reason.INTEREST].sum() / COINS[USDC].scale
    assert paid == pytest.approx(interest, abs=2e-6)


def test_small_debts_accrue_no_faster_than_large_ones() -> None:
    """Whole atoms accrue and the rest is carried: 30 days of seconds on one unit of debt."""
    bench = with_loan(loan=1.0, supply=2.0)
    rate = float(bench.view.borrow_rates[USDC])
    for _ in range(3_000):
        bench.next(seconds=864.0)
    assert bench.owed(bench.users[1], USDC) == pytest.approx(1 + rate * 30 / 365, abs=2e-5)


def test_loans_need_cover_by_ltv_and_withdrawals_by_the_threshold() -> None:
    bench = Bench()
    lender, borrower = bench.users[:2]
    bench.do(add_coin(0, lender, USDC, bench.atoms(USDC, 1e5)))
    bench.do(add_coin(0, borrower, ETH, bench.atoms(ETH, 50)))
    assert bench.do(borrow(0, borrower, USDC, bench.atoms(USDC, 75_000.01))) == [
        Code.INSUFFICIENT_MARGIN
    ]
    assert bench.do(borrow(0, borrower, USDC, bench.atoms(USDC, 74_999.0))) == [Code.DONE]
    assert bench.view.room(np.array([borrower]))[0] == pytest.approx(1.0, abs=1e-2)
    shares = bench.shares(borrower, ETH)
    assert bench.do(remove_coin(0, borrower, ETH, shares // 15)) == [Code.INSUFFICIENT_MARGIN]
    assert bench.do(remove_coin(0, borrower, ETH, shares // 17)) == [Code.DONE]
    assert 1.0 < bench.view.health(np.array([borrower]))[0] < 1.01
    assert bench.do(repay(0, borrower, USDC, 2**60)) == [Code.DONE]
    assert bench.owed(borrower, USDC) == 0
    assert bench.do(remove_coin(0, borrower, ETH, bench.shares(borrower, ETH))) == [Code.DONE]


def test_a_coin_without_threshold_is_no_collateral() -> None:
    bench = Bench()
    lender, borrower = bench.users[:2]
    bench.do(add_coin(0, lender, USDC, bench.atoms(USDC, 1e5)))
    bench.do(add_coin(0, borrower, GHO, bench.atoms(GHO, 1e5)))
    assert bench.do(borrow(0, borrower, USDC, 1)) == [Code.INSUFFICIENT_MARGIN]


def test_nobody_can_leave_where_all_is_lent() -> None:
    bench = with_loan(eth=200.0, loan=1e5)
    lender, borrower, other = bench.users[:3]
    assert bench.view.utilisation[USDC] == 1.0
    assert bench.view.borrow_rates[USDC] == pytest.approx(0.635)
    leave = remove_coin(0, lender, USDC, bench.shares(lender, USDC) // 2)
    assert bench.do(leave) == [Code.NO_LIQUIDITY]
    assert bench.pool.refused_withdrawals == 1
    assert bench.do(borrow(0, borrower, USDC, 1)) == [Code.NO_LIQUIDITY]
    bench.do(add_coin(0, other, USDC, bench.atoms(USDC, 6e4)))
    assert bench.do(leave) == [Code.DONE]


def test_half_of_a_debt_may_be_repaid_and_all_of_it_when_health_is_low() -> None:
    bench = with_loan()
    borrower, keeper = bench.users[1:3]
    all_of_it = liquidate(0, keeper, borrower, (USDC, ETH), bench.atoms(USDC, 1e6))
    assert bench.do(all_of_it) == [Code.OUT_OF_RANGE]
    bench.next(1_840.0)
    owed = bench.owed(borrower, USDC)
    assert bench.do(all_of_it) == [Code.DONE]
    assert bench.owed(borrower, USDC) == pytest.approx(owed / 2, abs=2e-6)
    paid = 1e6 - bench.held(keeper, USDC)
    seized = paid * 1.05 / 1_840
    assert 50 - bench.supplied(borrower, ETH) == pytest.approx(seized, abs=3e-6)
    gained = bench.held(keeper, ETH) - 1e6
    assert gained == pytest.approx(paid * (1 + 0.05 * 0.9) / 1_840, abs=1e-8)
    assert bench.pool.earned() == pytest.approx(paid * 0.05 * 0.1, rel=1e-4, abs=1.0)
    bench.next(1_400.0)
    assert bench.view.health(np.array([borrower]))[0] < 0.95
    assert bench.do(all_of_it) == [Code.DONE]
    assert bench.owed(borrower, USDC) == 0
    assert bench.supplied(borrower, ETH) > 0
    assert not bench.pool.bad_debt_atoms.any()


def test_small_debts_may_be_repaid_whole() -> None:
    bench = with_loan(eth=1.0, loan=1_480.0)
    borrower, keeper = bench.users[1:3]
    bench.next(1_840.0)
    assert 0.95 < bench.view.health(np.array([borrower]))[0] < 1
    bench.do(liquidate(0, keeper, borrower, (USDC, ETH), bench.atoms(USDC, 1e6)))
    assert bench.owed(borrower, USDC) == 0


@pytest.mark.parametrize("bears", [True, False])
def test_bad_debt_is_borne_by_the_reserve_and_then_by_all_suppliers_alike(bears: bool) -> None:
    bench = with_loan(reserve_bears_losses=bears)
    lender, borrower, keeper, second = bench.users
    bench.do(add_coin(0, second, USDC, bench.atoms(USDC, 5e4)))
    for _ in range(24 * 60):
        bench.next()
    earned = bench.pool.earned()
    before = [bench.supplied(user, USDC) for user in (lender, second)]
    bench.next(1_000.0)
    owed = bench.owed(borrower, USDC)
    bench.do(liquidate(0, keeper, borrower, (USDC, ETH), bench.atoms(USDC, 1e6)))
    paid = 1e6 - bench.held(keeper, USDC)
    lost = owed - paid
    assert paid == pytest.approx(50 * 1_000 / 1.05, rel=1e-6)
    assert bench.pool.bad_debt_atoms[USDC] / COINS[USDC].scale == pytest.approx(lost, abs=2e-6)
    borne = bench.pool.borne_atoms[USDC] / COINS[USDC].scale
    assert borne == pytest.approx(earned if bears else 0.0, abs=0.05)
    after = [bench.supplied(user, USDC) for user in (lender, second)]
    assert sum(before) - sum(after) == pytest.approx(lost - borne, rel=1e-3)
    assert after[0] / before[0] == pytest.approx(after[1] / before[1], rel=1e-9)
    assert bench.owed(borrower, USDC) == 0
    assert dict(bench.pool.drain_events())["bad_debt"] == pytest.approx(lost, abs=1e-3)


def test_seized_collateral_makes_the_coin_dearer_for_everybody() -> None:
    """Somebody has borrowed the coin that another has pledged; a liquidation takes it away."""
    bench = with_loan()
    keeper, other = bench.users[2:]
    bench.do(add_coin(0, other, USDC, bench.atoms(USDC, 1e5)))
    bench.do(borrow(0, other, ETH, bench.atoms(ETH, 25)))
    bench.next(1_840.0)
    before = bench.view.borrow_rates[ETH]
    bench.do(liquidate(0, keeper, bench.users[1], (USDC, ETH), bench.atoms(USDC, 2e4)))
    assert bench.view.utilisation[ETH] > 0.6
    assert bench.view.borrow_rates[ETH] > before + 0.005


def test_without_cash_a_liquidator_takes_shares() -> None:
    bench = with_loan()
    borrower, keeper, other = bench.users[1:]
    bench.do(add_coin(0, other, USDC, bench.atoms(USDC, 5e5)))
    bench.do(borrow(0, other, ETH, bench.atoms(ETH, 50)))
    bench.next(1_840.0)
    attempt = liquidate(0, keeper, borrower, (USDC, ETH), bench.atoms(USDC, 2e4))
    assert bench.do(attempt) == [Code.NO_LIQUIDITY]
    assert bench.do(in_shares(attempt)) == [Code.DONE]
    assert bench.supplied(keeper, ETH) == pytest.approx(2e4 * 1.045 / 1_840, rel=1e-6)
    assert bench.held(keeper, ETH) == 1e6


def test_a_failed_bundle_gives_the_borrower_back_what_was_seized() -> None:
    bench = with_loan()
    borrower, keeper = bench.users[1:3]
    bench.next(1_000.0)
    state, owed = bench.balances.copy(), bench.pool.state.owed.copy()
    rows = [
        liquidate(0, keeper, borrower, (USDC, ETH), bench.atoms(USDC, 1e6)),
        remove_coin(0, keeper, GHO, 1),
    ]
    dice = {"chain": np.random.default_rng(0)}
    bench.market.execute(stack(bundle(rows)), bench.moment, dice)
    bench.market.check()
    assert np.array_equal(bench.balances, state)
    assert np.array_equal(bench.pool.state.owed, owed)
    assert not bench.pool.bad_debt_atoms.any()
    assert bench.pool.drain_events() == []
    bench.market.execute(stack(bundle(rows[:1])), bench.moment, dice)
    assert bench.owed(borrower, USDC) == 0


def test_caps_and_coins_that_are_not_lent() -> None:
    capped = ReserveParams(supply_cap=100.0, borrow_cap=10.0)
    bench = Bench(reserves=(RESERVES[0], capped, ReserveParams(borrowable=False)))
    lender, borrower = bench.users[:2]
    bench.do(add_coin(0, borrower, ETH, bench.atoms(ETH, 10)))
    assert bench.do(
        add_coin(0, lender, USDC, bench.atoms(USDC, 101)),
        add_coin(0, lender, USDC, bench.atoms(USDC, 100)),
        add_coin(0, lender, USDC, 1),
        borrow(0, borrower, USDC, bench.atoms(USDC, 11)),
        borrow(0, borrower, USDC, bench.atoms(USDC, 10)),
        add_coin(0, lender, GHO, bench.atoms(GHO, 100)),
        borrow(0, borrower, GHO, 1),
    ) == [
        Code.NO_LIQUIDITY,
        Code.DONE,
        Code.NO_LIQUIDITY,
        Code.NO_LIQUIDITY,
        Code.DONE,
        Code.DONE,
        Code.INVALID,
    ]


def test_the_oracle_follows_large_moves_and_its_heartbeat() -> None:
    bench = Bench(oracle_deviation=0.01, oracle_heartbeat_seconds=7_200.0)
    seen = []
    for price in (2_010.0, 2_015.0, 2_080.0, 2_081.0):
        bench.next(price)
        seen.append(float(bench.view.prices[ETH]))
    assert seen == [2_000.0, 2_015.0, 2_080.0, 2_080.0]


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"bank\.reserves: needs an entry for each of 3 coins"):
        LendingPool("bank", "chain", COINS, LendingPool.Params(reserves=RESERVES[:2]))
    with pytest.raises(ConfigError, match=r"bank\.coins"):
        LendingPool("bank", "chain", [Asset("ETH", 9)])
    with pytest.raises(ConfigError, match="ltv_ppm must be at most"):
        ReserveParams.read({"ltv_ppm": 810_000})
    with pytest.raises(ConfigError, match="below 1"):
        ReserveParams.read({"threshold_ppm": 970_000})


@pytest.mark.parametrize("field", ["supply_cap", "borrow_cap"])
@pytest.mark.parametrize("cap", [1e12, 1e308, 4e-10])
def test_a_cap_that_no_atoms_can_express_is_refused_by_name(field: str, cap: float) -> None:
    capped = (ReserveParams(**{field: cap}), *RESERVES[1:])
    with pytest.raises(
        ConfigError, match=rf"bank\.reserves\.0\.{field}: .* 1e-09 to 4.61e.09 ETH, got"
    ):
        Bench(reserves=capped)


def test_caps_may_be_an_atom_or_all_that_can_be_owned() -> None:
    capped = (ReserveParams(supply_cap=1e-9, borrow_cap=4e9), *RESERVES[1:])
    terms = Bench(reserves=capped).pool.terms
    assert terms.supply_cap_atoms.tolist() == [1, 0, 0]
    assert terms.borrow_cap_atoms.tolist() == [4 * 10**18, 0, 0]


def test_bad_rows_are_rejected_and_move_nothing() -> None:
    bench = with_loan()
    lender, borrower, keeper = bench.users[:3]
    bench.next(1_000.0)
    state = bench.balances.copy()
    for row in (
        add_coin(0, lender, 3, 1),
        add_coin(0, lender, -1, 1),
        add_coin(0, lender, USDC, 0),
        add_coin(0, lender, USDC, 2**62),
        borrow(0, borrower, USDC, -5),
        borrow(0, int(bench.pool.accounts[0]), USDC, 5),
        liquidate(0, borrower, borrower, (USDC, ETH), 10**9),
        liquidate(0, keeper, 10**9, (USDC, ETH), 10**9),
        liquidate(0, keeper, -1, (USDC, ETH), 10**9),
        liquidate(0, keeper, int(bench.pool.accounts[1]), (USDC, ETH), 10**9),
        liquidate(0, keeper, borrower, (USDC, GHO), 10**9),
        liquidate(0, keeper, borrower, (USDC, 9), 10**9),
    ):
        assert bench.do(row) == [Code.INVALID]
    assert bench.do(liquidate(0, keeper, borrower, (GHO, ETH), 10**9)) == [Code.NO_LIQUIDITY]
    assert bench.do(liquidate(0, keeper, lender, (USDC, ETH), 10**9)) == [Code.OUT_OF_RANGE]
    assert bench.do(liquidate(0, keeper, borrower, (USDC, ETH), 10**9, 10**15)) == [
        Code.BEYOND_LIMIT
    ]
    assert bench.do(repay(0, lender, USDC, 5)) == [Code.NO_LIQUIDITY]
    assert np.array_equal(bench.balances, state)


def draw(bench: Bench, rng: np.random.Generator) -> tuple[str, int, int, int, int]:
    """A random request: kind, user, coin, size (or shares a million), another user."""
    kinds = ["supply", "withdraw", "borrow", "repay", "liquidate"]
    kind = str(rng.choice(kinds, p=[0.25, 0.15, 0.25, 0.1, 0.25]))
    user, other = rng.choice(len(bench.users), 2, replace=False).tolist()
    coin = int(rng.integers(0, 3))
    worth = 10 ** rng.uniform(1, 5.5)
    units = worth / (bench.price if coin == ETH else 1.0)
    size = int(rng.integers(1, 10**6)) if kind == "withdraw" else bench.atoms(coin, units)
    return kind, user, coin, size, other


def intent_of(bench: Bench, request: tuple[str, int, int, int, int]) -> tuple:
    kind, user, coin, size, other = request
    account = bench.users[user]
    if kind == "supply":
        return add_coin(0, account, coin, size)
    if kind == "withdraw":
        return remove_coin(0, account, coin, max(1, bench.shares(account, coin) * size // 10**6))
    if kind == "borrow":
        return borrow(0, account, coin, size)
    if kind == "repay":
        return repay(0, account, coin, size)
    pledged = ETH if coin != ETH else USDC
    return liquidate(0, account, bench.users[other], (coin, pledged), size)


def ask_plain(plain: PlainLending, bench: Bench, request: tuple[str, int, int, int, int]) -> bool:
    kind, user, coin, size, other = request
    if kind == "withdraw":
        held = bench.shares(bench.users[user], coin)
        part = Decimal(max(1, held * size // 10**6)) / max(1, held)
        return plain.withdraw(user, coin, part)
    if kind == "liquidate":
        pledged = ETH if coin != ETH else USDC
        return plain.liquidate(user, other, (coin, pledged), size)
    return bool(getattr(plain, kind)(user, coin, size))


@pytest.mark.parametrize("seed", range(12))
def test_the_plain_model_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench = Bench(reserves=RESERVES, full_close_quote=500.0)
    prices = [bench.price / COINS[ETH].scale, 1 / COINS[USDC].scale, 1 / COINS[GHO].scale]
    plain = PlainLending(RESERVES, prices, len(bench.users), bench.pool.params)
    granted = 0
    for _ in range(150):
        request = draw(bench, rng)
        expected = ask_plain(plain, bench, request)
        code = bench.do(intent_of(bench, request))[0]
        assert (code == Code.DONE) == expected, (request, code)
        granted += expected
        if rng.random() < 0.3:
            hours = float(rng.integers(1, 400))
            plain.accrue(hours)
            bench.next(bench.price * float(np.exp(rng.normal(-0.01, 0.1))), hours * 3_600)
            plain.coins[ETH].price = Decimal(bench.price / COINS[ETH].scale)
        for coin, asset in enumerate(plain.coins):
            for user, account in enumerate(bench.users):
                near = {"rel": 1e-7, "abs": 300}
                supplied = bench.view.supplied_atoms(account, coin)
                assert supplied == pytest.approx(float(asset.supply[user]), **near)
                owed = bench.view.owed_atoms(account, coin)
                assert owed == pytest.approx(float(asset.debt[user]), **near)
    assert granted > 40


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_random_play_keeps_every_atom_and_never_cheapens_a_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench = Bench(full_close_quote=float(rng.choice((0.0, 500.0))))
    for _ in range(40):
        terms, state = bench.pool.terms, bench.pool.state
        request = draw(bench, rng)
        tiny = rng.random() < 0.2
        request = (*request[:3], int(rng.integers(1, 20)) if tiny else request[3], request[4])
        wholes, issued = bench.pool.wholes(), -bench.balances[terms.pool, terms.shares]
        lent, debts = state.owed.copy(), -bench.balances[terms.pool, terms.debts]
        written_off = bench.pool.bad_debt_atoms.copy()
        bench.do(intent_of(bench, request))
        fine = (bench.pool.bad_debt_atoms == written_off).tolist()
        after = bench.pool.wholes(), -bench.balances[terms.pool, terms.shares]
        for coin in range(3):
            if fine[coin]:
                assert int(after[0][coin]) * int(issued[coin]) >= int(wholes[coin]) * int(
                    after[1][coin]
                )
            shares = -int(bench.balances[terms.pool, terms.debts[coin]])
            if shares:
                assert int(state.owed[coin]) * int(debts[coin]) >= int(lent[coin]) * shares
            supplied = sum(bench.view.supplied_atoms(user, coin) for user in bench.users)
            assert supplied <= bench.pool.wholes()[coin]
            owed = sum(bench.view.owed_atoms(user, coin) for user in bench.users)
            assert owed >= state.owed[coin]
        if rng.random() < 0.3:
            bench.next(bench.price * float(np.exp(rng.normal(0, 0.2))), rng.uniform(1, 1e6))
    assert np.isfinite(list(bench.pool.measure(bench.moment).values())).all()
    assert bench.pool.shortfall() >= 0


def test_one_batch_does_what_single_rows_do() -> None:
    one, many = Bench(), Bench()
    rng = np.random.default_rng(5)
    requests = [draw(one, rng) for _ in range(60)]
    requests = [request for request in requests if request[0] != "withdraw"]
    for bench in (one, many):
        bench.do(*(add_coin(0, user, coin, 10**9) for user in bench.users for coin in range(3)))
    single = [one.do(intent_of(one, request))[0] for request in requests]
    assert many.do(*(intent_of(many, request) for request in requests)) == single
    assert np.array_equal(one.balances, many.balances)


def test_views_agree_with_the_kernel() -> None:
    bench = with_loan()
    for _ in range(100):
        bench.next()
    accounts = np.array(bench.users)
    assert bench.view.debts(accounts)[1, USDC] == pytest.approx(
        bench.view.owed_atoms(bench.users[1], USDC), abs=1
    )
    assert bench.view.supplies(accounts)[0, USDC] == pytest.approx(
        bench.view.supplied_atoms(bench.users[0], USDC), abs=1
    )
    assert bench.view.borrowers().tolist() == [bench.users[1]]
    values = bench.pool.asset_values(bench.moment)
    assert values["bank:USDC:debt"] == pytest.approx(-bench.owed(bench.users[1], USDC) / 74_000)
