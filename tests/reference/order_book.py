"""A plain order book with balances: slow, short and meant to be obviously correct.

Every side is a Python list of orders in order of arrival; the best order is searched for each time.
Fees are computed on exact sums by integer ceiling, affordability by bisection. Orders are known by
serial numbers of this book. `ReferenceBook.place` and friends return a `Code`; fills are tuples

    (taker, maker, maker's serial, side, price_ticks, size_lots, base, quote, taker fee, maker fee).
"""

from bisect import bisect_right
from dataclasses import dataclass, field

from markets.intents import BUY, IMMEDIATE_OR_CANCEL, MARKET, POST_ONLY, SELL
from markets.outcomes import Code

LARGEST_ATOMS = 2**62
HIGHEST_TICKS = 2**26 - 1


@dataclass
class Order:
    serial: int
    account: int
    side: int
    price_ticks: int
    left_lots: int
    size_lots: int
    fee_paid_atoms: int = 0


@dataclass
class ReferenceBook:
    """Balances are `[base, quote]` by account; escrow and fees are the venue's own two accounts."""

    balances: dict[int, list[int]]
    lot_atoms: int
    notional_atoms: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    self_trade: str = "cancel_newest"
    escrow: list[int] = field(default_factory=lambda: [0, 0])
    fees_atoms: int = 0
    orders: list[Order] = field(default_factory=list)
    fills: list[tuple[int, ...]] = field(default_factory=list)
    placed: int = 0

    def side(self, side: int) -> list[Order]:
        """Orders of a side by price, then time."""
        own = [order for order in self.orders if order.side == side]
        return sorted(own, key=lambda order: (-side * order.price_ticks, order.serial))

    def cost(self, price_ticks: int, size_lots: int) -> int:
        return price_ticks * size_lots * self.notional_atoms

    def escrowed(self, order: Order) -> list[int]:
        """What has to be held for a resting order."""
        if order.side == SELL:
            return [order.left_lots * self.lot_atoms, 0]
        whole_fee = fee(self.cost(order.price_ticks, order.size_lots), max(self.maker_fee_ppm, 0))
        paid = max(order.fee_paid_atoms, 0)
        return [0, self.cost(order.price_ticks, order.left_lots) + whole_fee - paid]

    def move(self, account: int, base: int, quote: int) -> None:
        self.balances[account][0] += base
        self.balances[account][1] += quote

    def hold(self, account: int, base: int, quote: int) -> None:
        self.move(account, -base, -quote)
        self.escrow[0] += base
        self.escrow[1] += quote

    def cancel(self, account: int, serial: int) -> Code:
        for order in self.orders:
            if order.serial == serial and order.account == account:
                base, quote = self.escrowed(order)
                self.hold(account, -base, -quote)
                self.orders.remove(order)
                return Code.CANCELLED
        return Code.UNKNOWN_ORDER

    def cancel_all(self, account: int) -> Code:
        for order in [order for order in self.orders if order.account == account]:
            self.cancel(account, order.serial)
        return Code.CANCELLED

    def is_valid(self, side: int, size_lots: int, limit_ticks: int, flags: int) -> bool:
        if side not in (BUY, SELL) or size_lots <= 0:
            return False
        if flags & ~(MARKET | IMMEDIATE_OR_CANCEL | POST_ONLY):
            return False
        if flags & POST_ONLY and flags & (MARKET | IMMEDIATE_OR_CANCEL):
            return False
        if flags & MARKET:
            return True
        if not 0 < limit_ticks <= HIGHEST_TICKS:
            return False
        notional_atoms = self.cost(limit_ticks, size_lots)
        return max(notional_atoms, size_lots * self.lot_atoms) <= LARGEST_ATOMS

    def place(self, account: int, side: int, size_lots: int, limit_ticks: int, flags: int) -> Code:
        if not self.is_valid(side, size_lots, limit_ticks, flags):
            return Code.INVALID
        if flags & MARKET:
            return self.place_market(account, side, size_lots)
        opposite = self.side(-side)
        crosses = bool(opposite) and side * (limit_ticks - opposite[0].price_ticks) >= 0
        if crosses and flags & POST_ONLY:
            return Code.WOULD_CROSS
        if not self.covers(account, side, size_lots, limit_ticks, crosses and not flags):
            return Code.INSUFFICIENT_BALANCE
        left_lots, barred = self.take(account, side, size_lots, limit_ticks, None)
        if left_lots == 0:
            return Code.FILLED
        if barred or flags & IMMEDIATE_OR_CANCEL:
            if left_lots < size_lots:
                return Code.PARTLY_FILLED
            return Code.SELF_TRADE if barred else Code.UNFILLED
        self.placed += 1
        order = Order(self.placed, account, side, limit_ticks, left_lots, left_lots)
        self.hold(account, *self.escrowed(order))
        self.orders.append(order)
        return Code.RESTING

    def covers(
        self, account: int, side: int, size_lots: int, limit_ticks: int, may_do_both: bool
    ) -> bool:
        base_atoms, quote_atoms = self.balances[account]
        if side == SELL:
            return base_atoms >= size_lots * self.lot_atoms
        notional_atoms = self.cost(limit_ticks, size_lots)
        dearest = max(self.maker_fee_ppm, self.taker_fee_ppm)
        spare = may_do_both and self.maker_fee_ppm > 0 and self.taker_fee_ppm > 0
        return quote_atoms >= notional_atoms + fee(notional_atoms, dearest) + spare

    def place_market(self, account: int, side: int, size_lots: int) -> Code:
        if not self.side(-side):
            return Code.NO_LIQUIDITY
        resting = len(self.orders)
        base_atoms, quote_atoms = self.balances[account]
        if side == BUY:
            left_lots, barred = self.take(account, BUY, size_lots, HIGHEST_TICKS, quote_atoms)
        else:
            owned_lots = min(size_lots, base_atoms // self.lot_atoms)
            left_lots, barred = self.take(account, SELL, owned_lots, 1, None)
            left_lots += size_lots - owned_lots
        if left_lots == 0:
            return Code.FILLED
        if left_lots < size_lots:
            return Code.PARTLY_FILLED
        if barred:
            return Code.SELF_TRADE
        return Code.INSUFFICIENT_BALANCE if len(self.orders) == resting else Code.UNFILLED

    def take(
        self, account: int, side: int, size_lots: int, limit_ticks: int, purse_atoms: int | None
    ) -> tuple[int, bool]:
        """Trade with the best order again and again; lots left, and whether an own order barred."""
        left_lots, spent_atoms = size_lots, 0
        while left_lots and self.side(-side):
            order = self.side(-side)[0]
            if side * (limit_ticks - order.price_ticks) < 0:
                break
            if order.account == account and self.self_trade == "cancel_newest":
                return left_lots, True
            if order.account == account and self.self_trade == "cancel_oldest":
                self.cancel(account, order.serial)
                continue
            lots = min(left_lots, order.left_lots)
            if purse_atoms is not None:
                lots = self.affordable(order.price_ticks, lots, spent_atoms, purse_atoms)
                if lots == 0:
                    break
            self.trade(account, order, lots, spent_atoms)
            spent_atoms += self.cost(order.price_ticks, lots)
            left_lots -= lots
        return left_lots, False

    def affordable(
        self, price_ticks: int, size_lots: int, spent_atoms: int, purse_atoms: int
    ) -> int:
        """The most lots whose cost and fee, with all that was spent before, the purse covers."""

        def whole_cost(lots: int) -> int:
            notional_atoms = spent_atoms + self.cost(price_ticks, lots)
            return notional_atoms + fee(notional_atoms, self.taker_fee_ppm)

        return bisect_right(range(size_lots + 1), purse_atoms, key=whole_cost) - 1

    def trade(self, taker: int, order: Order, lots: int, spent_atoms: int) -> None:
        base_atoms = lots * self.lot_atoms
        quote_atoms = self.cost(order.price_ticks, lots)
        taker_fee = fee(spent_atoms + quote_atoms, self.taker_fee_ppm)
        taker_fee -= fee(spent_atoms, self.taker_fee_ppm)
        held_before = self.escrowed(order)
        filled_lots = order.size_lots - order.left_lots + lots
        fee_after = fee(self.cost(order.price_ticks, filled_lots), self.maker_fee_ppm)
        maker_fee, order.fee_paid_atoms = fee_after - order.fee_paid_atoms, fee_after
        order.left_lots -= lots
        held_after = self.escrowed(order)
        freed = [before - after for before, after in zip(held_before, held_after, strict=True)]
        self.hold(order.account, -freed[0], -freed[1])
        self.move(order.account, order.side * base_atoms, -order.side * quote_atoms - maker_fee)
        self.move(taker, -order.side * base_atoms, order.side * quote_atoms - taker_fee)
        self.fees_atoms += taker_fee + maker_fee
        if order.left_lots == 0:
            self.orders.remove(order)
        exchanged = (lots, base_atoms, quote_atoms, taker_fee, maker_fee)
        self.fills.append(
            (taker, order.account, order.serial, -order.side, order.price_ticks, *exchanged)
        )


def fee(notional_atoms: int, rate_ppm: int) -> int:
    """ceil(notional * rate)."""
    return -(-notional_atoms * rate_ppm // 1_000_000)
