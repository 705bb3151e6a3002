"""Lending inside a clearing house: idle margin is lent to those whose net balance is below zero.

    net      claims + value of positions (unrealised profit earns, loss pays), or claims at cost
    U        sum of negative nets / sum of positive nets
    borrower pays |net|*rate(U)*hours/8760, rounded up, rate from the kinked curve
    lender   receives his part of what borrowers pay less the reserve, rounded down

So the payments of a step sum to zero with the reserve, which goes to the fund together with the
dust of rounding; a lender's rate is borrow*U*(1 - reserve) up to that. Borrowers are accounts that
hold other collateral: they have withdrawn, or lost, more of the settlement asset than they had.
Where debts outgrow what is lent the rate is that of U = 1. Curve and rates: `interest`. Sources:
Gauntlet's Jupiter Lend proposal, Backpack (the rule of the net balance is ours).
Left out: a cap on single borrowers, rate controllers.
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.interest import HOURS_A_YEAR, borrow_rate, utilisation
from markets.derivatives.positions import Integers
from markets.lending.rate_curve import CurveParams
from markets.rounding import PPM, SLACK


class LendingParams(CurveParams):
    """The rate curve and the reserve, and what earns interest."""

    enabled: bool = False
    """Whether the settlement asset can be borrowed."""
    lend_unrealised: bool = True
    """Whether unrealised profit earns and loss pays: an interest-bearing perpetual."""


class Interest(NamedTuple):
    """One step's interest: by account what it receives (below 0: pays), and what is reserved."""

    received_atoms: Integers
    reserved_atoms: int
    utilisation: float
    borrow_rate: float


def interest_of(nets_atoms: Integers, params: LendingParams, hours: float) -> Interest:
    """Interest of so many hours on net balances; payments and reserve sum to zero."""
    owed, lent = np.maximum(-nets_atoms, 0), np.maximum(nets_atoms, 0)
    used = float(utilisation(float(owed.sum()), float(lent.sum())))
    rate = float(borrow_rate(params.curve, min(used, 1.0)))
    part = rate * hours / HOURS_A_YEAR
    paid = np.ceil(owed * (part * (1.0 + SLACK))).astype(np.int64)
    reserve = -(-int(paid.sum()) * params.reserve_ppm // PPM)
    share = max(int(paid.sum()) - reserve, 0) / max(int(lent.sum()), 1)
    earned = np.floor(lent * (share * (1.0 - SLACK))).astype(np.int64)
    kept = int(paid.sum() - earned.sum())
    return Interest(earned - paid, kept, used, rate)
