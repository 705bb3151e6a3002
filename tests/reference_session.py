"""The same messages through a venue and through its plain reference, compared after each."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from markets.intents import BUY, INTENT, SELL
from markets.outcomes import Code
from markets.spot.call_auction import CallAuction
from markets.spot.fees import Tier
from markets.spot.order_book import BookView, OrderBook
from markets.spot.phases import Period
from markets.venue import Moment
from tests.reference.order_book import ReferenceBook, Rules
from tests.trading_floor import GRID, Floor

TIERS = (Tier(volume=1.0, maker_fee_ppm=-200, taker_fee_ppm=300),)
RATES = [(100, 500), (-200, 300), (-200, 400), (7_000, 300), (0, 200)]
"""Rates by trader where there are tiers."""


def params_of(rules: Rules) -> dict[str, Any]:
    """The venue's parameters for rules of the reference; a step lasts a second."""
    calls = {"interval_steps": rules.call_interval, "keep": rules.keeps}
    return (calls if rules.call_interval else {}) | {
        "priority": "pro_rata" if rules.pro_rata else "time",
        "minimum_size": rules.minimum_lots * 0.1,
        "maximum_open_orders": rules.most_orders,
        "price_band": rules.band_ppm / 1e6,
        "band_around": "mid" if rules.around_mid else "last",
        "opening": rules.opening_ticks * 0.07 if rules.opening_ticks > 0 else 0.0,
        "call_collar": rules.collar_ppm / 1e6,
        "outage": "queue" if rules.queues else "reject",
        "interruption_move": rules.move_ppm / 1e6,
        "interruption_window_seconds": float(max(rules.window_steps, 1)),
        "interruption_seconds": float(max(rules.interruption_steps, 1)),
        "periods": [
            Period(phase=phase, start_seconds=step, end_seconds=step + 1)
            for step, phase in rules.phases.items()
        ],
    }


