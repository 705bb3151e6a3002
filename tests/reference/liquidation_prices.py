"""Liquidation prices in plain closed form: where equity is the maintenance, in real numbers.

The venue knows none of these: it compares equity with maintenance at each mark.
"""

from itertools import pairwise
from math import inf, nan


def account_price(inverse, side, size, entry, spare, rate):
    """`spare` is the wallet, what else counts and the deduction, less what others need."""
    if inverse:
        top, bottom = size * (rate + side), spare + side * size / entry
    else:
        top, bottom = spare - side * size * entry, size * (rate - side)
    return top / bottom if bottom and top / bottom > 0 else nan


def tiered_price(side, size, entry, wallet, floors, rates):
    """Price and bracket: every bracket is solved, the one that holds its own notional is it."""
    deduction, before = 0.0, 0.0
    for tier, ((floor, top), rate) in enumerate(zip(pairwise([*floors, inf]), rates, strict=True)):
        deduction, before = deduction + floor * (rate - before), rate
        price = account_price(False, side, size, entry, wallet + deduction, rate)
        if floor < size * price <= top:
            return price, tier
    return nan, -1
