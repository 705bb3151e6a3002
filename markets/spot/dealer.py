"""A quote-driven market: dealers quote both sides, and orders hit the quotes directly. No book.

A dealer's quote is a bid and an ask, each with a size, and stands until it is replaced, withdrawn
(`cancel_all`) or used up. An order trades with the best quote, of equal ones with the oldest, then
with the next best, and never rests: what the quotes within its limit do not fill is dropped. A
dealer whose bid reaches another's ask is not matched with it: dealers quote, only orders trade.

    taker pays ceil(taker rate * n), dealer pays ceil(dealer rate * n),    n the notional of a fill,

in quote, each rounded for the venue; a rate below 0 is a rebate, shortened by the ceiling. Quotes
hold nothing in escrow: a fill is as large as quote, taker's order and both balances allow. A quote
that its dealer cannot honour is passed over as if it did not stand: where nothing trades the taker
has INSUFFICIENT_BALANCE only if it could not pay a lot itself. Stops, icebergs, expiries, post-only
and fill-or-kill orders are INVALID. With `quotes_first` all quotes of a batch stand before its
first order is executed, and a withdrawal that its dealer sent before one takes effect before it;
else rows take effect strictly in the order of the domain.
Model: the dealer markets of Glosten and Milgrom (1985). Left out: requests for quote, last look.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from markets import params
from markets.assets import MAX_ATOMS, Asset, Instrument
from markets.intents import CANCEL_ALL, IMMEDIATE_OR_CANCEL, MARKET, PLACE, QUOTE, take
from markets.kernel import kernel
from markets.outcomes import FILL, Code, Fills, fee_flows
from markets.rounding import PPM, ppm_up
from markets.spot.book import MAX_PRICE_TICKS, NO_PRICE
from markets.venue import Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market

STANDING = np.dtype(
    [(name, np.int64) for name in ("dealer", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots")]
)
"""A dealer's quote; a side of 0 lots is none."""

_FILLED_ROWS, _VOLUME_LOTS, _LAST_TICKS, _TRADES, _QUOTES = range(5)
_NOBODY = -1
_CANCELLED, _DONE, _FILLED = int(Code.CANCELLED), int(Code.DONE), int(Code.FILLED)
_INSUFFICIENT_BALANCE, _INVALID = int(Code.INSUFFICIENT_BALANCE), int(Code.INVALID)
_NO_LIQUIDITY, _PARTLY_FILLED = int(Code.NO_LIQUIDITY), int(Code.PARTLY_FILLED)
_UNFILLED = int(Code.UNFILLED)


class Terms(NamedTuple):
    """Columns and fee account in the ledger, the grid and the rates."""

    base_column: int
    quote_column: int
    fee_row: int
    lot_atoms: int
    notional_atoms: int
    dealer_fee_ppm: int
    taker_fee_ppm: int


class Floor(NamedTuple):
    """Standing quotes (oldest first), accounts admitted, a buffer of FILL rows, the tally."""

    quotes: NDArray[np.void]
    admitted: NDArray[np.bool_]
    fills: NDArray[np.void]
    tally: NDArray[np.int64]


@kernel()
def _withdraw_quote(floor: Floor, dealer: int) -> None:
    """Take a dealer's quote away, keeping the order of the others."""
    kept = 0
    for place in range(floor.tally[_QUOTES]):
        if floor.quotes[place].dealer != dealer:
            if kept < place:
                floor.quotes[kept] = floor.quotes[place]
            kept += 1
    floor.tally[_QUOTES] = kept


@kernel()
def _post_quote(floor: Floor, intent: Any) -> int:
    bid_ticks, bid_lots = intent.limit, intent.size
    ask_ticks, ask_lots = intent.trigger_ticks, intent.display_lots
    if bid_lots < 0 or ask_lots < 0 or (bid_lots > 0 and not 0 < bid_ticks <= MAX_PRICE_TICKS):
        return _INVALID
    if ask_lots > 0 and not 0 < ask_ticks <= MAX_PRICE_TICKS:
        return _INVALID
    if bid_lots > 0 and ask_lots > 0 and bid_ticks >= ask_ticks:
        return _INVALID
    _withdraw_quote(floor, intent.account)
    row = floor.quotes[floor.tally[_QUOTES]]
    row.dealer = intent.account
    row.bid_ticks, row.bid_lots = bid_ticks, bid_lots
    row.ask_ticks, row.ask_lots = ask_ticks, ask_lots
    floor.tally[_QUOTES] += 1
    return _DONE


