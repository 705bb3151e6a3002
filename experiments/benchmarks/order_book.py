"""How fast the order book matches and settles: messages a second on one core.

The stream is the common one for order books: 50 % passive limits, 5 % crossing limits, 10 % market
orders, 35 % cancels of live orders, on a book filled before with so many orders a side. It is
recorded once, untimed, from a live session, so that every cancel names an order that rests at that
moment; then it is replayed from the same starting state. Timed is everything that the venue does:
matching, balances, escrow, fees on both sides, the fill record; without money, the same stream goes
through a `MatchingBook`. Accounts: 100, drawn at random.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.figure import Figure, best_seconds
from markets.assets import MAX_ATOMS, Asset, Instrument
from markets.exchange import Exchange
from markets.intents import BUY, CANCEL, INTENT, MARKET, PLACE, SELL
from markets.market import Market
from markets.outcomes import FILL, Code
from markets.spot.book import Book, BookArrays
from markets.spot.matching_book import MatchingBook
from markets.spot.order_book import OrderBook
from markets.spot.settlement import SelfTrade
from markets.venue import Moment

MESSAGES = 100_000
SIDES = (100, 1_000, 10_000)
_ACCOUNTS = 100
MID_TICKS = 1_000_000
NOW = Moment(step=0, seconds=0.0, step_seconds=1.0)
_GRID = Instrument(Asset("BASE", 6), Asset("QUOTE", 6), tick_size=0.01, lot_size=0.001)


@dataclass
class Session:
    """A venue in a known state, and the messages that follow."""

    venue: OrderBook
    market: Market
    stream: NDArray[np.void]
    book: Book
    balances: NDArray[np.int64]
    tally: NDArray[np.int64]
    passive: NDArray[np.void]

    def rewind(self) -> None:
        """Back to the state before the stream."""
        arrays = self.venue.book.arrays
        pairs: Any = zip(arrays, self.book.arrays, strict=True)
        for live, kept in pairs:
            _restore(live, kept)
        self.market.ledger.balances[...] = self.balances
        self.venue._tally[...] = self.tally
        self.venue.forget()


def record(a_side: int, messages: int, fees_ppm: tuple[int, int] = (100, 500)) -> Session:
    """Fill a book with `a_side` orders on each side and record a stream of messages on it."""
    venue = OrderBook(
        "book",
        "exchange",
        _GRID,
        OrderBook.Params(maker_fee_ppm=fees_ppm[0], taker_fee_ppm=fees_ppm[1], self_trade="allow"),
    )
    market = Market([Exchange("exchange")], [venue])
    accounts = market.open_accounts("traders", "exchange", _ACCOUNTS)
    for asset in ("BASE", "QUOTE"):
        market.ledger.issue(accounts, asset, MAX_ATOMS // (2 * _ACCOUNTS))
    market.begin()
    rng = np.random.default_rng(1)
    venue.book.ensure(2 * a_side + messages, 2 * MID_TICKS)
    venue._fill_buffer = np.zeros(4 * a_side + 4_096, FILL)
    venue._lay()
    passive = _passive(a_side, accounts, rng)
    venue.execute(passive, NOW)
    book = Book()
    book.arrays = BookArrays._make(array.copy() for array in venue.book.arrays)
    kept = (book, market.ledger.balances.copy(), venue._tally.copy())
    return Session(venue, market, _live_stream(venue, accounts, messages, rng), *kept, passive)


def _restore(live: NDArray[Any], kept: NDArray[Any]) -> None:
    """Copy bytes: NumPy copies records field by field."""
    live.view(np.uint8).reshape(-1)[:] = kept.view(np.uint8).reshape(-1)


def _rows(count: int) -> NDArray[np.void]:
    rows = np.zeros(count, INTENT)
    rows["action"] = PLACE
    return rows


def _passive(
    a_side: int, accounts: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.void]:
    """Orders that do not cross, both sides in turn."""
    rows = _rows(2 * a_side)
    rows["account"] = rng.choice(accounts, 2 * a_side)
    rows["side"] = np.tile([BUY, SELL], a_side)
    rows["size"] = rng.integers(1, 11, 2 * a_side)
    rows["limit"] = MID_TICKS - rows["side"] * rng.integers(1, _spread_ticks(a_side), 2 * a_side)
    return rows


def _spread_ticks(a_side: int) -> int:
    """About five orders a price."""
    return max(a_side // 5, 20)


def _live_stream(
    venue: OrderBook, accounts: NDArray[np.int64], messages: int, rng: np.random.Generator
) -> NDArray[np.void]:
    """Draw messages one by one, executing each, so that the next one fits the book."""
    stream = _rows(messages)
    stream["account"] = rng.choice(accounts, messages)
    stream["side"] = rng.choice([BUY, SELL], messages)
    stream["size"] = rng.integers(1, 11, messages)
    kinds = rng.random(messages)
    depths = rng.integers(1, _spread_ticks(venue.book.count // 2), messages).tolist()
    orders = venue.book.arrays.orders
    resting = np.flatnonzero(orders["side"])
    live = list(
        zip(venue.book.ids(resting).tolist(), orders["account"][resting].tolist(), strict=True)
    )
    picks = rng.random(messages).tolist()
    for number, kind in enumerate(kinds.tolist()):
        message = stream[number : number + 1]
        if kind < 0.35 and live:
            order, account = _take_live(venue, live, picks[number])
            message["action"], message["account"], message["order"] = CANCEL, account, order
        elif kind < 0.45:
            message["flags"] = MARKET
        else:
            side = int(message["side"][0])
            message["limit"] = _limit_ticks(venue.book, side, depths[number], kind < 0.50)
        code = venue.execute(message, NOW)[0]
        if code == Code.RESTING:
            account = int(message["account"][0])
            slot = venue.book.arrays.heads[account : account + 1]
            live.append((int(venue.book.ids(slot)[0]), account))
    return stream


def _limit_ticks(book: Book, side: int, depth_ticks: int, crosses: bool) -> int:
    best, opposite = (book.bid_ticks, book.ask_ticks)[::side]
    if crosses:
        return (opposite if opposite >= 0 else MID_TICKS) + 2 * side
    inside = opposite if opposite >= 0 else best if best >= 0 else MID_TICKS
    return inside - side * depth_ticks


def _take_live(venue: OrderBook, live: list[tuple[int, int]], pick: float) -> tuple[int, int]:
    """A random order that still rests; those that were filled meanwhile are dropped."""
    orders = venue.book.arrays.orders
    while True:
        place = int(pick * len(live))
        live[place], live[-1] = live[-1], live[place]
        order, account = live.pop()
        row = orders[order & (2**32 - 1)]
        if (row["side"] and row["generation"] == order >> 32) or not live:
            return order, account


def _rate(session: Session) -> float:
    """Messages a second when the whole stream is one batch."""

    def run() -> None:
        session.venue.execute(session.stream, NOW)

    return len(session.stream) / best_seconds(run, session.rewind)


def matching_rate(session: Session, batches: list[NDArray[np.void]]) -> float:
    """Messages a second of a book without money, in the state before the stream."""
    books: list[MatchingBook] = []

    def prepare() -> None:
        book = MatchingBook(len(session.market.ledger.owner), SelfTrade.ALLOW)
        book.book.ensure(len(session.passive) + len(session.stream), 2 * MID_TICKS)
        book.execute(session.passive)
        books[:] = [book]

    def run() -> None:
        for batch in batches:
            books[0].execute(batch)

    return sum(map(len, batches)) / best_seconds(run, prepare)


def _rate_one_by_one(session: Session, count: int) -> float:
    """Messages a second when each is a call from Python."""
    names = ("action", "account", "side", "size", "limit", "flags", "order")
    messages = list(zip(*(session.stream[name][:count].tolist() for name in names), strict=True))
    place, cancel = session.venue.place, session.venue.cancel

    def run() -> None:
        for action, account, side, lots, ticks, flags, order in messages:
            if action == PLACE:
                place(account, side, lots, ticks, flags)
            else:
                cancel(account, order)

    return count / best_seconds(run, session.rewind, 3)


def _bytes_an_order(session: Session) -> float:
    """Memory of the arrays that grow with resting orders, for each that they can hold."""
    arrays = session.venue.book.arrays
    return (arrays.orders.nbytes + arrays.clauses.nbytes) / len(arrays.orders)


def measure(scale: float = 1.0, peers: bool = False) -> list[Figure]:
    """Rates in batch by book size, with money and without, one message a call; peers if asked."""
    messages = max(int(MESSAGES * scale), 1_000)
    unit, rates, found = "messages/s", {}, []
    for a_side in (*SIDES, max(int(1_000_000 * scale) // 2, 20_000)):
        session = record(a_side, messages)
        name = f"order book, {a_side} a side"
        rates[a_side] = _rate(session)
        found.append(Figure(f"{name}, batch", rates[a_side], unit, 10e6, "with fees"))
        if a_side == 1_000:
            rate = _rate_one_by_one(session, min(messages, 20_000))
            found.append(Figure(f"{name}, one message a call", rate, unit, 100e3, "with fees"))
            rate = matching_rate(session, [session.stream])
            found.append(Figure(f"{name}, batch, matching only", rate, unit, 20e6, "no money"))
    flat = max(rates.values()) / min(rates.values())
    found.append(Figure("order book, fastest / slowest size", flat, "times", None, "2 or less"))
    memory = _bytes_an_order(session)
    found.append(Figure("order book, memory a resting order", memory, "bytes", None, "below 100"))
    if peers:
        from experiments.benchmarks.peers import figures

        found += figures(scale)
    return found
