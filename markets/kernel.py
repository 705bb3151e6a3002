"""How the hottest kernels are compiled: cached, and without counting references.

Numba counts references to arrays wherever a function takes one out of a tuple. In these kernels
every array belongs to the caller for the whole call and none is made, so that counting would only
cost: it took four fifths of the time of an order-book message. `_nrt=False`, an option of the
pinned Numba, turns the counting off; a kernel that makes an array under it does not compile.
"""

from typing import Any

from numba import njit


def kernel(**options: Any) -> Any:
    """Decorate a kernel that makes no arrays; `options` as for `numba.njit`."""
    compiler: Any = njit
    return compiler(cache=True, _nrt=False, **options)
