"""Derivatives vectors that are played at a perpetual: what it does is compared, not a formula.

Profit, average cost and funding payments of a position; deleveraging in the order of a queue; what
fills of a taken-over position do to the fund; several liquidations that share one fund; dYdX's
fee to the fund and how much its orders close. The positions, the mark and the book of a case are
set up in a `PerpetualMarket`, the venue's own steps are run, and its ledger and fills are read.
"""

from collections.abc import Callable
from decimal import Decimal
from math import lcm
from typing import Any

from experiments.conformance.derivative_inputs import (
    side_of,
    sized,
    whole_lots,
    whole_ppm,
)
from experiments.conformance.perpetual_market import PerpetualMarket
from markets.derivatives.ranking import drawn
from markets.outcomes import Reason
from markets.rounding import PPM

_FUNDING_SECONDS = 28_800.0
_PLAIN = {"stages": ("fund", "adl"), "ranking": "account"}


def _profit(case: dict) -> dict:
    size, contract = sized(case)
    market = PerpetualMarket([case["entry"], case["exit"]], [size], **contract)
    (trader,) = market.traders
    market.pay_in(trader, market.wealth)
    market.trade(trader, side_of(case), size, case["entry"])
    market.trade(trader, -side_of(case), size, case["exit"])
    return {"pnl": market.wallet(trader) - market.wealth}


def _fills_average_cost(case: dict) -> dict:
    value, mark = float(case.get("contract_value", 1.0)), case.get("mark")
    sizes, prices = zip(*case["fills"], strict=True)
    marks = [] if mark is None else [mark]
    kind = case.get("contract", "linear")
    market = PerpetualMarket([*prices, *marks], [size * value for size in sizes], contract=kind)
    (trader,) = market.traders
    market.pay_in(trader, market.wealth)
    for size, price in case["fills"]:
        market.trade(trader, 1 if size > 0 else -1, abs(size) * value, price)
    figures = {
        "position": market.position(trader) / value,
        "entry": market.entry(trader),
        "realised": market.wallet(trader) - market.wealth,
    }
    for price in marks:
        market.mark(price)
        figures["unrealised"] = market.equity(trader) - market.wallet(trader)
    return figures


def _funding_payment(case: dict) -> dict:
    size, contract = sized(case)
    market = PerpetualMarket(  # the interest alone is the rate of an interval of 8 h
        [case["price"]],
        [size],
        step_seconds=_FUNDING_SECONDS,
        funding_interval_seconds=_FUNDING_SECONDS,
        interest_rate=case["rate"],
        funding_damper=1.0,
        funding_cap=0.999,
        **contract,
    )
    (trader,) = market.traders
    market.pay_in(trader, market.wealth)
    market.trade(trader, side_of(case), size, case["price"])
    before = market.wallet(trader)
    market.mark(case["price"])
    return {"pays": before - market.wallet(trader)}


def _dated_inverse_settlement(case: dict) -> dict:
    """One index a second; sizes and prices are so many times the case's that the mean is whole."""
    samples, end = case["index_samples"], 100.0 + len(case["index_samples"])
    times, side = len(samples), side_of(case)
    marks = [float(Decimal(str(sample)) * times) for sample in samples]
    entry = float(Decimal(str(case["entry"])) * times)
    size = times * float(case["contracts"]) * case["contract_value"]
    market = PerpetualMarket(
        [entry, *marks],
        [size],
        contract="inverse",
        expiry_seconds=end,
        settlement_window_seconds=float(times),
        settlement_fee_ppm=whole_ppm(case["settlement_fee_rate"]),
    )
    (trader,) = market.traders
    market.pay_in(trader, market.wealth)
    market.trade(trader, side, size, entry)
    had = market.collateral(trader) + market.wealth
    market.step = 99
    for mark in [*marks, marks[-1]]:
        market.mark(mark)
    net, fee = market.collateral(trader) - had, market.fees_of(trader)
    settlement = dict(market.venue.drain_events())["settlement"]
    return {
        "settlement_price": settlement / times,
        "gross_pnl": net + fee,
        "fee": fee,
        "net_pnl": net,
    }


