"""Liquidations and losses among the derivatives vectors, as a perpetual carries them out.

What dYdX's account is worth and needs, at what price its position is bankrupt and its order may
fill; what FTX hands to backstops, at what price; how backstops and the largest opposite positions
share what is left; and what winners give back for a deficit, as OKEx took it in 2018 and as a cut
of profits pro rata. Positions, mark and book of a case are set up in a `PerpetualMarket` (dYdX's
in a group of them, which share one margin account), the venue's own steps are run, its ledger and
log are read. Lots are so fine that shares are whole numbers of them.
"""

from collections.abc import Callable
from math import ceil, gcd, lcm
from typing import Any

from experiments.conformance.derivative_inputs import named, side_of, whole_lots, whole_ppm
from experiments.conformance.perpetual_market import PerpetualMarket
from markets.derivatives.forced_orders import fillable_price
from markets.rounding import PPM

_PERIOD_SECONDS = 10_000.0


def _dydx_liquidation(case: dict) -> dict:
    target = case["positions"][case["target"]]
    listed = [target, *(row for row in case["positions"] if row is not target)]
    worth = case["quote_balance"] + sum(row["size"] * row["oracle"] for row in listed)
    rates = [whole_ppm(row["mmf"]) for row in listed]
    margins: list[dict[str, Any]] = [
        {"maintenance_tiers": ({"maintenance_ppm": rate},), "initial_margin_ppm": rate}
        for rate in rates
    ]
    market = PerpetualMarket(
        [row["oracle"] for row in listed],
        [*(row["size"] for row in listed), case["close_size"]],
        collateral=abs(worth),
        others=[*margins[1:], {}],  # one more, without position, so that it always is a group
        **margins[0],
    )
    (trader,) = market.traders
    values = [abs(row["size"]) * row["oracle"] for row in listed]
    for number in sorted(range(len(listed)), key=lambda place: -values[place]):
        size, oracle = listed[number]["size"], listed[number]["oracle"]
        equity, worth = worth, 0.0
        market.open_at(trader, 1 if size > 0 else -1, abs(size), oracle, equity, on=number)
    for number, row in enumerate(listed):
        market.mark(row["oracle"], on=number)
    equity, needed = (market.money(atoms) for atoms in market.margins(trader))
    side, closed = (1 if target["size"] > 0 else -1), float(case["close_size"])
    quote = -market.money(market.claim_along(trader, closed))
    rate = (case["bankruptcy_adjustment"], case["spread_to_mm"])
    return {
        "net_collateral": equity,
        "maintenance_requirement": needed,
        "liquidatable": market.is_unsafe(trader),
        "bankruptcy_quote": quote,
        "bankruptcy_price": quote / (side * closed),
        "fillable_price": fillable_price(
            float(target["oracle"]), -side, (equity, needed, float(target["mmf"])), rate
        ),
    }


def _finest(quantity: Any, weights: list) -> int:
    """Into how many parts a unit must be cut for shares by weight to be whole."""
    (lots, *sizes), _ = whole_lots([quantity, *weights])
    total = sum(sizes)
    return total // gcd(total, lots * gcd(*sizes)) if total else 1


def _ftx_backstop(case: dict) -> dict:
    side, size, mark = side_of(case), float(case["size"]), float(case["mark"])
    held, limit = case["margin_fraction"], case["auto_close_fraction"]
    rate = whole_ppm(limit)
    market = PerpetualMarket(
        [mark],
        [size],
        divisor=lcm(whole_lots([mark])[0][0], whole_lots([limit, held])[0][0]),
        fund=size * mark,
        maintenance_tiers=({"maintenance_ppm": rate},),
        initial_margin_ppm=rate,
        liquidation={
            "preset": "ftx",
            "stages": ("backstop", "fund"),
            "takeover_ppm": PPM,
            "volume_per_second": 0.0,
            "least": 1_000.0,
            "backstops": ({"capital": size * mark},),
        },
    )
    (trader,) = market.traders
    market.open_at(trader, side, size, mark, held * size * mark)
    market.mark(mark)
    claim = abs(market.claim_along(trader, size))
    zero_price = market.price_of(market.lots(size), claim)
    market.liquidate()
    (backstop,) = market.backstops
    return {
        "close_size": abs(market.position(backstop)),
        "zero_price": zero_price,
        "counterparty_price": market.entry(backstop),
    }


