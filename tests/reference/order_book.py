"""A plain order book with balances: slow, short and meant to be obviously correct.

All orders are one Python list in order of arrival; the best order is searched for each time. An
iceberg that shows more moves to the end of the list. Stops are another list, in order of arrival.
Fees are computed on exact sums by integer ceiling, affordability by bisection. Orders are known by
serial numbers of this book. `ReferenceBook.receive` takes a message and returns a `Code`; fills are
tuples

    (taker, maker, maker's serial, side, price_ticks, size_lots, base, quote, taker fee, maker fee).

Time goes in steps. The price that a move is measured from is looked up in a list of what the last
price was as each step began, kept since the last call.
"""

from bisect import bisect_right
from copy import deepcopy
from dataclasses import dataclass, field

from markets.intents import (
    AMEND,
    BUY,
    CANCEL,
    CANCEL_ALL,
    FILL_OR_KILL,
    IMMEDIATE_OR_CANCEL,
    MARKET,
    PLACE,
    POST_ONLY,
    SELL,
)
from markets.outcomes import Code

LARGEST_ATOMS = 2**62
HIGHEST_TICKS = 2**26 - 1
NO_CALL = (-1, 0, 0)
NEVER_RESTS = IMMEDIATE_OR_CANCEL | MARKET | FILL_OR_KILL


@dataclass
class Order:
    serial: int
    account: int
    side: int
    price_ticks: int
    left_lots: int
    size_lots: int
    rate_ppm: int
    fee_paid_atoms: int = 0
    display_lots: int = 0
    hidden_lots: int = 0
    expiry_step: int = 0
    call_only: bool = False
    at_any_price: bool = False

    @property
    def all_lots(self) -> int:
        return self.left_lots + self.hidden_lots


@dataclass
class Stop:
    serial: int
    trigger_ticks: int
    order: tuple[int, ...]

    @property
    def account(self) -> int:
        return self.order[0]


