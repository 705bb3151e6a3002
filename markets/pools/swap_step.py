"""One step of a concentrated-liquidity swap: constant liquidity between two square-root prices.

    token0 in a:  s' = L s/(L + a s),  out a s s'        token1 in a:  s' = s + a/L,  out a/(s s')
    over [sa, sb]:  token0 = L (sb - sa)/(sa sb),  token1 = L (sb - sa)

s: square root of token1 per token0, L: liquidity, both of one unit (atoms). Outputs by a product or
quotient with s s' avoid the difference of near prices. The fee is charged on the input and stays
outside the curve: a step that stops inside pays f x gross input, one that reaches its target pays
net input x f/(1 - f). Whether the target is reached is decided once, here; prices are never
compared for equality afterwards. Rounding: none; a venue floors outputs and ceils inputs.
Source: Uniswap/v3-core contracts/libraries/SwapMath.sol, SqrtPriceMath.sol.
"""

from markets.kernel import njit
from markets.rounding import PPM


@njit(cache=True)
def amounts_between(sqrt_low: float, sqrt_high: float, liquidity: float) -> tuple[float, float]:
    """Token0 and token1 that liquidity trades when the price crosses from low to high."""
    token1 = liquidity * (sqrt_high - sqrt_low)
    return token1 / (sqrt_low * sqrt_high), token1


@njit(cache=True)
def _within(
    sqrt_price: float, downward: bool, liquidity: float, remaining: float, fee_ppm: int
) -> tuple[float, float, float, float]:
    """Price, net input, output and fee of a step that ends before its target."""
    if remaining > 0.0:
        net = remaining * (PPM - fee_ppm) / PPM
        fee = remaining * fee_ppm / PPM
        if downward:
            sqrt_next = liquidity * sqrt_price / (liquidity + net * sqrt_price)
            return sqrt_next, net, net * sqrt_price * sqrt_next, fee
        sqrt_next = sqrt_price + net / liquidity
        return sqrt_next, net, net / (sqrt_price * sqrt_next), fee
    wanted = -remaining
    if downward:
        sqrt_next = sqrt_price - wanted / liquidity
        net = wanted / (sqrt_price * sqrt_next)
    else:
        sqrt_next = liquidity * sqrt_price / (liquidity - wanted * sqrt_price)
        net = wanted * sqrt_price * sqrt_next
    return sqrt_next, net, wanted, net * fee_ppm / (PPM - fee_ppm)


@njit(cache=True)
def swap_step(
    sqrt_price: float, sqrt_target: float, liquidity: float, remaining: float, fee_ppm: int
) -> tuple[float, float, float, float, bool]:
    """Trade towards a target: (next sqrt price, net input, output, fee, target reached).

    `remaining` > 0 is gross input left to spend, < 0 is output still wanted.
    """
    downward = sqrt_target < sqrt_price
    if downward:
        need, gain = amounts_between(sqrt_target, sqrt_price, liquidity)
    else:
        gain, need = amounts_between(sqrt_price, sqrt_target, liquidity)
    exact_in = remaining > 0.0
    if remaining * (PPM - fee_ppm) >= need * PPM if exact_in else -remaining >= gain:
        return sqrt_target, need, gain, need * fee_ppm / (PPM - fee_ppm), True
    sqrt_next, net, out, fee = _within(sqrt_price, downward, liquidity, remaining, fee_ppm)
    return sqrt_next, net, out, fee, False
