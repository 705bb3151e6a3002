"""Deleveraging among the derivatives vectors: scores and order, pro-rata lots, the trigger.

Each function takes a case's inputs and returns figures by name, computed by the functions of
`markets.derivatives.adl` that venues rank, share and start by.
"""

from collections.abc import Callable

import numpy as np

from experiments.conformance.derivative_inputs import (
    column,
    contract_of,
    named,
    side_of,
)
from markets.derivatives import adl
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


KINDS: dict[str, Callable[[dict], dict]] = {
    "adl_rank_bitmex": _adl_rank_bitmex,
    "adl_rank_binance": _adl_rank_binance,
    "adl_rank_hyperliquid": _adl_rank_hyperliquid,
    "adl_pro_rata_lots": _adl_pro_rata_lots,
    "adl_trigger_drawdown": _adl_trigger_drawdown,
}
