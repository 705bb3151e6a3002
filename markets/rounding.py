"""Exact integer arithmetic on amounts: parts in millionths, and named rounding.

`ppm_up(n, r)` is ceil(n*r / 10**6), `ppm_down` the floor; both split n so that no product leaves
int64 for |n| < 2**62 and |r| <= 10**6. `floor_atoms` and `ceil_atoms` take a float64 result to
atoms with a slack of 2**-49 of it, so that up to eight roundings of the float never cross into the
customer's favour; below 10**14 atoms that costs at most one atom. Which way a venue rounds is the
venue's business, always in its own favour: fees up, payouts down.
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


@njit(cache=True, inline="always")
def floor_atoms(value_atoms: float) -> int:
    """The largest whole number surely not above the exact value, for value >= 0."""
    return math.floor(value_atoms - value_atoms * SLACK)


@njit(cache=True, inline="always")
def ceil_atoms(value_atoms: float) -> int:
    """The smallest whole number surely not below the exact value, for 0 <= value < 2**62."""
    return math.ceil(value_atoms + value_atoms * SLACK)
