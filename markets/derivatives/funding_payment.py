"""Funding payments: what every position owes at a rate, to the atom, posted in one pass.

    owed = ceil(n*r/10**9 - s),    s' = owed - (n*r/10**9 - s),    n signed notional at the price

r the rate in 1e-9, s what the account has paid ahead, a fraction of an atom below 1. At stamps s is
not kept: each payment is rounded up by itself, so payers pay and receivers get the atom against
them. Where the rate falls due bit by bit s is carried from step to step, so that at any time an
account has paid the ceiling of what its positions owe by the cumulative index, however many the
steps; a single step is a stamp. Longs pay what shorts get, but for the dust, which is the fund's:
its sum is that of all s, never below 0 (an inverse contract's notional is rounded up first).
The rate of a whole run is kept by `funding_meter`. Left out: nothing is owed by who has no position
at the time.
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import INVERSE
from markets.derivatives.funding_meter import RATE_SCALE
from markets.derivatives.positions import Integers, Positions, Terms, pricer, worth
from markets.kernel import kernel
from markets.outcomes import Flows, Reason, flows

_MOST = 2**62
"""Largest product of notional and rate that is divided as it is."""


class Payments(NamedTuple):
    """Room for one stamp: what accounts owe in atoms, and what they have paid ahead, in 1e-9.

    `ahead_1e9` has no length where it is not kept.
    """

    owed_atoms: Integers
    ahead_1e9: Integers


def payments(accounts: int, carried: bool) -> Payments:
    """Room for so many accounts."""
    return Payments(np.zeros(accounts, np.int64), np.zeros(accounts if carried else 0, np.int64))


@kernel()
def pay_funding(
    positions: Positions, terms: Terms, rate_1e9: int, price_ticks: int, made: Payments
) -> int:
    """Post one payment of every account and the dust of all to the fund; returns the dust."""
    balances, by = positions.balances, pricer(terms, price_ticks)
    sign = -1 if terms.form == INVERSE else 1
    carried = len(made.ahead_1e9) > 0
    most = _MOST // max(abs(rate_1e9), 1)
    total = 0
    for account in range(len(made.owed_atoms)):
        contracts = balances[account, terms.contract]
        owed = 0
        if contracts != 0:
            notional, whole = sign * worth(by, contracts), 0
            if notional > most or notional < -most:
                whole = notional // RATE_SCALE
            due_1e9 = (notional - whole * RATE_SCALE) * rate_1e9
            if carried:
                due_1e9 -= made.ahead_1e9[account]
            part = -(-due_1e9 // RATE_SCALE)
            if carried:
                made.ahead_1e9[account] = part * RATE_SCALE - due_1e9
            owed = whole * rate_1e9 + part
            balances[account, terms.margin] -= owed
            total += owed
        made.owed_atoms[account] = owed
    balances[terms.fund, terms.margin] += total
    return total


def funding_flows(made: Payments, terms: Terms) -> Flows:
    """The payments as rows: everybody to or from the fund."""
    owed = made.owed_atoms
    payers = np.flatnonzero(owed)
    payers = payers[payers != terms.fund]
    return flows(payers, terms.fund, terms.margin, owed[payers], Reason.FUNDING)
