"""Replays of StableSwap scenarios: exchanges and every way to add and remove liquidity.

Balances are in human units, which is also the unit of the invariant. The kernels take outputs from
the change of the invariant directly, so the tighter tolerance applies that the document states for
this form (`float64_rtol_direct_form`); scenarios with a dynamic fee state none and get the same.
The admin part of every fee leaves the balances here, as a venue would book it.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from experiments.conformance.comparison import Comparison, against, failure, human
from markets.pools import stable_liquidity, stableswap

DIRECT_FORM_TOLERANCE = 1e-12


def _reals(values: list) -> np.ndarray:
    return np.array([float(value) for value in values])


class Replay:
    """Balances and share supply of one pool in human units."""

    def __init__(self, scenario: dict) -> None:
        multiplier = float(scenario.get("offpeg_multiplier_human", 1))
        fee = float(scenario["fee_human"])
        self.terms = stableswap.StableTerms(float(scenario["A"]), fee, multiplier)
        self.admin = float(scenario["admin_fee_human"])
        self.balances = _reals(scenario.get("initial_balances_human", [0] * scenario["n_coins"]))
        self.supply = 0.0

    def exchange(self, op: dict) -> dict:
        """Swap an exact input."""
        coin_in, coin_out, paid = op["i"], op["j"], float(op["dx_human"])
        out, fee = stableswap.swap_out(self.balances, self.terms, coin_in, coin_out, paid)
        self.balances[coin_in] += paid
        self.balances[coin_out] -= out + self.admin * fee
        return {"dy": out, "fee_rate": fee / (out + fee), "balances": list(self.balances)}

    def add_liquidity(self, op: dict) -> dict:
        """Deposit any amounts."""
        return {"lp_minted": self._change(_reals(op["amounts_human"]))}

    def remove_liquidity_imbalance(self, op: dict) -> dict:
        """Withdraw exact amounts."""
        return {"lp_burned": -self._change(-_reals(op["amounts_human"]))}

    def remove_liquidity(self, op: dict) -> dict:
        """Withdraw in proportion."""
        shares = float(op["lp_burned_human"])
        paid = self.balances * (shares / self.supply)
        self.balances -= paid
        self.supply -= shares
        return {"amounts": list(paid)}

    def remove_liquidity_one_coin(self, op: dict) -> dict:
        """Withdraw in one coin."""
        shares, coin = float(op["lp_burned_human"]), op["i"]
        paid, fee = stable_liquidity.withdraw_one(
            self.balances, self.terms, coin, shares, self.supply
        )
        self.balances[coin] -= paid + self.admin * fee
        self.supply -= shares
        return {"dy": paid}

    def after(self) -> dict:
        """State under the names of the vectors."""
        d = stableswap.invariant(self.balances, self.terms.amplification)
        price = d / self.supply if self.supply else float("nan")
        balances = list(self.balances)
        return {"balances": balances, "D": d, "lp_supply": self.supply, "virtual_price": price}

    def _change(self, changes: np.ndarray) -> float:
        shares, fees = stable_liquidity.share_change(
            self.balances, self.terms, changes, self.supply
        )
        self.balances = self.balances + changes - self.admin * fees
        self.supply += shares
        return shares


def _scenario(scenario: dict) -> list[Comparison]:
    replay, rows = Replay(scenario), []
    rtol = float(scenario.get("float64_rtol_direct_form", DIRECT_FORM_TOLERANCE))
    operations = {
        "exchange": replay.exchange,
        "add_liquidity": replay.add_liquidity,
        "remove_liquidity": replay.remove_liquidity,
        "remove_liquidity_imbalance": replay.remove_liquidity_imbalance,
        "remove_liquidity_one_coin": replay.remove_liquidity_one_coin,
    }
    for number, op in enumerate(scenario["ops"]):
        case = f"{scenario['name']}:{number}:{op['op']}"
        if op["op"] not in operations:
            rows.append(failure(f"unknown op {op['op']} in {case}", "op", got=op["op"]))
            continue
        rows += against(case, human(op["result"]), operations[op["op"]](op), rtol)
        rows += against(case, human(op["result"].get("after", {})), replay.after(), rtol)
    return rows


def cases(document: dict) -> Iterator:
    """Every scenario, those with a dynamic fee included."""
    for scenario in document["scenarios"] + document.get("dynamic_fee_scenarios", []):
        yield scenario["name"], partial(_scenario, scenario)
