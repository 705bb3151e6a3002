"""Intents: what agents ask for. Rows of one table, whoever asks and whatever venue is meant.

An intent is a row of thirteen integers, built by the functions below. Each column is given as one
integer or an array of them, so that an individual and a cohort speak the same language:

    limit_order(venue, account, BUY, size_lots, limit_ticks)        one order
    limit_order(venue, accounts, sides, sizes, limits)              an order for each row

One row is `bytes`, packed as it is asked for, since a Python object for each column would cost more
than matching the order; several are an array of dtype `INTENT` (int64 columns). `stack` puts what
the agents returned into one such array, which is also the way to read an intent. What `size`,
`limit` and `order` count depends on the action and is said at each function. `bundle` is 0, or a
number shared by consecutive intents of one account that must all succeed or all fail. `tip_atoms`
is what the sender pays a chain's block builder to come first; exchanges ignore it. The last three
columns are named for orders; pools read the same columns by the names of `POOL_INTENT`, a view of
the same memory.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.errors import FathomError

BUY = 1
SELL = -1

PLACE, CANCEL, CANCEL_ALL = 1, 2, 3
SWAP_EXACT_IN, SWAP_EXACT_OUT, ADD_LIQUIDITY, REMOVE_LIQUIDITY = 4, 5, 6, 7
DEPOSIT, WITHDRAW = 8, 9
ADD_RANGE, REMOVE_RANGE, COLLECT = 10, 11, 12
ADD_COINS, REMOVE_COINS, ADD_COIN, REMOVE_COIN = 13, 14, 15, 16
BID, SET_FEE = 17, 18
TRANSFER, INCLUDE = 20, 21
AMEND, QUOTE = 22, 23
BORROW, REPAY, LIQUIDATE = 24, 25, 26

GOOD_TILL_CANCEL = 0
IMMEDIATE_OR_CANCEL = 1
POST_ONLY = 2
MARKET = 4
REDUCE_ONLY = 8
PRIVATE = 16
TICK_LIMIT = 32
FILL_OR_KILL = 64
ISOLATED = 128
"""Flags of orders: what does not trade at once is dropped; may not trade at once; needs no limit;
may only reduce a position (derivatives); of swaps, the limit is a tick; trades whole or not at all.
PRIVATE passes a chain's public queue, ISOLATED keeps margin apart."""

FIELDS = (
    "action",
    "venue",
    "account",
    "side",
    "size",
    "limit",
    "order",
    "flags",
    "bundle",
    "tip_atoms",
    "trigger_ticks",
    "display_lots",
    "expiry_step",
)
POOL_FIELDS = (*FIELDS[:10], "first", "second", "deadline_step")
INTENT = np.dtype([(field, np.int64) for field in FIELDS])
POOL_INTENT = np.dtype([(field, np.int64) for field in POOL_FIELDS])
"""`first` and `second`: the coins paid and received, or the lower and upper tick of a range."""

COINS = 8
FLAG_BITS = 8
"""Flags lie below this bit; above it, where coins are counted, is the amount of the eighth."""
EIGHTH_BITS = 63 - FLAG_BITS

_FLAGS, _TIP = 7, 9

_INTEGERS, _LARGEST = "iub", 2**63 - 1
_ROW = struct.Struct(f"{len(FIELDS)}q")
_PACKS = [struct.Struct(f"{n}q{8 * (len(FIELDS) - n)}x").pack for n in range(len(FIELDS) + 1)]
"""By number of columns given; the others are 0."""
_pack_order, _pack_cancel = _PACKS[8], _PACKS[7]
_NO_INTEGERS = (struct.error, TypeError)
"""What packing raises where a column is an array, or no integer at all."""

Column = Any
"""One integer, or an int64 array with an entry for each account."""
Rows = NDArray[np.void]
"""Intents ready-made, as an array of dtype INTENT."""
Intent = bytes | Rows
"""One row as bytes, or rows."""
Intents = Intent | Sequence[Intent]
"""What an agent answers."""