def _backstop_allocation(case: dict) -> dict:
    """What neither takes is held by one whom it would ruin; room of 0 is no backstop.

    The loser is bankrupt at 2, the mark is 1, so that nobody else is unsafe.
    """
    opposing, room = case["opposing"], {}
    for row in case["providers"]:
        if min(row["left_minute"], row["left_hour"]) > 0:
            room[row["id"]] = row["left_minute"], row["left_hour"]
    least = [min(limits) for limits in room.values()]
    sizes = [row["size"] for row in opposing]
    largest = sorted(sizes, reverse=True)[: case["top_n"]]
    left = max(0.0, case["qty"] - sum(sizes))
    market = PerpetualMarket(
        [1.0, 2.0],
        [case["qty"], *sizes, *(limit for limits in room.values() for limit in limits)],
        traders=len(opposing) + 2,
        divisor=lcm(_finest(case["qty"], least), _finest(case["qty"] - sum(least), largest)),
        liquidation={
            "stages": ("backstop", "adl") if room else ("adl",),
            "ranking": "largest",
            "largest": case["top_n"],
            "backstops": [
                {"capital": 2.0 * (minute + hour), "per_minute": minute, "per_hour": hour}
                for minute, hour in room.values()
            ],
        },
    )
    *winners, ruined, loser = market.traders
    for account, size in zip(winners, sizes, strict=True):
        market.pay_in(account, market.wealth)
        market.trade(account, -1, size, 1.0)
    if left > 0:
        market.open_at(ruined, -1, left, 2.0)
    market.open_at(loser, 1, case["qty"], 2.0)
    market.mark(1.0)
    market.liquidate()
    took = dict(zip(room, map(market.position, market.backstops), strict=True))
    closed = [size + market.position(account) for account, size in zip(winners, sizes, strict=True)]
    return {
        "providers": {row["id"]: took.get(row["id"], 0.0) for row in case["providers"]},
        "opposing": named(opposing, closed),
    }


def _given_back(fund: float, deficit: float, profits: list[float]) -> tuple[float, float, list]:
    """What the fund pays, what it still owes at the end, and the profits after the cut.

    Sizes are profits, and the price goes from 1 to 2. The other side trades to and fro until fees
    are more than its profit, which is not the case's.
    """
    burnt = 1 + ceil(10.0 * (deficit + sum(map(abs, profits))))
    market = PerpetualMarket(
        [1.0, 2.0],
        [*profits, 2.0 * deficit, burnt],
        traders=len(profits) + 1,
        fund=fund,
        taker_fee_ppm=PPM // 10,
        step_seconds=1.0,
        liquidation={"preset": "okx_2018", "clawback_seconds": _PERIOD_SECONDS},
    )
    *winners, loser = market.traders
    for account, profit in zip(winners, profits, strict=True):
        market.pay_in(account, market.wealth)
        if profit:
            side = 1 if profit > 0 else -1
            market.trade(market.rich, -side, abs(profit), 1.0, against=account)
    if deficit > 0:
        market.pay_in(loser, deficit)
        market.trade(market.rich, 1, 2.0 * deficit, 1.0, against=loser)
    for side in (1, -1):
        market.trade(market.rich, side, burnt, 1.0, against=market.maker)
    market.mark(2.0)
    market.offer(-1, [(2.0, 2.0 * deficit)] if deficit > 0 else [])
    market.liquidate()
    used = fund - max(market.fund(), 0.0)
    market.step = int(_PERIOD_SECONDS) - 1
    market.mark(2.0)
    start = market.atoms(market.wealth)
    left = [market.money(market.margins(account)[0] - start) for account in winners]
    return used, max(0.0, -market.fund()), left


def _clawback(case: dict) -> dict:
    profits = [float(profit) for profit in case["profits"]]
    used, _, left = _given_back(float(case["fund"]), float(case["deficit"]), profits)
    most = max(profits, default=0.0)
    rate = 1.0 - left[profits.index(most)] / most if most > 0.0 else 0.0
    return {"fund_used": used, "clawback_rate": rate, "net_profits": left}


def _adl_pro_rata_profit(case: dict) -> dict:
    profits = [float(row["upnl"]) for row in case["positions"]]
    _, owed, left = _given_back(0.0, float(case["deficit"]), profits)
    cuts = [had - has for had, has in zip(profits, left, strict=True)]
    won = sum(max(profit, 0.0) for profit in profits)
    return {
        "haircut_rate": sum(cuts) / won if won > 0.0 else 0.0,
        "haircuts": named(case["positions"], cuts),
        "uncovered": owed,
    }


KINDS: dict[str, Callable[[dict], dict]] = {
    "dydx_liquidation": _dydx_liquidation,
    "ftx_backstop": _ftx_backstop,
    "backstop_allocation": _backstop_allocation,
    "clawback": _clawback,
    "adl_pro_rata_profit": _adl_pro_rata_profit,
}