@kernel(error_model="numpy")
def _most_lots(balances: NDArray[np.int64], terms: Terms, buyer: tuple, price_ticks: int) -> int:
    """Lots that an account can buy at a price, its fee included."""
    account, fee_ppm = buyer
    whole = PPM + max(fee_ppm, 0)
    quote_atoms = balances[account, terms.quote_column]
    times = quote_atoms // whole
    notional_atoms = times * PPM + (quote_atoms - times * whole) * PPM // whole
    return notional_atoms // (price_ticks * terms.notional_atoms)


@kernel()
def _tradable_lots(
    balances: NDArray[np.int64], terms: Terms, party: tuple, side: int, price_ticks: int
) -> int:
    """Lots that an account, given with its rate, can buy or sell at a price."""
    most_lots = MAX_ATOMS // max(price_ticks * terms.notional_atoms, terms.lot_atoms)
    if side > 0:
        return min(_most_lots(balances, terms, party, price_ticks), most_lots)
    return min(balances[party[0], terms.base_column] // terms.lot_atoms, most_lots)


@kernel()
def _settle(
    balances: NDArray[np.int64], terms: Terms, floor: Floor, parties: tuple, trade: tuple
) -> None:
    """Move base, quote and fees of one fill, and record it."""
    account, dealer, side = parties
    price_ticks, lots = trade
    base_atoms, quote_atoms = lots * terms.lot_atoms, lots * price_ticks * terms.notional_atoms
    taker_fee_atoms = ppm_up(quote_atoms, terms.taker_fee_ppm)
    dealer_fee_atoms = ppm_up(quote_atoms, terms.dealer_fee_ppm)
    base, quote = terms.base_column, terms.quote_column
    balances[account, base] += side * base_atoms
    balances[dealer, base] -= side * base_atoms
    balances[account, quote] -= side * quote_atoms + taker_fee_atoms
    balances[dealer, quote] += side * quote_atoms - dealer_fee_atoms
    balances[terms.fee_row, quote] += taker_fee_atoms + dealer_fee_atoms
    fill = floor.fills[floor.tally[_FILLED_ROWS]]
    fill.taker, fill.maker, fill.maker_order, fill.side = account, dealer, 0, side
    fill.price_ticks, fill.size_lots = price_ticks, lots
    fill.base_atoms, fill.quote_atoms = base_atoms, quote_atoms
    fill.taker_fee_atoms, fill.maker_fee_atoms, fill.reason = taker_fee_atoms, dealer_fee_atoms, 0
    floor.tally[_FILLED_ROWS] += 1
    floor.tally[_TRADES] += 1
    floor.tally[_VOLUME_LOTS] += lots
    floor.tally[_LAST_TICKS] = price_ticks


@kernel()
def _best(floor: Floor, account: int, side: int, limit_ticks: int, after: tuple) -> int:
    """Place of the best quote for a taker that comes after the given (price, place), or NOBODY."""
    found, best_ticks = _NOBODY, 0
    last_ticks, last_place = after
    for place in range(floor.tally[_QUOTES]):
        quote = floor.quotes[place]
        ticks = quote.ask_ticks if side > 0 else quote.bid_ticks
        lots = quote.ask_lots if side > 0 else quote.bid_lots
        if lots <= 0 or quote.dealer == account or (limit_ticks - ticks) * side < 0:
            continue
        worse = (ticks - last_ticks) * side
        if last_place >= 0 and (worse < 0 or (worse == 0 and place <= last_place)):
            continue
        if found < 0 or (best_ticks - ticks) * side > 0:
            found, best_ticks = place, ticks
    return found


@kernel()
def _hit(balances: NDArray[np.int64], terms: Terms, floor: Floor, intent: Any) -> int:
    """Trade an order with the quotes, best first."""
    account, side, wanted_lots, limit_ticks = intent.account, intent.side, intent.size, intent.limit
    if intent.flags & MARKET:
        limit_ticks = MAX_PRICE_TICKS if side > 0 else 0
    elif limit_ticks <= 0 or limit_ticks > MAX_PRICE_TICKS:
        return _INVALID
    if wanted_lots <= 0 or (side != 1 and side != -1):
        return _INVALID
    if intent.flags & ~(MARKET | IMMEDIATE_OR_CANCEL):
        return _INVALID
    if intent.trigger_ticks != 0 or intent.display_lots != 0 or intent.expiry_step != 0:
        return _INVALID
    left_lots, after, unpaid = wanted_lots, (0, _NOBODY), False
    taker = (account, terms.taker_fee_ppm)
    while left_lots > 0:
        place = _best(floor, account, side, limit_ticks, after)
        if place < 0:
            break
        quote = floor.quotes[place]
        price_ticks = quote.ask_ticks if side > 0 else quote.bid_ticks
        lots = min(left_lots, quote.ask_lots if side > 0 else quote.bid_lots)
        lots = min(lots, _tradable_lots(balances, terms, taker, side, price_ticks))
        unpaid = unpaid or lots == 0
        dealer = (quote.dealer, terms.dealer_fee_ppm)
        lots = min(lots, _tradable_lots(balances, terms, dealer, -side, price_ticks))
        if lots > 0:
            _settle(balances, terms, floor, (account, quote.dealer, side), (price_ticks, lots))
            left_lots -= lots
            if side > 0:
                quote.ask_lots -= lots
            else:
                quote.bid_lots -= lots
        after = (price_ticks, place)
    if left_lots == 0:
        return _FILLED
    if left_lots < wanted_lots:
        return _PARTLY_FILLED
    if unpaid:
        return _INSUFFICIENT_BALANCE
    return _NO_LIQUIDITY if intent.flags & MARKET else _UNFILLED


@kernel()
def execute_rows(
    balances: NDArray[np.int64],
    terms: Terms,
    floor: Floor,
    intents: NDArray[np.void],
    codes: NDArray[np.int64],
    first: int,
) -> int:
    """Carry out rows from `first` on; returns the number done, fewer where the buffer is full."""
    for row in range(first, intents.size):
        intent = intents[row]
        account, action = intent.account, intent.action
        code = _INVALID
        if floor.fills.size - floor.tally[_FILLED_ROWS] < floor.tally[_QUOTES]:
            return row
        if account <= 0 or account >= floor.admitted.size or not floor.admitted[account]:
            code = _INVALID
        elif action == PLACE:
            code = _hit(balances, terms, floor, intent)
        elif action == QUOTE:
            code = _post_quote(floor, intent)
        elif action == CANCEL_ALL:
            _withdraw_quote(floor, account)
            code = _CANCELLED
        codes[row] = code
    return intents.size


@dataclass(frozen=True)
class DealerView:
    """The standing quotes; NO_PRICE (-1) where nobody quotes a side or nothing has traded."""

    index: int
    instrument: Instrument
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    """Lots of the best bid."""
    ask_lots: int
    last_ticks: int
    volume_lots: int
    """Lots traded during the step before."""
    quotes: NDArray[np.void]
    """All standing quotes, oldest first: dealer, bid_ticks, bid_lots, ask_ticks, ask_lots."""

    @property
    def bid(self) -> float:
        """Best bid in quote per base, NaN without."""
        return self._price(self.bid_ticks)

    @property
    def ask(self) -> float:
        """Best ask in quote per base, NaN without."""
        return self._price(self.ask_ticks)

    @property
    def mid(self) -> float:
        """Halfway between bid and ask."""
        return (self.bid + self.ask) / 2

    @property
    def last(self) -> float:
        """Price of the last trade, NaN before the first."""
        return self._price(self.last_ticks)

    def _price(self, price_ticks: int) -> float:
        return float(self.instrument.to_price(price_ticks)) if price_ticks >= 0 else float("nan")


class DealerMarket(Venue):
    """Dealers' quotes, hit directly."""

    class Params(params.Params):
        """Parameters of the market."""

        dealer_fee_ppm: int = Field(default=0, ge=-500_000, le=500_000)
        """Of the notional, below 0 a rebate."""
        taker_fee_ppm: int = Field(default=0, ge=0, le=500_000)
        """Of the notional."""
        quotes_first: bool = True
        """Whether all quotes of a step stand before its first order is executed."""

        @model_validator(mode="after")
        def _rebate_is_earned(self) -> "DealerMarket.Params":
            if self.dealer_fee_ppm + self.taker_fee_ppm < 0:
                raise ValueError("dealer_fee_ppm must not give back more than taker_fee_ppm takes")
            return self

    def __init__(
        self, name: str, domain: str, instrument: Instrument, params: Params | None = None
    ) -> None:
        super().__init__()
        self.name, self.domain, self.instrument = name, domain, instrument
        self.params = params or self.Params()
        self._tally = np.zeros(5, np.int64)
        self._tally[_LAST_TICKS] = NO_PRICE
        self._buffer = np.empty(1024, FILL)
        self._quotes = np.zeros(16, STANDING)
        self._volume_lots, self._trades = 0, 0

    def columns(self) -> tuple[Asset, ...]:
        return self.instrument.base, self.instrument.quote

    def open(self, market: "Market") -> None:
        self._ledger = market.ledger
        self.accounts = market.open_accounts(self.name, self.domain)
        base, quote = (market.ledger.column[asset.name] for asset in self.columns())
        grid = (self.instrument.lot_atoms, self.instrument.notional_atoms)
        fees = (self.params.dealer_fee_ppm, self.params.taker_fee_ppm)
        self._terms = Terms(base, quote, int(self.accounts[0]), *grid, *fees)

    def begin(self) -> None:
        ledger = self._ledger
        self._balances = ledger.balances
        self._admitted = ledger.domain == ledger.domain_names.index(self.domain)
        self._admitted[self.accounts] = False

    def standing(self) -> NDArray[np.void]:
        """A copy of the quotes that stand, oldest first."""
        return self._quotes[: self._tally[_QUOTES]].copy()

    def _tops(self) -> tuple[int, int, int, int]:
        """Best bid and ask in ticks, and the lots quoted there by the dealer who comes first."""
        quotes = self._quotes[: self._tally[_QUOTES]]
        bids, asks = quotes[quotes["bid_lots"] > 0], quotes[quotes["ask_lots"] > 0]
        bid_ticks, bid_lots, ask_ticks, ask_lots = NO_PRICE, 0, NO_PRICE, 0
        if len(bids):
            best = bids[np.argmax(bids["bid_ticks"])]
            bid_ticks, bid_lots = int(best["bid_ticks"]), int(best["bid_lots"])
        if len(asks):
            best = asks[np.argmin(asks["ask_ticks"])]
            ask_ticks, ask_lots = int(best["ask_ticks"]), int(best["ask_lots"])
        return bid_ticks, ask_ticks, bid_lots, ask_lots

    def observe(self, moment: Moment) -> DealerView:
        volume_lots, trades = int(self._tally[_VOLUME_LOTS]), int(self._tally[_TRADES])
        traded = volume_lots - self._volume_lots
        self._volume_lots, self._trades = volume_lots, trades
        last_ticks = int(self._tally[_LAST_TICKS])
        return DealerView(
            self.index, self.instrument, *self._tops(), last_ticks, traded, self.standing()
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        intents = np.ascontiguousarray(intents)
        if not self.params.quotes_first:
            return self._execute(intents)
        rank = np.argsort(~_stands_first(intents), kind="stable")
        codes = np.empty(len(intents), np.int64)
        codes[rank] = self._execute(take(intents, rank))
        return codes

    def _execute(self, intents: NDArray[np.void]) -> NDArray[np.int64]:
        codes, done = np.empty(len(intents), np.int64), 0
        quoting = int(np.count_nonzero(intents["action"] == QUOTE))
        self._make_room(int(self._tally[_QUOTES]) + quoting)
        while done < len(intents):
            floor = Floor(self._quotes, self._admitted, self._buffer, self._tally)
            done = execute_rows(self._balances, self._terms, floor, intents, codes, done)
            count = self._tally[_FILLED_ROWS]
            if count:
                self._keep(self._buffer[:count].copy())
                self._tally[_FILLED_ROWS] = 0
        return codes

    def _keep(self, fills: Fills) -> None:
        """Keep fills and the fees in them for the record."""
        self._fills.append(fills)
        if self._terms.dealer_fee_ppm or self._terms.taker_fee_ppm:
            self._flows.append(fee_flows(fills, self._terms.fee_row, self._terms.quote_column))

    def _make_room(self, quotes: int) -> None:
        if quotes > len(self._quotes):
            grown = np.zeros(2 * quotes, STANDING)
            grown[: len(self._quotes)] = self._quotes
            self._quotes, self._buffer = grown, np.empty(max(4 * quotes, 1024), FILL)

    def check(self) -> None:
        """Nothing is held for anybody: the ledger's own check says all."""

    def measure(self, moment: Moment) -> dict[str, float]:
        bid_ticks, ask_ticks, bid_lots, ask_lots = self._tops()
        instrument = self.instrument
        nan = float("nan")
        bid = float(instrument.to_price(bid_ticks)) if bid_ticks >= 0 else nan
        ask = float(instrument.to_price(ask_ticks)) if ask_ticks >= 0 else nan
        return {
            "mid": (bid + ask) / 2,
            "bid": bid,
            "ask": ask,
            "bid_depth": instrument.to_base(bid_lots),
            "ask_depth": instrument.to_base(ask_lots),
            "volume": instrument.to_base(int(self._tally[_VOLUME_LOTS]) - self._volume_lots),
            "trades": int(self._tally[_TRADES]) - self._trades,
        }


def _stands_first(intents: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which rows come before all orders: quotes, and withdrawals by those who quote after them."""
    quotes = intents["action"] == QUOTE
    rows = np.flatnonzero(quotes)
    newest = dict(zip(intents["account"][rows].tolist(), rows.tolist(), strict=True))
    first = quotes.copy()
    for row in np.flatnonzero(intents["action"] == CANCEL_ALL).tolist():
        first[row] = row < newest.get(int(intents["account"][row]), _NOBODY)
    return first
