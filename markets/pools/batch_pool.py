"""Pool that trades in batches at the price it ends at (function-maximising, product form).

    sold x = x/2 - y/(2 p),    paid y = p (x/2 - y/(2 p))

x, y: reserves, p: clearing price (y per x). A negative amount sold is an amount bought. The pool
moves twice as far as a constant product of the same reserves would, and after the trade its own
price is p, so nothing is left to an arbitrageur: the loss becomes surplus of the batch.
Rounding: none; a venue floors what it pays and ceils what it is paid.
Source: Canidio and Fritsch 2023 (arXiv 2307.02074). Left out: the auction that finds p.
"""

from markets.kernel import njit


@njit(cache=True)
def sold_at(reserve_x: float, reserve_y: float, clearing_price_y_per_x: float) -> float:
    """Amount of x the pool sells (negative: buys) at a clearing price."""
    return 0.5 * (reserve_x - reserve_y / clearing_price_y_per_x)
