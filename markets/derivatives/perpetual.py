"""A perpetual or dated future on its own order book, margined in its settlement asset: the venue.

The ledger carries two signed assets: `<name>:contract` in lots and `<name>:margin`, claims on the
vault in atoms of the settlement asset. A position is (contracts c, claim m), worth m + value(c, P)
at the mark P, linear, quanto or inverse alike (`contract_form`). Every trade, fee, funding stamp,
liquidation and ADL moves claims between accounts, so that always

    vault's collateral = -vault's claims = sum of all equities.

Three accounts belong to the venue: vault, insurance fund, fees. Deposits turn collateral into
claims, withdrawals turn free margin back. One step: accrue (index, mark, premium; funding at its
stamp or settlement at expiry), execute, liquidate. Matching and rounding: `perpetual_matching`;
funding: `positions`, `marking`; expiry: `settlement`; liquidation: `waterfall`. An account's margin
here is isolated from all it has elsewhere, unless a clearing house joins the contracts (`house`).
"""

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from markets.assets import Asset, Instrument
from markets.derivatives.book_quotes import book_quotes
from markets.derivatives.clearing_house import ClearingHouse, house_of
from markets.derivatives.contract_form import form_of
from markets.derivatives.custody import Custody
from markets.derivatives.desk import Desk, Rules, clear_book
from markets.derivatives.expiry import SettlementWindow
from markets.derivatives.funding_meter import FundingMeter, FundingPrice, crosses
from markets.derivatives.funding_payment import funding_flows, pay_funding, payments
from markets.derivatives.liquidation_log import (
    CloseOuts,
    LiquidationLog,
    liquidation_log,
    sold_by_order,
)
from markets.derivatives.liquidation_presets import Stage
from markets.derivatives.liquidation_work import BY, BY_BACKSTOP, LOTS
from markets.derivatives.liquidator import liquidation_flows, liquidator_of, most_fills
from markets.derivatives.margin_rules import MarginRules
from markets.derivatives.marking import Marking
from markets.derivatives.perpetual_audit import FAULTS, first_fault
from markets.derivatives.perpetual_figures import Tally
from markets.derivatives.perpetual_matching import execute
from markets.derivatives.perpetual_params import PerpetualParams, refuse_too_large
from markets.derivatives.perpetual_view import PerpetualView
from markets.derivatives.positions import (
    Terms,
    account_records,
    backing_column,
    equity_column,
    no_positions,
)
from markets.derivatives.settlement import Settlement, settle_dated, settle_period
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import PLACE
from markets.outcomes import FILL, Code, Fills, Flows, fee_flows
from markets.rounding import PPM
from markets.spot.book import MAX_PRICE_TICKS, ORDER, Book
from markets.venue import Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market


