"""The liquidation log: one row for each close-out, in units, for people and tables.

`by` says who closed it: the account's own orders, the backstop, the fund, or the backstop unwinding
what it has. `price` is what the lots went for: the average of the orders, or, when they were taken
over, the bankruptcy price, at which the margin that came along pays for them exactly (NaN where no
positive price does). `equity` is the account's at the mark before; below 0 the taker paid it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.contract_form import ContractForm
from markets.derivatives.liquidation_work import ACCOUNT, ATOMS, BY, EQUITY, FEE, LOTS

_STAGES = np.array(["orders", "backstop", "fund", "unwinding"], dtype=object)


@dataclass(frozen=True)
class LiquidationLog:
    """Columns: ledger rows, signed lots, prices, and amounts of the settlement asset."""

    account: NDArray[np.int64]
    by: NDArray[np.object_]
    lots: NDArray[np.int64]
    price: NDArray[np.float64]
    equity: NDArray[np.float64]
    fee: NDArray[np.float64]


def liquidation_log(rows: NDArray[np.int64], form: ContractForm) -> LiquidationLog:
    """The log of close-outs as the kernels wrote them."""
    lots, atoms = rows[:, LOTS].astype(np.float64), rows[:, ATOMS].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if form.is_inverse:
            ticks = -lots * form.notional_atoms / atoms
        else:
            ticks = atoms / (lots * form.notional_atoms)
    price = np.where(np.isfinite(ticks) & (ticks > 0), ticks, np.nan)
    to_units = form.settlement.to_units
    return LiquidationLog(
        rows[:, ACCOUNT],
        _STAGES[rows[:, BY]],
        rows[:, LOTS],
        form.instrument.to_price(price),
        to_units(rows[:, EQUITY]),
        to_units(rows[:, FEE]),
    )
