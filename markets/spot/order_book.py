"""An order-book exchange for one instrument: the venue around the book and its matching loop.

Price-time or pro-rata priority; limit (good till cancel, good till step, immediate or cancel, fill
or kill, post only), market, iceberg, stop and stop-limit orders, amending; fees in quote on both
sides by volume tiers; phases with call auctions, halts, outages and volatility interruptions;
everything settled on the ledger at once. Two accounts belong to the venue: escrow, which holds
exactly what resting orders need, and fees. Sizes are whole lots, prices whole ticks.

Rounding and who gains it: see `markets.spot.settlement`; matching, `markets.spot.matching`; limits
on clients, `markets.spot.entry`; phases, `markets.spot.phases`; stops, `markets.spot.stops`. Not
atomic: a trade moves balances of any maker, so the venue takes no part in bundles. Left out: pegged
orders, trading at the index, odd lots.
"""

from collections import deque
from collections.abc import Callable
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from markets.assets import Asset, Instrument
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import INTENT, cancel, limit_order, stack
from markets.outcomes import FILL, NO_FILLS, Code, Fills, Flows, drained, fee_flows
from markets.rounding import PPM
from markets.spot.auction import NO_CALL, Call, drop_call_orders, outcome, trade_at
from markets.spot.audit import faults
from markets.spot.book import ASK_LOTS, BEST_ASK, BEST_BID, MAX_PRICE_TICKS, NO_PRICE, Book
from markets.spot.book_view import BookView, Levels, OpenOrders, lots_near, price_of
from markets.spot.cover import cover
from markets.spot.desk import Desk
from markets.spot.fees import FeeTiers, Tier
from markets.spot.messages import (
    cancel_one,
    compiled,
    execute_batch,
    expire,
    make_room,
    place_one,
)
from markets.spot.phases import PhaseClock, PhaseParams
from markets.spot.settlement import (
    EXPIRING,
    FILLED_ROWS,
    FIRST_EXPIRY,
    HELD_QUOTE_ATOMS,
    HIDDEN_ASK_LOTS,
    INTERRUPTED,
    LAST_TICKS,
    NEEDED_TICKS,
    NEWEST_ORDER,
    STEP,
    TRADES,
    VOLUME_LOTS,
    Phase,
    SelfTrade,
    blank_tally,
)
from markets.spot.stops import STOP_BIT
from markets.venue import Escrow, Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market

__all__ = ["BookView", "Levels", "OpenOrders", "OrderBook"]

_CONTINUOUS, _OUTAGE = Phase.CONTINUOUS, Phase.OUTAGE
_DEPTH = 0.01
"""Depth is recorded within this fraction of the mid."""


