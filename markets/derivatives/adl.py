"""Auto-deleveraging (ADL): who closes against a bankrupt position, and how much.

Scores, highest first, over profitable opposing positions:

    BitMEX       PNL%*leverage if PNL% > 0 else PNL%/leverage, leverage = |mark|/(mark - bankrupt)
    Binance      max(0, upnl)/max(1, wallet) * MM/(wallet + upnl)
    Hyperliquid  (mark/entry long, entry/mark short) * notional/account value

BitMEX uses signed values (linear side*q*P, inverse -side*q/P). How a queue is then closed, and at
what price, stands in `deleveraging`. Pro-rata lots use largest remainders, so every lot is placed
and none is invented. Sources: venue ADL pages; Chitra, arXiv 2512.01112 v3 (pro rata); FTX
liquidations page; Bybit ADL page (trigger). dYdX's walk over accounts: `ranking`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.contract import INVERSE, Column
from markets.kernel import kernel


class TriggerRule(NamedTuple):
    """Drawdown trigger: fund balance threshold and the ratios that start and stop ADL."""

    balance_threshold: float
    trigger_ratio: float
    stop_ratio: float


class Trigger(NamedTuple):
    """Verdict of the drawdown rule; the loss passed on is in the fund's asset."""

    pnl_ratio: float
    triggered: bool
    loss_passed_on: float
    stops: bool


def signed_value(contract: int, side: Column, size: Column, price: Column) -> Column:
    """Signed position value: quote for linear, coin (negative for longs) for inverse."""
    if contract == INVERSE:
        return -side * size / price
    return side * size * price


def leverage_score(
    contract: int, side: Column, entry: Column, bankruptcy: Column, mark: Column
) -> Column:
    """BitMEX score of positions by entry, bankruptcy and mark price (the size cancels)."""
    mark_value = signed_value(contract, side, 1.0, mark)
    entry_value = signed_value(contract, side, 1.0, entry)
    bankrupt_value = signed_value(contract, side, 1.0, bankruptcy)
    leverage = np.abs(mark_value) / (mark_value - bankrupt_value)
    gain = (mark_value - entry_value) / np.abs(entry_value)
    return np.where(gain > 0.0, gain * leverage, gain / leverage)


def margin_score(wallet: Column, profit_quote: Column, maintenance: Column) -> Column:
    """Binance score of accounts by wallet, unrealised profit and maintenance margin (quote)."""
    gain = np.maximum(0.0, profit_quote) / np.maximum(1.0, wallet)
    equity = np.add(wallet, profit_quote)
    solvent = equity > 0.0
    return gain * np.where(solvent, maintenance / np.where(solvent, equity, 1.0), 0.0)


def notional_score(
    side: Column, entry: Column, mark: Column, size: Column, account_value: Column
) -> Column:
    """Hyperliquid score: price gain times account leverage; shorts use entry/mark."""
    gain = np.where(np.greater(side, 0), np.divide(mark, entry), np.divide(entry, mark))
    return gain * (size * mark) / account_value


def queue_order(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Row numbers from highest to lowest score; equal scores keep row order."""
    return np.argsort(-scores, kind="stable")


@kernel()
def pro_rata_lots(
    size_lots: NDArray[np.int64], quantity_lots: int, parts: NDArray[np.int64]
) -> None:
    """Write each row's part of so many lots, by size and largest remainder, at most all of it.

    Exact for sizes and a quantity below 2**31; ties go to the earlier row.
    """
    total = 0
    for size in size_lots:
        total += size
    parts[:] = 0
    quantity = left = min(quantity_lots, total)
    if quantity <= 0:
        return
    for row in range(len(parts)):
        parts[row] = quantity * size_lots[row] // total
        left -= parts[row]
    low, high = 0, total
    while high - low > 1:
        middle, above = (low + high) // 2, 0
        for row in range(len(parts)):
            above += quantity * size_lots[row] % total >= middle
        if above >= left:
            low = middle
        else:
            high = middle
    for tied in (False, True):
        for row in range(len(parts)):
            remainder = quantity * size_lots[row] % total
            if left > 0 and (remainder == low if tied else remainder > low):
                parts[row] += 1
                left -= 1


def drawdown_trigger(
    pnl_change: float, pool_max: float, pool_balance: float, rule: TriggerRule
) -> Trigger:
    """Bybit rule: ADL starts when the pool's fall from its 8 h peak passes the trigger ratio.

    `pnl_change` is the pool's profit now minus its 8 h maximum; all in the pool's asset.
    """
    ratio = pnl_change / pool_max
    drawn_down = pool_balance > rule.balance_threshold and ratio < rule.trigger_ratio
    passed_on = max(0.0, rule.trigger_ratio - ratio) * pool_max
    return Trigger(ratio, drawn_down or pool_balance <= 0.0, passed_on, ratio > rule.stop_ratio)
