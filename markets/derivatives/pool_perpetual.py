"""A perpetual whose counterparty is a pool: trades at the oracle price, paid for by providers.

Traders deposit the settlement asset, open and close at the reference price of the step, and pay a
fee, an impact on the imbalance of longs and shorts into or out of an impact pool, borrow fees to
the providers and funding to the other side (see `pool_perpetual_rates`). Providers hold shares, an
asset of the ledger, of the pool's value, which is what it has less what traders would win. Opening
is refused beyond the reserve; profits beyond a part of the pool are paid in part, and before that
positions of a side that wins too much are closed, highest return first (ADL). Below maintenance a
position is closed at the oracle price; what its collateral lacks is the providers' loss.
Rounding: fees, impact paid and costs up, payouts and shares down; the dust is the providers'. Not
atomic. Trades cost half the spread between the oracle's lowest and highest price, which is the
providers'. Providers: `pool_providers`. Sources: GMX v1 Vault, gmx-synthetics, Jupiter JLP docs.
Left out: pools of more than base and quote, delay of execution.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from markets.assets import MAX_ATOMS, Asset, Instrument
from markets.derivatives.liquidation_log import LiquidationLog
from markets.derivatives.pool_liquidations import PoolCloseOut, pool_log
from markets.derivatives.pool_perpetual_accounts import Columns, PoolAccounts
from markets.derivatives.pool_perpetual_params import PoolPerpetualParams
from markets.derivatives.pool_perpetual_rates import (
    Interest,
    borrow_per_second,
    funding_per_second,
    impact_quote,
)
from markets.derivatives.pool_perpetual_view import PoolPerpetualView
from markets.derivatives.pool_providers import PoolProviders
from markets.errors import BrokenInvariant
from markets.intents import (
    ADD_COIN,
    DEPOSIT,
    IMMEDIATE_OR_CANCEL,
    MARKET,
    PLACE,
    POOL_INTENT,
    PRIVATE,
    REDUCE_ONLY,
    REMOVE_COIN,
    WITHDRAW,
)
from markets.outcomes import FILL, Code, Reason, flows
from markets.rounding import PPM, ppm_down, ppm_up
from markets.venue import Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market

_SHARE_DECIMALS = 6
_KNOWN_FLAGS = IMMEDIATE_OR_CANCEL | MARKET | PRIVATE | REDUCE_ONLY
_NOT_PLAIN = ("first", "second", "deadline_step")
"""Where an order has its trigger, the part that it shows, and its expiry."""


class PoolPerpetual(Venue):
    """A pool-based perpetual; base is the underlying, quote the only collateral."""

    class Params(PoolPerpetualParams):
        """See `PoolPerpetualParams`."""

    def __init__(
        self, name: str, domain: str, instrument: Instrument, params: Params | None = None
    ) -> None:
        super().__init__()
        self.name, self.domain, self.instrument = name, domain, instrument
        self.params = params or self.Params()
        self.contract = Asset(f"{name}:contract", 0, signed=True)
        self.margin = Asset(f"{name}:margin", instrument.quote.decimals, signed=True)
        self.share = Asset(f"{name}:share", _SHARE_DECIMALS)
        self.bad_debt_atoms = 0
        """Losses that wallets could not pay, all in all."""
        self._saved_factor = 0.0
        self._funding_rate = 0.0
        self._accrued_seconds = 0.0
        self._tally: dict[str, int] = {}
        self._forced: list[PoolCloseOut] = []

    def columns(self) -> tuple[Asset, ...]:
        """Underlying and collateral, then the venue's contracts, claims and shares."""
        return (
            self.instrument.base,
            self.instrument.quote,
            self.contract,
            self.margin,
            self.share,
        )

    def open(self, market: "Market") -> None:
        """See `Venue.open`: rows for the pool, the vault, the impact pool and the venue's fees."""
        self._ledger = market.ledger
        self.accounts = market.open_accounts(self.name, self.domain, 4)
        pool, vault, impact, fees = self.accounts.tolist()
        column = market.ledger.column
        self._at = Columns(
            base=column[self.instrument.base.name],
            quote=column[self.instrument.quote.name],
            contract=column[self.contract.name],
            margin=column[self.margin.name],
            share=column[self.share.name],
            pool=pool,
            vault=vault,
            impact=impact,
            fees=fees,
            notional_atoms=self.instrument.notional_atoms,
            lot_atoms=self.instrument.lot_atoms,
        )
        market.ledger.allow_issue(pool, self.share.name)
        quote = self.instrument.quote
        endowment = quote.to_atoms(self.params.impact_pool_quote)
        market.ledger.issue(self.accounts[2:3], quote.name, endowment)

    def begin(self) -> None:
        """See `Venue.begin`."""
        ledger = self._ledger
        self._books = PoolAccounts(ledger.balances, self._at)
        scale = self.instrument.quote.scale
        self.providers = PoolProviders(self._books, self.params, scale)
        self._barred = ledger.domain != ledger.domain_names.index(self.domain)
        self._barred[self.accounts] = True

    def accrue(self, moment: Moment) -> None:
        """Take the oracle price; at whole multiples of the interval fees and funding are paid."""
        self._tally = {"volume": 0, "trades": 0, "liquidations": 0, "liquidated": 0, "adl": 0}
        price = moment.reference.get(self.instrument.base.name, math.nan)
        if math.isfinite(price):
            self._books.mark_ticks = max(1, self.instrument.to_ticks(price))
        interval = self.params.accrual_seconds
        due = math.floor(moment.seconds / interval + 1e-9) * interval
        if self._books.mark_ticks and due > self._accrued_seconds:
            self._pay_over_time(due - self._accrued_seconds)
        self._accrued_seconds = max(due, self._accrued_seconds)

    def _interest(self) -> Interest:
        books, to_units = self._books, self.instrument.quote.to_units
        longs, shorts = (lots * books.value_atoms for lots in books.open_lots.values())
        impact_pool = int(books.balances[self._at.impact, self._at.quote])
        return Interest(*map(to_units, (longs, shorts, books.pool_value(), impact_pool)))

    def _pay_over_time(self, seconds: float) -> None:
        """Borrow fees to providers and venue, then funding from side to side."""
        interest = self._interest()
        if interest.longs + interest.shorts <= 0:
            return
        rate = borrow_per_second(self.params, interest) * seconds
        for side in (1, -1):
            self._charge(side, rate, Reason.INTEREST)
        long_pays, short_pays, self._saved_factor = funding_per_second(
            self.params, interest, self._saved_factor, seconds
        )
        self._funding_rate = long_pays * seconds
        rates = {1: long_pays * seconds, -1: short_pays * seconds}
        for side in (1, -1):
            if rates[side] > 0:
                self._fund(self._charge(side, rates[side], Reason.FUNDING), -side)

    def _charge(self, side: int, rate: float, reason: Reason) -> int:
        """Take a part of the notional from a side, rounded up, into the pool; returns the sum."""
        books, at = self._books, self._at
        accounts = books.holders(side)
        held = np.abs(books.balances[accounts, at.contract]) * books.value_atoms
        wallets = books.balances[accounts, at.margin] + books.entry_atoms[accounts]
        owed = np.minimum(np.ceil(held * rate).astype(np.int64), wallets)
        total = int(owed.sum())
        books.balances[accounts, at.margin] -= owed
        books.balances[at.vault, at.margin] += total
        books.balances[at.vault, at.quote] -= total
        books.balances[at.pool, at.quote] += total
        self._flows.append(flows(accounts, at.pool, at.quote, owed, reason))
        if reason is Reason.INTEREST:
            self._share_fee(total)
        return total

    def _fund(self, total: int, side: int) -> None:
        """Give what the other side paid to a side in proportion, rounded down."""
        books, at = self._books, self._at
        accounts = books.holders(side)
        lots = np.abs(books.balances[accounts, at.contract])
        whole = int(lots.sum())
        parts = np.array([total * int(held) // whole for held in lots], np.int64)
        paid = int(parts.sum())
        books.balances[accounts, at.margin] += parts
        books.balances[at.vault, at.margin] -= paid
        books.balances[at.vault, at.quote] += paid
        books.balances[at.pool, at.quote] -= paid
        self._flows.append(flows(at.pool, accounts, at.quote, parts, Reason.FUNDING))

    def _share_fee(self, atoms: int) -> None:
        """The venue's part of a fee that the pool has received."""
        kept = ppm_down(atoms, PPM - self.params.provider_part_ppm)
        self._books.balances[self._at.pool, self._at.quote] -= kept
        self._books.balances[self._at.fees, self._at.quote] += kept

    def observe(self, moment: Moment) -> PoolPerpetualView:
        """See `Venue.observe`."""
        interest, books, params = self._interest(), self._books, self.params
        mark = self.instrument.to_price(books.mark_ticks) if books.mark_ticks else math.nan
        room = [max(0.0, self._largest(interest) - side) / mark for side in interest[:2]]
        return PoolPerpetualView(
            index=self.index,
            instrument=self.instrument,
            mark=mark,
            long_interest=interest.longs,
            short_interest=interest.shorts,
            room_long=room[0],
            room_short=room[1],
            pool_value=interest.pool,
            share_price=self._share_price(),
            impact_pool=interest.impact_pool,
            borrow_per_hour=borrow_per_second(params, interest) * 3_600,
            fee=params.fee_ppm / PPM,
            half_spread=params.half_spread_ppm / PPM,
            initial_margin_rate=params.initial_margin_ppm / PPM,
            contract_column=self._at.contract,
            margin_column=self._at.margin,
            share_column=self._at.share,
        )

    def _largest(self, interest: Interest) -> float:
        """Largest notional of a side."""
        cap = self.params.largest_side_quote or math.inf
        return min(self.params.reserve_factor * max(0.0, interest.pool), cap)

    def _share_price(self) -> float:
        supply = self.share.to_units(self.providers.shares_atoms())
        value = self.instrument.quote.to_units(self._books.pool_value())
        return float(value / supply) if supply else 1.0

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """Carry out intents in order; a code for each."""
        codes = np.full(len(intents), Code.INVALID, np.int64)
        actions = {
            PLACE: self._place,
            DEPOSIT: self._deposit,
            WITHDRAW: self._withdraw,
            ADD_COIN: self._add,
            REMOVE_COIN: self._remove,
        }
        for at, row in enumerate(intents.view(POOL_INTENT)):
            action = actions.get(int(row["action"]))
            if action and 0 < row["size"] < MAX_ATOMS and not self._barred[row["account"]]:
                codes[at] = action(row)
        return codes

    def _deposit(self, row: np.void) -> Code:
        account, atoms = int(row["account"]), int(row["size"])
        if self._books.balances[account, self._at.quote] < atoms:
            return Code.INSUFFICIENT_BALANCE
        self._books.balances[account, self._at.quote] -= atoms
        self._books.balances[self._at.vault, self._at.quote] += atoms
        self._books.balances[self._at.vault, self._at.margin] -= atoms
        self._books.balances[account, self._at.margin] += atoms
        return Code.DONE

    def _withdraw(self, row: np.void) -> Code:
        books, account, atoms = self._books, int(row["account"]), int(row["size"])
        needed = ppm_up(
            abs(books.lots(account)) * books.value_atoms, self.params.initial_margin_ppm
        )
        free = min(books.wallet(account), books.equity(account)) - needed
        if free < atoms:
            return Code.INSUFFICIENT_MARGIN
        books.pay(account, account, atoms)
        return Code.DONE

    def _add(self, row: np.void) -> Code:
        account, coin = int(row["account"]), int(row["first"])
        return self.providers.add(account, coin, int(row["size"]), int(row["limit"]))

    def _remove(self, row: np.void) -> Code:
        account, coin = int(row["account"]), int(row["first"])
        return self.providers.remove(account, coin, int(row["size"]), int(row["limit"]))

    def _place(self, row: np.void) -> Code:
        """Close what is opposite, then open the rest; both at the oracle price.

        Invalid is what would have to wait, or rest, or trade whole or not at all.
        """
        account, side, lots = int(row["account"]), int(row["side"]), int(row["size"])
        books = self._books
        limit = 0 if row["flags"] & MARKET else int(row["limit"])
        if side not in (1, -1) or limit < 0 or not books.mark_ticks or lots > 2**31:
            return Code.INVALID
        if row["flags"] & ~_KNOWN_FLAGS or any(row[column] for column in _NOT_PLAIN):
            return Code.INVALID
        closable = max(0, -side * books.lots(account))
        closed = min(lots, closable)
        rest = 0 if row["flags"] & REDUCE_ONLY else lots - closed
        if not closed and not rest:
            return Code.REDUCE_ONLY
        impact = self._impact(side * (closed + rest) * books.value_atoms, forced=False)
        notional = (closed + rest) * books.value_atoms
        cost = side * notional + self._spread(notional) - impact
        if limit and cost > side * (closed + rest) * limit * self._at.notional_atoms:
            return Code.BEYOND_LIMIT
        if closed:
            part = impact * closed // (closed + rest)
            impact -= part
            self._close(account, closed, part, Reason.TRADE)
        if not rest:
            return Code.FILLED if closed == lots else Code.PARTLY_FILLED
        code = self._open(account, side, rest, impact)
        return Code.PARTLY_FILLED if closed and code < 0 else code

    def _spread(self, notional: int) -> int:
        """What the oracle's worse price costs on a trade."""
        return ppm_up(notional, self.params.half_spread_ppm)

    def _impact(self, change_atoms: int, forced: bool) -> int:
        """Impact in atoms, rounded against the trader; the impact pool can pay it."""
        quote = self.instrument.quote
        units = impact_quote(self.params, self._interest(), quote.to_units(change_atoms), forced)
        held = int(self._books.balances[self._at.impact, self._at.quote])
        return min(math.floor(units * quote.scale), held)

    def _open(self, account: int, side: int, lots: int, impact: int) -> Code:
        books, params = self._books, self.params
        notional = lots * books.value_atoms
        interest = self._interest()
        opened = interest.longs if side > 0 else interest.shorts
        if opened + self.instrument.quote.to_units(notional) > self._largest(interest):
            return Code.NO_LIQUIDITY
        fee = ppm_up(notional, params.fee_ppm)
        exposed = abs(books.lots(account)) * books.value_atoms + notional
        needed = ppm_up(exposed, params.initial_margin_ppm)
        spread = self._spread(notional)
        left = min(books.wallet(account), books.equity(account)) - fee - spread + impact
        if left < max(needed, 0):
            return Code.INSUFFICIENT_MARGIN
        self._settle(account, (fee, spread), impact)
        books.take(account, side * lots)
        self._record(account, side, lots, fee, Reason.TRADE)
        return Code.FILLED

    def _settle(self, account: int, charges: tuple[int, int], impact: int) -> int:
        """Impact, spread and fee as far as the wallet goes; returns the fee that was paid."""
        books, at = self._books, self._at
        fee, spread = charges
        books.pay(account, at.impact, min(-impact, books.wallet(account)))
        books.pay(account, at.pool, min(spread, books.wallet(account)))
        paid = min(fee, books.wallet(account))
        books.pay(account, at.pool, paid)
        self._share_fee(paid)
        self._flows.append(
            flows(np.array([account]), at.pool, at.quote, np.array([paid]), Reason.FEE)
        )
        return paid

    def _close(self, account: int, lots: int, impact: int, reason: Reason) -> int:
        """Close lots at the oracle price; returns the fee that was paid."""
        books, held = self._books, self._books.lots(account)
        side = 1 if held > 0 else -1
        profit = books.profit_of(account, lots)[1]
        paid = books.give(account, lots, self._payable(side, profit))
        self.bad_debt_atoms += max(0, paid - profit) if profit < 0 else 0
        notional, free = lots * books.value_atoms, reason is Reason.ADL
        charges = (ppm_up(notional, self.params.fee_ppm), self._spread(notional))
        fee = self._settle(account, (0, 0) if free else charges, impact)
        self._record(account, -side, lots, fee, reason)
        return fee

    def _payable(self, side: int, profit: int) -> int:
        """A profit cut in proportion where the side, net, wins more than a part of the pool."""
        if profit <= 0:
            return 0
        books = self._books
        held = int(books.balances[self._at.pool, self._at.quote])
        won = int(books.profits(books.holders(side)).sum())
        most = int(self.params.max_profit_factor * held)
        return min(held, profit if won <= most else profit * most // won)

    def _record(self, account: int, side: int, lots: int, fee: int, reason: Reason) -> None:
        books = self._books
        fill = np.zeros(1, FILL)
        fill["taker"], fill["maker"], fill["side"] = account, self._at.pool, side
        fill["price_ticks"], fill["size_lots"] = books.mark_ticks, lots
        fill["base_atoms"] = lots * self.instrument.lot_atoms
        notional = lots * books.value_atoms
        spread = 0 if reason is Reason.ADL else self._spread(notional)
        fill["quote_atoms"] = notional + side * spread
        fill["taker_fee_atoms"], fill["reason"] = fee, reason
        self._fills.append(fill)
        self._tally["trades"] += reason is not Reason.ADL
        self._tally["volume"] += lots if reason is not Reason.ADL else 0
        self._tally["adl"] += lots if reason is Reason.ADL else 0

    def liquidate(self, moment: Moment) -> None:
        """Close positions below maintenance; then those of a side that wins too much."""
        if not self._books.mark_ticks:
            return
        for side in (1, -1):
            for account in self._unsafe(side):
                self._liquidate(account)
        for side in (1, -1):
            self._deleverage(side)

    def _unsafe(self, side: int) -> list[int]:
        """Accounts whose equity less the closing fee is below maintenance."""
        books, params = self._books, self.params
        accounts = books.holders(side)
        held = books.balances[accounts, self._at.contract] * books.value_atoms
        equity = books.balances[accounts, self._at.margin] + held
        rate = (params.maintenance_ppm + params.fee_ppm + params.half_spread_ppm) / PPM
        found: list[int] = accounts[equity < np.ceil(np.abs(held) * rate)].tolist()
        return found

    def _liquidate(self, account: int) -> None:
        held = self._books.lots(account)
        impact = self._impact(-held * self._books.value_atoms, forced=True)
        self._force(account, min(impact, 0), Reason.LIQUIDATION)
        self._tally["liquidations"] += 1
        self._tally["liquidated"] += abs(held)

    def _force(self, account: int, impact: int, reason: Reason) -> None:
        """Close a whole position for the account, and write down who paid for it."""
        books, at = self._books, self._at
        lots, claim = books.balances[account, [at.contract, at.margin]].tolist()
        before = books.stand(account)
        fee = self._close(account, abs(lots), impact, reason)
        quote_atoms = int(self._fills[-1]["quote_atoms"][0])
        left = books.wallet(account)
        if reason is Reason.LIQUIDATION and self.params.loses_all_collateral and left > 0:
            books.pay(account, at.pool, left)
            lost = flows(np.array([account]), at.pool, at.quote, np.array([left]), reason)
            self._flows.append(lost)
        position, stands = (account, lots, claim), (before, books.stand(account))
        if made := sum(stands[1]) - sum(before):
            raise BrokenInvariant("a close-out makes money", self.name, self.margin.name, made)
        self._forced.append(
            PoolCloseOut(position, reason, books.mark_ticks, quote_atoms, fee, stands)
        )

    def drain_liquidations(self) -> LiquidationLog | None:
        """Who was closed by force since the last call, at what price, and who paid."""
        made, self._forced = self._forced, []
        return pool_log(made, self.instrument) if made else None

    def forget(self) -> None:
        """See `Venue.forget`."""
        super().forget()
        self._forced.clear()

    def _deleverage(self, side: int) -> None:
        """Close the positions of a side with the highest return until its profit is tolerable."""
        books, params = self._books, self.params
        accounts = books.holders(side)
        profits = books.profits(accounts)
        won = int(profits.sum())
        if won <= params.adl_factor * books.balances[self._at.pool, self._at.quote]:
            return
        gains = profits / np.abs(books.entry_atoms[accounts])
        for place in np.argsort(-gains, kind="stable"):
            held = int(books.balances[self._at.pool, self._at.quote])
            if profits[place] <= 0 or won <= params.adl_target * held:
                return
            account = int(accounts[place])
            self._force(account, 0, Reason.ADL)
            won -= int(profits[place])

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """A lot at the mark, a claim at one unit, a share at its part of the pool."""
        mark = self.instrument.to_price(self._books.mark_ticks)
        return {
            self.contract.name: self.instrument.to_base(mark),
            self.margin.name: 1.0,
            self.share.name: self._share_price(),
        }

    def check(self) -> None:
        """See `Venue.check`."""
        rule, difference = self._books.fault()
        if rule:
            raise BrokenInvariant(rule, self.name, self.margin.name, difference)

    def measure(self, moment: Moment) -> dict[str, float]:
        """See `Venue.measure`; depth is the room that is left on each side."""
        view, tally, to_base = self.observe(moment), self._tally, self.instrument.to_base
        return {
            "mid": view.mark,
            "bid_depth": view.room_short,
            "ask_depth": view.room_long,
            "volume": to_base(tally["volume"]),
            "trades": tally["trades"],
            "mark": view.mark,
            "index": view.mark,
            "funding_rate": self._funding_rate,
            "open_interest": to_base(self._books.open_lots[1]),
            "insurance_fund": view.impact_pool,
            "liquidations": tally["liquidations"],
            "liquidated": to_base(tally["liquidated"]),
            "adl": to_base(tally["adl"]),
            "quote_reserve": view.pool_value,
        }
