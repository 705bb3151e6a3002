"""Constant-product pool: the mathematics of one pair x y = k with the fee on the input.

    out = y g a / (x + g a)        in = x o / ((y - o) g)        g = 1 - fee_ppm / 1e6

x, y: reserves of the token paid in and of the token paid out, a: input, o: output, all in one unit
(atoms or human units; the functions are homogeneous). The whole input, fee included, joins the
reserves, so ln sqrt(k) grows by ln((x + a)/(x + g a))/2 on a swap; summing that growth, in place of
subtracting square roots, keeps the protocol fee exact after tiny swaps. Prices: output per input.
Rounding: none here. A venue floors outputs and shares and ceils inputs, in favour of the pool.
Source: Uniswap/v2-core UniswapV2Pair.sol, v2-periphery UniswapV2Library.sol; limit prices after
Angeris et al. 2019. Left out: integer guards of the contract, price accumulators.
"""

import math

from markets.kernel import njit
from markets.rounding import PPM


@njit(cache=True)
def amount_out(reserve_in: float, reserve_out: float, fee_ppm: int, amount_in: float) -> float:
    """Output paid for an input given exactly; below `reserve_out` always."""
    net = (PPM - fee_ppm) * amount_in
    return reserve_out * net / (PPM * reserve_in + net)


@njit(cache=True)
def amount_in(reserve_in: float, reserve_out: float, fee_ppm: int, amount_out: float) -> float:
    """Input needed for an output given exactly; infinite when the pool does not hold it."""
    if amount_out >= reserve_out:
        return math.inf
    return PPM * reserve_in * amount_out / ((reserve_out - amount_out) * (PPM - fee_ppm))


@njit(cache=True)
def marginal_price(reserve_in: float, reserve_out: float, fee_ppm: int) -> float:
    """Output per unit of an infinitesimal input; fee 0 gives the price of the curve itself."""
    return (PPM - fee_ppm) * reserve_out / (PPM * reserve_in)


@njit(cache=True)
def input_until_price(
    reserve_in: float, reserve_out: float, fee_ppm: int, price_out_per_in: float
) -> float:
    """Input at which the next unit, fee paid, earns `price_out_per_in`; 0 when it already does.

    The optimum of whoever values the input at that price: sqrt(g x y / p) = x + g in, written
    without the difference of two near numbers.
    """
    start = marginal_price(reserve_in, reserve_out, fee_ppm)
    if start <= price_out_per_in:
        return 0.0
    if price_out_per_in <= 0.0:
        return math.inf
    ratio = start / price_out_per_in
    excess = (start - price_out_per_in) / price_out_per_in
    return PPM * reserve_in * excess / ((1.0 + math.sqrt(ratio)) * (PPM - fee_ppm))


@njit(cache=True)
def flash_repayment(amount_out: float, fee_ppm: int) -> float:
    """Input that repays an output borrowed and returned in the same token."""
    return PPM * amount_out / (PPM - fee_ppm)


@njit(cache=True)
def first_shares(amount0: float, amount1: float, minimum_shares: float) -> float:
    """Shares of the first deposit, sqrt(a0 a1) less the minimum that is locked for ever."""
    return math.sqrt(amount0) * math.sqrt(amount1) - minimum_shares


@njit(cache=True)
def shares_for(
    amount0: float, amount1: float, reserve0: float, reserve1: float, share_supply: float
) -> float:
    """Shares of a later deposit; what one token exceeds the pool's ratio is donated."""
    return share_supply * min(amount0 / reserve0, amount1 / reserve1)


@njit(cache=True)
def amount_for(shares: float, reserve: float, share_supply: float) -> float:
    """Amount of one token that burning `shares` releases, pro rata."""
    return reserve * (shares / share_supply)


@njit(cache=True)
def fee_growth(reserve_in: float, fee_ppm: int, amount_in: float) -> float:
    """Growth of ln sqrt(k) by the fee of one swap; to be summed between liquidity events."""
    fee = fee_ppm * amount_in
    return 0.5 * math.log1p(fee / (PPM * reserve_in + (PPM - fee_ppm) * amount_in))


@njit(cache=True)
def protocol_shares(growth: float, share_supply: float) -> float:
    """Shares minted to the protocol for a summed `fee_growth`: one sixth of the growth.

    With r = exp(growth) = sqrt(k / k at the last event): S (r - 1)/(5 r + 1).
    """
    return share_supply * math.expm1(growth) / (5.0 * math.exp(growth) + 1.0)
