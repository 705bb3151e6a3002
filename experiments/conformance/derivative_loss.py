"""Deleveraging and insurance among the derivatives vectors.

Ranking scores and their order, queue and pro-rata closing, backstop shares, the drawdown trigger,
fund settlement, the waterfall of several liquidations that share one fund, and clawback. Each
function takes a case's inputs and returns figures by name, computed by `markets.derivatives`.
Quantities stay as the case has them; only `closed_lots` are whole numbers.
"""

from collections.abc import Callable

import numpy as np

from experiments.conformance.derivative_inputs import (
    column,
    contract_of,
    named,
    side_of,
)
from markets.derivatives import adl, insurance
from markets.derivatives.contract import Column


def _ranked(positions: list[dict], scores: Column) -> dict:
    order = [positions[row]["id"] for row in adl.queue_order(scores)]
    return {"scores": named(positions, scores), "order": order}


def _adl_rank_bitmex(case: dict) -> dict:
    positions = case["positions"]
    scores = adl.leverage_score(
        contract_of(case),
        side_of(case),
        column(positions, "entry"),
        column(positions, "bankruptcy"),
        float(case["mark"]),
    )
    return _ranked(positions, scores)


def _adl_rank_binance(case: dict) -> dict:
    positions = case["positions"]
    scores = adl.margin_score(
        *(column(positions, name) for name in ("wallet", "upnl", "maintenance_margin"))
    )
    return _ranked(positions, scores)


def _adl_rank_hyperliquid(case: dict) -> dict:
    positions = case["positions"]
    scores = adl.notional_score(
        side_of(case),
        column(positions, "entry"),
        float(case["mark"]),
        column(positions, "size"),
        column(positions, "account_value"),
    )
    return _ranked(positions, scores)


def _adl_pro_rata_lots(case: dict) -> dict:
    positions = case["positions"]
    sizes = np.array([row["size_lots"] for row in positions], np.int64)
    closed = np.empty_like(sizes)
    adl.pro_rata_lots(sizes, case["qty_lots"], closed)
    return {"closed_lots": named(positions, closed)}


def _adl_pro_rata_profit(case: dict) -> dict:
    profits, deficit = column(case["positions"], "upnl"), float(case["deficit"])
    rate = adl.profit_haircut_rate(profits, deficit)
    haircuts = rate * np.maximum(profits, 0.0)
    return {
        "haircut_rate": rate,
        "haircuts": named(case["positions"], haircuts),
        "uncovered": max(0.0, deficit - haircuts.sum()),
    }


def _backstop_allocation(case: dict) -> dict:
    providers, opposing = case["providers"], case["opposing"]
    room = np.minimum(column(providers, "left_minute"), column(providers, "left_hour"))
    taken = adl.pro_rata_share(room, case["qty"])
    passed_on = adl.largest_first_share(
        column(opposing, "size"), case["qty"] - taken.sum(), case["top_n"]
    )
    return {"providers": named(providers, taken), "opposing": named(opposing, passed_on)}


def _adl_trigger_drawdown(case: dict) -> dict:
    rule = adl.TriggerRule(case["balance_threshold"], case["trigger_ratio"], case["stop_ratio"])
    change = case["pnl_now"] - case["pnl_max_8h"]
    found = adl.drawdown_trigger(change, case["pool_max_8h"], case["pool_balance"], rule)
    return {
        "pnl_ratio": found.pnl_ratio,
        "triggered": found.triggered,
        "loss_passed_to_counterparties": found.loss_passed_on,
        "stops": found.stops,
    }


def _clawback(case: dict) -> dict:
    found = insurance.clawback(case["fund"], case["deficit"], np.array(case["profits"], float))
    return {
        "fund_used": found.fund_used,
        "clawback_rate": found.rate,
        "net_profits": found.net_profits,
    }


KINDS: dict[str, Callable[[dict], dict]] = {
    "adl_rank_bitmex": _adl_rank_bitmex,
    "adl_rank_binance": _adl_rank_binance,
    "adl_rank_hyperliquid": _adl_rank_hyperliquid,
    "adl_pro_rata_lots": _adl_pro_rata_lots,
    "adl_pro_rata_profit": _adl_pro_rata_profit,
    "backstop_allocation": _backstop_allocation,
    "adl_trigger_drawdown": _adl_trigger_drawdown,
    "clawback": _clawback,
}