@dataclass
class Rules:
    """What a venue may add: limits of 0 are none."""

    pro_rata: bool = False
    minimum_lots: int = 0
    most_orders: int = 0
    band_ppm: int = 0
    around_mid: bool = False
    opening_ticks: int = -1
    iceberg_parts: int = 100
    collar_ppm: int = 1_000_000
    phases: dict[int, str] = field(default_factory=dict)
    """By step: call, halted or outage; else trading is continuous."""
    queues: bool = False
    """Whether messages of an outage wait for its end."""
    call_interval: int = 0
    """Steps from call to call where nothing else trades; 0: an ordinary order book."""
    keeps: bool = True
    """Whether orders outlive such a call."""
    move_ppm: int = 0
    """A trade further than this from the price `window_steps` ago sets off a call."""
    window_steps: int = 0
    interruption_steps: int = 0
    rates: dict[int, tuple[int, int]] = field(default_factory=dict)


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
    rules: Rules = field(default_factory=Rules)
    stops: list[Stop] = field(default_factory=list)
    last_ticks: int = -1
    step: int = 0
    phase: str = "continuous"
    in_call: bool = False
    edges: tuple[int, int] | None = None
    last_call: tuple[int, int, int] = NO_CALL
    past: list[tuple[int, int]] = field(default_factory=list)
    """Steps and the last price as they began, since the last call."""
    guards: tuple[int, int] = (0, HIGHEST_TICKS)
    interrupted: bool = False
    call_ends: int = 0
    queue: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.rules.call_interval:
            self.enter_phase("call")

    def rates(self, account: int) -> tuple[int, int]:
        return self.rules.rates.get(account, (self.maker_fee_ppm, self.taker_fee_ppm))

    def side(self, side: int) -> list[Order]:
        """Orders of a side by price, then time."""
        own = [order for order in self.orders if order.side == side]
        return sorted(own, key=lambda order: -side * order.price_ticks)

    def cost(self, price_ticks: int, size_lots: int) -> int:
        return price_ticks * size_lots * self.notional_atoms

    def escrowed(self, order: Order) -> list[int]:
        """What has to be held for a resting order."""
        if order.side == SELL:
            return [order.all_lots * self.lot_atoms, 0]
        whole_fee = fee(self.cost(order.price_ticks, order.size_lots), max(order.rate_ppm, 0))
        paid = max(order.fee_paid_atoms, 0)
        return [0, self.cost(order.price_ticks, order.all_lots) + whole_fee - paid]

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
                self.remove(order)
                return Code.CANCELLED
        return Code.UNKNOWN_ORDER

    def remove(self, gone: Order) -> None:
        self.orders = [order for order in self.orders if order is not gone]

    def cancel_stop(self, account: int, serial: int) -> Code:
        for stop in self.stops:
            if stop.serial == serial and stop.account == account:
                self.stops.remove(stop)
                return Code.CANCELLED
        return Code.UNKNOWN_ORDER

    def cancel_all(self, account: int) -> Code:
        for order in [order for order in self.orders if order.account == account]:
            self.cancel(account, order.serial)
        self.stops = [stop for stop in self.stops if stop.account != account]
        return Code.CANCELLED

    def receive(self, message: tuple[int, ...]) -> Code:
        """(action, account, serial, side, lots, limit, flags, trigger, display, expiry)."""
        if self.phase == "outage":
            if self.rules.queues:
                self.queue.append(message)
            return Code.WAITING if self.rules.queues else Code.OUTAGE
        code = self.carry_out(message)
        self.let_in()
        return code

    def carry_out(self, message: tuple[int, ...]) -> Code:
        action, account, serial, side, size_lots, limit_ticks, flags, trigger, *clauses = message
        if action == PLACE:
            return self.place(account, side, size_lots, limit_ticks, flags, *clauses, trigger)
        if action == AMEND:
            return self.amend(account, serial, size_lots, limit_ticks, trigger)
        if action == CANCEL:
            code = self.cancel(account, serial)
            return self.cancel_stop(account, serial) if code == Code.UNKNOWN_ORDER else code
        assert action == CANCEL_ALL
        return self.cancel_all(account)

    def begin_step(self, step: int) -> None:
        """What was good till an earlier step expires; phases change; who waited for that enters."""
        self.step = step
        for order in list(self.orders):
            if 0 < order.expiry_step < step:
                self.cancel(order.account, order.serial)
        self.stops = [stop for stop in self.stops if not 0 < stop.order[6] < step]
        called = "call" if step < self.call_ends or self.rules.call_interval else "continuous"
        phase = self.rules.phases.get(step, called)
        if self.in_call and phase == "continuous":
            self.uncross()
            self.in_call, self.past = False, []
        if phase != self.phase:
            self.enter_phase(phase)
        if phase == "continuous":
            self.guards = self.measured_from(step)
        self.let_in()
        if phase != "outage":
            waiting, self.queue = self.queue, []
            for message in waiting:
                self.receive(message)

    def end_step(self) -> None:
        """Where only calls trade, they clear as steps end."""
        interval = self.rules.call_interval
        if interval and self.phase == "call" and (self.step + 1) % interval == 0:
            self.uncross()
            for order in list(self.orders) if not self.rules.keeps else []:
                self.cancel(order.account, order.serial)
            self.enter_phase("call")

    def enter_phase(self, phase: str) -> None:
        self.phase, self.edges = phase, self.collar()
        self.in_call = self.in_call or phase == "call"

    def measured_from(self, step: int) -> tuple[int, int]:
        """How far a trade of this step may go before it interrupts trading."""
        if not self.rules.move_ppm or self.last_ticks < 0:
            return 0, HIGHEST_TICKS
        self.past.append((step, self.last_ticks))
        old = [ticks for when, ticks in self.past if when <= step - self.rules.window_steps]
        centre = old[-1] if old else self.past[0][1]
        reach = centre * self.rules.move_ppm // 1_000_000
        return centre - reach, centre + reach

    def interrupt(self) -> None:
        """The trade that was about to happen does not; orders gather from here on."""
        self.interrupted = False
        self.call_ends = self.step + self.rules.interruption_steps
        self.enter_phase("call")

    # ------------------------------------------------------------ calls

    def collar(self) -> tuple[int, int] | None:
        centre = self.last_ticks if self.last_ticks >= 0 else self.rules.opening_ticks
        if centre < 0:
            return None
        reach = centre * self.rules.collar_ppm // 1_000_000
        return max(centre - reach, 1), min(centre + reach, HIGHEST_TICKS)

    def outside(self, side: int, limit_ticks: int, edges: tuple[int, int] | None) -> bool:
        """Too eager for a call, or eager only towards orders beyond the other edge."""
        if edges is None:
            return False
        low, high = edges
        if limit_ticks > high if side == BUY else limit_ticks < low:
            return True
        others = [order.price_ticks for order in self.orders if order.side == -side]
        if side == BUY:
            return limit_ticks < low and any(ticks <= limit_ticks for ticks in others)
        return limit_ticks > high and any(ticks >= limit_ticks for ticks in others)

    def gather(self, order: tuple[int, ...]) -> Code:
        account, side, size_lots, limit_ticks, flags, display_lots, expiry_step = order
        if flags & FILL_OR_KILL or size_lots * self.lot_atoms > LARGEST_ATOMS:
            return Code.INVALID
        if flags & MARKET:
            if self.edges is None:
                return Code.NO_LIQUIDITY
            limit_ticks = self.edges[1] if side == BUY else self.edges[0]
            if self.cost(limit_ticks, size_lots) > LARGEST_ATOMS:
                return Code.INVALID
        elif self.outside(side, limit_ticks, self.edges):
            return Code.OUTSIDE_BAND
        if not self.covers(account, side, size_lots, limit_ticks, False):
            return Code.INSUFFICIENT_BALANCE
        resting = self.rest(account, side, size_lots, limit_ticks, display_lots, expiry_step)
        resting.call_only = bool(flags & (MARKET | IMMEDIATE_OR_CANCEL))
        resting.at_any_price = bool(flags & MARKET)
        return Code.RESTING

    def interested(self, side: int, ticks: int) -> int:
        """Lots of a side that would trade at a price."""
        return sum(
            order.all_lots
            for order in self.orders
            if order.side == side
            and (order.at_any_price or side * (order.price_ticks - ticks) >= 0)
        )

    def call_price(self) -> tuple[int, int, int]:
        """Price, volume and surplus: every price that a call may have is tried."""
        low, high = self.edges or (0, HIGHEST_TICKS)
        limits = [(o.side, o.price_ticks) for o in self.orders if not o.at_any_price]
        eager = {min(t, high) if side == BUY else max(t, low) for side, t in limits}
        centre = self.last_ticks if self.last_ticks >= 0 else self.rules.opening_ticks
        tried = {}
        for ticks in sorted(eager | ({centre} if centre >= 0 else set())):
            if low <= ticks <= high:
                demand, supply = self.interested(BUY, ticks), self.interested(SELL, ticks)
                tried[ticks] = (min(demand, supply), demand - supply)
        most = max((volume for volume, _ in tried.values()), default=0)
        if most == 0:
            return NO_CALL
        tried = {ticks: pair for ticks, pair in tried.items() if pair[0] == most}
        least = min(abs(surplus) for _, surplus in tried.values())
        tried = {ticks: pair for ticks, pair in tried.items() if abs(pair[1]) == least}
        if all(surplus > 0 for _, surplus in tried.values()):
            chosen = max(tried)
        elif all(surplus < 0 for _, surplus in tried.values()):
            chosen = min(tried)
        elif centre >= 0:
            chosen = min(tried, key=lambda ticks: (abs(ticks - centre), ticks))
        else:
            chosen = (min(tried) + max(tried)) // 2
        demand, supply = self.interested(BUY, chosen), self.interested(SELL, chosen)
        return chosen, min(demand, supply), demand - supply

    def uncross(self) -> None:
        """Trade at one price, market orders first; then what was for this call only leaves."""
        self.last_call = self.call_price()
        left_lots = self.last_call[1]
        while left_lots:
            bid, ask = (
                sorted(self.side(side), key=lambda order: not order.at_any_price)[0]
                for side in (BUY, SELL)
            )
            lots = min(bid.left_lots, ask.left_lots)
            self.meet(bid, ask, lots)
            left_lots -= lots
        for order in list(self.orders):
            if order.call_only:
                self.cancel(order.account, order.serial)

    def meet(self, bid: Order, ask: Order, lots: int) -> None:
        """Two resting orders trade at the call's price, each at its maker rate without rebate."""
        price_ticks = self.last_call[0]
        base_atoms, quote_atoms = lots * self.lot_atoms, self.cost(price_ticks, lots)
        freed = []
        for order in (bid, ask):
            before = self.escrowed(order)
            order.size_lots -= lots
            order.left_lots -= lots
            after = self.escrowed(order)
            freed.append((before[0] - after[0], before[1] - after[1]))
            self.hold(order.account, -freed[-1][0], -freed[-1][1])
        bid_fee = fee(quote_atoms, max(bid.rate_ppm, 0))
        bid_fee = min(bid_fee, freed[0][1] - self.cost(bid.price_ticks, lots))
        ask_fee = fee(quote_atoms, max(ask.rate_ppm, 0))
        self.move(bid.account, base_atoms, -quote_atoms - bid_fee)
        self.move(ask.account, -base_atoms, quote_atoms - ask_fee)
        self.fees_atoms += bid_fee + ask_fee
        self.last_ticks = price_ticks
        for order in (bid, ask):
            self.show_more(order)
        exchanged = (lots, base_atoms, quote_atoms, bid_fee, ask_fee)
        self.fills.append((bid.account, ask.account, ask.serial, BUY, price_ticks, *exchanged))

    # ------------------------------------------------------------ orders

    def rest(
        self,
        account: int,
        side: int,
        size_lots: int,
        limit_ticks: int,
        display_lots: int,
        expiry_step: int,
    ) -> Order:
        self.placed += 1
        shown = min(size_lots, display_lots) if display_lots else size_lots
        rate = self.rates(account)[0]
        order = Order(
            self.placed, account, side, limit_ticks, shown, size_lots, rate, 0,
            display_lots, size_lots - shown, expiry_step,
        )  # fmt: skip
        self.hold(account, *self.escrowed(order))
        self.orders.append(order)
        return order

    def show_more(self, order: Order) -> None:
        """An order that has given all it showed leaves, or shows more behind the others."""
        if order.left_lots == 0:
            self.remove(order)
            if order.hidden_lots:
                order.left_lots = min(order.display_lots, order.hidden_lots)
                order.hidden_lots -= order.left_lots
                self.orders.append(order)

    def is_valid(self, order: tuple[int, ...]) -> bool:
        _, side, size_lots, limit_ticks, flags, display_lots, expiry_step = order
        if side not in (BUY, SELL) or size_lots <= 0:
            return False
        if flags & ~(MARKET | IMMEDIATE_OR_CANCEL | POST_ONLY | FILL_OR_KILL):
            return False
        if flags & POST_ONLY and flags != POST_ONLY:
            return False
        if display_lots or expiry_step:
            if flags not in (0, POST_ONLY) or display_lots < 0 or expiry_step < 0:
                return False
            if 0 < expiry_step < self.step:
                return False
            if display_lots and size_lots > self.rules.iceberg_parts * min(display_lots, size_lots):
                return False
        if self.rules.pro_rata and size_lots >= 2**31:
            return False
        if flags & MARKET:
            return True
        if not 0 < limit_ticks <= HIGHEST_TICKS:
            return False
        notional_atoms = self.cost(limit_ticks, size_lots)
        return max(notional_atoms, size_lots * self.lot_atoms) <= LARGEST_ATOMS

    def band(self) -> tuple[int, int]:
        centre = self.last_ticks if self.last_ticks >= 0 else self.rules.opening_ticks
        bids, asks = self.side(BUY), self.side(SELL)
        if self.rules.around_mid and bids and asks and self.phase == "continuous":
            centre = (bids[0].price_ticks + asks[0].price_ticks) // 2
        if not self.rules.band_ppm or centre < 0:
            return 0, HIGHEST_TICKS
        reach = centre * self.rules.band_ppm // 1_000_000
        return max(centre - reach, 0), min(centre + reach, HIGHEST_TICKS)

    def refusal(self, order: tuple[int, ...], others: int) -> Code | None:
        _, _, size_lots, limit_ticks, flags, _, _ = order
        if size_lots < self.rules.minimum_lots:
            return Code.BELOW_MINIMUM
        low, high = self.band()
        if not flags & MARKET and not low <= limit_ticks <= high:
            return Code.OUTSIDE_BAND
        if 0 < self.rules.most_orders <= others and (
            self.phase == "call" or not flags & NEVER_RESTS
        ):
            return Code.TOO_MANY_ORDERS
        return None

    def place(
        self,
        account: int,
        side: int,
        size_lots: int,
        limit_ticks: int,
        flags: int,
        display_lots: int = 0,
        expiry_step: int = 0,
        trigger_ticks: int = 0,
    ) -> Code:
        order = (account, side, size_lots, limit_ticks, flags, display_lots, expiry_step)
        if trigger_ticks:
            if self.rules.call_interval:
                return Code.INVALID
            if flags & POST_ONLY or expiry_step < 0 or 0 < expiry_step < self.step:
                return Code.INVALID
            if not self.is_valid(self.once_in(order)):
                return Code.INVALID
            if not 0 < trigger_ticks <= HIGHEST_TICKS:
                return Code.INVALID
            if self.phase == "halted":
                return Code.HALTED
            self.placed += 1
            self.stops.append(Stop(self.placed, trigger_ticks, order))
            return Code.WAITING
        return self.enter(order)

    def let_in(self) -> None:
        """Stops that the last price has reached enter, one by one, until trading stops itself."""
        while self.last_ticks >= 0 and self.phase == "continuous" and not self.interrupted:
            buys = [s for s in self.stops if s.order[1] == BUY]
            sells = [s for s in self.stops if s.order[1] == SELL]
            buys = [s for s in buys if s.trigger_ticks <= self.last_ticks]
            sells = [s for s in sells if s.trigger_ticks >= self.last_ticks]
            if buys:
                stop = min(buys, key=lambda stop: stop.trigger_ticks)
            elif sells:
                stop = max(sells, key=lambda stop: stop.trigger_ticks)
            else:
                return
            self.stops.remove(stop)
            self.enter(self.once_in(stop.order))
        if self.interrupted:
            self.interrupt()

    def once_in(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """The order that a stop becomes: what may not rest does not expire."""
        may_rest = not order[4] & (IMMEDIATE_OR_CANCEL | FILL_OR_KILL | MARKET)
        return (*order[:6], order[6] if may_rest else 0)

    def amend_stop(
        self, account: int, serial: int, size_lots: int, limit_ticks: int, trigger_ticks: int
    ) -> Code:
        """A new stop in the place of an old one."""
        for stop in self.stops:
            if stop.serial == serial and stop.account == account:
                _, side, _, old_limit, flags, *clauses = stop.order
                if flags & MARKET and limit_ticks:
                    return Code.INVALID
                terms = (side, size_lots, limit_ticks or old_limit, flags, *clauses)
                code = self.place(account, *terms, trigger_ticks or stop.trigger_ticks)
                if code == Code.WAITING:
                    self.stops.remove(stop)
                return code
        return Code.UNKNOWN_ORDER

    def gives_way(self, account: int, side: int, limit_ticks: int) -> bool:
        """Whether an order would meet one of its own before any other, and be refused."""
        if self.self_trade != "cancel_newest" or self.phase != "continuous":
            return False
        opposite = self.side(-side)
        if not opposite or side * (limit_ticks - opposite[0].price_ticks) < 0:
            return False
        if not self.guards[0] <= opposite[0].price_ticks <= self.guards[1]:
            return False
        there = [o for o in opposite if o.price_ticks == opposite[0].price_ticks]
        return any(o.account == account for o in (there if self.rules.pro_rata else there[:1]))

    def amend(
        self, account: int, serial: int, size_lots: int, limit_ticks: int, trigger_ticks: int = 0
    ) -> Code:
        own = [o for o in self.orders if o.serial == serial and o.account == account]
        if not own:
            return self.amend_stop(account, serial, size_lots, limit_ticks, trigger_ticks)
        old = own[0]
        limit_ticks = limit_ticks or old.price_ticks
        if trigger_ticks:
            return Code.INVALID
        if limit_ticks == old.price_ticks and 0 < size_lots <= old.all_lots:
            before = self.escrowed(old)
            less = old.all_lots - size_lots
            from_hidden = min(less, old.hidden_lots)
            old.hidden_lots -= from_hidden
            old.left_lots -= less - from_hidden
            old.size_lots -= less
            after = self.escrowed(old)
            self.hold(account, after[0] - before[0], after[1] - before[1])
            return Code.RESTING
        order = (account, old.side, size_lots, limit_ticks, 0, old.display_lots, old.expiry_step)
        if old.call_only or not self.is_valid(order):
            return Code.INVALID
        if self.phase == "halted":
            return Code.HALTED
        refused = self.refusal(order, 0)
        if refused is not None:
            return refused
        if self.phase == "call" and self.outside(old.side, limit_ticks, self.edges):
            return Code.OUTSIDE_BAND
        held = self.escrowed(old)
        self.hold(account, -held[0], -held[1])
        covered = self.covers(account, old.side, size_lots, limit_ticks, True)
        self.hold(account, *held)
        if not covered:
            return Code.INSUFFICIENT_BALANCE
        if self.gives_way(account, old.side, limit_ticks):
            return Code.SELF_TRADE
        self.cancel(account, serial)
        return self.take_in(order)

    def enter(self, order: tuple[int, ...]) -> Code:
        account = order[0]
        if not self.is_valid(order):
            return Code.INVALID
        if self.phase == "halted":
            return Code.HALTED
        refused = self.refusal(order, sum(o.account == account for o in self.orders))
        return self.take_in(order) if refused is None else refused

    def take_in(self, order: tuple[int, ...]) -> Code:
        account, side, size_lots, limit_ticks, flags, display_lots, expiry_step = order
        if self.phase == "call":
            return self.gather(order)
        if flags & MARKET:
            return self.place_market(account, side, size_lots, bool(flags & FILL_OR_KILL))
        opposite = self.side(-side)
        crosses = bool(opposite) and side * (limit_ticks - opposite[0].price_ticks) >= 0
        if crosses and flags & POST_ONLY:
            return Code.WOULD_CROSS
        if not self.covers(account, side, size_lots, limit_ticks, crosses and not flags):
            return Code.INSUFFICIENT_BALANCE
        if flags & FILL_OR_KILL and self.would_leave(account, side, size_lots, limit_ticks):
            return Code.UNFILLED
        resting = len(self.orders)
        left_lots, barred = self.take(account, side, size_lots, limit_ticks, None)
        if left_lots == 0:
            return Code.FILLED
        dropped = self.interrupted and self.outside(side, limit_ticks, self.collar())
        if barred or dropped or flags & (IMMEDIATE_OR_CANCEL | FILL_OR_KILL):
            if left_lots < size_lots:
                return Code.PARTLY_FILLED
            stopped = barred and len(self.orders) == resting
            return Code.SELF_TRADE if stopped else Code.UNFILLED
        self.rest(account, side, left_lots, limit_ticks, display_lots, expiry_step)
        return Code.RESTING

    def would_leave(self, account: int, side: int, size_lots: int, limit_ticks: int) -> int:
        """Lots that would be left: tried on a copy of this book."""
        trial = deepcopy(self)
        return trial.take(account, side, size_lots, limit_ticks, None)[0]

    def covers(
        self, account: int, side: int, size_lots: int, limit_ticks: int, may_do_both: bool
    ) -> bool:
        base_atoms, quote_atoms = self.balances[account]
        if side == SELL:
            return base_atoms >= size_lots * self.lot_atoms
        notional_atoms = self.cost(limit_ticks, size_lots)
        dearest = max(self.rates(account))
        spare = may_do_both and min(self.rates(account)) > 0
        return quote_atoms >= notional_atoms + fee(notional_atoms, dearest) + spare

    def place_market(self, account: int, side: int, size_lots: int, whole: bool = False) -> Code:
        if not self.side(-side):
            return Code.NO_LIQUIDITY
        if whole:
            if self.would_leave(account, side, size_lots, self.band()[side == BUY]):
                return Code.UNFILLED
            if deepcopy(self).place_market(account, side, size_lots) != Code.FILLED:
                return Code.INSUFFICIENT_BALANCE
        resting = len(self.orders)
        base_atoms, quote_atoms = self.balances[account]
        low, high = self.band()
        if side == BUY:
            left_lots, barred = self.take(account, BUY, size_lots, high, quote_atoms)
        else:
            owned_lots = min(size_lots, base_atoms // self.lot_atoms)
            left_lots, barred = self.take(account, SELL, owned_lots, low, None)
            left_lots += size_lots - owned_lots
        if left_lots == 0:
            return Code.FILLED
        if left_lots < size_lots:
            return Code.PARTLY_FILLED
        if barred and len(self.orders) == resting:
            return Code.SELF_TRADE
        low, high = max(low, self.guards[0]), min(high, self.guards[1])
        best = self.side(-side)
        if best and not low <= best[0].price_ticks <= high:
            return Code.UNFILLED
        return Code.INSUFFICIENT_BALANCE if len(self.orders) == resting else Code.UNFILLED

    def take(
        self, account: int, side: int, size_lots: int, limit_ticks: int, purse_atoms: int | None
    ) -> tuple[int, bool]:
        """Trade with the best order again and again; lots left, and whether an own order barred."""
        left_lots, spent_atoms, shared_ticks = size_lots, 0, -1
        while left_lots and self.side(-side):
            order = self.side(-side)[0]
            price_ticks = order.price_ticks
            if side * (limit_ticks - price_ticks) < 0:
                break
            if not self.guards[0] <= price_ticks <= self.guards[1]:
                self.interrupted = True
                break
            there = [o for o in self.side(-side) if o.price_ticks == price_ticks]
            own = [o for o in (there if self.rules.pro_rata else there[:1]) if o.account == account]
            if own and self.self_trade != "allow":
                if self.self_trade in ("cancel_oldest", "cancel_both"):
                    self.cancel(account, own[0].serial)
                if self.self_trade != "cancel_oldest":
                    return left_lots, True
                continue
            if self.rules.pro_rata and shared_ticks != price_ticks:
                shared_ticks = price_ticks
                left_lots, spent_atoms = self.share(
                    account, there, left_lots, spent_atoms, purse_atoms
                )
                continue
            lots = min(left_lots, order.left_lots)
            if purse_atoms is not None:
                lots = self.affordable(account, price_ticks, lots, spent_atoms, purse_atoms)
                if lots == 0:
                    break
            self.trade(account, order, lots, spent_atoms)
            spent_atoms += self.cost(price_ticks, lots)
            left_lots -= lots
        return left_lots, False

    def share(
        self, account: int, there: list[Order], left_lots: int, spent_atoms: int, purse: int | None
    ) -> tuple[int, int]:
        """Trade in proportion with the orders of a price that cannot be taken whole."""
        price_ticks, total = there[0].price_ticks, sum(order.left_lots for order in there)
        wanted = left_lots
        if purse is not None:
            wanted = self.affordable(account, price_ticks, left_lots, spent_atoms, purse)
        if wanted >= total:
            return left_lots, spent_atoms
        shares = [wanted * order.left_lots // total for order in there]
        for order, lots in zip(there, shares, strict=True):
            if lots:
                self.trade(account, order, lots, spent_atoms)
                spent_atoms += self.cost(price_ticks, lots)
                left_lots -= lots
        return left_lots, spent_atoms

    def affordable(
        self, account: int, price_ticks: int, size_lots: int, spent_atoms: int, purse_atoms: int
    ) -> int:
        """The most lots whose cost and fee, with all that was spent before, the purse covers."""

        def whole_cost(lots: int) -> int:
            notional_atoms = spent_atoms + self.cost(price_ticks, lots)
            return notional_atoms + fee(notional_atoms, self.rates(account)[1])

        return bisect_right(range(size_lots + 1), purse_atoms, key=whole_cost) - 1

    def trade(self, taker: int, order: Order, lots: int, spent_atoms: int) -> None:
        base_atoms = lots * self.lot_atoms
        quote_atoms = self.cost(order.price_ticks, lots)
        rate = self.rates(taker)[1]
        taker_fee = fee(spent_atoms + quote_atoms, rate) - fee(spent_atoms, rate)
        held_before = self.escrowed(order)
        filled_lots = order.size_lots - order.all_lots + lots
        fee_after = fee(self.cost(order.price_ticks, filled_lots), order.rate_ppm)
        maker_fee, order.fee_paid_atoms = fee_after - order.fee_paid_atoms, fee_after
        order.left_lots -= lots
        held_after = self.escrowed(order)
        freed = [before - after for before, after in zip(held_before, held_after, strict=True)]
        self.hold(order.account, -freed[0], -freed[1])
        self.move(order.account, order.side * base_atoms, -order.side * quote_atoms - maker_fee)
        self.move(taker, -order.side * base_atoms, order.side * quote_atoms - taker_fee)
        self.fees_atoms += taker_fee + maker_fee
        self.last_ticks = order.price_ticks
        self.show_more(order)
        exchanged = (lots, base_atoms, quote_atoms, taker_fee, maker_fee)
        self.fills.append(
            (taker, order.account, order.serial, -order.side, order.price_ticks, *exchanged)
        )


def fee(notional_atoms: int, rate_ppm: int) -> int:
    """ceil(notional * rate)."""
    return -(-notional_atoms * rate_ppm // 1_000_000)
