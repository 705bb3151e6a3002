"""Replays of v3 units: tick prices, tick look-ups, single swap steps.

A square-root price nearer to a tick than one unit in the last place of float64 cannot be told from
it; for a look-up just below a tick both neighbours are right, and the exact tick price decides
whether that is so. Integers in Q64.96 are compared where they are fine enough (up to tick 400,000).
"""

from collections.abc import Iterator
from decimal import Decimal, localcontext
from functools import partial

from experiments.conformance.comparison import Comparison, against, close, exact
from markets.pools.swap_step import swap_step
from markets.pools.ticks import sqrt_price_at, tick_at

Q96 = 2**96
FINE_TICK = 400_000
UNIT_IN_LAST_PLACE = Decimal(2) ** -52


def _sqrt_at_tick(row: dict, rtol: float) -> list[Comparison]:
    case, root = f"sqrt_at_tick:{row['tick']}", sqrt_price_at(row["tick"])
    rows = [
        close(case, "sqrt_price_exact", row["sqrt_price_exact"], root, rtol),
        close(case, "price_exact", row["price_exact"], root * root, rtol),
    ]
    if abs(row["tick"]) <= FINE_TICK:
        stated = int(row["sqrt_price_x96"]) / Q96
        rows.append(close(case, "sqrt_price_x96", stated, root, rtol))
    return rows


def _indistinguishable(sqrt_price_x96: int, tick: int) -> bool:
    with localcontext(prec=60):
        root = (Decimal("1.0001").ln() * tick / 2).exp()
        return abs(Decimal(sqrt_price_x96) / Q96 / root - 1) < UNIT_IN_LAST_PLACE


def _tick_at_sqrt(row: dict) -> list[Comparison]:
    root, stated = int(row["sqrt_price_x96"]), row["tick"]
    got = tick_at(root / Q96)
    if got == stated + 1 and _indistinguishable(root, got):
        stated = got
    return [exact(f"tick_at_sqrt:{row['sqrt_price_x96']}", "tick", stated, got)]


def _swap_step(number: int, row: dict, rtol: float) -> list[Comparison]:
    root, target = int(row["sqrt_price_x96"]) / Q96, int(row["sqrt_target_x96"]) / Q96
    end, net, out, fee, _ = swap_step(
        root, target, float(row["liquidity"]), float(row["amount_remaining"]), row["fee_pips"]
    )
    got = {"sqrt_next": end, "amount_in": net, "amount_out": out, "fee_amount": fee}
    return against(f"swap_step:{number}", row["exact"], got, rtol)


def cases(document: dict) -> Iterator:
    """Every row of the three groups."""
    stated = document["float64_rtol"]
    fine, step = (float(stated[k].split()[0]) for k in ("sqrt_at_tick", "swap_step"))
    for row in document["sqrt_at_tick"]:
        yield f"sqrt_at_tick:{row['tick']}", partial(_sqrt_at_tick, row, fine)
    for row in document["tick_at_sqrt"]:
        yield f"tick_at_sqrt:{row['tick']}", partial(_tick_at_sqrt, row)
    for number, row in enumerate(document["swap_step"]):
        yield f"swap_step:{number}", partial(_swap_step, number, row, step)
