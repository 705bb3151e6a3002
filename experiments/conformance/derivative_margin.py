"""Margin among the derivatives vectors: brackets, other requirements, unified accounts, options.

Each function takes a case's inputs and returns figures by name, computed by `markets.derivatives`.
"""

from collections.abc import Callable

import numpy as np

from experiments.conformance.derivative_inputs import (
    CALLS,
    column,
)
from markets.derivatives import margin


def _tier_margin(case: dict) -> dict:
    floors, rates = np.array(case["tiers"], float).T
    return _tier_figures(margin.bracket_tiers(floors, rates), case["notional"])


def _tier_figures(tiers: margin.Tiers, notional: float) -> dict:
    tier = int(margin.tier_of(tiers, notional))
    return {
        "tier": tier,
        "rate": tiers.rates[tier],
        "deduction": tiers.deductions[tier],
        "maintenance_margin": margin.maintenance_margin(tiers, notional),
        "deductions": tiers.deductions,
    }


def _hl_tier_margin(case: dict) -> dict:
    floors, leverages = np.array(case["tiers"], float).T
    figures = _tier_figures(margin.bracket_tiers(floors, 0.5 / leverages), case["notional"])
    leverage = leverages[figures["tier"]]
    return figures | {
        "max_leverage": leverage,
        "min_initial_margin": case["notional"] / leverage,
    }


def _dydx_oimf(case: dict) -> dict:
    rate = margin.open_interest_rate(
        case["base_imf"], case["open_notional"], case["lower_cap"], case["upper_cap"]
    )
    return {
        "effective_imf": rate,
        "mmf": case["base_imf"] * case["maintenance_fraction"],
        "initial_margin": rate * case["position_notional"],
    }


def _ftx_imf(case: dict) -> dict:
    initial, maintenance = margin.size_rates(
        case["imf_factor"], case["open_size"], case["max_leverage"]
    )
    return {"imf": initial, "mmf": maintenance}


def _unified_margin(case: dict) -> dict:
    assets = case["assets"]
    net = column(assets, "balance", 0.0) - column(assets, "loan", 0.0)
    net = net + column(assets, "upnl", 0.0)
    values = margin.collateral_value(
        net, column(assets, "index"), column(assets, "collateral_rate")
    )
    equity, needed = float(values.sum()), float(sum(case["maintenance_margins_usd"]))
    ratio = margin.margin_ratio(equity, needed)
    state = margin.MarginState(int(margin.margin_state(ratio))).name.lower()
    return {"equity": equity, "maintenance_margin": needed, "ratio": ratio, "state": state}


def _short_option_margin(case: dict) -> dict:
    initial, maintenance = margin.short_option_margin(
        CALLS[case["type"]], case["underlying"], case["strike"], case["option_mark"]
    )
    quantity = case.get("qty", 1)
    return {"initial_margin": initial * quantity, "maintenance_margin": maintenance * quantity}


KINDS: dict[str, Callable[[dict], dict]] = {
    "tier_margin": _tier_margin,
    "hl_tier_margin": _hl_tier_margin,
    "dydx_oimf": _dydx_oimf,
    "ftx_imf": _ftx_imf,
    "unified_margin": _unified_margin,
    "short_option_margin": _short_option_margin,
}
