"""Prices and cash flows among the derivatives vectors: funding, marks, profit, options, fair price.

Each function takes a case's inputs and returns figures by name, computed by `markets.derivatives`.
Fills of the average-cost cases become whole lots of the finest decimal they use, as a venue has
them, so that a closed position is exactly zero. A cap of null is no cap; a best price of an empty
side is NaN.
"""

from collections.abc import Callable

import numpy as np

from experiments.conformance.derivative_inputs import (
    CALLS,
    contract_of,
    levels_of,
)
from markets.derivatives import everlasting, fair_price, funding, mark, pnl
from markets.derivatives.contract import INVERSE, QUANTO
from markets.derivatives.options import OptionMarket, european_price


def _impact_price(case: dict) -> dict:
    return {"impact_price": _impact(case["levels"], case["notional"])}


def _impact(rows: list, notional: float) -> float:
    prices, sizes = levels_of(rows)
    return funding.impact_price(prices, sizes, float(notional))


def _premium_sample(case: dict) -> dict:
    bid = _impact(case["bids"], case["notional"])
    ask = _impact(case["asks"], case["notional"])
    premium = funding.premium_sample(bid, ask, float(case["index"]))
    return {"impact_bid": bid, "impact_ask": ask, "premium": premium}


def _premium_average(case: dict) -> dict:
    linear = {"linear": True, "uniform": False}[case["weights"]]
    return {"average": funding.premium_average(np.array(case["samples"], float), linear)}


def _funding_rate(case: dict) -> dict:
    rate_8h = funding.damped_rate(case["avg_premium"], case["interest_8h"], case["damper"])
    cap = case.get("cap")
    rate = funding.interval_rate(rate_8h, case["interval_hours"], np.inf if cap is None else cap)
    return {"rate_8h_uncapped": rate_8h, "rate": rate}


def _dydx_premium(case: dict) -> dict:
    best_bid, best_ask = (
        float(case[side][0][0]) if case[side] else np.nan for side in ("bids", "asks")
    )
    bid = _impact(case["bids"], case["notional"])
    ask = _impact(case["asks"], case["notional"])
    ppm = funding.premium_ppm(best_bid, best_ask, bid, ask, float(case["index"]))
    widest = int(case["max_abs_premium_ppm"])
    return {"premium_ppm": int(funding.clamp(ppm, -widest, widest))}


def _dydx_funding(case: dict) -> dict:
    rule = funding.PremiumSamplesRule(
        case["min_samples"], case["tail_removal_ppm"], case["default_ppm"]
    )
    cap = funding.rate_cap_ppm(
        case["im_ppm"], case["maintenance_fraction_ppm"], case["clamp_factor_ppm"]
    )
    rate = funding.sampled_rate_ppm(case["samples_ppm"], rule, cap)
    paid = case["price"] * funding.period_rate(rate, case["tick_seconds"])
    return {"rate_8h_ppm": rate, "cap_ppm": cap, "payment_per_unit_long": paid}


def _mark_fair_basis(case: dict) -> dict:
    basis = mark.funding_basis(
        case["funding_rate"], case["hours_until_funding"], case["interval_hours"]
    )
    return {"funding_basis": basis, "mark": mark.fair_basis_mark(case["index"], basis)}


def _mark_median3(case: dict) -> dict:
    basis = mark.funding_basis(
        case["last_funding_rate"], case["hours_until_funding"], case["interval_hours"]
    )
    fair = mark.fair_basis_mark(case["index"], basis)
    points = np.array(case["basis_points"], float)
    moving = mark.moving_basis_mark(
        case["index"], np.mean((points[:, 0] + points[:, 1]) / 2.0 - points[:, 2])
    )
    middle = mark.median3(fair, moving, float(case["contract_price"]))
    return {"price1": fair, "price2": moving, "mark": middle}


def _mark_hyperliquid(case: dict) -> dict:
    top = bottom = 0.0
    for elapsed, sample in case["ema_updates"]:
        top, bottom = mark.ema_step(top, bottom, sample, elapsed, mark.HYPERLIQUID_EMA_SECONDS)
    ema = top / bottom if bottom > 0.0 else 0.0
    book = mark.median3(case["best_bid"], case["best_ask"], case["last"])
    outside = _weighted_median(case["cex_mids"], case["cex_weights"])
    middle = mark.median3(mark.moving_basis_mark(case["oracle"], ema), book, outside)
    return {"ema": ema, "book_median": book, "cex_median": outside, "mark": middle}


def _weighted_median(prices: list, weights: list) -> float:
    return mark.weighted_median(np.array(prices, float), np.array(weights, float))


