"""An order-book exchange for one instrument: the venue around the book and its matching loop.

Price-time priority, limit orders (good till cancel, immediate or cancel, post only) and market
orders, fees in quote on both sides, everything settled on the ledger at once. Two accounts belong
to the venue: escrow, which holds exactly what resting orders need, and fees. Sizes are whole lots,
prices whole ticks. An order that meets one of its own account is cancelled as far as it is
unfilled (`cancel_newest`); or the resting one is (`cancel_oldest`); or they trade (`allow`).

Rounding and who gains it: see `markets.spot.matching`. Not atomic: a trade moves balances of any
maker, so the venue takes no part in bundles. Left out: auctions, halts, price bands, fee tiers.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from markets import params
from markets.assets import Asset, Instrument
from markets.errors import BrokenInvariant, FathomError
from markets.outcomes import FILL, Fills, Flows, fee_flows
from markets.rounding import PPM
from markets.spot.audit import faults
from markets.spot.book import ASK_LOTS, BEST_ASK, BEST_BID, MAX_PRICE_TICKS, NO_PRICE, Book
from markets.spot.matching import (
    FILLED_ROWS,
    HELD_QUOTE_ATOMS,
    LAST_TICKS,
    TRADES,
    VOLUME_LOTS,
    Batch,
    SelfTrade,
    Terms,
    execute_batch,
)
from markets.venue import Escrow, Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market

_DEPTH = 0.01
"""Depth is measured within this fraction of the mid."""


class Levels(NamedTuple):
    """Prices of one side, best first, and what rests there."""

    price_ticks: NDArray[np.int64]
    size_lots: NDArray[np.int64]


class OpenOrders(NamedTuple):
    """An account's resting orders, newest first."""

    order: NDArray[np.int64]
    side: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    remaining_lots: NDArray[np.int64]


