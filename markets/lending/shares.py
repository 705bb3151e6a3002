"""Shares of a whole that grows: exact parts, rounded by name.

    worth of s shares   floor or ceil of s*V/S            V the whole, S all shares, in atoms
    shares for a atoms  floor or ceil of a*S/V

The product may have twice the bits of an int64; where it has more than 62 it is divided while it is
built up, a bit of one factor at a time: exact wherever the quotient itself fits. Who gives
something to the whole gets the floor of his shares, and who takes something out gives the ceiling,
so that a share never loses by what others do.
"""

from markets.kernel import kernel

_LARGEST = 2**62


@kernel(cache=True)
def _divided(count: int, whole: int, of: int) -> tuple[int, int]:
    """Quotient and rest of count * whole / of, for 0 <= count, whole < 2**62 and 0 < of < 2**62."""
    if whole == 0 or count <= _LARGEST // whole:
        return count * whole // of, count * whole % of
    step, step_rest = whole // of, whole % of
    quotient, rest = 0, 0
    for place in range(61, -1, -1):
        quotient, rest = 2 * quotient, 2 * rest
        if rest >= of:
            quotient, rest = quotient + 1, rest - of
        if (count >> place) & 1:
            quotient, rest = quotient + step, rest + step_rest
            if rest >= of:
                quotient, rest = quotient + 1, rest - of
    return quotient, rest


@kernel(cache=True)
def part_down(count: int, whole: int, of: int) -> int:
    """floor(count * whole / of), for 0 <= count, whole < 2**62 and 0 < of < 2**62."""
    return _divided(count, whole, of)[0]


@kernel(cache=True)
def part_up(count: int, whole: int, of: int) -> int:
    """ceil(count * whole / of), for the same arguments."""
    quotient, rest = _divided(count, whole, of)
    return quotient + (1 if rest else 0)
