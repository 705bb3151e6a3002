"""Forced close-outs of a pool-based perpetual as rows of the liquidation log, in units.

`by` is pool where an unsafe position was closed at the oracle price, adl where a winner was closed
because his side wins too much. With E what the account was worth at the mark and L what it keeps:

    pool    E - L = fee + backstop + fund         adl    E - L = adl = backstop

fee goes to providers and venue; backstop is what else the providers gain (spread, collateral that
is lost; below 0 the debt that they bear), fund what the impact pool does, adl the profit beyond the
part of the pool that is paid. Nothing is left to be socialised. Amounts are whole atoms until here,
so the rows add up to the atom. Left out: trades that an account makes itself.
"""

from typing import NamedTuple

import numpy as np

from markets.assets import Instrument
from markets.derivatives.liquidation_log import LiquidationLog
from markets.derivatives.pool_perpetual_accounts import Stand
from markets.outcomes import Reason


class PoolCloseOut(NamedTuple):
    """One close-out; amounts in atoms, what is at stake before and after."""

    position: tuple[int, int, int]
    """Account, signed lots and claim."""
    reason: Reason
    mark_ticks: int
    quote_atoms: int
    fee_atoms: int
    stands: tuple[Stand, Stand]


def pool_log(made: list[PoolCloseOut], instrument: Instrument) -> LiquidationLog:
    """The log of some close-outs, in order."""
    account, lots, claim = np.array([row.position for row in made], np.int64).T
    figures = [(row.mark_ticks, row.quote_atoms, row.fee_atoms) for row in made]
    mark_ticks, quote, fee = np.array(figures, np.int64).T
    stands = np.array([row.stands for row in made], np.int64)
    equity, pool, impact, fees = (stands[:, 1] - stands[:, 0]).T
    is_adl = np.array([row.reason is Reason.ADL for row in made])
    bankruptcy = instrument.to_price(-claim / (lots * instrument.notional_atoms))
    size, none = instrument.to_base(np.abs(lots)), np.zeros(len(made))
    units = instrument.quote.to_units
    return LiquidationLog(
        asset=instrument.quote.name,
        account=account,
        by=np.where(is_adl, "adl", "pool").astype(object),
        lots=lots,
        size=size,
        mark=instrument.to_price(mark_ticks),
        price=units(quote) / size,
        bankruptcy_price=np.where(bankruptcy > 0, bankruptcy, np.nan),
        equity=units(stands[:, 0, 0]),
        fee=units(fee),
        book_size=none,
        book=none,
        adl_size=np.where(is_adl, size, 0.0),
        adl=np.where(is_adl, -units(equity), 0.0),
        backstop=units(pool + fees - fee),
        fund=units(impact),
        socialised=none,
    )
