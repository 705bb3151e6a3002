"""What agents see of a perpetual: the book as on a spot exchange, and the terms of leverage.

Prices are quote per base, rates plain fractions, times seconds. Positions and margins are columns
of the ledger: `balances[account, contract_column]` in lots, long above 0, and
`balances[account, margin_column]` in atoms of the claim. Equity is read when asked for.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from markets.derivatives.contract_form import ContractForm
from markets.derivatives.pnl import basis_annual
from markets.kernel import kernel
from markets.spot.book import BookArrays, newest_slot, order_id
from markets.spot.order_book import BookView

if TYPE_CHECKING:
    from markets.derivatives.perpetual import Perpetual


@dataclass(frozen=True)
class PerpetualView(BookView):
    """The book's quotes and orders, mark and index, funding and margin."""

    mark: float
    index_price: float
    premium: float
    """Premium sample of this step."""
    funding_rate: float
    """Rate of the last stamp, paid by longs to shorts when above 0."""
    seconds_to_funding: float
    contract_column: int
    margin_column: int
    initial_margin_rate: float
    maintenance_margin_rate: float
    """Rate of the lowest bracket."""
    form: ContractForm
    """What a lot is; `form.to_lots(size_base, price)` and back, for inverse contracts too."""
    seconds_to_expiry: float
    """Infinite for a perpetual, 0 once it has settled."""

    @property
    def basis_annual(self) -> float:
        """Mark over index as a plain rate a year; NaN for a perpetual and once it has settled."""
        if not 0.0 < self.seconds_to_expiry < math.inf:
            return math.nan
        days = self.seconds_to_expiry / 86_400.0
        return float(basis_annual(self.mark, self.index_price, days))

    def equity(self, accounts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Claims and positions of the accounts at the mark, in quote units, as they are now.

        In a clearing house, all that they have there; of one whose margin here is isolated, that.
        """
        return cast("Perpetual", cast(Any, self._venue)).equity(accounts)

    def newest_orders(self, accounts: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `BookView.newest_orders`."""
        orders = np.empty(len(accounts), np.int64)
        _newest_orders(self._book().arrays, accounts, orders)
        return orders

    def depth(self, side: int, distance: float = 0.01) -> float:
        """See `BookView.depth`; an inverse contract's lots count at the mid."""
        if np.isnan(self.mid):
            return float("nan")
        mid_ticks = (self.bid_ticks + self.ask_ticks) / 2
        edge = mid_ticks * (1 - side * distance)
        lots = self.depth_lots(side, int(np.ceil(edge) if side > 0 else np.floor(edge)))
        return float(self.form.to_base(lots, self.mid))


@kernel()
def _newest_orders(
    book: BookArrays, accounts: NDArray[np.int64], orders: NDArray[np.int64]
) -> None:
    """The id of the order that each account placed last among those that rest, or -1."""
    for place in range(accounts.size):
        slot = newest_slot(book, accounts[place])
        orders[place] = order_id(book, slot) if slot > 0 else -1
