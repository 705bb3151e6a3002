"""What providers of liquidity lose: impermanent loss (IL), loss-versus-rebalancing (LVR).

    IL = 2 sqrt(r)/(1 + r) - 1          LVR rate = sigma^2/8 of the pool's value (no fee)
    with fee, Poisson blocks of mean dt:  gamma = -ln(1 - fee), k = sqrt(2/dt)/sigma, eta = gamma k,
    P_trade = 1/(1 + eta),   ARB/V = sigma^2/8 P_trade cosh(gamma/2)/(1 - sigma^2 dt/8),
    FEE/V = P_trade sinh(gamma/2) 2 k/(4 k^2 - 1)/dt

r: price ratio, sigma: volatility per square root of the time unit, dt: mean block time in it, V:
value of the pool in numeraire. cosh holds for fees in numeraire; fees in the input token take
exp(gamma/2). A driftless price without fee gives the identity E[ARB]/V0 = 1 - exp(-sigma^2 T/8)
whatever the block times. Fees lie outside the pool; in a pool that keeps them ARB is lower.
Source: arXiv 2208.06046 (LVR), 2305.14604 (fees), 2505.05113 (fixed blocks), 2403.03367 (am-AMM).
Left out: drift, jumps, gas, trades of noise traders.
"""

import math

from markets.kernel import njit

FIXED_BLOCK_FACTOR = math.sqrt(2.0 * math.pi) / 1.4603545088095868  # over |zeta(1/2)|: 1.71645


@njit(cache=True)
def impermanent_loss(price_ratio: float) -> float:
    """Value of a constant-product position over holding, less one: at most zero."""
    root = math.sqrt(price_ratio)
    return -((root - 1.0) ** 2) / (1.0 + price_ratio)


@njit(cache=True)
def impermanent_loss_weighted(price_ratio: float, weight: float) -> float:
    """The same for a weighted pool; weight is that of the asset whose price moves."""
    return price_ratio**weight / (weight * price_ratio + 1.0 - weight) - 1.0


@njit(cache=True)
def range_holdings(
    price: float, price_low: float, price_high: float, liquidity: float
) -> tuple[float, float]:
    """Asset and numeraire that liquidity over a price range consists of at a price."""
    s = math.sqrt(min(max(price, price_low), price_high))
    high = math.sqrt(price_high)
    return liquidity * (high - s) / (s * high), liquidity * (s - math.sqrt(price_low))


@njit(cache=True)
def impermanent_loss_concentrated(
    price_start: float, price_end: float, price_low: float, price_high: float
) -> float:
    """The same for a range of prices, by valuation of both portfolios at the end."""
    x0, y0 = range_holdings(price_start, price_low, price_high, 1.0)
    x1, y1 = range_holdings(price_end, price_low, price_high, 1.0)
    return (x1 * price_end + y1) / (x0 * price_end + y0) - 1.0


@njit(cache=True)
def lvr_rate_weighted(volatility: float, weight: float) -> float:
    """LVR per unit time and unit of pool value; weight 1/2 is the constant product."""
    return 0.5 * volatility * volatility * weight * (1.0 - weight)


@njit(cache=True)
def lvr_rate_concentrated(volatility: float, liquidity: float, price: float) -> float:
    """LVR per unit time, in numeraire, while the price is in range."""
    return 0.25 * volatility * volatility * liquidity * math.sqrt(price)


@njit(cache=True)
def expected_arbitrage(volatility: float, horizon: float) -> float:
    """E[all arbitrage profit]/V0 of a constant product without fee under a driftless price."""
    return -math.expm1(-volatility * volatility * horizon / 8.0)


@njit(cache=True)
def trade_probability(volatility: float, block_time: float, log_fee: float) -> float:
    """Share of Poisson blocks in which an arbitrageur trades."""
    return 1.0 / (1.0 + log_fee * math.sqrt(2.0 / block_time) / volatility)


@njit(cache=True)
def arbitrage_rate(
    volatility: float, block_time: float, log_fee: float, fee_in_numeraire: bool
) -> float:
    """Arbitrage profit per unit time and unit of pool value, after fees, Poisson blocks."""
    half = 0.5 * log_fee
    markup = math.cosh(half) if fee_in_numeraire else math.exp(half)
    variance = volatility * volatility / 8.0
    traded = trade_probability(volatility, block_time, log_fee)
    return variance * traded * markup / (1.0 - variance * block_time)


@njit(cache=True)
def fee_rate(volatility: float, block_time: float, log_fee: float) -> float:
    """Fees that arbitrage pays per unit time and unit of pool value, taken in numeraire."""
    k = math.sqrt(2.0 / block_time) / volatility
    traded = trade_probability(volatility, block_time, log_fee)
    return traded * math.sinh(0.5 * log_fee) * 2.0 * k / (4.0 * k * k - 1.0) / block_time


@njit(cache=True)
def arbitrage_rate_fixed_blocks(volatility: float, block_time: float, log_fee: float) -> float:
    """`arbitrage_rate` for blocks at a fixed interval, good to about 5e-4."""
    per_block = volatility * math.sqrt(block_time)
    band = 2.0 * log_fee
    loss = per_block**2 / 4.0 / (2.0 + FIXED_BLOCK_FACTOR * band / per_block)
    return loss / block_time


@njit(cache=True)
def outsider_excess(volatility: float, block_time: float, log_fee: float) -> float:
    """What outsiders still earn per unit time and value where a manager trades without fee."""
    variance = volatility * volatility / 8.0
    reach = math.exp(-log_fee * math.sqrt(2.0 / block_time) / volatility)
    return variance * reach * math.cosh(0.5 * log_fee) / (1.0 - variance * block_time)