def intent_of(*columns: Column) -> Intent:
    """The first columns of an intent; those left out are 0."""
    try:
        return _PACKS[len(columns)](*columns)
    except _NO_INTEGERS:
        return _rows(*columns)


def _rows(*columns: Column) -> Rows:
    """A row for each entry of the longest column; single integers are the same in all."""
    named = [(name, _integers(name, of)) for name, of in zip(FIELDS, columns, strict=False)]
    sizes = [values.size for _, values in named if values.ndim]
    count = 0 if 0 in sizes else max(sizes, default=1)
    table = np.zeros((count, len(FIELDS)), np.int64)
    for place, (field, values) in enumerate(named):
        if values.size not in (1, count):
            raise FathomError(f"{field} of an intent has {values.size} entries, not {count}")
        table[:, place] = values
    return np.frombuffer(table, INTENT)


def _integers(field: str, column: Column) -> NDArray[Any]:
    """One integer or a column of them; FathomError where it is none."""
    values = np.asarray(column)
    whole = values.dtype.kind in _INTEGERS and values.ndim < 2
    if values.size and not (whole and values.max() <= _LARGEST):
        raise FathomError(f"{field} of an intent must be integers of 64 bits, got {column!r}")
    return values


def _columns(intent: Intent) -> list[Column]:
    """The thirteen columns."""
    try:
        if isinstance(intent, bytes):
            return list(_ROW.unpack(intent))
        return [intent[field] for field in FIELDS]
    except (struct.error, TypeError, ValueError, IndexError):
        raise _no_intent(intent) from None


def _no_intent(got: Any) -> FathomError:
    return FathomError(f"an intent is made by the functions of `markets.intents`; got {got!r}")


def altered(intent: Intent, field: str, *columns: Column) -> Intent:
    """The same with other columns from a field on."""
    changed, place = _columns(intent), FIELDS.index(field)
    changed[place : place + len(columns)] = columns
    return intent_of(*changed)


def _require(field: str, column: Column) -> None:
    if not np.all(column):
        raise FathomError(f"{field} must not be 0")


def limit_order(
    venue: int,
    account: Column,
    side: Column,
    size_lots: Column,
    limit_ticks: Column,
    flags: Column = GOOD_TILL_CANCEL,
) -> Intent:
    """Buy or sell up to `size_lots` at `limit_ticks` or better; the rest stays in the book."""
    try:  # packed here and in `cancel`, which agents that are objects send most
        return _pack_order(PLACE, venue, account, side, size_lots, limit_ticks, 0, flags)
    except _NO_INTEGERS:
        return _rows(PLACE, venue, account, side, size_lots, limit_ticks, 0, flags)


def market_order(
    venue: int, account: Column, side: Column, size_lots: Column, flags: Column = 0
) -> Intent:
    """Buy or sell up to `size_lots` at whatever the book holds; the rest is dropped.

    With FILL_OR_KILL, which spot order books know, it trades whole or not at all.
    """
    flags = MARKET | IMMEDIATE_OR_CANCEL | flags
    return intent_of(PLACE, venue, account, side, size_lots, 0, 0, flags)


def iceberg_order(
    venue: int,
    account: Column,
    side: Column,
    size_lots: Column,
    limit_ticks: Column,
    display_lots: Column,
) -> Intent:
    """A limit order of which only `display_lots` at a time are shown in the book.

    Raises FathomError for 0, which would show all.
    """
    _require("display_lots", display_lots)
    order = (PLACE, venue, account, side, size_lots, limit_ticks)
    return intent_of(*order, 0, 0, 0, 0, 0, display_lots)


def stop_order(
    venue: int,
    account: Column,
    side: Column,
    size_lots: Column,
    trigger_ticks: Column,
    limit_ticks: Column = 0,
) -> Intent:
    """Waits until a trade reaches the trigger (at or above it for BUY, at or below for SELL).

    Then it is a limit order, or a market order where `limit_ticks` is 0. Raises FathomError for a
    trigger of 0, which is none: the order would not wait.
    """
    _require("trigger_ticks", trigger_ticks)
    flags = np.equal(limit_ticks, 0) * (MARKET | IMMEDIATE_OR_CANCEL)
    order = (PLACE, venue, account, side, size_lots, limit_ticks)
    return intent_of(*order, 0, flags, 0, 0, trigger_ticks)


