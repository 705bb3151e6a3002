"""Liquidation prices among the derivatives vectors: where a venue's own margin check turns.

A position is opened at a `PerpetualMarket` with the collateral of the case, and the mark is moved
from tick to tick: between the last tick at which the account is safe and the first at which it is
not, equity less maintenance is a straight line in the price (linear) or in one over it (inverse),
and the liquidation price is where it crosses zero; there is none where that is no positive price.
At the bankruptcy price equity alone does. Brackets give the
deductions; another contract in the same margin account needs the maintenance of other positions;
Bybit's margins are of the value at entry. A rate between two whole ppm: between their two prices.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from experiments.conformance.derivative_inputs import side_of, size_of, sized, whole_ppm
from experiments.conformance.perpetual_market import PerpetualMarket
from markets.derivatives.brackets import bracket_of
from markets.rounding import PPM

_MOST_TICKS = 2**31
_NEAR = Fraction(1, 1_000)
"""Of a tick: where rounding to atoms may decide."""


def _crossing(
    market: PerpetualMarket, account: int, start: float, part: int = 1
) -> Fraction | None:
    """Price in ticks at which equity is `part` of maintenance; None where no positive one is."""
    ticks, found = market.ticks(start), None
    while found != ticks:
        found = ticks
        excess = []
        for place in (ticks, ticks + 1):
            market.mark(market.price(place))
            equity, needed = market.margins(account)
            excess.append(equity - part * needed)
        share = Fraction(excess[0], excess[0] - excess[1])
        if market.venue.form.is_inverse:
            root = Fraction(1, ticks) + share * (Fraction(1, ticks + 1) - Fraction(1, ticks))
            root = 1 / root if root > 0 else Fraction(0)
        else:
            root = ticks + share
        if root <= 0:
            return None
        ticks = max(1, math.floor(root))
        if ticks > _MOST_TICKS:
            raise ValueError(f"a price beyond the grid: {float(root)} ticks")
    return root


def _confirm(market: PerpetualMarket, account: int, side: int, root: Fraction) -> None:
    """Raise unless the venue would liquidate beyond the price, and not before it."""
    below, above = math.floor(root - _NEAR), math.ceil(root + _NEAR)
    for ticks, unsafe in ((above, side < 0), (below, side > 0)):
        if ticks > 0:
            market.mark(market.price(ticks))
            if market.is_unsafe(account) != unsafe:
                raise ValueError(f"the venue's check does not turn at {float(root)} ticks")


def _prices(market: PerpetualMarket, account: int, side: int, start: float) -> dict[str, float]:
    root = _crossing(market, account, start)
    if root is None:
        return {"liquidation_price": math.nan, "bankruptcy_price": math.nan}
    _confirm(market, account, side, root)
    bankruptcy = _crossing(market, account, start, part=0)
    return {
        "liquidation_price": float(root / market.ticks(1.0)),
        "bankruptcy_price": float((bankruptcy or math.nan) / market.ticks(1.0)),
    }


def _tiers(rate_ppm: int, deduction: float) -> dict[str, Any]:
    """Brackets of which the upper one has this rate and this deduction."""
    if deduction == 0:
        return {
            "maintenance_tiers": ({"maintenance_ppm": rate_ppm},),
            "initial_margin_ppm": rate_ppm,
        }
    floor = deduction * PPM / (rate_ppm - 1)
    upper = {"floor_units": floor, "maintenance_ppm": rate_ppm}
    return {"maintenance_tiers": ({"maintenance_ppm": 1}, upper)}


def _at_rate(rate: float, is_inverse: bool, play: Callable[[int], dict]) -> dict[str, float]:
    """Figures at a rate: between those at the whole ppm beside it, in proportion (see above)."""
    low = math.floor(round(rate * PPM, 6))
    share = round(rate * PPM - low, 6)
    found = play(low)
    if share == 0.0:
        return found
    above, power = play(low + 1), 1 if is_inverse else -1
    return {
        name: ((1.0 - share) * price**power + share * above[name] ** power) ** power
        for name, price in found.items()
    }


def _account_prices(case: dict, entry: float, size: float, contract: dict) -> dict[str, float]:
    """Prices of a position with this entry; case has wallet, mmr, cum, other_mm, other_upnl."""
    side, others_need = side_of(case), case.get("other_mm", 0.0)
    equity = case["wallet"] + case.get("other_upnl", 0.0)
    is_inverse = contract["contract"] == "inverse"
    others, price, held = [], 0.0, 1.0 if is_inverse else size  # a single contract, if inverse
    if others_need > 0:
        price = float(f"1e{math.ceil(math.log10(2.0 * others_need / held))}")
        others = [_tiers(PPM, held * price - others_need) | {"tick": price}]

    def play(rate_ppm: int) -> dict[str, float]:
        market = PerpetualMarket(
            [entry],
            [size],
            collateral=abs(equity) + held * price,
            others=others,
            **_tiers(rate_ppm, case.get("cum", 0.0)),
            **contract,
        )
        (trader,) = market.traders
        market.open_at(trader, side, size, entry, equity)
        if others:
            market.trade(trader, 1, market.lot if is_inverse else size, price, on=1)
        market.mark(entry)
        return _prices(market, trader, side, entry)

    return _at_rate(case["mmr"], is_inverse, play)


def _liq_account(case: dict) -> dict:
    return _account_prices(case, float(case["entry"]), *sized(case))


def _liq_hyperliquid(case: dict) -> dict:
    """Whatever else the account's maintenance holds is a deduction, or another position's."""
    rate, value = 1.0 / case["maintenance_leverage"], case["size"] * case["price"]
    more = case["maintenance_required"] - rate * value
    more *= abs(more) > 1e-9 * rate * value
    position = {"side": case["side"], "wallet": case["account_value"], "mmr": rate}
    position |= {"cum": max(-more, 0.0), "other_mm": max(more, 0.0)}
    price, size = float(case["price"]), float(case["size"])
    found = _account_prices(position, price, size, {"contract": "linear"})
    return {
        "margin_available": case["account_value"] - case["maintenance_required"],
        "liquidation_price": found["liquidation_price"],
    }


def _liq_tiered(case: dict) -> dict:
    side, size, entry = side_of(case), float(case["qty"]), float(case["entry"])
    rates = [whole_ppm(rate) for _, rate in case["tiers"]]
    within = 4.0 * (size * entry + case["wallet"])
    market = PerpetualMarket(
        [entry],
        [size],
        collateral=case["wallet"],
        maintenance_tiers=[
            {"floor_units": floor, "maintenance_ppm": rate}
            for (floor, _), rate in zip(case["tiers"], rates, strict=True)
            if floor < within
        ],
        initial_margin_ppm=rates[0],
    )
    (trader,) = market.traders
    market.open_at(trader, side, size, entry, case["wallet"])
    root = _crossing(market, trader, entry)
    if root is None:
        return {"tier": -1, "liquidation_price": math.nan}
    _confirm(market, trader, side, root)
    notional = math.floor(root * market.lots(size) * market.venue.form.notional_atoms)
    tier = int(bracket_of(market.venue._margin.maintenance, notional))
    return {"tier": tier, "liquidation_price": float(root / market.ticks(1.0))}


def _at_entry(case: dict, margin: float, deduction: float) -> tuple[PerpetualMarket, int]:
    """A position with this margin of its own, its maintenance that of the value at entry."""
    size, contract = sized(case)
    market = PerpetualMarket(
        [case["entry"]],
        [size],
        collateral=abs(margin),
        maintenance_at="entry",
        **_tiers(whole_ppm(case["mmr"]), deduction),
        **contract,
    )
    (trader,) = market.traders
    market.pay_in(trader, margin)
    market.trade(trader, side_of(case), size, case["entry"])
    return market, trader


def _liq_entry_margin(case: dict) -> dict:
    size, entry = size_of(case), case["entry"]
    value = size / entry if case.get("contract") == "inverse" else size * entry
    margin = value / case["leverage"] + case.get("extra_margin", 0.0)
    market, trader = _at_entry(case, margin, case.get("mm_deduction", 0.0))
    return {
        "initial_margin": abs(market.cost(trader)) / case["leverage"],
        "maintenance_margin": market.money(market.margins(trader)[1]),
        **_prices(market, trader, side_of(case), case["entry"]),
    }


def _liq_inverse_cross_fee(case: dict) -> dict:
    """Closing as a taker at two prices shows where it takes all, and the fee that it pays there."""
    side, size, entry = side_of(case), float(case["contracts"]), float(case["entry"])
    free = case["balance"] - case.get("order_margin", 0.0)
    prices = (entry, entry * 2.0 if side > 0 else entry / 2.0)
    fee_ppm = whole_ppm(case["taker_fee"])
    left, fees = [], []
    for price in prices:
        market = PerpetualMarket(
            prices, [size], contract="inverse", collateral=free, taker_fee_ppm=fee_ppm
        )
        (trader,) = market.traders
        market.pay_in(trader, free)
        market.trade(market.rich, -side, size, entry, against=trader)
        before = market.claim(market.fees)
        market.trade(trader, -side, size, price)
        left.append(market.claim(trader))
        fees.append(market.claim(market.fees) - before)
    share = left[0] / (left[0] - left[1])
    closing = 1.0 / prices[0] + share * (1.0 / prices[1] - 1.0 / prices[0])
    fee = fees[0] + share * (fees[1] - fees[0])
    position = {**case, "contract": "inverse", "qty": size}
    market, trader = _at_entry(position, free - fee, 0.0)
    return {
        "liquidation_price": _prices(market, trader, side, entry)["liquidation_price"],
        "bankruptcy_price": 1.0 / closing if closing > 0.0 else math.nan,
    }


KINDS: dict[str, Callable[[dict], dict]] = {
    "liq_entry_margin": _liq_entry_margin,
    "liq_account": _liq_account,
    "liq_hyperliquid": _liq_hyperliquid,
    "liq_tiered": _liq_tiered,
    "liq_inverse_cross_fee": _liq_inverse_cross_fee,
}
