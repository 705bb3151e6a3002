"""The result tables: every column with its type, unit and meaning, declared once.

Tables are held as columns (NumPy arrays, or lists of strings) and never as rows. The runner adds
`run_id` in front of each and turns them into Parquet. Amounts are in units of their asset, not in
atoms; times are seconds since the start of the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 3

Columns = Mapping[str, Any]
"""Column name to a NumPy array, or to a list of strings."""


@dataclass(frozen=True)
class Column:
    """One column: `kind` is int32, int64, float64, bool or string."""

    name: str
    kind: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A named table with its columns in order."""

    name: str
    meaning: str
    columns: tuple[Column, ...]


STEP = Column("step", "int32", "1", "step, from 0")
VENUE = Column("venue", "string", "", "name of the venue")

STEPS = Table(
    "steps",
    "one row for each step and venue, at the end of the step",
    (
        STEP,
        Column("seconds", "float64", "s", "time at the end of the step"),
        VENUE,
        Column("reference", "float64", "quote/base", "outside price that the step began with"),
        Column("mid", "float64", "quote/base", "mid quote, or marginal price of a pool"),
        Column("bid", "float64", "quote/base", "best bid; pools: price for a seller after fee"),
        Column("ask", "float64", "quote/base", "best ask; pools: price for a buyer after fee"),
        Column("bid_depth", "float64", "base", "base bid within 1 % of the mid"),
        Column("ask_depth", "float64", "base", "base offered within 1 % of the mid"),
        Column("volume", "float64", "base", "base traded in the step"),
        Column("trades", "int32", "1", "fills in the step"),
        Column("mark", "float64", "quote/base", "mark price (derivatives)"),
        Column("index", "float64", "quote/base", "index price (derivatives)"),
        Column("funding_rate", "float64", "1", "rate of the last funding stamp"),
        Column("open_interest", "float64", "base", "sum of the long positions"),
        Column("insurance_fund", "float64", "quote", "equity of the insurance fund"),
        Column("liquidations", "int32", "1", "accounts liquidated in the step"),
        Column("liquidated", "float64", "base", "size of the positions taken over in the step"),
        Column("adl", "float64", "base", "size closed by auto-deleveraging in the step"),
        Column("base_reserve", "float64", "base", "base in the pool"),
        Column("quote_reserve", "float64", "quote", "quote in the pool"),
        Column("utilisation", "float64", "1", "part of the quote supplied that is lent"),
        Column("borrow_rate", "float64", "1", "plain rate a year for a loan in quote"),
    ),
)

FILLS = Table(
    "fills",
    "one row for each trade",
    (
        STEP,
        VENUE,
        Column("taker", "string", "", "owner of the account that took"),
        Column("maker", "string", "", "owner of the account that made, or the pool"),
        Column("taker_account", "int64", "1", "ledger row of the taker"),
        Column("maker_account", "int64", "1", "ledger row of the maker"),
        Column("side", "int32", "1", "1 the taker bought, -1 sold"),
        Column("price", "float64", "quote/base", "price without fees"),
        Column("size", "float64", "base", "base exchanged"),
        Column("taker_fee", "float64", "quote", "paid by the taker (pools: in its asset)"),
        Column("maker_fee", "float64", "quote", "paid by the maker, below 0 a rebate"),
        Column("reason", "string", "", "trade, liquidation or adl"),
    ),
)

FLOWS = Table(
    "flows",
    "who paid whom and why, summed over a step",
    (
        STEP,
        Column("venue", "string", "", "name of the venue, or of the chain for gas"),
        Column("payer", "string", "", "owner of the paying accounts"),
        Column("receiver", "string", "", "owner of the receiving accounts"),
        Column("asset", "string", "", "asset paid"),
        Column("reason", "string", "", "fee, funding, liquidation, adl, arbitrage, ..."),
        Column("paid", "float64", "asset", "sum paid, in units of the asset"),
    ),
)

_CLOSED_BY = (
    "orders, backstop, fund or pool; unwinding, holding: what those keep; "
    "adl: a winner that a pool closed; clawback: a winner of the period gave back the fee"
)

LIQUIDATIONS = Table(
    "liquidations",
    "one row for each forced close-out of a position, or clawback of profits, and who paid for it",
    (
        STEP,
        VENUE,
        Column("owner", "string", "", "owner of the account; the venue for its fund or backstop"),
        Column("account", "int64", "1", "ledger row of the account"),
        Column("by", "string", "", _CLOSED_BY),
        Column("side", "int32", "1", "1 a long was closed, -1 a short, 0 no position (a debt)"),
        Column("size", "float64", "base", "closed by orders, or taken over with its margin"),
        Column("mark", "float64", "quote/base", "mark price"),
        Column("bankruptcy_price", "float64", "quote/base", "where the account is worth nothing"),
        Column("price", "float64", "quote/base", "average of what has traded, in book and ADL"),
        Column("asset", "string", "", "settlement asset, in which all amounts of the row are"),
        Column("equity", "float64", "settlement", "of the account at the mark before"),
        Column("fee", "float64", "settlement", "paid by the account to the fund, or to the pool"),
        Column("book_size", "float64", "base", "traded in the book"),
        Column("book", "float64", "settlement", "what the book's makers gained against the mark"),
        Column("adl_size", "float64", "base", "closed by auto-deleveraging"),
        Column("adl", "float64", "settlement", "what deleveraged winners forwent at the mark"),
        Column("backstop", "float64", "settlement", "gain of backstop or pool, below 0 it paid"),
        Column("fund", "float64", "settlement", "gain of insurance fund or impact pool, or loss"),
        Column("socialised", "float64", "settlement", "loss below the fund's zero, or given back"),
    ),
)

EVENTS = Table(
    "events",
    "things that happened once",
    (
        STEP,
        Column("source", "string", "", "agent, venue or process"),
        Column("event", "string", "", "what happened, as one word"),
        Column("value", "float64", "", "its size, in the unit that the event implies"),
    ),
)

ACCOUNTS = Table(
    "accounts",
    "what every owner holds, the escrow of its orders included, every few steps",
    (
        STEP,
        Column("owner", "string", "", "agent or venue"),
        Column("asset", "string", "", "asset"),
        Column("balance", "float64", "asset", "sum over the owner's accounts and orders"),
        Column("accounts", "int64", "1", "accounts that the owner has"),
    ),
)

TABLES = {table.name: table for table in (STEPS, FILLS, FLOWS, LIQUIDATIONS, EVENTS, ACCOUNTS)}
