"""Replays of weighted-pool cases: swaps, joins and exits, each from the stated state.

Cases are independent: none changes the pool. Givens come in human units under their names or, for
figures recorded on chain, by position in 18-decimal fixed point. Weights, balances and shares are
human throughout; a document that states no tolerance gets the 1e-12 of its siblings.
Protocol limits on the size of a trade are not applied.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from experiments.conformance.comparison import Comparison, against, failure, human
from markets.pools import constant_product, weighted
from markets.rounding import PPM

TOLERANCE = 1e-12
FIXED_POINT = 1e18


class State:
    """Balances, weights and shares of one pool in human units; never changed."""

    def __init__(self, pool: dict) -> None:
        self.balances = np.array([float(value) for value in pool["balances_human"]])
        self.weights = np.array([float(value) for value in pool["weights_human"]])
        self.supply = float(pool["total_supply_human"])
        self.fee_ppm = round(float(pool["swap_fee_human"]) * PPM)

    def swap_exact_in(self, case: dict) -> dict:
        """Swap an exact input."""
        args = self._pair(case)
        return {"amount_out": weighted.amount_out(*args, float(case["amount_human"]))}

    def swap_exact_out(self, case: dict) -> dict:
        """Swap for an exact output."""
        args = self._pair(case)
        return {"amount_in": weighted.amount_in(*args, float(case["amount_human"]))}

    def join_unbalanced(self, case: dict) -> dict:
        """Deposit any amounts."""
        fixed = "args" in case
        stated = case["args"][0] if fixed else case["amounts_in_human"]
        amounts = _reals(stated, FIXED_POINT if fixed else 1.0)
        shares = weighted.shares_for(
            self.balances, self.weights, self.fee_ppm, amounts, self.supply
        )
        return {"bpt_out": shares}

    def join_single_exact_bpt_out(self, case: dict) -> dict:
        """Deposit one token for exact shares."""
        shares = _given(case, 1, "bpt_out")
        return {"amount_in": weighted.single_in_for(*self._single(case), shares, self.supply)}

    def exit_proportional(self, case: dict) -> dict:
        """Withdraw in proportion."""
        shares = _given(case, 0, "bpt_in")
        paid = [constant_product.amount_for(shares, b, self.supply) for b in self.balances]
        return {"amounts_out": paid}

    def exit_single_exact_bpt_in(self, case: dict) -> dict:
        """Withdraw one token for exact shares."""
        shares = _given(case, 1, "bpt_in")
        return {"amount_out": weighted.single_out_for(*self._single(case), shares, self.supply)}

    def exit_single_exact_token_out(self, case: dict) -> dict:
        """Withdraw an exact amount of one token."""
        out = _given(case, 1, "amount_out")
        return {"bpt_in": weighted.shares_for_single_out(*self._single(case), out, self.supply)}

    def _pair(self, case: dict) -> tuple[float, float, float, float, int]:
        i, o = case["token_in"], case["token_out"]
        balances, weights = self.balances, self.weights
        return balances[i], weights[i], balances[o], weights[o], self.fee_ppm

    def _single(self, case: dict) -> tuple[float, float, int]:
        token = int(case["token"] if "token" in case else case["args"][0])
        return self.balances[token], self.weights[token], self.fee_ppm


def _reals(values: list, unit: float) -> np.ndarray:
    return np.array([float(value) / unit for value in values])


def _given(case: dict, position: int, name: str) -> float:
    """A given figure, named in human units or by position in 18-decimal fixed point."""
    if "args" in case:
        return float(case["args"][position]) / FIXED_POINT
    return float(case[f"{name}_human"])


def _operations(state: State) -> dict[str, Callable[[dict], dict]]:
    return {
        "swap_exact_in": state.swap_exact_in,
        "swap_exact_out": state.swap_exact_out,
        "join_unbalanced": state.join_unbalanced,
        "join_single_exact_bpt_out": state.join_single_exact_bpt_out,
        "exit_proportional": state.exit_proportional,
        "exit_single_exact_bpt_in": state.exit_single_exact_bpt_in,
        "exit_single_exact_token_out": state.exit_single_exact_token_out,
    }


def _case(pool: dict, name: str, case: dict) -> list[Comparison]:
    operation = _operations(State(pool)).get(case["op"])
    if operation is None:
        return [failure(f"unknown op {case['op']} in {name}", "op", got=case["op"])]
    rtol = float(pool.get("float64_rtol_for_human_values", TOLERANCE))
    return against(name, human(case["result"]), operation(case), rtol)


def cases(document: dict) -> Iterator:
    """Every case of every pool, those recorded on chain included."""
    recorded = [document["recorded_onchain"]] if "recorded_onchain" in document else []
    for pool in document["pools"] + recorded:
        for number, case in enumerate(pool["cases"]):
            name = f"{pool['name']}:{number}:{case['op']}"
            yield name, partial(_case, pool, name, case)
