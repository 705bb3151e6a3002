"""Risk among the derivatives vectors: margin, liquidation, deleveraging, insurance.

Each function takes a case's inputs and returns figures by name, computed by `markets.derivatives`.
"""

from collections.abc import Callable

import numpy as np

from experiments.conformance.derivative_inputs import (
    CALLS,
    column,
    contract_of,
    levels_of,
    named,
    side_of,
    size_of,
)
from markets.derivatives import adl, close_out, insurance, liquidation, margin
from markets.derivatives.contract import LINEAR, Column
from markets.derivatives.pnl import profit


def tier_margin(case: dict) -> dict:
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


def hl_tier_margin(case: dict) -> dict:
    floors, leverages = np.array(case["tiers"], float).T
    figures = _tier_figures(margin.leverage_tiers(floors, leverages), case["notional"])
    leverage = leverages[figures["tier"]]
    return figures | {
        "max_leverage": leverage,
        "min_initial_margin": case["notional"] / leverage,
    }


def dydx_oimf(case: dict) -> dict:
    rate = margin.open_interest_rate(
        case["base_imf"], case["open_notional"], case["lower_cap"], case["upper_cap"]
    )
    return {
        "effective_imf": rate,
        "mmf": case["base_imf"] * case["maintenance_fraction"],
        "initial_margin": rate * case["position_notional"],
    }


def ftx_imf(case: dict) -> dict:
    initial, maintenance = margin.size_rates(
        case["imf_factor"], case["open_size"], case["max_leverage"]
    )
    return {"imf": initial, "mmf": maintenance}


def unified_margin(case: dict) -> dict:
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


def short_option_margin(case: dict) -> dict:
    initial, maintenance = margin.short_option_margin(
        CALLS[case["type"]], case["underlying"], case["strike"], case["option_mark"]
    )
    quantity = case.get("qty", 1)
    return {"initial_margin": initial * quantity, "maintenance_margin": maintenance * quantity}


def liq_entry_margin(case: dict) -> dict:
    terms = liquidation.EntryTerms(
        case["leverage"], case["mmr"], case.get("mm_deduction", 0.0), case.get("extra_margin", 0.0)
    )
    found = liquidation.entry_margin(
        contract_of(case), side_of(case), size_of(case), case["entry"], terms
    )
    return found._asdict()


def liq_account(case: dict) -> dict:
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


def liq_hyperliquid(case: dict) -> dict:
    available = case["account_value"] - case["maintenance_required"]
    rate = 1.0 / case["maintenance_leverage"]
    price = liquidation.step_price(side_of(case), case["price"], case["size"], available, rate)
    return {"margin_available": available, "liquidation_price": price}


def liq_tiered(case: dict) -> dict:
    floors, rates = np.array(case["tiers"], float).T
    price, tier = liquidation.tiered_liquidation_price(
        side_of(case),
        case["qty"],
        case["entry"],
        case["wallet"],
        margin.bracket_tiers(floors, rates),
    )
    return {"tier": int(tier[0]), "liquidation_price": price[0]}


def liq_inverse_cross_fee(case: dict) -> dict:
    free = case["balance"] - case.get("order_margin", 0.0)
    account = liquidation.CoinCross(free, case["mmr"], case["taker_fee"])
    trigger, bankruptcy = liquidation.coin_cross_prices(
        side_of(case), float(case["contracts"]), case["entry"], account
    )
    return {"liquidation_price": trigger, "bankruptcy_price": bankruptcy}


def dydx_liquidation(case: dict) -> dict:
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


def dydx_close_size(case: dict) -> dict:
    limits = close_out.CloseLimits(
        case["min_notional"], case["max_portion"], case["subaccount_block_limit"]
    )
    closed = close_out.block_close_notional(case["notional"], case["already_liquidated"], limits)
    return {"close_notional": closed}


def hl_waterfall(case: dict) -> dict:
    rule = close_out.BookRule()
    stage = close_out.margin_stage(case["account_value"], case["maintenance_required"], rule)
    notional = close_out.staged_notional(
        stage, case["position_notional"], case["after_cooldown"], rule
    )
    return {"stage": close_out.Stage(int(stage)).name.lower(), "order_notional": notional}


def ftx_backstop(case: dict) -> dict:
    rule = close_out.BackstopRule(case["auto_close_fraction"])
    terms = close_out.backstop_terms(
        side_of(case), case["size"], case["mark"], case["margin_fraction"], rule
    )
    return terms._asdict()


def adl_queue_close(case: dict) -> dict:
    contract, side = contract_of(case), side_of(case, "counterparty_side")
    queue, price, mark = case["queue"], float(case["close_price"]), float(case["mark"])
    sizes, entries = column(queue, "size"), column(queue, "entry")
    closed = adl.queue_close(sizes, case["qty"])
    realised = profit(contract, side, closed, entries, price)
    forgone = adl.forgone_profit(contract, side, closed, price, mark)
    names = ("closed", "remaining", "realised", "forgone_vs_mark")
    rows = zip(closed, sizes - closed, realised, forgone, strict=True)
    fills = [
        {"id": row["id"]} | dict(zip(names, figures, strict=True))
        for row, figures in zip(queue, rows, strict=True)
    ]
    return {
        "fills": fills,
        "unallocated": case["qty"] - closed.sum(),
        "total_forgone": forgone.sum(),
    }


