"""Integer rounding against Python's unbounded integers and exact fractions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from markets.rounding import ceil_atoms, floor_atoms, ppm_down, ppm_up

amounts = st.integers(-(2**62) + 1, 2**62 - 1)
rates = st.integers(-1_000_000, 1_000_000)


@given(amounts, rates)
def test_parts_per_million_round_as_named(amount: int, rate: int) -> None:
    assert ppm_down(amount, rate) == amount * rate // 10**6
    assert ppm_up(amount, rate) == -(-amount * rate // 10**6)


@given(st.integers(1, 10**14), st.integers(1, 10**9))
def test_floor_and_ceil_never_favour_the_customer(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert exact - 2 < floor_atoms(numerator / denominator) <= exact
    assert exact <= ceil_atoms(numerator / denominator) < exact + 2
