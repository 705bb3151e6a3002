"""Replays of constant-product scenarios: mints, burns and swaps in order on one pool.

State is held in human units; the locked minimum of shares and the protocol's shares are part of the
supply. After a burn of nearly everything only dust remains, which the document allows an absolute
tolerance of 1e-12 of what was deposited. Flash-style rows (input and output of one token) ask how
much input repays the output.
"""

from collections.abc import Iterator
from functools import partial

from experiments.conformance.comparison import Comparison, against, close, failure, human
from markets.pools import constant_product as kernel
from markets.rounding import PPM

DUST_OF_DEPOSIT = 1e-12
FLASH_TOLERANCE = 1e-12


class Replay:
    """Reserves, share supply and protocol shares of one pool in human units."""

    def __init__(self, scenario: dict) -> None:
        self.reserves: tuple[float, float] = (0.0, 0.0)
        self.supply = self.growth = self.protocol = 0.0
        self.fee_ppm = round(float(scenario["fee_human"]) * PPM)
        self.minimum = float(scenario["minimum_liquidity_human"])
        self.protocol_fee_on = bool(scenario["protocol_fee_on"])

    def mint(self, op: dict) -> dict:
        """Deposit both amounts."""
        amount0, amount1 = float(op["amount0_human"]), float(op["amount1_human"])
        if self.supply == 0.0:
            shares = kernel.first_shares(amount0, amount1, self.minimum)
            self.supply = self.minimum
        else:
            self._pay_protocol()
            shares = kernel.shares_for(amount0, amount1, *self.reserves, self.supply)
        self.supply += shares
        self.growth = 0.0
        self.reserves = self.reserves[0] + amount0, self.reserves[1] + amount1
        return {"liquidity": shares}

    def burn(self, op: dict) -> dict:
        """Burn shares for both tokens."""
        shares = float(op["liquidity_human"])
        self._pay_protocol()
        paid = [kernel.amount_for(shares, r, self.supply) for r in self.reserves]
        self.reserves = self.reserves[0] - paid[0], self.reserves[1] - paid[1]
        self.supply -= shares
        self.growth = 0.0
        return {"amount0": paid[0], "amount1": paid[1]}

    def swap_exact_in(self, op: dict) -> dict:
        """Swap an exact input."""
        paid_in = float(op["amount_in_human"])
        held_in, held_out = self._ordered(op)
        out = kernel.amount_out(held_in, held_out, self.fee_ppm, paid_in)
        self._swapped(op, paid_in, out)
        return {"amount_out": out}

    def swap_exact_out(self, op: dict) -> dict:
        """Swap for an exact output."""
        out = float(op["amount_out_human"])
        held_in, held_out = self._ordered(op)
        paid_in = kernel.amount_in(held_in, held_out, self.fee_ppm, out)
        self._swapped(op, paid_in, out)
        return {"amount_in": paid_in}

    def after(self) -> dict:
        """State under the names of the vectors."""
        return {
            "reserve0": self.reserves[0],
            "reserve1": self.reserves[1],
            "total_supply": self.supply,
            "protocol_fee_lp": self.protocol,
        }

    def _ordered(self, op: dict) -> tuple[float, float]:
        reserve0, reserve1 = self.reserves
        return (reserve0, reserve1) if op["zero_for_one"] else (reserve1, reserve0)

    def _swapped(self, op: dict, paid_in: float, out: float) -> None:
        held_in, held_out = self._ordered(op)
        self.growth += kernel.fee_growth(held_in, self.fee_ppm, paid_in)
        after = held_in + paid_in, held_out - out
        self.reserves = after if op["zero_for_one"] else (after[1], after[0])

    def _pay_protocol(self) -> None:
        if self.protocol_fee_on:
            shares = kernel.protocol_shares(self.growth, self.supply)
            self.supply += shares
            self.protocol += shares


def _scenario(scenario: dict) -> list[Comparison]:
    replay, rows = Replay(scenario), []
    rtol = float(scenario["float64_rtol_for_human_values"])
    operations = {
        "mint": replay.mint,
        "burn": replay.burn,
        "swap_exact_in": replay.swap_exact_in,
        "swap_exact_out": replay.swap_exact_out,
    }
    for number, op in enumerate(scenario["ops"]):
        case = f"{scenario['name']}:{number}:{op['op']}"
        if op["op"] not in operations:
            rows.append(failure(f"unknown op {op['op']} in {case}", "op", got=op["op"]))
            continue
        deposited = max(replay.reserves)
        rows += against(case, human(op["result"]), operations[op["op"]](op), rtol)
        stated, state = human(op["result"].get("after", {})), replay.after()
        if "after_note" in op["result"]:
            atol = DUST_OF_DEPOSIT * deposited
            rows += [close(case, n, v, state[n], rtol, atol) for n, v in stated.items()]
        else:
            rows += against(case, stated, state, rtol)
    return rows


def _flash(number: int, row: dict, fee_ppm: int) -> list[Comparison]:
    repaid = kernel.flash_repayment(float(row["amount_out_token0_human"]), fee_ppm)
    expected = row["amount_in_token0_human"]
    return [close(f"optimistic:{number}", "amount_in", expected, repaid, FLASH_TOLERANCE)]


def cases(document: dict) -> Iterator:
    """Every scenario and every flash-style case of the document."""
    for scenario in document["scenarios"]:
        yield scenario["name"], partial(_scenario, scenario)
    for number, row in enumerate(document.get("optimistic_cases", {}).get("cases", [])):
        yield f"optimistic:{number}", partial(_flash, number, row, 3000)