@dataclass
class Session:
    """A venue and its reference under the same rules, with five traders of little money."""

    floor: Floor
    reference: ReferenceBook
    serial_of: dict[int, int] = field(default_factory=dict)
    batches: list[list[np.ndarray]] = field(default_factory=lambda: [[]])
    """Messages of each step."""
    fills: list[tuple[int, ...]] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    """Last prices as the venue was looked at."""

    @classmethod
    def open(
        cls,
        fees: tuple[int, int] = (100, 500),
        self_trade: str = "cancel_newest",
        wealth: tuple[float, float] = (25.0, 170.0),
        tiered: bool = False,
        **rules,
    ) -> "Session":
        """Fees in ppm of maker and taker, wealth in base and quote, and fields of `Rules`."""
        plain = Rules(**rules)
        kind = CallAuction if plain.call_interval else OrderBook
        params = params_of(plain) | {"self_trade": self_trade, "tiers": TIERS if tiered else ()}
        floor = Floor(kind, 5, *wealth, maker_fee_ppm=fees[0], taker_fee_ppm=fees[1], **params)
        if tiered:
            plain.rates = dict(zip(floor.traders, RATES, strict=True))
            floor.venue.fee_tiers.rates[floor.rows] = RATES
        balances = {row: [floor.coin(row), floor.cash(row)] for row in floor.traders}
        grid = (GRID.lot_atoms, GRID.notional_atoms)
        return cls(floor, ReferenceBook(balances, *grid, *fees, self_trade, rules=plain))

    @property
    def messages(self) -> np.ndarray:
        """All that was sent."""
        return np.concatenate([intent for batch in self.batches for intent in batch])

    @property
    def ids(self) -> list[int]:
        return list(self.serial_of)

    def id_of(self, serial: int) -> int:
        return next(order for order, known in self.serial_of.items() if known == serial)

    def send(
        self, action, trader, side, size_lots, limit_ticks, order, flags, special=(0, 0, 0)
    ) -> Code:
        account = self.floor.traders[trader]
        row = (action, 0, account, side, size_lots, limit_ticks, order, flags, 0, 0, *special)
        intent = np.array([row], INTENT)
        self.batches[-1].append(intent)
        moment = Moment(self.reference.step, float(self.reference.step), 1.0)
        got = Code(self.floor.venue.execute(intent, moment)[0])
        terms = (side, size_lots, limit_ticks, flags, *special)
        message = (action, account, self.serial_of.get(order, -1), *terms)
        assert got == self.reference.receive(message)
        self.compare()
        return got

    def advance(self) -> None:
        """Go on to the next step on both sides."""
        self.batches.append([])
        step = self.reference.step
        self.floor.venue.clear(Moment(step, float(step), 1.0))
        self.reference.end_step()
        self.compare()
        step += 1
        self.reference.begin_step(step)
        self.floor.venue.accrue(Moment(step, float(step), 1.0))
        assert self.floor.venue.last_call == self.reference.last_call
        self.compare()

    def meet(self, order: int, serial: int) -> None:
        """An id stands for one order of the reference from when it is first seen."""
        if order not in self.serial_of:
            assert serial not in self.serial_of.values()
        assert self.serial_of.setdefault(order, serial) == serial

    def compare(self) -> None:
        """Phase, fills, balances, and all that rests or waits."""
        assert self.floor.venue.phase.name.lower() == self.reference.phase
        fills = self.floor.venue.drain_fills()
        assert len(fills) == len(self.reference.fills)
        for order, expected in zip(fills["maker_order"], self.reference.fills, strict=True):
            self.meet(int(order), expected[2])
        fills["maker_order"] = [self.serial_of[order] for order in fills["maker_order"].tolist()]
        assert [fill[:-1] for fill in fills.tolist()] == self.reference.fills
        self.fills += self.reference.fills
        self.reference.fills.clear()
        escrow, fees = self.floor.venue.accounts.tolist()
        for row in self.floor.traders:
            assert [self.floor.coin(row), self.floor.cash(row)] == self.reference.balances[row]
        assert [self.floor.coin(escrow), self.floor.cash(escrow)] == self.reference.escrow
        assert self.floor.cash(fees) == self.reference.fees_atoms >= 0
        self.compare_queues()

    def compare_queues(self) -> None:
        """Every resting order, at its place in the queue, with its id, owner and size; stops."""
        book = self.floor.venue.book
        for side in (BUY, SELL):
            got = []
            for price_ticks in book.levels(side, 10_000)[0].tolist():
                slot = int(book.arrays.levels[(1 - side) // 2, price_ticks]["first"])
                while slot:
                    order = book.arrays.orders[slot].tolist()
                    order_id = slot + (order[10] << 32)
                    hidden = int(book.arrays.clauses[slot]["hidden_lots"]) if order[11] & 1 else 0
                    got.append((order_id, order[4], price_ticks, order[1], hidden))
                    slot = order[7]
            expected = self.reference.side(side)
            assert len(got) == len(expected)
            for order, plain in zip(got, expected, strict=True):
                self.meet(order[0], plain.serial)
                assert order[1:] == (
                    plain.account, plain.price_ticks, plain.left_lots, plain.hidden_lots
                )  # fmt: skip
        assert self.floor.venue.stops.count == len(self.reference.stops)
        for trader in self.floor.traders if self.reference.stops else ():
            ids = self.floor.venue.own_stops(trader)[0].tolist()
            own = [stop for stop in self.reference.stops if stop.account == trader]
            assert len(ids) == len(own)
            for order_id, stop in zip(ids, own[::-1], strict=True):
                self.meet(order_id, stop.serial)

    def compare_books(self) -> None:
        """Everything once more, what the venue says of itself, and what agents see of it."""
        self.floor.market.check()
        self.floor.venue.audit()
        self.compare_escrow()
        self.compare_view()

    def compare_view(self) -> None:
        """Levels, depth, imbalance, own places in the queue, last trades, the call to come."""
        plain, now = self.reference, float(self.reference.step)
        view = self.floor.venue.observe(Moment(plain.step, now, 1.0))
        self.closes.append(plain.last_ticks)
        returns = np.diff(np.log([ticks for ticks in self.closes[-101:] if ticks > 0]))
        if len(returns):
            assert view.realised_volatility() == pytest.approx(float((returns**2).sum() ** 0.5))
        rows = view.trades(20)[["taker", "maker", "side", "price_ticks", "size_lots"]].tolist()
        assert rows == [(fill[0], fill[1], *fill[3:6]) for fill in self.fills[-20:]]
        shown = {BUY: view.bids(3), SELL: view.asks(3)}
        for side, levels in shown.items():
            lots: dict[int, int] = {}
            for order in plain.side(side):
                lots[order.price_ticks] = lots.get(order.price_ticks, 0) + order.left_lots
            assert (
                list(zip(*(column.tolist() for column in levels), strict=True))
                == (list(lots.items())[:3])
            )
        bid_lots, ask_lots = (int(shown[side].size_lots.sum()) for side in (BUY, SELL))
        if bid_lots + ask_lots:
            expected = (bid_lots - ask_lots) / (bid_lots + ask_lots)
            assert view.imbalance(3) == pytest.approx(expected)
        self.compare_queue_places(view)
        if plain.phase != "continuous":
            assert view.indicative == plain.call_price()
            assert np.isnan([view.mid, view.depth(BUY)]).all()
        elif bid_lots and ask_lots:
            self.compare_depth(view)

    def compare_depth(self, view: BookView) -> None:
        """Lots no further than 0.1, 1 and 2 % from the middle, counted order by order."""
        sides = {side: self.reference.side(side) for side in (BUY, SELL)}
        twice_mid = sides[BUY][0].price_ticks + sides[SELL][0].price_ticks
        for side, per_mille in ((side, part) for side in sides for part in (1, 10, 20)):
            lots = sum(
                order.left_lots
                for order in sides[side]
                if abs(2 * order.price_ticks - twice_mid) * 1_000 <= per_mille * twice_mid
            )
            assert view.depth(side, per_mille / 1_000) == pytest.approx(lots * GRID.lot_size)

    def compare_queue_places(self, view: BookView) -> None:
        """What each owner has in the book, and the lots before it."""
        for trader in self.floor.traders:
            own, ahead = view.open_orders(trader), view.queue_ahead(trader).tolist()
            got = {
                self.serial_of[order]: tuple(place)
                for order, *place in zip(*(column.tolist() for column in own), ahead, strict=True)
            }
            expected, lots = {}, dict[tuple[int, int], int]()
            for order in self.reference.orders:
                level = (order.side, order.price_ticks)
                if order.account == trader:
                    expected[order.serial] = (*level, order.left_lots, lots.get(level, 0))
                lots[level] = lots.get(level, 0) + order.left_lots
            assert got == expected

    def compare_escrow(self) -> None:
        """What each owner still has in escrow, and that the holder holds just that."""
        for asset, escrow in enumerate(self.floor.venue.escrowed()):
            held = dict.fromkeys(self.floor.traders, 0)
            for order in self.reference.orders:
                held[order.account] += self.reference.escrowed(order)[asset]
            got = dict.fromkeys(self.floor.traders, 0)
            for account, atoms in zip(*(column.tolist() for column in escrow[2:]), strict=True):
                got[account] += atoms
            assert got == held
            balance = self.floor.market.ledger.balances[escrow.holder, escrow.column]
            assert balance == sum(held.values())
