"""Exact integer arithmetic on amounts: products that exceed 64 bits, and named rounding.

`ppm_up(n, r)` is ceil(n*r / 10**6), `ppm_down` the floor; both split n so that no product leaves
int64 for |n| < 2**62 and |r| <= 10**6. `product_at_least(a, b, c, d)` decides a*b >= c*d exactly
for non-negative int64 through 128-bit products. `floor_atoms` and `ceil_atoms` take a float64
result to atoms with a slack of 2**-49 of it, so that up to eight roundings of the float never cross
into the customer's favour; below 10**14 atoms that costs at most one atom. Which way a venue rounds
is the venue's business, always in its own favour: fees up, payouts down.
"""

import math

from markets.kernel import njit

PPM = 1_000_000
SLACK = 2.0**-49


@njit(cache=True, inline="always")
def ppm_up(amount_atoms: int, rate_ppm: int) -> int:
    """ceil(amount * rate / 10**6), in atoms."""
    whole = amount_atoms // PPM
    rest = amount_atoms - whole * PPM
    return whole * rate_ppm - (-(rest * rate_ppm) // PPM)


@njit(cache=True, inline="always")
def ppm_down(amount_atoms: int, rate_ppm: int) -> int:
    """floor(amount * rate / 10**6), in atoms."""
    whole = amount_atoms // PPM
    rest = amount_atoms - whole * PPM
    return whole * rate_ppm + rest * rate_ppm // PPM


@njit(cache=True)
def _wide_product(a: int, b: int) -> tuple[int, int, int]:
    """a*b as three limbs of 32, 32 and 62 bits, lowest first, for 0 <= a, b < 2**63."""
    mask = (1 << 32) - 1
    a_low, a_high = a & mask, a >> 32
    b_low, b_high = b & mask, b >> 32
    low = (a_low * b_low) & mask
    carry = ((a_low * b_low) >> 32) & mask
    cross_one, cross_two = a_low * b_high, a_high * b_low
    middle = carry + (cross_one & mask) + (cross_two & mask)
    high = a_high * b_high + (cross_one >> 32) + (cross_two >> 32) + (middle >> 32)
    return low, middle & mask, high


@njit(cache=True)
def product_at_least(a: int, b: int, c: int, d: int) -> bool:
    """Whether a*b >= c*d, exactly, for non-negative int64."""
    low_one, middle_one, high_one = _wide_product(a, b)
    low_two, middle_two, high_two = _wide_product(c, d)
    if high_one != high_two:
        return high_one > high_two
    if middle_one != middle_two:
        return middle_one > middle_two
    return low_one >= low_two


@njit(cache=True, inline="always")
def floor_atoms(value_atoms: float) -> int:
    """The largest whole number surely not above the exact value, for value >= 0."""
    return math.floor(value_atoms - value_atoms * SLACK)


@njit(cache=True, inline="always")
def ceil_atoms(value_atoms: float) -> int:
    """The smallest whole number surely not below the exact value, for 0 <= value < 2**62."""
    return math.ceil(value_atoms + value_atoms * SLACK)
