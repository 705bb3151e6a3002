"""Replays of cryptoswap exchanges: invariant, balance, fee rate and output of each case.

Balances are those of the row, already multiplied by the price scale. The document states its
tolerances in words: 1e-12 for the roots (D and the balance after the trade), 1e-10 for what is
taken from differences of them (output before and after the fee, and the fee rate). The trade runs
on the invariant computed here, not on the stated one.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from experiments.conformance.comparison import Comparison, against, human
from markets.pools import cryptoswap

ROOT_TOLERANCE = 1e-12
CHANGE_TOLERANCE = 1e-10
ROOTS = ("D", "y_after")


def _exchange(row: dict) -> list[Comparison]:
    names = ("A", "gamma", "mid_fee", "out_fee", "fee_gamma")
    terms = cryptoswap.CryptoTerms(*(float(row[f"{name}_human"]) for name in names))
    balances = np.array([float(balance) for balance in row["xp_human"]])
    coins, paid = (row["i"], row["j"]), float(row["dx_human"])
    d = cryptoswap.invariant(balances, terms)
    out, fee = cryptoswap.swap_out(balances, terms, d, coins, paid)
    after = balances.copy()
    after[coins[0]] += paid
    after[coins[1]] = cryptoswap.balance_for(after, terms, d, coins[1])
    got = {"D": d, "y_after": float(after[coins[1]]), "dy_before_fee": out + fee, "dy": out}
    got["fee_rate"] = cryptoswap.fee_rate(after, terms)
    stated = human(row["result"])
    roots = {name: value for name, value in stated.items() if name in ROOTS}
    rows = against(row["name"], roots, got, ROOT_TOLERANCE)
    return rows + against(row["name"], stated, got, CHANGE_TOLERANCE, inputs=ROOTS)


def cases(document: dict) -> Iterator:
    """Every exchange."""
    for row in document["cases"]:
        yield row["name"], partial(_exchange, row)
