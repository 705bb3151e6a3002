"""Rows of closed forms: arbitrage, splits, losses of liquidity providers, impact, Monte Carlo.

Each group of rows has a function from the givens of a row to our figures under the names of the
row; everything in the row that is not a given is compared. Amounts of an arbitrage close to the
band without trade lose digits and get the tolerance the document names for them. Monte Carlo rows
hold formula figures, written to six digits, and simulated ones, compared at three standard errors.
The grid of trade probabilities is written to twelve digits and compared no closer than that.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import starmap

from experiments.conformance import arbitrage_rows
from experiments.conformance.comparison import Comparison, against, close, failure
from markets.pools import batch_pool, counterparty, losses

DAY_SECONDS = 86_400.0
UNIT_SECONDS = {"min": 60.0, "s": 1.0, "ms": 0.001}
GRID_VOLATILITY = 0.05
SIX_DIGITS = 5e-6
TWELVE_DIGITS = 5e-12
FIXED_BLOCK_ACCURACY = 5e-4
WRITTEN_SHORT = "p_trade_grid_log_fee"

Row = dict[str, str]
Group = tuple[str, Callable[[Row], dict]]


def _reals(row: Row, names: str) -> list[float]:
    return [float(row[name]) for name in names.split()]


def _il_cpmm(row: Row) -> dict:
    return {"il": losses.impermanent_loss(float(row["r"]))}


def _il_weighted(row: Row) -> dict:
    return {"il": losses.impermanent_loss_weighted(*_reals(row, "r w"))}


def _il_concentrated(row: Row) -> dict:
    p0, p1, pa, pb, liquidity = _reals(row, "p0 p1 pa pb L")
    x0, y0 = losses.range_holdings(p0, pa, pb, liquidity)
    x1, y1 = losses.range_holdings(p1, pa, pb, liquidity)
    got = {"x0": x0, "y0": y0, "x1": x1, "y1": y1, "value1": x1 * p1 + y1, "hold1": x0 * p1 + y0}
    return got | {"il": losses.impermanent_loss_concentrated(p0, p1, pa, pb)}


def _lvr_cpmm(row: Row) -> dict:
    volatility, horizon = _reals(row, "sigma_per_sqrt_time T")
    expected = losses.expected_arbitrage(volatility, horizon)
    return {
        "lvr_rate_over_V": losses.lvr_rate_weighted(volatility, 0.5),
        "expected_total_arb_profit_over_V0_martingale_price": expected,
        "one_step_arb_over_V_before_martingale": losses.expected_arbitrage(volatility, 1.0),
    }


def _lvr_weighted(row: Row) -> dict:
    return {"lvr_rate_over_V": losses.lvr_rate_weighted(*_reals(row, "sigma weight"))}


def _lvr_concentrated(row: Row) -> dict:
    price, low, high, volatility, liquidity = _reals(row, "p pa pb sigma L")
    x, y = losses.range_holdings(price, low, high, liquidity)
    value, rate = x * price + y, losses.lvr_rate_concentrated(volatility, liquidity, price)
    return {"value": value, "lvr_rate": rate, "lvr_rate_over_V": rate / value}


def _with_fees(row: Row) -> dict:
    volatility, seconds, fee = _reals(row, "sigma_daily mean_block_seconds fee")
    log_fee = -math.log1p(-fee)
    args = volatility, seconds / DAY_SECONDS, log_fee
    traded = losses.trade_probability(*args)
    return {
        "gamma_log_fee": log_fee,
        "eta": 1.0 / traded - 1.0,
        "P_trade": traded,
        "ARB_over_V_per_day_numeraire_fee": losses.arbitrage_rate(*args, True),
        "ARB_over_V_per_day_input_fee": losses.arbitrage_rate(*args, False),
        "FEE_over_V_per_day_numeraire_fee": losses.fee_rate(*args),
        "ARB_over_V_per_day_fixed_blocks_approx": losses.arbitrage_rate_fixed_blocks(*args),
    }


def _trade_grid(row: Row) -> dict:
    count, unit = row["mean_block"].split()
    block = float(count) * UNIT_SECONDS[unit] / DAY_SECONDS
    log_fee = float(row["gamma_bp"]) * 1e-4
    return {"P_trade": losses.trade_probability(GRID_VOLATILITY, block, log_fee)}


def _outsider(row: Row) -> dict:
    volatility, seconds, log_fee = _reals(row, "sigma_daily mean_block_seconds log_fee")
    excess = losses.outsider_excess(volatility, seconds / DAY_SECONDS, log_fee)
    return {"outsider_arb_excess_over_V_per_day": excess}


def _impact(row: Row) -> dict:
    names = "positive_factor negative_factor positive_exponent negative_exponent"
    terms = counterparty.ImpactTerms(*_reals(row, names))
    imbalance, change = _reals(row, "initial_imbalance_usd signed_delta_usd")
    crosses = counterparty.crosses_balance(imbalance, change)
    return {
        "kind": "crossover" if crosses else "same_side",
        "price_impact_usd": counterparty.price_impact_usd(imbalance, change, terms),
    }


def _borrow(row: Row) -> dict:
    names = "usage optimal_usage base_factor_per_second above_optimal_factor_per_second"
    return {"borrow_factor_per_second": counterparty.borrow_rate(*_reals(row, names))}


def _batch(row: Row) -> dict:
    x, y, clearing = _reals(row, "x y clearing_price")
    sold = batch_pool.sold_at(x, y, clearing)
    after = {"reserve_x_after": x - sold, "reserve_y_after": y + clearing * sold}
    return {"x_sold_by_pool": sold} | after


GROUPS: dict[str, Group] = {
    "impermanent_loss_cpmm": ("r", _il_cpmm),
    "impermanent_loss_weighted": ("w r", _il_weighted),
    "impermanent_loss_concentrated": ("p0 pa pb p1 L", _il_concentrated),
    "lvr_no_fee_cpmm": ("sigma_per_sqrt_time T", _lvr_cpmm),
    "lvr_weighted": ("weight sigma", _lvr_weighted),
    "lvr_concentrated": ("p pa pb sigma L", _lvr_concentrated),
    "arbitrage_with_fees": ("sigma_daily mean_block_seconds fee", _with_fees),
    "p_trade_grid_log_fee": ("mean_block gamma_bp", _trade_grid),
    "am_amm_outsider_excess": ("sigma_daily mean_block_seconds log_fee", _outsider),
    "gmx_style_price_impact": (
        "initial_imbalance_usd signed_delta_usd positive_factor negative_factor "
        "positive_exponent negative_exponent",
        _impact,
    ),
    "gmx_style_kink_borrow": (
        "usage optimal_usage base_factor_per_second above_optimal_factor_per_second",
        _borrow,
    ),
    "fm_amm_batch": ("x y clearing_price", _batch),
    **arbitrage_rows.GROUPS,
}


def _row(group: str, case: str, row: Row, rtol: float) -> list[Comparison]:
    if group not in GROUPS:
        return [failure(f"unknown kind {group} of row", "group", got=group)]
    inputs, figures = GROUPS[group]
    tolerance = arbitrage_rows.tolerance_of(group, row, rtol)
    if group == WRITTEN_SHORT:
        tolerance = max(tolerance, TWELVE_DIGITS)
    return against(case, row, figures(row), tolerance, inputs=tuple(inputs.split()))


def _monte_carlo(case: str, row: dict) -> list[Comparison]:
    args = row["sigma_daily"], row["block_seconds"] / DAY_SECONDS, row["log_fee_bp"] * 1e-4
    if row["arrivals"] == "fixed interval":
        rate = losses.arbitrage_rate_fixed_blocks(*args)
        stated = (("formula_ARB_fixed", SIX_DIGITS), ("ARB_over_V_per_day", FIXED_BLOCK_ACCURACY))
        return [close(case, name, row[name], rate, rtol) for name, rtol in stated]
    if row["arrivals"] != "poisson":
        return [failure(case, "arrivals", got=row["arrivals"])]
    figures = (
        ("formula_P", "P_trade", "P_trade_se", losses.trade_probability(*args)),
        ("formula_ARB", "ARB_over_V_per_day", "ARB_se", losses.arbitrage_rate(*args, True)),
        ("formula_FEE", "FEE_over_V_per_day", "FEE_se", losses.fee_rate(*args)),
    )
    rows = [close(case, name, row[name], got, SIX_DIGITS) for name, _, _, got in figures]
    simulated = [
        (case, name, row[name], got, 0.0, 3 * float(row[se])) for _, name, se, got in figures
    ]
    return rows + list(starmap(close, simulated))


def cases(document: dict) -> Iterator:
    """Every row of every group, then the Monte Carlo rows."""
    rtol = float(document["float64_rtol"].split()[0])
    for group, rows in document["rows"].items():
        for number, row in enumerate(rows):
            case = f"{group}:{number}"
            yield case, partial(_row, group, case, row, rtol)
    for number, row in enumerate(document.get("monte_carlo_check", {}).get("rows", [])):
        case = f"monte_carlo:{number}"
        yield case, partial(_monte_carlo, case, row)