def good_till(intent: Intent, expiry_step: Column) -> Intent:
    """Cancel what then still rests or waits when `expiry_step` is over; 0 is no expiry."""
    return altered(intent, "expiry_step", expiry_step)


def amend(
    venue: int,
    account: Column,
    order: Column,
    size_lots: Column,
    limit_ticks: Column = 0,
    trigger_ticks: Column = 0,
) -> Intent:
    """Set what remains of a resting order, and its limit unless 0; of a stop the trigger as well.

    It keeps its place in the queue only where nothing but the size changes, and that falls; else it
    is a new order. A stop is always a new one.
    """
    change = (AMEND, venue, account, 0, size_lots, limit_ticks)
    return intent_of(*change, order, 0, 0, 0, trigger_ticks)


def quote(
    venue: int,
    account: Column,
    bid_ticks: Column,
    ask_ticks: Column,
    bid_lots: Column,
    ask_lots: Column,
) -> Intent:
    """A dealer's two-sided quote, in place of its last; a side of 0 lots is not quoted."""
    bid = (QUOTE, venue, account, 0, bid_lots, bid_ticks)
    return intent_of(*bid, 0, 0, 0, 0, ask_ticks, ask_lots)


def cancel(venue: int, account: Column, order: Column) -> Intent:
    """Take one resting order out of the book."""
    try:
        return _pack_cancel(CANCEL, venue, account, 0, 0, 0, order)
    except _NO_INTEGERS:
        return _rows(CANCEL, venue, account, 0, 0, 0, order)


def cancel_all(venue: int, account: Column) -> Intent:
    """Take all resting orders of the account out of the book."""
    return intent_of(CANCEL_ALL, venue, account)


def swap_exact_in(
    venue: int,
    account: Column,
    side: Column,
    input_atoms: Column,
    minimum_output_atoms: Column = 0,
) -> Intent:
    """BUY pays exactly `input_atoms` of quote for base, SELL pays base for quote."""
    return intent_of(SWAP_EXACT_IN, venue, account, side, input_atoms, minimum_output_atoms)


def swap_exact_out(
    venue: int, account: Column, side: Column, output_atoms: Column, maximum_input_atoms: Column
) -> Intent:
    """BUY receives exactly `output_atoms` of base, SELL of quote, for at most the given input."""
    return intent_of(SWAP_EXACT_OUT, venue, account, side, output_atoms, maximum_input_atoms)


def add_liquidity(
    venue: int, account: Column, maximum_base_atoms: Column, maximum_quote_atoms: Column
) -> Intent:
    """Deposit base and quote in the pool's ratio, up to both maxima, for shares."""
    amounts = (maximum_base_atoms, maximum_quote_atoms)
    return intent_of(ADD_LIQUIDITY, venue, account, 0, *amounts)


def remove_liquidity(venue: int, account: Column, shares_atoms: Column) -> Intent:
    """Give shares back for the same part of both reserves."""
    return intent_of(REMOVE_LIQUIDITY, venue, account, 0, shares_atoms)


def deposit(venue: int, account: Column, collateral_atoms: Column, flags: Column = 0) -> Intent:
    """Turn collateral of the account into margin at a derivatives venue.

    At a contract of a clearing house it is margin for all contracts there; with `ISOLATED`, for
    this one alone, which the account must not trade yet.
    """
    return intent_of(DEPOSIT, venue, account, 0, collateral_atoms, 0, 0, flags)


def withdraw(venue: int, account: Column, margin_atoms: Column, flags: Column = 0) -> Intent:
    """Turn free margin back into collateral; `ISOLATED` margin ends with the last atom."""
    return intent_of(WITHDRAW, venue, account, 0, margin_atoms, 0, 0, flags)


def deposit_coin(venue: int, account: Column, coin: Column, atoms: Column) -> Intent:
    """Turn a coin into margin at a clearing house: 0 its settlement asset, else as it lists."""
    return intent_of(DEPOSIT, venue, account, coin, atoms)


