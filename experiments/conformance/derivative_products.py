"""Products among the derivatives vectors: interest, oracle pools, leveraged tokens, maker deals.

Each function takes a case's inputs and returns figures by name, computed by `markets.derivatives`.
Paths (accrual segments, hours of a lent account, prices of a leveraged token) are walked here step
by step, as a venue walks them in time; every step is a call of the kernel.
"""

from collections.abc import Callable

import numpy as np

from experiments.conformance.derivative_inputs import levels_of, side_of, whole_lots
from markets.derivatives import (
    create_redeem,
    interest,
    leveraged_token,
    maker_loan,
    maker_programme,
    oracle_pool,
    order_split,
)
from markets.derivatives.lending import LendingParams, interest_of
from markets.derivatives.options import OptionMarket, move_settlement
from markets.derivatives.pool_perpetual_accounts import Columns, PoolAccounts

_ATOMS = 1e12
"""Of a unit, where the venue's atoms must not be seen in the figure."""
_MOST_COST = 2.0**60


def _kinked_rate(case: dict) -> dict:
    curve = interest.RateCurve(
        case["kink"], case["rate_at_0"], case["rate_at_kink"], case["rate_at_1"]
    )
    used = interest.utilisation(case["borrowed"], case["supplied"])
    borrow = interest.borrow_rate(curve, used)
    lend = interest.lend_rate(borrow, used, case["reserve_factor"])
    return {"utilisation": used, "borrow_apr": borrow, "lend_apr": lend}


def _hourly_accrual(case: dict) -> dict:
    principal, earned = float(case["principal"]), 0.0
    for hours, rate in case["segments"]:
        earned += interest.accrued_interest(principal + earned, rate, hours)
    return {"balance": principal + earned, "interest": earned}


def _gmx_kink_borrow(case: dict) -> dict:
    curve = interest.UsageCurve(case["optimal"], case["base_per_s"], case["above_per_s"])
    factor = interest.usage_factor(curve, case["usage"])
    return {"factor_per_s": factor, "fee_usd": factor * case["seconds"] * case["position_usd"]}


def _gmx_v1_funding(case: dict) -> dict:
    curve = interest.UsageCurve(1.0, case["factor"], case["factor"])
    rate = interest.usage_factor(curve, case["reserved"] / case["pool"]) * case["intervals"]
    return {"rate": rate, "fee_usd": rate * case["position_usd"]}


def _dual_slope_borrow(case: dict) -> dict:
    curve = interest.RateCurve(
        case["target_utilisation"], case["min_apr"], case["target_apr"], case["max_apr"]
    )
    apr = interest.borrow_rate(curve, case["utilisation"])
    hourly = apr / interest.HOURS_A_YEAR
    return {"apr": apr, "fee_usd": hourly * case["hours"] * case["position_usd"]}


def _interest_bearing_account(case: dict) -> dict:
    """Each hour in a clearing house in which one other account has what makes the rates so."""
    balance, profit = float(case["balance"]), 0.0
    for profit, lend, borrow in case["hours"]:
        balance += _hour_of_interest(balance + profit, lend, borrow)
    return {"balance": balance, "equity": balance + profit}


def _hour_of_interest(net: float, lend: float, borrow: float) -> float:
    """What a net balance earns, or pays below 0; lenders get the borrow rate by what is lent."""
    flat = LendingParams(rate_at_0=borrow, rate_at_kink=borrow, rate_at_1=borrow, reserve_ppm=0)
    other = -net * lend / borrow if net > 0.0 else 0.0
    nets_atoms = np.rint(np.array([net, other]) * _ATOMS).astype(np.int64)
    return int(interest_of(nets_atoms, flat, 1.0).received_atoms[0]) / _ATOMS


def _gmx_price_impact(case: dict) -> dict:
    rule = oracle_pool.ImpactRule(
        case["positive_factor"], case["negative_factor"], case["exponent"]
    )
    change = case["size_delta_usd"] * (1.0 if case["is_long"] else -1.0)
    impact = oracle_pool.price_impact(case["long_oi"], case["short_oi"], change, rule)
    return {"impact_usd": impact}


def _gmx_funding_basic(case: dict) -> dict:
    longs, shorts = oracle_pool.basic_funding(
        case["long_oi"], case["short_oi"], case["factor_per_s"], case["exponent"]
    )
    return {"long_pays": longs, "short_pays": shorts}


def _gmx_v1_average_price(case: dict) -> dict:
    """Two openings at the mark in the books of a pool, in lots so fine that rounding is nothing."""
    openings = ((case["size"], case["average"]), (case["size_delta"], case["next_price"]))
    ticks, per_tick = whole_lots([price for _, price in openings])
    columns = Columns(0, 1, 2, 3, 4, 1, 1, 1, 1, notional_atoms=1, lot_atoms=1)
    books = PoolAccounts(np.zeros((2, 5), np.int64), columns)
    fineness = _MOST_COST / sum(size for size, _ in openings)
    for (size, _), mark_ticks in zip(openings, ticks, strict=True):
        books.mark_ticks = mark_ticks
        books.take(0, side_of(case) * round(size * fineness / mark_ticks))
    cost = int(books.entry_atoms[0])
    return {"average": cost / sum(books.open_lots.values()) * side_of(case) / per_tick}


