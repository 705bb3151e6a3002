"""Market-maker loan with a call: the maker borrows tokens and may keep them for the strike.

    value at grant   tokens * European call(spot, strike)
    at expiry        price > strike: pays tokens*strike and keeps the tokens; else returns them
    hedge            the maker is long tokens*delta of the call, hence sells delta*tokens short

Token quantities as floats in tokens, strike and price in quote per token. The lender bears the
exercise; exactly at the strike tokens come back. Nothing is rounded. Source: published loan terms
(1-2 % of supply, 12-24 months); valued as a European call, though some are American. Left out:
several strikes (call once a strike), early recall, maker obligations (see `maker_programme`).
"""

from typing import NamedTuple

import numpy as np

from markets.derivatives.contract import Column
from markets.derivatives.options import OptionMarket, european_delta, european_price


class Repayment(NamedTuple):
    """What ends the loan: tokens returned, quote cash paid, and the maker's payoff in quote."""

    exercised: Column
    tokens: Column
    cash: Column
    payoff: Column


def loan_value(tokens: Column, market: OptionMarket, strike: Column, years: Column) -> Column:
    """Quote value of the option that comes with the loan."""
    return tokens * european_price(True, market, strike, years)


def loan_delta(tokens: Column, market: OptionMarket, strike: Column, years: Column) -> Column:
    """Tokens a hedging maker sells: the inventory target is minus this."""
    return tokens * european_delta(True, market, strike, years)


def repay(tokens: Column, strike: Column, price_at_expiry: Column) -> Repayment:
    """Settle the loan at expiry."""
    exercised = np.greater(price_at_expiry, strike)
    gain = np.subtract(price_at_expiry, strike)
    return Repayment(
        exercised,
        np.where(exercised, 0.0, tokens),
        np.where(exercised, np.multiply(tokens, strike), 0.0),
        np.where(exercised, tokens * gain, 0.0),
    )