def _index_weighted_median(case: dict) -> dict:
    return {"index": _weighted_median(case["prices"], case["weights"])}


def _roll_calendar(case: dict) -> dict:
    near, far, index = case["near_price"], case["far_price"], case["index"]
    size = float(case["contracts"]) * case["contract_value"]
    return {
        "near_basis_annual": pnl.basis_annual(near, index, case["near_days"]),
        "far_basis_annual": pnl.basis_annual(far, index, case["far_days"]),
        "calendar_spread": far - near,
        "coin_notional_before": pnl.notional(INVERSE, size, near),
        "coin_notional_after": pnl.notional(INVERSE, size, far),
    }


def _option_market(case: dict) -> OptionMarket:
    return OptionMarket(float(case["spot"]), case["vol"], case["r"], case["q"])


def _bs_european(case: dict) -> dict:
    is_call = CALLS[case["type"]]
    return {"price": european_price(is_call, _option_market(case), case["strike"], case["years"])}


def _everlasting_discrete(case: dict) -> dict:
    days = (float(case["period_days"]), float(case["days_to_next_payment"]))
    price = everlasting.everlasting_price(
        CALLS[case["type"]],
        _option_market(case),
        case["strike"],
        case["payments_per_period"],
        days,
    )
    return {"price": price}


def _everlasting_continuous(case: dict) -> dict:
    price = everlasting.continuous_price(
        CALLS[case["type"]], _option_market(case), float(case["strike"]), case["period_days"]
    )
    return {"price": price}


def _everlasting_futures_style(case: dict) -> dict:
    price = everlasting.margined_price(
        CALLS[case["type"]], _option_market(case), float(case["strike"]), case["kappa"]
    )
    return {"price": price}


def _carry(case: dict) -> fair_price.Carry:
    return fair_price.Carry(case["kappa"], case["iota"], case["ra"], case["rb"])


def _priced(case: dict, price: float) -> dict:
    return {"futures_price": price, "premium": price / case["spot"] - 1.0}


def _ahj_discrete(case: dict) -> dict:
    current = {"previous_spot": False, "current_spot": True}[case["funding_on"]]
    price = fair_price.discrete_price(contract_of(case), case["spot"], _carry(case), current)
    return _priced(case, price)


def _ahj_continuous(case: dict) -> dict:
    contract = contract_of(case)
    covariance = case["rho"] * case["sigma_x"] * case["sigma_z"] if contract == QUANTO else 0.0
    return _priced(
        case, fair_price.continuous_price(contract, case["spot"], _carry(case), covariance)
    )


def _ahj_discrete_path(case: dict) -> dict:
    kappas, iotas = np.array(case["path"], float).T
    price = fair_price.path_price(case["spot"], kappas, iotas, case["ra"], case["rb"])
    return {"futures_price": price}


def _clamped_equilibrium(case: dict) -> dict:
    found = fair_price.clamped_equilibrium(
        case["carry_per_interval"], case["interest"], case["damper"]
    )
    return {"premium": found.premium, "funding_rate": found.funding_rate}


def _dated_future_fair(case: dict) -> dict:
    return {"price": fair_price.dated_price(case["spot"], case["r"], case["q"], case["years"])}


def _no_trade_band(case: dict) -> dict:
    contract = contract_of(case)
    fair = fair_price.continuous_price(contract, case["spot"], _carry(case))
    lower, upper = fair_price.no_trade_band(fair, case["spot"], case["round_trip_cost"])
    return {"frictionless": fair, "upper": upper, "lower": lower}


KINDS: dict[str, Callable[[dict], dict]] = {
    "impact_price": _impact_price,
    "premium_sample": _premium_sample,
    "premium_average": _premium_average,
    "funding_rate": _funding_rate,
    "dydx_premium_ppm": _dydx_premium,
    "dydx_funding_tick": _dydx_funding,
    "mark_fair_basis": _mark_fair_basis,
    "mark_median3": _mark_median3,
    "mark_hyperliquid": _mark_hyperliquid,
    "index_weighted_median": _index_weighted_median,
    "roll_calendar": _roll_calendar,
    "bs_european": _bs_european,
    "everlasting_discrete": _everlasting_discrete,
    "everlasting_continuous": _everlasting_continuous,
    "everlasting_futures_style": _everlasting_futures_style,
    "ahj_discrete": _ahj_discrete,
    "ahj_continuous": _ahj_continuous,
    "ahj_discrete_path": _ahj_discrete_path,
    "clamped_equilibrium": _clamped_equilibrium,
    "dated_future_fair": _dated_future_fair,
    "no_trade_band": _no_trade_band,
}