def _glp_fee_bps(case: dict) -> dict:
    change = case["delta"] if case["increment"] else -case["delta"]
    rule = oracle_pool.MintRule(case["fee_bps"], case["tax_bps"])
    return {
        "fee_bps_unrounded": oracle_pool.mint_fee_bps(case["usdg"], change, case["target"], rule)
    }


def _leveraged_token_rebalance(case: dict) -> dict:
    basket = leveraged_token.Basket(case["cash"], case["units"])
    desired = leveraged_token.desired_units(basket, case["price"], case["target"])
    return {
        "nav": leveraged_token.net_asset_value(basket, case["price"]),
        "leverage": leveraged_token.leverage(basket, case["price"]),
        "desired_units": desired,
        "trade_units": (desired - case["units"]) * case.get("outstanding", 1),
    }


def _leveraged_token_path(case: dict) -> dict:
    prices, target, rebalanced_at = case["prices"], case["target"], []
    start = leveraged_token.Basket(float(case["nav"]), 0.0)
    basket = leveraged_token.rebalanced(start, prices[0], target)
    for place in range(1, len(prices)):
        daily, limit = case["daily"][place], case["rebalance_above"]
        if leveraged_token.must_rebalance(basket, prices[place], daily, limit):
            basket = leveraged_token.rebalanced(basket, prices[place], target)
            rebalanced_at.append(place)
    value = leveraged_token.net_asset_value(basket, prices[-1])
    return {"nav": value, "rebalanced_at": rebalanced_at}


def _move_contract(case: dict) -> dict:
    first, last = np.array(case["first_hour"], float), np.array(case["last_hour"], float)
    return {"settlement": move_settlement(first, last)}


def _mm_loan_call(case: dict) -> dict:
    market = OptionMarket(case["spot"], case["vol"], case["r"], case["q"])
    tokens, strike = case["tokens"], case["strike"]
    repayment = maker_loan.repay(tokens, strike, case["price_at_expiry"])
    return {
        "option_value": maker_loan.loan_value(tokens, market, strike, case["years"]),
        "exercised": bool(repayment.exercised),
        "repay_tokens": repayment.tokens,
        "repay_cash": repayment.cash,
        "payoff": repayment.payoff,
    }


def _create_redeem_arb(case: dict) -> dict:
    costs = create_redeem.ChannelCosts(
        case["variable_cost"], case["fixed_fee_per_order"], case["trade_cost"]
    )
    shares = case["shares_per_unit"] * case["units"]
    created = create_redeem.create_profit(shares, case["market_price"], case["nav"], costs)
    redeemed = create_redeem.redeem_profit(shares, case["market_price"], case["nav"], costs)
    action = create_redeem.Action(int(create_redeem.best_action(created, redeemed)))
    return {
        "create_profit": created,
        "redeem_profit": redeemed,
        "action": action.name.lower(),
        "break_even_premium": create_redeem.break_even_premium(shares, case["nav"], costs),
    }


def _maker_points(case: dict) -> dict:
    total = 0.0
    for row in case["markets"]:
        depth = maker_programme.DepthBands(row["l25"], row["l50"], row["l100"])
        total += float(maker_programme.maker_points(row["volume"], depth, row["top5"]))
    return {"points": total}


def _maker_qmin(case: dict) -> dict:
    rule = maker_programme.ScoreRule(case["min_depth"], case["max_spread"])
    bid, ask = (
        maker_programme.side_score(*levels_of(case[side]), case["mid"], rule)
        for side in ("bids", "asks")
    )
    return {"q_bid": bid, "q_ask": ask, "q_min": maker_programme.quote_score(bid, ask)}


def _amm_desk_split(case: dict) -> dict:
    pool = order_split.Pool(case["amm_base"], case["amm_price"], case["fee"])
    desk_price, quantity = case["desk_price"], case["qty"]
    bought = order_split.pool_quantity(pool, desk_price, quantity)
    cost = order_split.split_cost(pool, desk_price, quantity)
    return {"amm_qty": bought, "desk_qty": quantity - bought, "average_price": cost / quantity}


KINDS: dict[str, Callable[[dict], dict]] = {
    "kinked_rate": _kinked_rate,
    "hourly_accrual": _hourly_accrual,
    "gmx_kink_borrow": _gmx_kink_borrow,
    "gmx_v1_funding": _gmx_v1_funding,
    "dual_slope_borrow": _dual_slope_borrow,
    "interest_bearing_account": _interest_bearing_account,
    "gmx_price_impact": _gmx_price_impact,
    "gmx_funding_basic": _gmx_funding_basic,
    "gmx_v1_average_price": _gmx_v1_average_price,
    "glp_fee_bps": _glp_fee_bps,
    "leveraged_token_rebalance": _leveraged_token_rebalance,
    "leveraged_token_path": _leveraged_token_path,
    "move_settlement": _move_contract,
    "mm_loan_call": _mm_loan_call,
    "create_redeem_arb": _create_redeem_arb,
    "maker_points": _maker_points,
    "maker_qmin": _maker_qmin,
    "amm_desk_split": _amm_desk_split,
}