def withdraw_coin(venue: int, account: Column, coin: Column, atoms: Column) -> Intent:
    """Take a coin out of the margin at a clearing house; of coin 0, more than one's own borrows."""
    return intent_of(WITHDRAW, venue, account, coin, atoms)


def swap_coins(
    venue: int,
    account: Column,
    paid: Column,
    received: Column,
    input_atoms: Column,
    minimum_output_atoms: Column = 0,
) -> Intent:
    """Pay exactly `input_atoms` of one coin of a pool for another, both by index."""
    amounts = (input_atoms, minimum_output_atoms)
    return intent_of(SWAP_EXACT_IN, venue, account, 0, *amounts, 0, 0, 0, 0, paid, received)


def swap_coins_exact_out(
    venue: int,
    account: Column,
    paid: Column,
    received: Column,
    output_atoms: Column,
    maximum_input_atoms: Column,
) -> Intent:
    """Receive exactly `output_atoms` of one coin of a pool for another, both by index."""
    amounts = (output_atoms, maximum_input_atoms)
    return intent_of(SWAP_EXACT_OUT, venue, account, 0, *amounts, 0, 0, 0, 0, paid, received)


def until_tick(swap: Intent, limit_tick: Column) -> Intent:
    """A swap by side of a concentrated pool, filled only as far as the price of a tick."""
    flags, key, tip_atoms = _columns(swap)[_FLAGS : _TIP + 1]
    return altered(swap, "flags", flags | TICK_LIMIT, key, tip_atoms, limit_tick)


def add_range(
    venue: int,
    account: Column,
    lower_tick: Column,
    upper_tick: Column,
    maximum_base_atoms: Column,
    maximum_quote_atoms: Column,
) -> Intent:
    """Add the most liquidity that both maxima pay for to the account's position over a range."""
    amounts = (maximum_base_atoms, maximum_quote_atoms)
    return intent_of(ADD_RANGE, venue, account, 0, *amounts, 0, 0, 0, 0, lower_tick, upper_tick)


def remove_range(
    venue: int, account: Column, lower_tick: Column, upper_tick: Column, liquidity: Column
) -> Intent:
    """Take liquidity out of the account's position; fees stay owed until collected."""
    edges = (lower_tick, upper_tick)
    return intent_of(REMOVE_RANGE, venue, account, 0, liquidity, 0, 0, 0, 0, 0, *edges)


def collect(venue: int, account: Column, lower_tick: Column, upper_tick: Column) -> Intent:
    """Pay out the fees that the account's position over a range has earned."""
    return intent_of(COLLECT, venue, account, 0, 0, 0, 0, 0, 0, 0, lower_tick, upper_tick)


def _by_coin(action: int, venue: int, account: Column, amounts_atoms: Sequence[Column]) -> Intent:
    """Amounts of up to eight coins: in the seven free columns, the last above the flags."""
    amounts = (*amounts_atoms, *[0] * (COINS - len(amounts_atoms)))
    eighth = _integers("amount of the eighth coin", amounts[7])
    if ((eighth >= 1 << EIGHTH_BITS) | (eighth < -1 << EIGHTH_BITS)).any():
        raise FathomError(f"the eighth coin's amount must be below 2**{EIGHTH_BITS} atoms")
    free = (*amounts[:4], eighth << FLAG_BITS, 0, 0, *amounts[4:7])
    return intent_of(action, venue, account, *free)


def add_coins(venue: int, account: Column, amounts_atoms: Sequence[Column]) -> Intent:
    """Deposit exactly these amounts, coin by coin in the pool's order, for shares.

    Raises FathomError for 2**55 atoms or more of the eighth coin.
    """
    return _by_coin(ADD_COINS, venue, account, amounts_atoms)


def remove_coins(venue: int, account: Column, amounts_atoms: Sequence[Column]) -> Intent:
    """Withdraw exactly these amounts, coin by coin in the pool's order, for shares.

    Raises FathomError for 2**55 atoms or more of the eighth coin.
    """
    return _by_coin(REMOVE_COINS, venue, account, amounts_atoms)


