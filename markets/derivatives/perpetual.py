"""A linear perpetual on its own order book, margined in the quote asset: the venue.

The ledger carries two signed assets: `<name>:contract` in lots and `<name>:margin`, claims on the
vault in atoms of the quote. A position is (contracts c, claim m); with the mark P and k atoms of a
lot and tick, equity = m + c P k. Every trade, fee, funding stamp, liquidation and ADL moves claims
between accounts, so that always

    vault's collateral = -vault's claims = sum of all equities.

Three accounts belong to the venue: vault, insurance fund, fees. Deposits turn quote into claims,
withdrawals turn free margin back. One step: accrue (index, mark, premium, funding at its stamp),
execute, liquidate. Matching and rounding: `perpetual_matching`; funding: `positions`, `marking`;
liquidation: `waterfall`. Left out: isolated margin, several collaterals, inverse contracts.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from markets.assets import Asset, Instrument
from markets.derivatives.brackets import MarginTier, margin_tiers, whole_brackets
from markets.derivatives.desk import Desk
from markets.derivatives.funding import impact_price
from markets.derivatives.liquidator import Liquidator, liquidation_flows, most_fills
from markets.derivatives.marking import BookQuotes, Marking, MarkingParams
from markets.derivatives.order_admission import Rules
from markets.derivatives.perpetual_audit import FAULTS, first_fault
from markets.derivatives.perpetual_matching import execute
from markets.derivatives.perpetual_view import PerpetualView
from markets.derivatives.positions import RATE_SCALE, Positions, Terms, pay_funding
from markets.derivatives.ranking import Ranking
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import PLACE
from markets.outcomes import FILL, Fills, Flows, Reason, fee_flows, flows
from markets.rounding import PPM
from markets.spot.book import MAX_PRICE_TICKS, NO_PRICE, Book
from markets.venue import Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market

_DEPTH = 0.01


class Perpetual(Venue):
    """A perpetual futures exchange for one instrument: base is the underlying, quote the margin."""

    class Params(MarkingParams):
        """Fees and margins in ppm of notional; the initial rate of higher brackets in proportion.

        `index_venues` are spot venues of the same market; without, the reference is the index.
        """

        index_venues: tuple[str, ...] = ()
        maker_fee_ppm: int = Field(default=200, ge=-100_000, le=100_000)
        taker_fee_ppm: int = Field(default=500, ge=0, le=100_000)
        initial_margin_ppm: int = Field(default=10_000, gt=0, le=PPM)
        maintenance_tiers: tuple[MarginTier, ...] = (MarginTier(),)
        market_band_ppm: int = Field(default=50_000, ge=0, lt=PPM)
        insurance_fund_quote: float = Field(default=0.0, ge=0)
        """Brought in from outside at the start."""
        adl_ranking: Ranking = Ranking.LEVERAGE

        @model_validator(mode="after")
        def _is_coherent(self) -> "Perpetual.Params":
            floors = [tier.floor_quote for tier in self.maintenance_tiers]
            rates = [tier.maintenance_ppm for tier in self.maintenance_tiers]
            if not floors or floors[0] != 0 or sorted(set(floors)) != floors:
                raise ValueError("maintenance_tiers must begin at floor 0 and rise")
            if sorted(rates) != rates or rates[0] > self.initial_margin_ppm:
                raise ValueError("maintenance rates must rise from at most initial_margin_ppm")
            if self.maker_fee_ppm + self.taker_fee_ppm < 0:
                raise ValueError("maker_fee_ppm must not give back more than taker_fee_ppm takes")
            return self

    def __init__(
        self, name: str, domain: str, instrument: Instrument, params: Params | None = None
    ) -> None:
        super().__init__()
        self.name, self.domain, self.instrument = name, domain, instrument
        self.params = params or self.Params()
        quote = instrument.quote
        self.contract = Asset(f"{name}:contract", 0, signed=True)
        self.margin = Asset(f"{name}:margin", quote.decimals, signed=True)
        self.marking = Marking(self.params)
        self.book = Book()
        self.batches = 0
        self.shortfalls = 0
        """Steps that left the fund with a position or a debt, nobody being left to take it."""
        tiers, initial = margin_tiers(self.params.maintenance_tiers, self.params.initial_margin_ppm)
        self._rules = Rules(whole_brackets(initial, quote.scale), self.params.market_band_ppm)
        self._liquidator = Liquidator(tiers, quote.scale, self.params.adl_ranking)
        self._tally = _StepTally()
        self._last_volume_lots = 0
        self._last_ticks = NO_PRICE
        self._without_flows: list[Fills] = []

    def columns(self) -> tuple[Asset, ...]:
        """Underlying and collateral, then the venue's own contracts and claims."""
        return self.instrument.base, self.instrument.quote, self.contract, self.margin

    def open(self, market: "Market") -> None:
        """Open vault, fund and fees, and endow the fund; index venues must exist."""
        for member in self.params.index_venues:
            if member == self.name or member not in market.venues:
                raise ConfigError(f"{self.name}.index_venues", f"no spot venue {member}")
        self._market, self._ledger = market, market.ledger
        self.accounts = market.open_accounts(self.name, self.domain, 3)
        vault, fund, fees = self.accounts.tolist()
        column = market.ledger.column
        self._terms = Terms(
            quote=column[self.instrument.quote.name],
            contract=column[self.contract.name],
            margin=column[self.margin.name],
            vault=vault,
            fund=fund,
            fees=fees,
            lot_atoms=self.instrument.lot_atoms,
            notional_atoms=self.instrument.notional_atoms,
            maker_fee_ppm=self.params.maker_fee_ppm,
            taker_fee_ppm=self.params.taker_fee_ppm,
            mark_ticks=0,
        )
        endowment = self.instrument.quote.to_atoms(self.params.insurance_fund_quote)
        market.ledger.issue(self.accounts[1:2], self.instrument.quote.name, endowment)
        self.fund_margin(self.accounts[1:2], np.array([endowment]))

    def fund_margin(self, accounts: NDArray[np.int64], atoms: NDArray[np.int64]) -> None:
        """Turn collateral of the accounts into margin before the first step.

        Raises ConfigError where an account has less, or an amount is negative.
        """
        balances, terms = self._ledger.balances, self._terms
        due = np.zeros(len(balances), np.int64)
        np.add.at(due, accounts, atoms)
        lacks = (due > 0) & (balances[:, terms.quote] < due)
        if np.any(np.asarray(atoms) < 0) or lacks.any():
            raise ConfigError(f"{self.name}.margin", "must be collateral that the account has")
        balances[:, terms.quote] -= due
        balances[:, terms.margin] += due
        balances[terms.vault, terms.quote] += due.sum()
        balances[terms.vault, terms.margin] -= due.sum()

    def begin(self) -> None:
        """Take up the ledger and admit the accounts of this domain."""
        ledger = self._ledger
        rows = len(ledger.owner)
        self.book.ensure(accounts=rows)
        elsewhere = ledger.domain != ledger.domain_names.index(self.domain)
        self.book.bar(np.union1d(np.flatnonzero(elsewhere), self.accounts))
        columns = [np.zeros(rows, np.int64) for _ in range(3)]
        self._positions = Positions(ledger.balances, *columns)

    def accrue(self, moment: Moment) -> None:
        """Take index, premium and mark of the step; at a stamp longs and shorts settle funding."""
        self._last_volume_lots = self._tally.volume_lots
        self._tally = _StepTally()
        members = [
            self._market.venues[name].measure(moment).get("mid", math.nan)
            for name in self.params.index_venues
        ]
        fallback = moment.reference.get(self.instrument.base.name, math.nan)
        self.marking.update(members, fallback, self._book_quotes(), moment)
        if not math.isnan(self.marking.mark):
            mark_ticks = max(1, self.instrument.to_ticks(self.marking.mark))
            self._terms = self._terms._replace(mark_ticks=mark_ticks)
            if self.marking.stamp(moment):
                self._pay_funding()

    def _book_quotes(self) -> BookQuotes:
        bid_ticks, ask_ticks = self.book.bid_ticks, self.book.ask_ticks
        mid = math.nan
        if bid_ticks >= 0 and ask_ticks >= 0:
            mid = self.instrument.to_price((bid_ticks + ask_ticks) / 2)
        return BookQuotes(mid, self._impact_price(1), self._impact_price(-1))

    def _impact_price(self, side: int) -> float:
        """Average price of trading the impact notional against a side, NaN where it is thin."""
        count = 16
        while True:
            price_ticks, size_lots = self.book.levels(side, count)
            average = impact_price(
                np.asarray(self.instrument.to_price(price_ticks), np.float64),
                np.asarray(self.instrument.to_base(size_lots), np.float64),
                self.params.impact_notional_quote,
            )
            if len(price_ticks) < count or not math.isnan(average):
                return float(average)
            count *= 4

    def _pay_funding(self) -> None:
        terms = self._terms
        owed_atoms = np.empty(len(self._positions.balances), np.int64)
        rate_1e9 = round(self.marking.funding_rate * RATE_SCALE)
        pay_funding(self._positions, terms, rate_1e9, owed_atoms)
        owed_atoms[terms.fund] = 0
        payers = np.flatnonzero(owed_atoms)
        self._flows.append(
            flows(payers, terms.fund, terms.margin, owed_atoms[payers], Reason.FUNDING)
        )

    def observe(self, moment: Moment) -> PerpetualView:
        """Quotes, mark, funding and margin of the step."""
        marking, tiers = self.marking, self.params.maintenance_tiers
        return PerpetualView(
            index=self.index,
            instrument=self.instrument,
            bid_ticks=self.book.bid_ticks,
            ask_ticks=self.book.ask_ticks,
            last_ticks=self._last_ticks,
            volume_lots=self._last_volume_lots,
            _venue=cast(Any, self),
            _batches=self.batches,
            mark=marking.mark,
            index_price=marking.index,
            premium=marking.premium,
            funding_rate=marking.funding_rate,
            seconds_to_funding=marking.seconds_to_funding(moment.seconds),
            contract_column=self._terms.contract,
            margin_column=self._terms.margin,
            initial_margin_rate=self.params.initial_margin_ppm / PPM,
            maintenance_margin_rate=tiers[0].maintenance_ppm / PPM,
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """Carry out intents in order; returns a code for each."""
        self.batches += 1
        limits = np.minimum(intents["limit"][intents["action"] == PLACE], MAX_PRICE_TICKS)
        self.book.ensure(len(limits), int(limits.max(initial=0)) + 1)
        codes = np.empty(len(intents), np.int64)
        desk = self._desk(self.book.count + 2 * len(limits))
        execute(desk, self._rules, intents, codes)
        self._keep(desk)
        return codes

    def _desk(self, most_fills: int) -> Desk:
        """What kernels work on, with room for so many fills; untouched rows cost no memory."""
        fills = np.empty(most_fills, FILL)
        count = np.zeros(1, np.int64)
        return Desk(self.book.arrays, self._positions, self._terms, fills, count)

    def _keep(self, desk: Desk) -> Fills:
        """Take the fills over for the record; returns them."""
        fills = desk.fills[: desk.fill_count[0]].copy()
        if len(fills):
            self._fills.append(fills)
            self._without_flows.append(fills)
            traded = fills["reason"] != Reason.ADL
            self._tally.trades += int(traded.sum())
            self._tally.volume_lots += int(fills["size_lots"][traded].sum())
            self._tally.adl_lots += int(fills["size_lots"][~traded].sum())
            if traded.any():
                self._last_ticks = int(fills["price_ticks"][traded][-1])
        return fills

    def liquidate(self, moment: Moment) -> None:
        """Close accounts below maintenance, worst first; then take debts left without position."""
        if self._terms.mark_ticks < 1:
            return
        balances, terms = self._positions.balances, self._terms
        unsafe = self._liquidator.unsafe(self._positions, terms)
        if len(unsafe) or balances[terms.fund, terms.contract]:
            self.batches += 1
            self._close(unsafe)
            unsafe = self._liquidator.unsafe(self._positions, terms)
            debtors = unsafe[balances[unsafe, terms.contract] == 0]
            if len(debtors):
                self._close(debtors)
        owes = balances[terms.fund, terms.margin] < 0
        self.shortfalls += bool(owes or balances[terms.fund, terms.contract])

    def _close(self, unsafe: NDArray[np.int64]) -> None:
        desk = self._desk(most_fills(self.book.count, len(self._positions.balances), len(unsafe)))
        takeovers = self._liquidator.run(desk, unsafe)
        self._flows += liquidation_flows(takeovers, self._keep(desk), self._terms)
        self._tally.liquidations += len(takeovers)
        self._tally.liquidated_lots += int(np.abs(takeovers[:, 1]).sum())

    def equity(self, accounts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Claims and positions of accounts at the mark, in quote units."""
        balances, terms = self._positions.balances, self._terms
        value_atoms = terms.mark_ticks * terms.notional_atoms
        atoms = balances[accounts, terms.margin] + balances[accounts, terms.contract] * value_atoms
        return np.asarray(self.instrument.quote.to_units(atoms))

    def drain_flows(self) -> Flows:
        """Fees, funding, liquidations and ADL since the last call."""
        if self._without_flows:
            fills = np.concatenate(self._without_flows)
            self._flows.append(fee_flows(fills, self._terms.fees, self._terms.margin))
            self._without_flows.clear()
        return super().drain_flows()

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """A lot of contracts is worth the mark, a claim one unit of collateral."""
        reference = moment.reference.get(self.instrument.base.name, 0.0)
        mark = reference if math.isnan(self.marking.mark) else self.marking.mark
        return {self.contract.name: self.instrument.to_base(mark), self.margin.name: 1.0}

    def check(self) -> None:
        """Raise unless claims are backed, debts are nobody's, and the book agrees with columns."""
        may_owe = self.shortfalls > 0
        fault, account, difference = first_fault(
            self.book.arrays, self._positions, self._terms, may_owe
        )
        if fault:
            rule = f"{FAULTS[fault]}, account {account}"
            raise BrokenInvariant(rule, self.name, self.margin.name, int(difference))

    def measure(self, moment: Moment) -> dict[str, float]:
        """The step's figures; depth is what rests within 1 % of the mid."""
        view, tally, instrument = self.observe(moment), self._tally, self.instrument
        depth = [math.nan, math.nan]
        if not math.isnan(view.mid):
            mid_ticks = (view.bid_ticks + view.ask_ticks) / 2
            depth[0] = instrument.to_base(view.depth_lots(1, math.ceil(mid_ticks * (1 - _DEPTH))))
            depth[1] = instrument.to_base(view.depth_lots(-1, math.floor(mid_ticks * (1 + _DEPTH))))
        longs = np.maximum(self._positions.balances[:, self._terms.contract], 0)
        return {
            "mid": view.mid,
            "bid": view.bid,
            "ask": view.ask,
            "bid_depth": depth[0],
            "ask_depth": depth[1],
            "volume": instrument.to_base(tally.volume_lots),
            "trades": tally.trades,
            "mark": view.mark,
            "index": view.index_price,
            "funding_rate": view.funding_rate,
            "open_interest": instrument.to_base(int(longs.sum())),
            "insurance_fund": float(self.equity(self.accounts[1:2])[0]),
            "liquidations": tally.liquidations,
            "liquidated": instrument.to_base(tally.liquidated_lots),
            "adl": instrument.to_base(tally.adl_lots),
        }


@dataclass
class _StepTally:
    """What has happened since the step began."""

    trades: int = 0
    volume_lots: int = 0
    liquidations: int = 0
    liquidated_lots: int = 0
    adl_lots: int = 0
