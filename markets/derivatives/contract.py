"""Contract forms: how a derivative turns a price move into profit.

Three forms cover the exchange-traded perpetuals and futures. `side` is +1 long, -1 short; `size` is
the position in the unit that multiplies the price term (contracts times contract value):

    LINEAR    size in base units                profit side*size*(exit - entry), quote
    INVERSE   size in quote units               profit side*size*(1/entry - 1/exit), base coin
    QUANTO    size in margin coin per point     profit side*size*(exit - entry), margin coin

Functions of this package take floats or float64 columns alike (`Column`), broadcast as NumPy does,
and use NaN for "there is none" (no depth, no position, no liquidation price). Prices are quote per
base, rates plain fractions. They own nothing and round nothing unless they say so: a venue rounds
what they return into atoms in its own favour. Functions marked `register_jitable` can also be
called inside a Numba kernel. Left out: contracts on powers of the price.
Source: BitMEX, Binance and Deribit contract guides.
"""

from typing import Any, Final, TypeAlias

Column: TypeAlias = Any  # a float or a float64 array; the result has the broadcast shape

LINEAR: Final = 0
INVERSE: Final = 1
QUANTO: Final = 2

LONG: Final = 1
SHORT: Final = -1