@dataclass(frozen=True)
class BookView:
    """The book as agents see it; NO_PRICE (-1) where a side is empty or nothing has traded.

    Depth and orders are read from the live book when asked for, so only before the next batch.
    """

    index: int
    instrument: Instrument
    bid_ticks: int
    ask_ticks: int
    last_ticks: int
    volume_lots: int
    """Lots traded during the step before."""
    _venue: "OrderBook"
    _batches: int

    @property
    def bid(self) -> float:
        """Best bid in quote per base, NaN without."""
        return _price(self.instrument, self.bid_ticks)

    @property
    def ask(self) -> float:
        """Best ask in quote per base, NaN without."""
        return _price(self.instrument, self.ask_ticks)

    @property
    def mid(self) -> float:
        """Halfway between bid and ask, NaN where a side is empty."""
        return (self.bid + self.ask) / 2

    @property
    def last(self) -> float:
        """Price of the last trade in quote per base, NaN before the first."""
        return _price(self.instrument, self.last_ticks)

    @cached_property
    def newest_order(self) -> list[int]:
        """By account (ledger row): id of the latest own order that rests, -1 without."""
        orders: list[int] = self._book().newest_orders().tolist()
        return orders

    def newest_orders(self, accounts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same as a column, for some accounts only."""
        return self._book().newest_orders(accounts)

    def bids(self, levels: int = 10) -> Levels:
        """The best bids."""
        return Levels(*self._book().levels(1, levels))

    def asks(self, levels: int = 10) -> Levels:
        """The best asks."""
        return Levels(*self._book().levels(-1, levels))

    def depth_lots(self, side: int, limit_ticks: int) -> int:
        """Lots resting on a side at the limit or better."""
        return self._book().lots_within(side, limit_ticks)

    def open_orders(self, account: int) -> OpenOrders:
        """The account's resting orders as columns."""
        order, rows = self._book().own_orders(account)
        side = rows["side"].astype(np.int64)
        return OpenOrders(order, side, rows["price_ticks"], rows["remaining_lots"])

    def _book(self) -> Book:
        if self._venue.batches != self._batches:
            raise FathomError(f"{self._venue.name}: this view is of a book that has moved on")
        return self._venue.book


class OrderBook(Venue):
    """A spot exchange with a central limit order book."""

    class Params(params.Params):
        """Fees in parts per million of the notional, below 0 a rebate; the self-trade rule."""

        maker_fee_ppm: int = Field(default=0, ge=-500_000, le=500_000)
        taker_fee_ppm: int = Field(default=0, ge=0, le=500_000)
        self_trade: Literal["cancel_newest", "cancel_oldest", "allow"] = "cancel_newest"

        @model_validator(mode="after")
        def _rebate_is_earned(self) -> "OrderBook.Params":
            if self.maker_fee_ppm + self.taker_fee_ppm < 0:
                raise ValueError("maker_fee_ppm must not give back more than taker_fee_ppm takes")
            return self

    def __init__(
        self, name: str, domain: str, instrument: Instrument, params: Params | None = None
    ) -> None:
        super().__init__()
        self.name, self.domain, self.instrument = name, domain, instrument
        self.params = params or self.Params()
        self.book = Book()
        self.batches = 0
        self._fill_buffer: Fills = np.empty(4096, FILL)
        self._tally = np.zeros(5, np.int64)
        self._tally[LAST_TICKS] = NO_PRICE
        self._volume_lots, self._trades = 0, 0
        self._without_flows: list[Fills] = []

    def columns(self) -> tuple[Asset, ...]:
        return self.instrument.base, self.instrument.quote

    def open(self, market: "Market") -> None:
        self._ledger = market.ledger
        self.accounts = market.open_accounts(self.name, self.domain, 2)
        escrow, fees = self.accounts.tolist()
        self._terms = Terms(
            base_column=market.ledger.column[self.instrument.base.name],
            quote_column=market.ledger.column[self.instrument.quote.name],
            escrow_row=escrow,
            fee_row=fees,
            lot_atoms=self.instrument.lot_atoms,
            notional_atoms=self.instrument.notional_atoms,
            maker_fee_ppm=self.params.maker_fee_ppm,
            taker_fee_ppm=self.params.taker_fee_ppm,
            self_trade=int(SelfTrade[self.params.self_trade.upper()]),
        )

    def begin(self) -> None:
        """Take up the ledger and admit the accounts of this domain."""
        ledger = self._ledger
        self._balances = ledger.balances
        self.book.ensure(accounts=len(ledger.owner))
        elsewhere = ledger.domain != ledger.domain_names.index(self.domain)
        self.book.bar(np.union1d(np.flatnonzero(elsewhere), self.accounts))

    def observe(self, moment: Moment) -> BookView:
        state, tally = self.book.arrays.state, self._tally.tolist()
        volume_lots = tally[VOLUME_LOTS] - self._volume_lots
        self._volume_lots, self._trades = tally[VOLUME_LOTS], tally[TRADES]
        return BookView(
            self.index,
            self.instrument,
            int(state[BEST_BID]),
            int(state[BEST_ASK]),
            tally[LAST_TICKS],
            volume_lots,
            self,
            self.batches,
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        self.batches += 1
        intents = np.ascontiguousarray(intents)
        codes = np.empty(len(intents), np.int64)
        done = 0
        while True:
            batch = Batch(intents, codes, self._fill_buffer, self._tally)
            done = execute_batch(self.book.arrays, self._balances, self._terms, batch, done)
            self._collect()
            if done == len(intents):
                return codes
            self._make_room(len(intents) - done, int(intents[done]["limit"]))

    def _collect(self) -> None:
        """Keep the fills of the buffer for the record."""
        count = self._tally[FILLED_ROWS]
        if count:
            fills = self._fill_buffer[:count].copy()
            self._fills.append(fills)
            self._without_flows.append(fills)
            self._tally[FILLED_ROWS] = 0

    def _make_room(self, rows: int, limit_ticks: int) -> None:
        """Grow whatever the next row may need."""
        self.book.ensure(min(rows, self.book.count + 1024), min(limit_ticks, MAX_PRICE_TICKS) + 1)
        if len(self._fill_buffer) < 2 * self.book.count:
            self._fill_buffer = np.empty(4 * self.book.count, FILL)

    def forget(self) -> None:
        """See `Venue.forget`."""
        super().forget()
        self._without_flows.clear()

    def drain_flows(self) -> Flows:
        """Fees and rebates since the last call."""
        if self._without_flows:
            fills = np.concatenate(self._without_flows)
            self._flows.append(fee_flows(fills, self._terms.fee_row, self._terms.quote_column))
            self._without_flows.clear()
        return super().drain_flows()

    def check(self) -> None:
        terms, escrow = self._terms, self._balances[self._terms.escrow_row]
        needed_base_atoms = self.book.arrays.state[ASK_LOTS] * terms.lot_atoms
        needed_quote_atoms = self._tally[HELD_QUOTE_ATOMS]
        self._require_held(self.instrument.base, escrow[terms.base_column] - needed_base_atoms)
        self._require_held(self.instrument.quote, escrow[terms.quote_column] - needed_quote_atoms)

    def _require_held(self, asset: Asset, difference_atoms: int) -> None:
        if difference_atoms:
            raise BrokenInvariant(
                "escrow is not what resting orders need",
                self.name,
                asset.name,
                int(difference_atoms),
            )

    def audit(self) -> None:
        """Walk the whole book; raises BrokenInvariant where it contradicts itself or its escrow."""
        self.check()
        for fault in faults(self.book):
            raise BrokenInvariant(fault, self.name, self.instrument.base.name, 0)
        for asset, escrow in zip(self.columns(), self.escrowed(), strict=True):
            held_atoms = self._balances[escrow.holder, escrow.column]
            self._require_held(asset, held_atoms - escrow.atoms.sum())

    def escrowed(self) -> list[Escrow]:
        """The cover of resting orders: base for asks, notional and fee still due for bids."""
        terms, orders = self._terms, self.book.arrays.orders
        asks, bids = orders[orders["side"] < 0], orders[orders["side"] > 0]
        cost_atoms = bids["price_ticks"] * terms.notional_atoms
        due_atoms = cost_atoms * bids["remaining_lots"]
        if terms.maker_fee_ppm > 0:
            due_atoms += _fees_up(cost_atoms * bids["size_lots"], terms.maker_fee_ppm)
            due_atoms -= bids["venue_atoms"]
        return [
            Escrow(
                terms.escrow_row,
                terms.base_column,
                asks["account"].astype(np.int64),
                asks["remaining_lots"] * terms.lot_atoms,
            ),
            Escrow(
                terms.escrow_row, terms.quote_column, bids["account"].astype(np.int64), due_atoms
            ),
        ]

    def measure(self, moment: Moment) -> dict[str, float]:
        book, instrument, tally = self.book, self.instrument, self._tally.tolist()
        bid, ask = _price(instrument, book.bid_ticks), _price(instrument, book.ask_ticks)
        mid_ticks = (book.bid_ticks + book.ask_ticks) / 2
        depth = [math.nan, math.nan]
        if book.bid_ticks >= 0 and book.ask_ticks >= 0:
            depth = [
                instrument.to_base(book.lots_within(1, math.ceil(mid_ticks * (1 - _DEPTH)))),
                instrument.to_base(book.lots_within(-1, math.floor(mid_ticks * (1 + _DEPTH)))),
            ]
        return {
            "mid": (bid + ask) / 2,
            "bid": bid,
            "ask": ask,
            "bid_depth": depth[0],
            "ask_depth": depth[1],
            "volume": instrument.to_base(tally[VOLUME_LOTS] - self._volume_lots),
            "trades": tally[TRADES] - self._trades,
        }


def _fees_up(notional_atoms: NDArray[np.int64], fee_ppm: int) -> NDArray[np.int64]:
    """ceil(notional * fee / 10**6) on columns; see `markets.rounding.ppm_up`."""
    whole, rest = np.divmod(notional_atoms, PPM)
    return whole * fee_ppm - (-(rest * fee_ppm) // PPM)


def _price(instrument: Instrument, price_ticks: int) -> float:
    return float(instrument.to_price(price_ticks)) if price_ticks >= 0 else math.nan
