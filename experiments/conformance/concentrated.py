"""Replays of concentrated-liquidity scenarios: mint, swap, poke, burn and collect on one pool.

The kernel works in units of 10^k raw units, k the least power for which all liquidity fits an
int64; amounts, prices and growth go back to human units with the decimals of the two tokens. Each
swap is quoted first; a quote that differs from the swap in any bit is an error.
"""

import math
from collections.abc import Iterator
from functools import partial

from experiments.conformance.comparison import Comparison, against, failure, human
from markets.pools import concentrated as kernel
from markets.pools import positions as ledger
from markets.pools.ticks import MAX_TICK, MIN_TICK, sqrt_price_at

Q96 = 2**96
LARGEST = 2**62


class Replay:
    """One pool with its positions, and the factors between kernel units and human units."""

    def __init__(self, scenario: dict) -> None:
        liquidity = [int(op["liquidity"]) for op in scenario["ops"] if "liquidity" in op]
        self.scale = 1
        while sum(liquidity) >= LARGEST * self.scale:
            self.scale *= 10
        decimals = scenario["decimals0"], scenario["decimals1"]
        self.units = [10.0**d / self.scale for d in decimals]
        self.liquidity_unit = 10.0 ** (sum(decimals) / 2) / self.scale
        self.price_unit = 10.0 ** (decimals[0] - decimals[1])
        self.fee_ppm = scenario["fee_pips"]
        self.pool = kernel.empty_pool(int(scenario["initial"]["sqrt_price_x96"]) / Q96)
        self.positions = ledger.empty_positions(max(1, len(liquidity)))
        self.rows: dict[tuple, int] = {}
        self.released: dict[int, tuple[float, float]] = {}

    def mint(self, op: dict) -> dict:
        """Add liquidity."""
        amounts = self._change(op, round(int(op["liquidity"]) / self.scale))
        return self._amounts(*amounts)

    def burn(self, op: dict) -> dict:
        """Remove liquidity; what it releases waits to be collected."""
        freed = self._change(op, -round(int(op["liquidity"]) / self.scale))
        row = self._row(op)
        waiting = self.released.get(row, (0.0, 0.0))
        self.released[row] = waiting[0] - freed[0], waiting[1] - freed[1]
        return self._amounts(-freed[0], -freed[1])

    def poke(self, op: dict) -> dict:
        """Credit fees."""
        self._change(op, 0)
        return {}

    def collect(self, op: dict) -> dict:
        """Pay what is owed."""
        row = self._row(op)
        fees, freed = ledger.collect(self.positions, row), self.released.pop(row, (0.0, 0.0))
        return self._amounts(fees[0] + freed[0], fees[1] + freed[1])

    def swap(self, op: dict) -> dict:
        """Swap after a quote, which must be the same and change nothing."""
        down, pool = bool(op["zero_for_one"]), self.pool
        amount = float(op["amount_specified_human"]) * self.units[op["specified_token"]]
        before = int(pool.whole[kernel.CURSOR])
        quote = kernel.swap(pool, self.fee_ppm, down, amount, self._limit(op), False)
        end = kernel.swap(pool, self.fee_ppm, down, amount, self._limit(op), True)
        if quote != end:
            raise ValueError("quote and swap differ")
        low, high = sorted((before, end.cursor))
        crossed = [int(tick) for tick in pool.tick[low:high]]
        signed = (end.amount_in, -end.amount_out)
        amounts = self._amounts(*(signed if down else signed[::-1]))
        return amounts | {"ticks_crossed": crossed[::-1] if down else crossed}

    def after(self) -> dict:
        """State under the names of the vectors."""
        root = float(self.pool.real[kernel.SQRT_PRICE])
        growth = self.pool.real[kernel.GROWTH0 :]
        return {
            "sqrt_price": root * math.sqrt(self.price_unit),
            "price": root * root * self.price_unit,
            "tick": kernel.current_tick(self.pool),
            "liquidity": float(self.pool.whole[kernel.LIQUIDITY]) / self.liquidity_unit,
            "fee_growth_global0": growth[0] * self.liquidity_unit / self.units[0],
            "fee_growth_global1": growth[1] * self.liquidity_unit / self.units[1],
        }

    def _row(self, op: dict) -> int:
        key = op["owner"], op["tick_lower"], op["tick_upper"]
        row = self.rows.setdefault(key, len(self.rows))
        self.positions.bounds[:, row] = key[1:]
        return row

    def _change(self, op: dict, liquidity: int) -> tuple[float, float]:
        return ledger.change_liquidity(self.pool, self.positions, self._row(op), liquidity)

    def _amounts(self, amount0: float, amount1: float) -> dict:
        return {"amount0": amount0 / self.units[0], "amount1": amount1 / self.units[1]}

    def _limit(self, op: dict) -> float:
        if "limit_tick" in op:
            return sqrt_price_at(op["limit_tick"])
        if "sqrt_price_limit_x96" in op:
            return int(op["sqrt_price_limit_x96"]) / Q96
        return sqrt_price_at(MIN_TICK if op["zero_for_one"] else MAX_TICK)


def _stated(result: dict) -> dict:
    whole = {name: result[name] for name in ("ticks_crossed", "tick") if name in result}
    return human(result) | whole


def _scenario(scenario: dict) -> list[Comparison]:
    replay, rows = Replay(scenario), []
    rtol = float(scenario["float64_rtol_for_human_values"])
    operations = {
        "mint": replay.mint,
        "burn": replay.burn,
        "poke": replay.poke,
        "collect": replay.collect,
        "swap": replay.swap,
    }
    for number, op in enumerate(scenario["ops"]):
        case = f"{scenario['name']}:{number}:{op['op']}"
        if op["op"] not in operations:
            rows.append(failure(f"unknown op {op['op']} in {case}", "op", got=op["op"]))
            continue
        got, result = operations[op["op"]](op), op["result"]
        rows += against(case, _stated(result), got, rtol)
        rows += against(case, _stated(result.get("after", {})), replay.after(), rtol)
    return rows


def cases(document: dict) -> Iterator:
    """Every scenario and every recorded snapshot."""
    for scenario in document["scenarios"] + document.get("spec_snapshots", []):
        yield scenario["name"], partial(_scenario, scenario)