def _ranked(positions: list[dict], scores: Column) -> dict:
    order = [positions[row]["id"] for row in adl.queue_order(scores)]
    return {"scores": named(positions, scores), "order": order}


def adl_rank_bitmex(case: dict) -> dict:
    positions = case["positions"]
    scores = adl.leverage_score(
        contract_of(case),
        side_of(case),
        column(positions, "entry"),
        column(positions, "bankruptcy"),
        float(case["mark"]),
    )
    return _ranked(positions, scores)


def adl_rank_binance(case: dict) -> dict:
    positions = case["positions"]
    scores = adl.margin_score(
        *(column(positions, name) for name in ("wallet", "upnl", "maintenance_margin"))
    )
    return _ranked(positions, scores)


def adl_rank_hyperliquid(case: dict) -> dict:
    positions = case["positions"]
    scores = adl.notional_score(
        side_of(case),
        column(positions, "entry"),
        float(case["mark"]),
        column(positions, "size"),
        column(positions, "account_value"),
    )
    return _ranked(positions, scores)


def adl_pro_rata_lots(case: dict) -> dict:
    positions = case["positions"]
    sizes = np.array([row["size_lots"] for row in positions], np.int64)
    return {"closed_lots": named(positions, adl.pro_rata_lots(sizes, case["qty_lots"]))}


def adl_pro_rata_profit(case: dict) -> dict:
    profits, deficit = column(case["positions"], "upnl"), float(case["deficit"])
    rate = adl.profit_haircut_rate(profits, deficit)
    haircuts = rate * np.maximum(profits, 0.0)
    return {
        "haircut_rate": rate,
        "haircuts": named(case["positions"], haircuts),
        "uncovered": max(0.0, deficit - haircuts.sum()),
    }


def backstop_allocation(case: dict) -> dict:
    providers, opposing = case["providers"], case["opposing"]
    room = np.minimum(column(providers, "left_minute"), column(providers, "left_hour"))
    taken = adl.pro_rata_share(room, case["qty"])
    passed_on = adl.largest_first_share(
        column(opposing, "size"), case["qty"] - taken.sum(), case["top_n"]
    )
    return {"providers": named(providers, taken), "opposing": named(opposing, passed_on)}


def adl_trigger_drawdown(case: dict) -> dict:
    rule = adl.TriggerRule(case["balance_threshold"], case["trigger_ratio"], case["stop_ratio"])
    change = case["pnl_now"] - case["pnl_max_8h"]
    found = adl.drawdown_trigger(change, case["pool_max_8h"], case["pool_balance"], rule)
    return {
        "pnl_ratio": found.pnl_ratio,
        "triggered": found.triggered,
        "loss_passed_to_counterparties": found.loss_passed_on,
        "stops": found.stops,
    }


def liquidation_settlement(case: dict) -> dict:
    prices, sizes = levels_of(case["fills"])
    bankruptcy = float(case["bankruptcy_price"])
    gains = insurance.fund_gain(contract_of(case), side_of(case), sizes, bankruptcy, prices)
    return {"fund_delta": gains.sum(), "fund_after": case["fund_before"] + gains.sum()}


def dydx_insurance_delta(case: dict) -> dict:
    delta = insurance.capped_fund_gain(
        case["fill_quote"], case["bankruptcy_quote"], case["max_fee"]
    )
    return {"fund_delta": delta}


def insurance_waterfall(case: dict) -> dict:
    fund, steps = float(case["fund_before"]), []
    for row in case["liquidations"]:
        bankrupt = insurance.CloseOut(
            LINEAR, side_of(row), float(row["qty"]), float(row["bankruptcy_price"])
        )
        result = insurance.close_through_book(
            bankrupt, insurance.Levels(*levels_of(row["book"])), fund
        )
        steps.append(
            {
                "id": row["id"],
                "closed_in_book": result.closed_in_book,
                "adl_qty": result.adl_size,
                "fund_delta": result.fund_change,
            }
        )
        fund += result.fund_change
    return {"steps": steps, "fund_after": fund}


def clawback(case: dict) -> dict:
    found = insurance.clawback(case["fund"], case["deficit"], np.array(case["profits"], float))
    return {
        "fund_used": found.fund_used,
        "clawback_rate": found.rate,
        "net_profits": found.net_profits,
    }


KINDS: dict[str, Callable[[dict], dict]] = {
    function.__name__: function
    for function in (
        tier_margin,
        hl_tier_margin,
        dydx_oimf,
        ftx_imf,
        unified_margin,
        short_option_margin,
        liq_entry_margin,
        liq_account,
        liq_hyperliquid,
        liq_tiered,
        liq_inverse_cross_fee,
        dydx_liquidation,
        dydx_close_size,
        hl_waterfall,
        ftx_backstop,
        adl_queue_close,
        adl_rank_bitmex,
        adl_rank_binance,
        adl_rank_hyperliquid,
        adl_pro_rata_lots,
        adl_pro_rata_profit,
        backstop_allocation,
        adl_trigger_drawdown,
        liquidation_settlement,
        dydx_insurance_delta,
        insurance_waterfall,
        clawback,
    )
}
