"""Margin and liquidation among the derivatives vectors.

Brackets and other requirements, unified accounts and short options; liquidation and bankruptcy
prices on entry value, account, bracket and coin forms; dYdX, Hyperliquid and FTX stages. Each
function takes a case's inputs and returns figures by name, computed by `markets.derivatives`.
Optional inputs (deduction, other positions, extra margin) are 0 where a case leaves them out.
"""

from collections.abc import Callable

import numpy as np

from experiments.conformance.derivative_inputs import (
    CALLS,
    column,
    contract_of,
    side_of,
    size_of,
)
from markets.derivatives import close_out, liquidation, margin


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
    figures = _tier_figures(margin.leverage_tiers(floors, leverages), case["notional"])
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


def _liq_entry_margin(case: dict) -> dict:
    terms = liquidation.EntryTerms(
        case["leverage"], case["mmr"], case.get("mm_deduction", 0.0), case.get("extra_margin", 0.0)
    )
    found = liquidation.entry_margin(
        contract_of(case), side_of(case), size_of(case), case["entry"], terms
    )
    return found._asdict()


def _liq_account(case: dict) -> dict:
    backing = liquidation.Backing(
        case["wallet"],
        case["mmr"],
        case.get("cum", 0.0),
        case.get("other_mm", 0.0),
        case.get("other_upnl", 0.0),
    )
    position = (contract_of(case), side_of(case), size_of(case), case["entry"])
    return {
        "liquidation_price": liquidation.liquidation_price(*position, backing),
        "bankruptcy_price": liquidation.bankruptcy_price(*position, backing),
    }


def _liq_hyperliquid(case: dict) -> dict:
    available = case["account_value"] - case["maintenance_required"]
    rate = 1.0 / case["maintenance_leverage"]
    price = liquidation.step_price(side_of(case), case["price"], case["size"], available, rate)
    return {"margin_available": available, "liquidation_price": price}


def _liq_tiered(case: dict) -> dict:
    floors, rates = np.array(case["tiers"], float).T
    price, tier = liquidation.tiered_liquidation_price(
        side_of(case),
        case["qty"],
        case["entry"],
        case["wallet"],
        margin.bracket_tiers(floors, rates),
    )
    return {"tier": int(tier[0]), "liquidation_price": price[0]}


def _liq_inverse_cross_fee(case: dict) -> dict:
    free = case["balance"] - case.get("order_margin", 0.0)
    account = liquidation.CoinCross(free, case["mmr"], case["taker_fee"])
    trigger, bankruptcy = liquidation.coin_cross_prices(
        side_of(case), float(case["contracts"]), case["entry"], account
    )
    return {"liquidation_price": trigger, "bankruptcy_price": bankruptcy}


def _dydx_liquidation(case: dict) -> dict:
    positions, target = case["positions"], case["positions"][case["target"]]
    account = liquidation.weighted_account(
        case["quote_balance"], *(column(positions, name) for name in ("size", "oracle", "mmf"))
    )
    side = np.sign(target["size"])
    closed, oracle, mmf = case["close_size"], target["oracle"], target["mmf"]
    quote = liquidation.bankruptcy_quote(account, side, closed * oracle, mmf)
    rule = liquidation.FillableRule(case["bankruptcy_adjustment"], case["spread_to_mm"])
    return {
        "net_collateral": account.net_collateral,
        "maintenance_requirement": account.requirement,
        "liquidatable": bool(liquidation.is_liquidatable(account)),
        "bankruptcy_quote": quote,
        "bankruptcy_price": quote / (side * closed),
        "fillable_price": liquidation.fillable_price(account, side, oracle, mmf, rule),
    }


def _ftx_backstop(case: dict) -> dict:
    rule = close_out.BackstopRule(case["auto_close_fraction"])
    terms = close_out.backstop_terms(
        side_of(case), case["size"], case["mark"], case["margin_fraction"], rule
    )
    return terms._asdict()


KINDS: dict[str, Callable[[dict], dict]] = {
    "tier_margin": _tier_margin,
    "hl_tier_margin": _hl_tier_margin,
    "dydx_oimf": _dydx_oimf,
    "ftx_imf": _ftx_imf,
    "unified_margin": _unified_margin,
    "short_option_margin": _short_option_margin,
    "liq_entry_margin": _liq_entry_margin,
    "liq_account": _liq_account,
    "liq_hyperliquid": _liq_hyperliquid,
    "liq_tiered": _liq_tiered,
    "liq_inverse_cross_fee": _liq_inverse_cross_fee,
    "dydx_liquidation": _dydx_liquidation,
    "ftx_backstop": _ftx_backstop,
}