class OrderBook(Venue):
    """A spot exchange with a central limit order book."""

    class Params(PhaseParams):
        """Fees, rules and limits of the exchange."""

        maker_fee_ppm: int = Field(default=0, ge=-500_000, le=500_000)
        """Fee of the order that rested, in ppm of the notional; below 0 a rebate."""
        taker_fee_ppm: int = Field(default=0, ge=0, le=500_000)
        """Fee of the order that came."""
        tiers: tuple[Tier, ...] = ()
        """Fees by volume of the last 30 days."""
        self_trade: Literal["cancel_newest", "cancel_oldest", "cancel_both", "allow"] = (
            "cancel_newest"
        )
        """Which order gives way where an account would trade with itself; in calls none does."""
        priority: Literal["time", "pro_rata"] = "time"
        """Who is filled first at a price."""
        minimum_size: float = Field(default=0.0, ge=0)
        """Least size of an order, in base units; 0: a lot."""
        maximum_open_orders: int = Field(default=0, ge=0)
        """Resting orders of an account; 0: any number."""
        price_band: float = Field(default=0.0, ge=0, le=1000)
        """Part of price by which limits may lie apart; 0: no band."""
        band_around: Literal["last", "mid"] = "last"
        """The price that the band is around."""
        iceberg_parts: int = Field(default=100, ge=1, le=1_000_000)
        """Most parts of an iceberg."""
        opening: float = Field(default=0.0, ge=0)
        """Price that stands for the last trade's before the first; 0: none."""

        @model_validator(mode="after")
        def _rebate_is_earned(self) -> "OrderBook.Params":
            rates = [(self.maker_fee_ppm, self.taker_fee_ppm)]
            rates += [(tier.maker_fee_ppm, tier.taker_fee_ppm) for tier in self.tiers]
            if min(maker for maker, _ in rates) + min(taker for _, taker in rates) < 0:
                raise ValueError("maker_fee_ppm must not give back more than taker_fee_ppm takes")
            volumes = [tier.volume for tier in self.tiers]
            if volumes != sorted(set(volumes)):
                raise ValueError("volumes of tiers must rise")
            return self

    usual_phase = Phase.CONTINUOUS

    def __init__(
        self, name: str, domain: str, instrument: Instrument, params: Params | None = None
    ) -> None:
        super().__init__()
        self.name, self.domain, self.instrument = name, domain, instrument
        self.params = params or self.Params()
        self.book, self.stops = Book(), Book(orders=16, price_range=64)
        self.batches = 0
        self._tiered = bool(self.params.tiers)
        self._interrupts = bool(self.params.interruption_move)
        self.phase, self._in_call = self.usual_phase, False
        self._moment = Moment(0, 0.0, 1.0)
        self.last_call = NO_CALL
        self._clock, self._desk = PhaseClock(self.params), Desk()
        self._address = self._desk.address
        self._queued: list[NDArray[np.void]] = []
        self._fill_buffer: Fills = np.empty(4096, FILL)
        self._tally = blank_tally()
        self._cells: Any = self._tally.data
        self._volume_lots, self._trades = 0, 0
        self._without_flows: list[Fills] = []
        self._uncounted: list[Fills] = []
        self._recent: deque[Fills] = deque(maxlen=64)
        self._closes: deque[int] = deque(maxlen=4096)

    def columns(self) -> tuple[Asset, ...]:
        return self.instrument.base, self.instrument.quote

    def open(self, market: "Market") -> None:
        self._ledger, params = market.ledger, self.params
        self.accounts = market.open_accounts(self.name, self.domain, 2)
        escrow, fees = self.accounts.tolist()
        base_ppm = (params.maker_fee_ppm, params.taker_fee_ppm)
        self.fee_tiers = FeeTiers(base_ppm, params.tiers, self.instrument.quote.scale)
        minimum_atoms = self.instrument.base.to_atoms(params.minimum_size)
        minimum_lots = -(-minimum_atoms // self.instrument.lot_atoms)
        limits = (minimum_lots, params.maximum_open_orders, params.price_band)
        self._opening_ticks = (
            self.instrument.to_ticks(params.opening) if params.opening else NO_PRICE
        )
        if self._opening_ticks == 0:
            raise ConfigError(f"{self.name}.opening", "must be 0 or a tick at least")
        terms = {
            "base_column": market.ledger.column[self.instrument.base.name],
            "quote_column": market.ledger.column[self.instrument.quote.name],
            "escrow_row": escrow,
            "fee_row": fees,
            "lot_atoms": self.instrument.lot_atoms,
            "notional_atoms": self.instrument.notional_atoms,
            "maker_fee_ppm": params.maker_fee_ppm,
            "taker_fee_ppm": params.taker_fee_ppm,
            "self_trade": int(SelfTrade[params.self_trade.upper()]),
            "tiered": self._tiered,
            "pro_rata": params.priority == "pro_rata",
            "limited": any(limits),
            "phase": int(self.phase),
            "minimum_lots": minimum_lots,
            "most_orders": params.maximum_open_orders,
            "band_ppm": round(params.price_band * PPM),
            "band_around_mid": params.band_around == "mid",
            "iceberg_parts": params.iceberg_parts,
            "opening_ticks": self._opening_ticks,
            "guard_low_ticks": 0,
            "guard_high_ticks": MAX_PRICE_TICKS,
            "collar_ppm": round(params.call_collar * PPM),
            "call_low_ticks": NO_PRICE,
            "call_high_ticks": NO_PRICE,
        }
        self._escrow = [(escrow, terms["base_column"]), (escrow, terms["quote_column"])]
        self._terms = self._desk.terms
        for name, value in terms.items():
            self._terms[name] = value
        self._enter(self.phase)

    def begin(self) -> None:
        """Take up the ledger and admit the accounts of this domain."""
        ledger = self._ledger
        self._balances = ledger.balances
        for book in (self.book, self.stops):
            book.ensure(accounts=len(ledger.owner))
        elsewhere = ledger.domain != ledger.domain_names.index(self.domain)
        self.book.bar(np.union1d(np.flatnonzero(elsewhere), self.accounts))
        self.fee_tiers.open(len(ledger.owner))
        self._lay()

    # ------------------------------------------------------------ time

    def accrue(self, moment: Moment) -> None:
        """Orders expire, a day's volumes close, phases begin and end."""
        cells = self._cells
        cells[STEP] = moment.step
        if cells[EXPIRING] and cells[FIRST_EXPIRY] < moment.step:
            self.batches += 1
            expire(self.desk, moment.step)
        if self._tiered:
            self._count_volume()
            self.fee_tiers.advance(moment.seconds)
        phase, before = self._clock.phase(moment), self.phase
        phase = self.usual_phase if phase is _CONTINUOUS else phase
        if phase is not before:
            self._change(phase)
        if self._interrupts and phase is _CONTINUOUS:
            low_ticks, high_ticks = self._clock.guards(moment, cells[LAST_TICKS])
            self._terms.guard_low_ticks, self._terms.guard_high_ticks = low_ticks, high_ticks
        if phase is not before:
            self._take_up(moment)

    def _count_volume(self) -> None:
        self._collect()
        for fills in self._uncounted:
            self.fee_tiers.count(fills)
        self._uncounted.clear()

    def _change(self, phase: Phase) -> None:
        """Leave one phase for another; where trading goes on, a call before it clears."""
        if self._in_call and phase == Phase.CONTINUOUS:
            self.uncross()
            self._in_call = False
            self._clock.cleared()
        self._enter(phase)

    def _take_up(self, moment: Moment) -> None:
        """Stops that a call has reached enter, then messages that waited for its end."""
        if self.phase != Phase.OUTAGE and self._queued:
            waiting = np.concatenate(self._queued)
            self._queued.clear()
            self.execute(waiting, moment)
        if self.phase == Phase.CONTINUOUS and self.stops.count:
            self._carry_out(np.zeros(0, INTENT), moment)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._in_call = self._in_call or phase == Phase.CALL
        last_ticks = int(self._tally[LAST_TICKS])
        reference_ticks = last_ticks if last_ticks >= 0 else self._opening_ticks
        low_ticks, high_ticks = self._clock.call_edges(reference_ticks)
        self._terms.phase = int(phase)
        self._terms.call_low_ticks, self._terms.call_high_ticks = low_ticks, high_ticks

    def halt(self) -> None:
        """Stop trading from the next step on, until `resume`; cancels go on."""
        self._clock.halt(True)

    def resume(self) -> None:
        """Trade again from the next step on."""
        self._clock.halt(False)

    def indicative(self) -> Call:
        """What a call would come to with the orders that rest now."""
        return outcome(self.book.arrays, self._terms, int(self._tally[LAST_TICKS]))

    def uncross(self, keep: bool = True) -> None:
        """Clear the call: trade what can trade at one price, drop what was for this call only."""
        self.batches += 1
        self.last_call = self.indicative()
        while not trade_at(self.desk, self.last_call.price_ticks):
            self._collect()
        self._collect()
        drop_call_orders(self.desk, not keep)
        self._enter(self.phase)

    # ------------------------------------------------------------ the beats of a step

    def observe(self, moment: Moment) -> BookView:
        cells, before_lots = self._cells, self._volume_lots
        self._volume_lots, self._trades = cells[VOLUME_LOTS], cells[TRADES]
        self._closes.append(cells[LAST_TICKS])
        bid_ticks, ask_ticks = self._quotes()
        return BookView(
            self.index,
            self.instrument,
            bid_ticks,
            ask_ticks,
            cells[LAST_TICKS],
            self._volume_lots - before_lots,
            self,
            self.batches,
            _phase=self.phase,
            last_call=self.last_call,
        )

    def _quotes(self) -> tuple[int, int]:
        """Best bid and ask in ticks; only continuous trading has any."""
        if self.phase is not _CONTINUOUS:
            return NO_PRICE, NO_PRICE
        return self._state[BEST_BID], self._state[BEST_ASK]

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        if self.phase is _OUTAGE:
            self.batches += 1
            return self._receive_nothing(intents)
        return self._carry_out(intents, moment)

    def _carry_out(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        self.batches += 1
        self._moment = moment
        intents = np.ascontiguousarray(intents)
        codes = np.empty(len(intents), np.int64)
        cells, done = self._cells, 0
        cells[STEP] = moment.step
        while True:
            done = self._run(intents, codes, done)
            self._collect()
            if cells[INTERRUPTED]:
                self._interrupt(moment)
            elif done == len(intents) and cells[NEEDED_TICKS] == NO_PRICE:
                return codes
            else:
                self._make_room(len(intents) - done)

    def _run(self, intents: NDArray[np.void], codes: NDArray[np.int64], first: int) -> int:
        """Rows from `first` on through the kernel; returns the number done."""
        done: int = execute_batch(self._address, intents, codes, first)
        return done

    def place(
        self, account: int, side: int, size_lots: int, limit_ticks: int, flags: int = 0
    ) -> int:
        """One limit or market order at once, without an intent; returns its code.

        For those who drive a venue by hand, message by message. The id of an order that came to
        rest is `newest_order`. Give integers: other numbers are cut to whole ones, not refused.
        """
        self.batches += 1
        code = self._place_one(self._address, account, side, size_lots, limit_ticks, flags)
        if not code:
            intent = limit_order(self.index, account, side, size_lots, limit_ticks, flags)
            return int(self.execute(stack([intent]), self._moment)[0])
        return code

    def cancel(self, account: int, order: int) -> int:
        """Cancel one order at once; see `place`."""
        self.batches += 1
        code = self._cancel_one(self._address, account, order)
        if not code:
            intent = cancel(self.index, account, order)
            return int(self.execute(stack([intent]), self._moment)[0])
        return code

    @cached_property
    def _place_one(self) -> Callable[..., int]:
        return compiled(place_one)

    @cached_property
    def _cancel_one(self) -> Callable[..., int]:
        return compiled(cancel_one)

    @property
    def newest_order(self) -> int:
        """The id of the order that came to rest last."""
        return int(self._tally[NEWEST_ORDER])

    @property
    def desk(self) -> int:
        """The address of the desk, for kernels that look at the book."""
        return self._desk.address

    def _lay(self) -> int:
        """The address of the desk, with everything on it as it now is.

        Called wherever arrays may have been replaced: at the start, and where room was made.
        """
        self._state = self.book.arrays.state.data
        self._fill_bytes = self._fill_buffer.view(np.uint8).data
        batch = (self._fill_buffer, self._tally, self.fee_tiers.rates, self._balances)
        return self._desk.lay(self.book.arrays, self.stops.arrays, *batch)

    def _receive_nothing(self, intents: NDArray[np.void]) -> NDArray[np.int64]:
        """During an outage messages are refused, or wait for its end."""
        if self.params.outage == "reject":
            return np.full(len(intents), Code.OUTAGE, np.int64)
        self._queued.append(intents.copy())
        return np.full(len(intents), Code.WAITING, np.int64)

    def _interrupt(self, moment: Moment) -> None:
        """A trade would have gone too far: what comes from here on gathers for a call."""
        self._tally[INTERRUPTED] = 0
        self._clock.interrupt(moment)
        self._enter(Phase.CALL)

    def _collect(self) -> None:
        """Keep the fills of the buffer for the record."""
        count = self._cells[FILLED_ROWS]
        if count:
            kept = bytearray(self._fill_bytes[: count * FILL.itemsize])
            fills = np.frombuffer(kept, FILL)  # NumPy would copy records by field
            self._fills.append(fills)
            self._without_flows.append(fills)
            self._recent.append(fills)
            if self._tiered:
                self._uncounted.append(fills)
            self._cells[FILLED_ROWS] = 0

    def _make_room(self, rows: int) -> None:
        """Grow whatever the next row may need."""
        books = (self.book, self.stops)
        self._fill_buffer = make_room(books, self._tally, self._fill_buffer, rows)
        self._lay()

    def forget(self) -> None:
        """See `Venue.forget`."""
        self._collect()
        super().forget()
        self._without_flows.clear()

    def drain_fills(self) -> Fills:
        """The fills since the last call."""
        self._collect()
        return super().drain_fills()

    def drain_flows(self) -> Flows:
        """Fees and rebates since the last call."""
        self._collect()
        if self._without_flows:
            fills = drained(self._without_flows, NO_FILLS)
            self._flows.append(fee_flows(fills, self._terms.fee_row, self._terms.quote_column))
        return super().drain_flows()

    def check(self) -> None:
        cells, held_atoms = self._cells, self._balances.item
        ask_lots = self._state[ASK_LOTS] + cells[HIDDEN_ASK_LOTS]
        base, quote = self._escrow
        self._require_held(0, held_atoms(base), ask_lots * self.instrument.lot_atoms)
        self._require_held(1, held_atoms(quote), cells[HELD_QUOTE_ATOMS])

    def _require_held(self, column: int, held_atoms: int, needed_atoms: int) -> None:
        if held_atoms != needed_atoms:
            raise BrokenInvariant(
                "escrow is not what resting orders need",
                self.name,
                self.columns()[column].name,
                held_atoms - needed_atoms,
            )

    def audit(self) -> None:
        """Walk the whole book; raises BrokenInvariant where it contradicts itself or its escrow."""
        self.check()
        for fault in [*faults(self.book, self._in_call), *faults(self.stops, True)]:
            raise BrokenInvariant(fault, self.name, self.instrument.base.name, 0)
        for column, escrow in enumerate(self.escrowed()):
            held_atoms = self._balances.item(escrow.holder, escrow.column)
            self._require_held(column, held_atoms, int(escrow.atoms.sum()))

    def escrowed(self) -> list[Escrow]:
        """The cover of resting orders: base for asks, notional and fee still due for bids."""
        return cover(self.book.arrays, self._terms)

    def own_stops(self, account: int) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Ids and rows of an account's waiting stops, newest first; sides are exchanged."""
        order, rows = self.stops.own_orders(account)
        return order | STOP_BIT, rows

    def recent_fills(self, count: int) -> Fills:
        """The last fills, oldest first; not all where they came in more than 64 batches."""
        self._collect()
        fills = np.concatenate([np.zeros(0, FILL), *self._recent])
        return fills[len(fills) - min(count, len(fills)) :]

    def closes(self, count: int) -> NDArray[np.float64]:
        """The last price at the end of each of the last steps, without those before any trade."""
        ticks = np.array(self._closes, np.float64)[-count:]
        return ticks[ticks > 0]

    def measure(self, moment: Moment) -> dict[str, float]:
        cells, instrument = self._cells, self.instrument
        bid_ticks, ask_ticks = self._quotes()
        bid, ask = price_of(instrument, bid_ticks), price_of(instrument, ask_ticks)
        bid_depth = ask_depth = nan
        if bid_ticks >= 0 and ask_ticks >= 0:
            bid_lots, ask_lots = lots_near(self._address, _DEPTH)
            bid_depth, ask_depth = instrument.to_base(bid_lots), instrument.to_base(ask_lots)
        return {
            "mid": (bid + ask) / 2,
            "bid": bid,
            "ask": ask,
            "bid_depth": bid_depth,
            "ask_depth": ask_depth,
            "volume": instrument.to_base(cells[VOLUME_LOTS] - self._volume_lots),
            "trades": cells[TRADES] - self._trades,
        }
