"""An order that trades at once or not at all, through the best quote by a bounded slippage.

The limit is the best price that the side can have times (1 + side x slippage), on the venue's grid;
what does not fill up to there is cancelled. Takers that must bound what impatience costs use it:
arbitrageurs for their legs, makers for their hedges.
"""

from collections.abc import Sequence

from markets.intents import BUY, IMMEDIATE_OR_CANCEL, Intent, limit_order
from markets.spot.order_book import BookView


def immediate_order(
    book: BookView, account: int, side: int, size: float, slippage: float
) -> Sequence[Intent]:
    """The order as intents, `size` in base units; none without a quote or below a lot."""
    best, instrument = book.ask if side == BUY else book.bid, book.instrument
    lots = instrument.to_lots(size)
    if not best > 0 or lots <= 0:
        return ()
    limit_ticks = instrument.to_ticks(best * (1 + side * slippage))
    return [limit_order(book.index, account, side, lots, limit_ticks, IMMEDIATE_OR_CANCEL)]