class Perpetual(Venue):
    """A futures exchange for one contract; `settlement` is for a quanto's third asset."""

    class Params(PerpetualParams):
        """See `PerpetualParams`."""

    def __init__(
        self,
        name: str,
        domain: str,
        instrument: Instrument,
        params: Params | None = None,
        settlement: Asset | None = None,
    ) -> None:
        super().__init__()
        self.name, self.domain, self.instrument = name, domain, instrument
        self.params = params or self.Params()
        self.form = form_of(self.params, instrument, settlement)
        refuse_too_large(name, self.params, self.form.settlement)
        self.contract = Asset(f"{name}:contract", 0, signed=True)
        self.custody = Custody(name, self.form.settlement)
        self.house: ClearingHouse | None = None
        rates_ppm = (
            self.params.initial_margin_ppm,
            self.params.maintenance_tiers[0].maintenance_ppm,
        )
        self.funding = FundingMeter(self.params, rates_ppm)
        self.marking = Marking(self.params, self.funding)
        self.book = Book()
        self.batches, self._short = 0, False
        self.expired = False
        self.shortfalls = 0
        """Steps that left the fund with a position or a debt."""
        self._window: SettlementWindow | None = None
        if self.params.expiry_seconds is not None:
            self._window = SettlementWindow(
                self.params.expiry_seconds, self.params.settlement_window_seconds
            )
        self._tally = Tally()
        self._unreported_funding = False
        self._without_flows: list[Fills] = []
        self._liquidations: list[CloseOuts] = []

    def columns(self) -> tuple[Asset, ...]:
        """Underlying and collateral, then the venue's own contracts and claims."""
        own = () if self.params.house else (self.custody.margin,)
        return self.instrument.base, self.form.settlement, self.contract, *own

    def open(self, market: "Market") -> None:
        """Open vault, fund and fees, or take the house's, and endow; index venues must exist."""
        for member in self.params.index_venues:
            if member == self.name or member not in market.venues:
                raise ConfigError(f"{self.name}.index_venues", f"no spot venue {member}")
        self._market, self._ledger = market, market.ledger
        if self.params.house:
            self.house = house_of(self, market)
            self.custody = self.house.custody
        else:
            self.custody.open(market, self.domain)
        custody, rule = self.custody, self.params.liquidation
        self.accounts = custody.accounts
        column = market.ledger.column
        self._terms = Terms(
            quote=column[self.form.settlement.name],
            contract=column[self.contract.name],
            margin=custody.margin_column,
            vault=custody.vault,
            fund=custody.fund,
            fees=custody.fees,
            lot_atoms=self.form.lot_atoms,
            notional_atoms=self.form.notional_atoms,
            maker_fee_ppm=self.params.maker_fee_ppm,
            taker_fee_ppm=self.params.taker_fee_ppm,
            mark_ticks=0,
            form=self.form.code,
            grouped=self.house is not None,
            at_entry=self.params.margins_at_entry,
        )
        custody.endow(custody.fund, self.params.insurance_fund_units)
        backstops = rule.value("backstops") if rule.has(Stage.BACKSTOP) else ()
        self._backstops = market.open_accounts(self.name, self.domain, len(backstops))
        self.accounts = np.append(self.accounts, self._backstops)
        for row, backstop in zip(self._backstops.tolist(), backstops, strict=True):
            custody.endow(row, backstop.capital)

    def fund_margin(self, accounts: NDArray[np.int64], atoms: NDArray[np.int64]) -> None:
        """Turn collateral of the accounts into margin before the first step.

        Raises ConfigError where an account has less, or an amount is negative.
        """
        self.custody.fund_margin(accounts, atoms)

    def begin(self) -> None:
        """Take up the ledger and admit the accounts of this domain."""
        ledger = self._ledger
        rows = len(ledger.owner)
        self.book.ensure(accounts=rows)
        elsewhere = ledger.domain != ledger.domain_names.index(self.domain)
        elsewhere[self.accounts] = True
        elsewhere[self._terms.fund] = False
        self.book.bar(np.flatnonzero(elsewhere))
        self._positions = no_positions(ledger.balances, self._terms)
        self._payments = payments(rows, self.funding.is_continuous)
        self._margin = MarginRules(self.params, self.form)
        self._liquidator = liquidator_of(
            self.params, self.form.settlement.scale, self._backstops, rows
        )

    def accrue(self, moment: Moment) -> None:
        """Take index and mark of the step; funding at its stamp, settlement at expiry."""
        if self.expired:
            return
        self._tally.begin()
        members = [
            self._market.venues[name].measure(moment).get("mid", math.nan)
            for name in self.params.index_venues
        ]
        fallback = moment.reference.get(self.instrument.base.name, math.nan)
        self.marking.update(
            members,
            fallback,
            book_quotes(self.book, self.form, self.params.impact_notional_quote),
            moment,
        )
        if not math.isnan(self.marking.mark):
            self._set_mark(self.marking.mark)
            if self._window is not None:
                self._window.add(moment.seconds, self.marking.index)
                if moment.seconds >= cast(float, self.params.expiry_seconds):
                    self._expire(self._window.mean)
            elif (due_1e9 := self.funding.due_1e9(moment)) != 0:
                self._pay_funding(due_1e9)
            if crosses(moment, self.params.liquidation.value("clawback_seconds")):
                self._settle_period()

    def _set_mark(self, mark: float) -> None:
        mark_ticks = max(1, self.instrument.to_ticks(mark))
        self._terms = self._terms._replace(mark_ticks=mark_ticks)
        self._margin.follow(self._positions, self._terms, self.marking.mark)
        self._liquidator.maintenance = self._margin.maintenance

    def _expire(self, settlement_price: float) -> None:
        """Cancel all orders, close all positions at the price, cover debts and pay everybody."""
        self._set_mark(settlement_price)
        self.marking.mark = self.instrument.to_price(self._terms.mark_ticks)
        clear_book(self._desk(0))
        self._hear_of_isolated()
        made = settle_dated(self._positions, self._terms, self.params.settlement_fee_ppm)
        self._liquidator.held_claim = 0
        self.expired = True
        self._leave_house()
        self._events.append(("settlement", self.marking.mark))
        self._keep_settlement(made)

    def _settle_period(self) -> None:
        """Profits of the period are realised, and cut for what the fund owes."""
        made = settle_period(self._positions, self._terms)
        self._keep_settlement(made)
        if made.cut_atoms:
            self._events.append(("clawback_rate", made.cut_atoms / made.profits_atoms))

    def _keep_settlement(self, made: Settlement) -> None:
        self._flows += made.flows
        if len(made.close_outs.rows):
            self._liquidations.append(made.close_outs)
        if made.cut_atoms:
            self._events.append(("clawback", self._units(made.cut_atoms)))

    def _units(self, atoms: Any) -> Any:
        return self.form.settlement.to_units(atoms)

    def _base_of(self, lots: Any, price_ticks: Any) -> Any:
        return self.form.to_base(lots, self.instrument.to_price(np.maximum(price_ticks, 1)))

    def _pay_funding(self, rate_1e9: int) -> None:
        """Post what falls due; rows for the record are made when they are asked for."""
        if self._unreported_funding:
            self._report_funding()
        self._hear_of_isolated()
        terms, price_ticks = self._terms, self._terms.mark_ticks
        if self.params.funding_price is FundingPrice.INDEX:
            price_ticks = max(1, self.instrument.to_ticks(self.marking.index))
        pay_funding(self._positions, terms, rate_1e9, price_ticks, self._payments)
        self._unreported_funding = True
        self._leave_house()

    def _report_funding(self) -> None:
        self._flows.append(funding_flows(self._payments, self._terms))
        self._unreported_funding = False

    def observe(self, moment: Moment) -> PerpetualView:
        """Quotes, mark, funding and margin of the step."""
        self._hear_house()
        marking, tiers = self.marking, self.params.maintenance_tiers
        return PerpetualView(
            index=self.index,
            instrument=self.instrument,
            bid_ticks=self.book.bid_ticks,
            ask_ticks=self.book.ask_ticks,
            last_ticks=self._tally.last_ticks,
            volume_lots=self._tally.last_volume_lots,
            _venue=cast(Any, self),
            _batches=self.batches,
            mark=marking.mark,
            index_price=marking.index,
            premium=self.funding.premium,
            funding_rate=self.funding.rate,
            seconds_to_funding=self.funding.seconds_left(moment.seconds),
            contract_column=self._terms.contract,
            margin_column=self._terms.margin,
            initial_margin_rate=self.params.initial_margin_ppm / PPM,
            maintenance_margin_rate=tiers[0].maintenance_ppm / PPM,
            form=self.form,
            seconds_to_expiry=max(0.0, (self.params.expiry_seconds or math.inf) - moment.seconds),
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """Carry out intents in order; returns a code for each. After expiry all are refused."""
        self.batches += 1
        self._hear_house()
        if self.expired:
            return np.full(len(intents), Code.HALTED, np.int64)
        limits = np.minimum(intents["limit"][intents["action"] == PLACE], MAX_PRICE_TICKS)
        self.book.ensure(len(limits), int(limits.max(initial=0)) + 1)
        codes = np.empty(len(intents), np.int64)
        desk = self._desk(self.book.count + 2 * len(limits))
        execute(desk, intents, codes)
        fills = self._keep(desk)
        sold = fills[fills["maker"] == self._terms.fund]
        if len(sold):
            made, self._liquidator.held_claim = sold_by_order(
                self._positions, self._terms, sold, self.held_claim
            )
            self._liquidations.append(made)
        self._leave_house()
        return codes

    def _hear_house(self) -> None:
        """Take up what accounts have elsewhere in the group; what they have here may change."""
        if self.house is not None and self._terms.mark_ticks > 0:
            self.house.inform(self)

    def _hear_of_isolated(self) -> None:
        """The same, as far as it is needed to move claims: for accounts isolated here."""
        if self._positions.isolated.any():
            self._hear_house()

    def _leave_house(self) -> None:
        """Say what isolated accounts have here now that this venue has moved claims."""
        if self.house is not None:
            self.house.dismiss(self)

    def isolated_margin(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Accounts whose margin here is their own, and what they have set aside, in atoms.

        One with nothing left of either joins the others again.
        """
        positions, terms = self._positions, self._terms
        accounts = np.flatnonzero(positions.isolated)
        atoms = backing_column(positions, terms, accounts)
        flat = positions.balances[accounts, terms.contract] == 0
        done = flat & (atoms == 0) & (self.book.arrays.heads[accounts] == 0)
        positions.isolated[accounts[done]] = False
        return accounts[~done], atoms[~done]

    def records(self, into: NDArray[np.int64]) -> None:
        """By account: value, initial margin, maintenance and cost of the position, in atoms."""
        if self._terms.mark_ticks > 0:
            rules = (self._margin.initial, self._margin.maintenance)
            account_records(self._positions, self._terms, rules, into)

    @property
    def contract_column(self) -> int:
        """Column of the ledger that holds the contracts."""
        return self._terms.contract

    @property
    def held_claim(self) -> int:
        """Claim of the fund that belongs to lots which it could not close here."""
        return self._liquidator.held_claim

    def take_records(self, others: NDArray[np.int64]) -> None:
        """What accounts have in the group apart from here: equity, initial, maintenance."""
        positions = self._positions
        columns = (positions.other_equity, positions.other_initial, positions.other_maintenance)
        for column, values in zip(columns, others.T, strict=False):
            column[:] = values

    def _desk(self, most_fills: int) -> Desk:
        """What kernels work on, with room for so many fills; untouched rows cost no memory."""
        fills = np.empty(most_fills, FILL)
        count = np.zeros(1, np.int64)
        rules = Rules(self._margin.initial, self.params.market_band_ppm)
        return Desk(self.book.arrays, self._positions, self._terms, rules, fills, count)

    def _keep(self, desk: Desk) -> Fills:
        """Take the fills over for the record; returns them."""
        fills = desk.fills[: desk.fill_count[0]].copy()
        if len(fills):
            self._fills.append(fills)
            self._without_flows.append(fills)
            self._tally.add_fills(fills)
        return fills

    def liquidate(self, moment: Moment) -> None:
        """Pass unsafe accounts down the waterfall, worst first; then debts without position."""
        if self._terms.mark_ticks < 1 or self.expired:
            return
        self._hear_house()
        balances, terms = self._positions.balances, self._terms
        unsafe = self._liquidator.unsafe(self._positions, terms)
        fund = int(equity_column(self._positions, terms, np.array([terms.fund]))[0])
        self._liquidator.begin_step(unsafe, fund, moment)
        venue_holds = balances[terms.fund, terms.contract]
        venue_holds |= balances[self._backstops, terms.contract].any()
        if len(unsafe) or venue_holds:
            self.batches += 1
            self._close(unsafe, moment)
            unsafe = self._liquidator.unsafe(self._positions, terms)
            debtors = unsafe[balances[unsafe, terms.contract] == 0]
            if len(debtors):
                self._close(debtors, moment, debts=True)
            self.book.ensure(1)
            self._liquidator.offer_held(self._desk(0))
        owes = balances[terms.fund, terms.margin] < 0 and not terms.grouped
        short = bool(owes or balances[terms.fund, terms.contract])
        if short and not self._short:
            equity = float(self.equity(self.accounts[1:2])[0])
            self._events.append(("shortfall", max(0.0, -equity)))
        self.shortfalls, self._short = self.shortfalls + short, short
        self._leave_house()

    def _close(self, unsafe: NDArray[np.int64], moment: Moment, debts: bool = False) -> None:
        desk = self._desk(most_fills(self.book.count, len(self._positions.balances), len(unsafe)))
        fund = self._terms.fund
        before = int(equity_column(self._positions, self._terms, np.array([fund]))[0])
        rows, fills = self._liquidator.run(desk, unsafe, moment, debts), self._keep(desk)
        self._flows += liquidation_flows(rows, fills, self._terms)
        if len(rows):
            self._liquidations.append(CloseOuts(rows, fills, self._terms, before))
        self._tally.add_close_outs(rows)
        taken = np.abs(rows[rows[:, BY] == BY_BACKSTOP, LOTS]).sum()
        if taken:
            self._events.append(("backstop", self._base_of(int(taken), self._terms.mark_ticks)))

    def drain_liquidations(self) -> LiquidationLog | None:
        """Who was liquidated since the last call, how much, at what price, and who paid."""
        if not self._liquidations:
            return None
        log = liquidation_log(self._liquidations, self.form)
        self._liquidations.clear()
        return log

    def equity(self, accounts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Claims and positions of accounts at the mark, in units of the settlement asset.

        In a group, all that the accounts have there.
        """
        self._hear_house()
        return np.asarray(self._units(equity_column(self._positions, self._terms, accounts)))

    def fill_scales(self, fills: Fills) -> tuple[Any, Any, Any]:
        """See `Venue.fill_scales`; drained fills of an inverse contract count coin as base."""
        instrument, settlement = self.instrument, self.form.settlement.scale
        if self.form.is_inverse:
            return settlement, instrument.quote.scale, settlement
        if self.params.contract == "quanto":
            return instrument.base.scale, settlement * self.params.quanto_rate, settlement
        return instrument.base.scale, settlement, settlement

    def drain_fills(self) -> Fills:
        """The fills since the last call; base is coin and quote what contracts count, inverse."""
        return self.form.reported(super().drain_fills())

    def recent_fills(self, count: int) -> Fills:
        """The last trades, oldest first, as they are drained."""
        return self.form.reported(self._tally.tape(count))

    def closes(self, count: int) -> NDArray[np.float64]:
        """The last price at the end of each of the last steps, in ticks."""
        return self._tally.closes(count)

    def own_stops(self, account: int) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Ids and rows of waiting stops: there are none here."""
        return np.zeros(0, np.int64), np.zeros(0, ORDER)

    def forget(self) -> None:
        """See `Venue.forget`."""
        super().forget()
        self._without_flows.clear()
        self._liquidations.clear()
        self._unreported_funding = False

    def drain_flows(self) -> Flows:
        """Fees, funding, liquidations and ADL since the last call."""
        if self._unreported_funding:
            self._report_funding()
        if self._without_flows:
            fills = np.concatenate(self._without_flows)
            self._flows.append(fee_flows(fills, self._terms.fees, self._terms.margin))
            self._without_flows.clear()
        return super().drain_flows()

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """What a lot and a claim come to at the mark: linear, the price of a lot and 1."""
        reference = moment.reference.get(self.instrument.base.name, 0.0)
        mark = reference if math.isnan(self.marking.mark) else self.marking.mark
        settlement = moment.reference.get(self.form.settlement.name, 1.0)
        lot, claim = self.form.unit_values(mark, settlement)
        if self.house is not None:
            return {self.contract.name: lot}
        return {self.contract.name: lot, self.custody.margin.name: claim}

    def check(self) -> None:
        """Raise unless claims are backed, debts are nobody's, and the book agrees with columns."""
        may_owe = self.shortfalls > 0 or self.params.liquidation.has(Stage.SOCIAL)
        fault, account, difference = first_fault(
            self.book.arrays, self._positions, self._terms, may_owe
        )
        if fault:
            rule = f"{FAULTS[fault]}, account {account}"
            raise BrokenInvariant(rule, self.name, self.custody.margin.name, int(difference))

    def measure(self, moment: Moment) -> dict[str, float]:
        """The step's figures; depth is what rests within 1 % of the mid."""
        longs = np.maximum(self._positions.balances[:, self._terms.contract], 0)
        fund = float(self.equity(self.accounts[1:2])[0])
        mark_price = self.instrument.to_price(max(1, self._terms.mark_ticks))
        return self._tally.figures(self.observe(moment), mark_price, int(longs.sum()), fund)
