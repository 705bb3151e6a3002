"""Rows of optimal arbitrage: against an outside price, split over pools, cycle through two.

Sizes and profits follow from the kernels; the states after the trade are worked out here, with the
fee kept in the pool and with the fee outside it. A concentrated pool is built from the positions of
the row, and the trade is then carried out on it. Close to the band without trade an amount is a
small difference: such rows have the tolerance the document grants them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from markets.pools import arbitrage, concentrated, constant_product, positions, weighted
from markets.rounding import PPM

NEAR_BAND = 1e-2
NEAR_BAND_TOLERANCE = 1e-9
SIDES = {arbitrage.NO_TRADE: "none", arbitrage.BUY_X: "buy_x", arbitrage.SELL_X: "sell_x"}

Row = dict[str, Any]


def _ppm(fee: str) -> int:
    return round(float(fee) * PPM)


def _trade(trade: arbitrage.Trade) -> dict:
    got = {"side": SIDES[trade.side], "profit": trade.profit}
    return got | {"amount_in": trade.amount_in, "amount_out": trade.amount_out}


def _cpmm(row: Row) -> dict:
    x, y, fee_ppm = float(row["x"]), float(row["y"]), _ppm(row["fee"])
    trade = arbitrage.against_constant_product(x, y, fee_ppm, float(row["m"]))
    kept, paid, got = 1.0 - fee_ppm / PPM, trade.amount_in, trade.amount_out
    buys = trade.side == arbitrage.BUY_X
    after_x, after_y = (x - got, y + paid) if buys else (x + paid, y - got)
    outside = (y + kept * paid) / (x - got) if buys else (y - got) / (x + kept * paid)
    return _trade(trade) | {
        "reserve_x_after_fee_compounding": after_x,
        "reserve_y_after_fee_compounding": after_y,
        "spot_after_fee_kept_in_pool": after_y / after_x,
        "spot_after_fee_outside_pool": outside,
    }


def _weighted(row: Row) -> dict:
    x, y, weight = float(row["x"]), float(row["y"]), float(row["weight_x"])
    trade = arbitrage.against_weighted(x, y, weight, _ppm(row["fee"]), float(row["m"]))
    return _trade(trade) | {"spot_before": weighted.marginal_price(x, weight, y, 1.0 - weight, 0)}


def _pool(row: Row) -> concentrated.ConcentratedPool:
    pool = concentrated.empty_pool(math.sqrt(float(row["price"])))
    book = positions.empty_positions(len(row["positions"]))
    for number, position in enumerate(row["positions"]):
        book.bounds[:, number] = position["tick_lower"], position["tick_upper"]
        positions.change_liquidity(pool, book, number, int(position["liquidity"]))
    return pool


def _concentrated(row: Row) -> dict:
    pool, fee_ppm, outside = _pool(row), _ppm(row["fee"]), float(row["external_price"])
    trade = arbitrage.against_concentrated(pool, fee_ppm, outside)
    got = _trade(trade)
    got["side"] = got["side"].replace("_x", "_token0")
    if trade.side != arbitrage.NO_TRADE:
        sells = trade.side == arbitrage.SELL_X
        limit = outside if sells else 1.0 / outside
        concentrated.swap_until_price(pool, fee_ppm, sells, limit, True)
    return got | {
        "target_price": float(pool.real[concentrated.SQRT_PRICE]) ** 2,
        "tick_after": concentrated.current_tick(pool),
        "liquidity_after": float(pool.whole[concentrated.LIQUIDITY]),
    }


def _split(row: Row) -> dict:
    columns = [[float(p[k]) for p in row["pools"]] for k in ("reserve_in", "reserve_out")]
    reserves_in, reserves_out = (np.array(column) for column in columns)
    fees, amount = np.array([_ppm(p["fee"]) for p in row["pools"]]), float(row["amount_in"])
    parts = arbitrage.split(reserves_in, reserves_out, fees, amount)
    pools = list(zip(reserves_in, reserves_out, fees, strict=True))
    outs = [constant_product.amount_out(*p, a) for p, a in zip(pools, parts, strict=True)]
    best = max(constant_product.amount_out(*p, amount) for p in pools)
    total = {"amount_out_total": sum(outs), "best_single_pool_out": best}
    return {"split": [float(part) for part in parts]} | total


def _cycle(row: Row) -> dict:
    first, second = row["pool1"], row["pool2"]
    amount, profit = arbitrage.cycle(
        (float(first["reserve_a"]), float(first["reserve_b"]), _ppm(first["fee"])),
        (float(second["reserve_b"]), float(second["reserve_a"]), _ppm(second["fee"])),
    )
    return {"amount_in_a": amount, "profit_a": profit}


GROUPS: dict[str, tuple[str, Callable[[Row], dict]]] = {
    "optimal_arbitrage_cpmm": ("x y m fee", _cpmm),
    "optimal_arbitrage_weighted": ("x y weight_x m fee", _weighted),
    "optimal_arbitrage_concentrated": ("positions price fee external_price", _concentrated),
    "optimal_split_cpmm": ("pools amount_in", _split),
    "two_pool_cycle_arbitrage": ("pool1 pool2", _cycle),
}


def tolerance_of(group: str, row: Row, rtol: float) -> float:
    """`rtol`, or the wider one of arbitrage whose outside price is near an edge of the band."""
    if not group.startswith("optimal_arbitrage"):
        return rtol
    if group == "optimal_arbitrage_concentrated":
        spot, outside = float(row["price"]), float(row["external_price"])
    else:
        weight = float(row.get("weight_x", 0.5))
        spot = float(row["y"]) / float(row["x"]) * weight / (1.0 - weight)
        outside = float(row["m"])
    kept = 1.0 - float(row["fee"])
    distance = min(abs(outside * kept / spot - 1.0), abs(outside / (kept * spot) - 1.0))
    return NEAR_BAND_TOLERANCE if distance < NEAR_BAND else rtol