def add_coin(
    venue: int,
    account: Column,
    coin: Column,
    input_atoms: Column,
    minimum_shares_atoms: Column = 0,
) -> Intent:
    """Deposit exactly `input_atoms` of one coin for shares."""
    amounts = (input_atoms, minimum_shares_atoms)
    return intent_of(ADD_COIN, venue, account, 0, *amounts, 0, 0, 0, 0, coin)


def remove_coin(
    venue: int,
    account: Column,
    coin: Column,
    shares_atoms: Column,
    minimum_output_atoms: Column = 0,
) -> Intent:
    """Give shares back for one coin."""
    amounts = (shares_atoms, minimum_output_atoms)
    return intent_of(REMOVE_COIN, venue, account, 0, *amounts, 0, 0, 0, 0, coin)


def bid(venue: int, account: Column, rent_atoms: Column, deposit_atoms: Column) -> Intent:
    """Offer a rent, in pool shares a block out of a deposit, for the right to manage a pool."""
    return intent_of(BID, venue, account, 0, rent_atoms, deposit_atoms)


def set_fee(venue: int, account: Column, fee_ppm: Column) -> Intent:
    """The manager of a pool names its fee."""
    return intent_of(SET_FEE, venue, account, 0, fee_ppm)


def transfer(
    venue: int, account: Column, receiver: Column, column: Column, atoms: Column
) -> Intent:
    """Send atoms of the asset in a ledger column to an account of the sender in another domain."""
    return intent_of(TRANSFER, venue, account, 0, atoms, 0, receiver, 0, 0, 0, column)


def include(venue: int, account: Column, transaction: Column) -> Intent:
    """Within a bundle: the place of another's pending transaction, by its number in the queue.

    `venue` is any of the chain's; the named rows are executed between those of the bundle.
    """
    return intent_of(INCLUDE, venue, account, 0, 0, 0, transaction, PRIVATE)


def privately(intent: Intent) -> Intent:
    """Send to the block builder, past the public queue."""
    return altered(intent, "flags", _columns(intent)[_FLAGS] | PRIVATE)


def bundle(intents: Iterable[Intent], key: int = 1) -> list[Intent]:
    """Tie intents of one account together: on a chain all of them succeed, or none."""
    return [altered(intent, "bundle", key) for intent in intents]


def with_tip(intent: Intent, tip_atoms: Column) -> Intent:
    """Offer the block builder `tip_atoms` of the chain's fee asset."""
    return altered(intent, "tip_atoms", tip_atoms)


def stack(answers: Sequence[Intents]) -> Rows:
    """All intents of all answers as one array of dtype INTENT, in the order given."""
    try:
        return np.frombuffer(bytearray().join(answers), INTENT)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return np.frombuffer(bytearray().join(_each(answers)), INTENT)


def _each(answers: Iterable[Intents | None]) -> Iterator[Any]:
    """Every intent as what can be joined; answers may be sequences of intents, None is nothing."""
    for answer in answers:
        if isinstance(answer, bytes) and len(answer) % INTENT.itemsize == 0:
            yield answer
        elif isinstance(answer, np.ndarray | np.void):
            if answer.size and answer.dtype.itemsize != INTENT.itemsize:
                raise _no_intent(answer)
            yield np.ascontiguousarray(answer)
        elif isinstance(answer, Iterable) and not isinstance(answer, str | bytes):
            yield from _each(answer)
        elif answer is not None:
            raise _no_intent(answer)


def blank(count: int) -> Rows:
    """Rows to be written."""
    return np.frombuffer(np.empty((count, len(FIELDS)), np.int64), INTENT)


def take(intents: NDArray[np.void], rows: NDArray[np.int64]) -> NDArray[np.void]:
    """The given rows in the given order; as plain integers, which NumPy gathers much faster."""
    table = np.ndarray((len(intents), len(FIELDS)), np.int64, np.ascontiguousarray(intents))
    return np.ndarray(len(rows), intents.dtype, table.take(rows, axis=0))