def _adl_queue_close(case: dict) -> dict:
    """What finds no counterparty is held by one whom that price would ruin.

    The ranking that knows no score goes round from an account that the step draws: here the first.
    """
    side, queue = side_of(case, "counterparty_side"), case["queue"]
    close, mark = float(case["close_price"]), float(case["mark"])
    left = max(0.0, case["qty"] - sum(row["size"] for row in queue))
    market = PerpetualMarket(
        [close, mark, *(row["entry"] for row in queue)],
        [case["qty"], *(row["size"] for row in queue)],
        traders=len(queue) + 2,
        contract=case.get("contract", "linear"),
        liquidation=_PLAIN,
    )
    *winners, ruined, loser = market.traders
    for account, row in zip(winners, queue, strict=True):
        market.pay_in(account, market.wealth)
        market.trade(account, side, row["size"], row["entry"])
    if left > 0:
        market.open_at(ruined, side, left, close)
    market.open_at(loser, -side, case["qty"], close)
    before = [market.wallet(account) for account in winners]
    ranked = len(queue) + (left > 0 and mark != close)
    while drawn(market.step + 1) % max(ranked, 1):
        market.step += 1
    market.mark(mark)
    equities = [market.equity(account) for account in winners]
    closings = market.liquidate()
    sizes = market.sizes(closings[closings["reason"] == Reason.ADL], winners)
    forgone = [had - market.equity(who) for had, who in zip(equities, winners, strict=True)]
    fills = [
        {
            "id": row["id"],
            "closed": closed,
            "remaining": abs(market.position(account)),
            "realised": market.wallet(account) - had,
            "forgone_vs_mark": lost,
        }
        for row, account, closed, had, lost in zip(
            queue, winners, sizes, before, forgone, strict=True
        )
    ]
    unallocated = abs(market.position(market.fund_account))
    return {"fills": fills, "unallocated": unallocated, "total_forgone": sum(forgone)}


def _liquidation_settlement(case: dict) -> dict:
    side, price = side_of(case), float(case["bankruptcy_price"])
    levels, kind = case["fills"], case.get("contract", "linear")
    size = sum(held for _, held in levels)
    market = PerpetualMarket(
        [price, *(level for level, _ in levels)],
        [size, *(held for _, held in levels)],
        contract=kind,
        fund=float(case["fund_before"]),
        liquidation=_PLAIN,
    )
    (loser,) = market.traders
    market.open_at(loser, side, size, price)
    market.mark(price)
    before = market.fund()
    market.offer(side, levels)
    market.liquidate()
    return {"fund_delta": market.fund() - before, "fund_after": market.fund()}


def _insurance_waterfall(case: dict) -> dict:
    """Lots are so fine that what the fund can pay for is a whole number of them."""
    listed = case["liquidations"]
    books = [[(row["bankruptcy_price"], row["qty"]), *map(tuple, row["book"])] for row in listed]
    prices = [price for book in books for price, _ in book]
    ticks, _ = whole_lots(prices)
    gaps, at = [], 0
    for book in books:
        gaps += [abs(tick - ticks[at]) for tick in ticks[at + 1 : at + len(book)]]
        at += len(book)
    market = PerpetualMarket(
        prices,
        [size for book in books for _, size in book],
        traders=len(listed),
        divisor=lcm(*(gap for gap in gaps if gap)),
        fund=float(case["fund_before"]),
        liquidation=_PLAIN,
    )
    steps = []
    for account, row in zip(market.traders, listed, strict=True):
        side, price = side_of(row), float(row["bankruptcy_price"])
        market.open_at(account, side, row["qty"], price)
        market.mark(price)
        before = market.fund()
        market.offer(side, row["book"])
        fills = market.liquidate()
        closed, passed_on = (
            fills["size_lots"][fills["reason"] == reason].sum() / market.per_unit
            for reason in (Reason.LIQUIDATION, Reason.ADL)
        )
        delta = market.fund() - before
        market.clear()
        figures = {"closed_in_book": closed, "adl_qty": passed_on, "fund_delta": delta}
        steps.append({"id": row["id"], **figures})
    return {"steps": steps, "fund_after": market.fund()}


