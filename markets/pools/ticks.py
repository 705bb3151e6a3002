"""Ticks of a concentrated-liquidity pool and the square-root prices they stand for.

    price(t) = 1.0001^t = token1 per token0 in atoms;    s(t) = sqrt(price(t)) = exp(t h),
    h = ln(1.0001)/2

h is kept in two parts, the leading one short enough that its product with a tick is exact: s(t) is
then good to about 2 units in the last place at every tick, where a power of 1.0001 loses 1e-12 at
tick 200,000. A price within four such units below s(t) counts as s(t): float64 cannot tell the two
apart. Ticks stay raw; decimals of the tokens are converted at the border by whoever shows prices.
Source: Uniswap/v3-core contracts/libraries/TickMath.sol (range and meaning of ticks).
"""

import math

from markets.kernel import njit

MIN_TICK = -887_272
MAX_TICK = 887_272
HALF_LOG_BASE = 4.999750016665417e-05
HALF_LOG_LEAD = 4.999750015599602e-05  # 32 leading bits of it
HALF_LOG_REST = 1.0658145735523681e-14
SAME_PRICE = 1.0 + 8.9e-16


@njit(cache=True)
def sqrt_price_at(tick: int) -> float:
    """Square root of the price at a tick."""
    lead = math.exp(tick * HALF_LOG_LEAD)
    return lead + lead * math.expm1(tick * HALF_LOG_REST)


@njit(cache=True)
def tick_at(sqrt_price: float) -> int:
    """Greatest tick whose price is at or below the price given by its square root."""
    tick = math.floor(math.log(sqrt_price) / HALF_LOG_BASE)
    reach = sqrt_price * SAME_PRICE
    if sqrt_price_at(tick) > reach:
        tick -= 1
    elif sqrt_price_at(tick + 1) <= reach:
        tick += 1
    return tick


@njit(cache=True)
def relative_width(tick_lower: int, tick_upper: int) -> float:
    """s(upper)/s(lower) - 1 without the loss of digits of a difference of near prices."""
    return math.expm1((tick_upper - tick_lower) * HALF_LOG_BASE)
