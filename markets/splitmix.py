"""SplitMix64: random numbers that are numbered, for kernels that need only some of them.

Number n of the generator that starts at s is a function of s + n alone times a constant, so that
nothing has to be drawn in turn: a kernel asks for those it uses, and each stays the same whoever
else draws. The start is an argument: it comes from the stream of whoever decides.

Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators (OOPSLA 2014).
"""

import numpy as np

from markets.kernel import kernel

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@kernel(inline="always")
def uniform(start: int, number: int) -> float:
    """Number `number` of the generator, in [0, 1)."""
    bits = np.uint64(start) + np.uint64(number) * np.uint64(_GOLDEN)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_FIRST)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_SECOND)
    bits ^= bits >> np.uint64(31)
    return np.float64(bits >> np.uint64(11)) * 2.0**-53