def _dydx_insurance_delta(case: dict) -> dict:
    """One unit closed by the account's own order; the mark is the worse of the two prices."""
    fill, bankruptcy = float(case["fill_quote"]), float(case["bankruptcy_quote"])
    side, prices = (1 if fill > 0 else -1), (abs(fill), abs(bankruptcy))
    market = PerpetualMarket(
        prices,
        [1.0],
        fund=max(prices),
        liquidation={
            "preset": "dydx",
            "portion_ppm": PPM,
            "least": 0.0,
            "most": 0.0,
            "fee_ppm": whole_ppm(case["max_fee"]),
        },
    )
    (loser,) = market.traders
    market.open_at(loser, side, 1.0, prices[1])
    market.mark(side * min(fill, bankruptcy))
    before = market.fund()
    market.offer(side, [(prices[0], 1.0)])
    market.liquidate()
    return {"fund_delta": market.fund() - before}


def _unsafe(
    notional: float, maintenance: float, equity: float, **rule: Any
) -> tuple[PerpetualMarket, int]:
    """A long at a price of 1 with this equity; steps of half a minute."""
    rate = whole_ppm(maintenance / notional)
    market = PerpetualMarket(
        [1.0],
        [notional],
        step_seconds=30.0,
        maintenance_tiers=({"maintenance_ppm": rate},),
        initial_margin_ppm=rate,
        liquidation=rule,
    )
    (trader,) = market.traders
    market.open_at(trader, 1, notional, 1.0, equity)
    market.mark(1.0)
    return market, trader


def _dydx_close_size(case: dict) -> dict:
    """What the block has already closed is taken off the most that an order may."""
    notional = float(case["notional"])
    most = case["subaccount_block_limit"] - case["already_liquidated"]
    if most <= 0:
        return {"close_notional": 0.0}
    market, trader = _unsafe(
        notional,
        0.1 * notional,
        0.099 * notional,
        preset="dydx",
        portion_ppm=whole_ppm(case["max_portion"]),
        least=min(float(case["min_notional"]), float(most)),
        most=float(most),
    )
    market.offer(1, [(1.0, notional)])
    market.liquidate()
    return {"close_notional": notional - market.position(trader)}


_STAGES = {"orders": "book", "backstop": "backstop", "fund": "adl"}


def _hl_waterfall(case: dict) -> dict:
    """By which stage, and how much; after a cooldown, the second order counts."""
    notional, needed = float(case["position_notional"]), float(case["maintenance_required"])
    rule = {"preset": "hyperliquid", "portion_above": 1e5, "backstops": ({"capital": notional},)}
    market, trader = _unsafe(notional, needed, float(case["account_value"]), **rule)
    market.offer(1, [(1.0, notional)])
    market.liquidate()
    stages = [_STAGES[by] for by in market.stages()]
    closed = notional - market.position(trader)
    if case["after_cooldown"] and stages == ["book"]:
        closed = _second_order(notional, needed, float(case["account_value"]), rule)
    return {"stage": stages[0] if stages else "none", "order_notional": closed}


def _second_order(notional: float, needed: float, equity: float, rule: dict[str, Any]) -> float:
    """What an order closes half a minute after one that found bids for a millionth of it."""
    part = notional / 1e6
    market, trader = _unsafe(notional + part, needed * (1.0 + 1e-6), equity, **rule)
    market.offer(1, [(1.0, part)])
    market.liquidate()
    market.mark(1.0)
    market.offer(1, [(1.0, notional)])
    before = market.position(trader)
    market.liquidate()
    return before - market.position(trader)


KINDS: dict[str, Callable[[dict], dict]] = {
    "pnl": _profit,
    "fills_average_cost": _fills_average_cost,
    "funding_payment": _funding_payment,
    "dated_inverse_settlement": _dated_inverse_settlement,
    "adl_queue_close": _adl_queue_close,
    "liquidation_settlement": _liquidation_settlement,
    "insurance_waterfall": _insurance_waterfall,
    "dydx_insurance_delta": _dydx_insurance_delta,
    "dydx_close_size": _dydx_close_size,
    "hl_waterfall": _hl_waterfall,
}
