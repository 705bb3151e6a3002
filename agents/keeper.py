"""Keepers: they liquidate unsafe vaults, and bid for the collateral that is sold.

A keeper values a unit of collateral at the outside price less its own discount and bids at once
what the lot is worth to it, up to the goal of the auction; then it lowers the lot instead:

    bid = min(goal, lot * value),          lot' = ceil(goal / value)          where the rules allow

Every bid is a transaction whose gas price is a part above the price to beat (see `gas_price`), or
the floor. The default keeper has a cap: above it, it stands aside, and what it sent before waits in
the queue and holds up whatever it would send next (transactions of an account go in their order).
A gas-aware keeper goes up to a part of what the lot would earn it, and sends again what waits. A
zero bidder bids nothing for every lot that nobody has bid for, whatever the gas price.
Winnings are held; stablecoin is spent as it lasts.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from agents.gas_price import MOST, price_to_beat, require_gas
from agents.trader import Cohort
from markets.assets import MAX_ATOMS
from markets.chain import ChainView
from markets.intents import BID, LIQUIDATE, Intent, with_tip
from markets.lending.collateral_auction import NOBODY
from markets.lending.lending_intents import bid_collateral, liquidate
from markets.lending.vaults import Vaults, VaultsView
from markets.market import Market, View
from markets.rounding import PPM


class Offers(NamedTuple):
    """Bids that would count: number of the auction, bid, lot, and what winning would earn."""

    number: NDArray[np.int64]
    bid_atoms: NDArray[np.int64]
    lot_atoms: NDArray[np.int64]
    earned: NDArray[np.float64]

    def where(self, mask: NDArray[np.bool_]) -> "Offers":
        """Some of them."""
        number, bid_atoms, lot_atoms, earned = self
        return Offers(number[mask], bid_atoms[mask], lot_atoms[mask], earned[mask])


class Keepers(Cohort):
    """Bidders in the auctions of one vault protocol."""

    class Params(Cohort.Params):
        """Parameters; gas prices in atoms of the fee asset a unit of gas."""

        count: int = Field(6, ge=1, le=1_000)
        """Keepers."""
        venue: str
        """The vaults' name."""
        stable: float = Field(5e6, ge=0)
        """Stablecoin of each keeper, to bid with."""
        gas: float = Field(1_000.0, gt=0)
        """Units of the chain's fee asset of each keeper."""
        discount_low: float = Field(0.03, ge=0, lt=1)
        """Part of the outside price that a keeper keeps for itself;"""
        discount_high: float = Field(0.10, ge=0, lt=1)
        """between the two, evenly, by keeper."""
        cap_low: float = Field(20.0, gt=0)
        """Gas price above which a keeper stands aside;"""
        cap_high: float = Field(60.0, gt=0)
        """between the two, evenly, by keeper."""
        floor: float = Field(12.0, ge=0, le=MOST)
        """Gas price that it bids where nothing waits."""
        overbid: float = Field(1.1, ge=1, le=100)
        """Gas price over the price to beat."""
        gas_aware: bool = False
        """Whether it has no cap, and bids for gas by what the lot would earn."""
        gas_part: float = Field(0.5, gt=0, le=1)
        """Part of what a lot would earn that a gas-aware keeper pays for gas at most."""
        bids_zero: bool = False
        """Whether it bids nothing, for lots that nobody has bid for."""
        liquidates: bool = False
        """Whether it puts the lots of unsafe vaults up for sale."""
        at_once: int = Field(50, ge=1)
        """Most transactions of one keeper in a step."""

        @model_validator(mode="after")
        def _is_ordered(self) -> Self:
            for low, high in (("discount_low", "discount_high"), ("cap_low", "cap_high")):
                if getattr(self, low) > getattr(self, high):
                    raise ValueError(f"{low} must be at most {high}")
            return self

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        params = self.params
        venue = market.venue(params.venue, f"{self.name}.venue", Vaults)
        base = venue.instrument.base
        require_gas(market, venue.domain, base.name, f"{self.name}.venue")
        held = {venue.instrument.quote.name: params.stable, base.name: params.gas}
        self.accounts = self.endow_all(market, venue.domain, held)
        self.discounts = self._spread(params.discount_low, params.discount_high)
        self.caps = self._spread(params.cap_low, params.cap_high)
        self.aside = np.zeros(params.count, np.bool_)
        self._domain = venue.domain

    def _spread(self, low: float, high: float) -> NDArray[np.float64]:
        """One value a keeper, in no order that has to do with the other's."""
        return self.stream.permutation(np.linspace(low, high, self.params.count))

    def act(self, view: View) -> Sequence[Intent]:
        """What each keeper sends in this step."""
        chain = view.domains[self._domain]
        price = max(self.params.floor, self.params.overbid * price_to_beat(chain))
        sent: list[Intent] = []
        for member in range(self.params.count):
            if self._may_send(chain, member, price):
                sent += self._send(view, member, price)
        return sent

    def _may_send(self, chain: ChainView, member: int, price: float) -> bool:
        """Not above the cap, nor while something waits; the gas-aware always."""
        if self.params.gas_aware or self.params.bids_zero:
            return True
        aside = price > self.caps[member]
        if aside != self.aside[member]:
            self.note("stands_aside" if aside else "returns", price)
            self.aside[member] = aside
        return not aside and not chain.waits(int(self.accounts[member]))

    def _send(self, view: View, member: int, price: float) -> list[Intent]:
        vaults: VaultsView = view[self.params.venue]
        chain: ChainView = view.domains[self._domain]
        account = int(self.accounts[member])
        sent: list[tuple[int, Intent]] = []
        if self.params.liquidates:
            rows = islice(self._liquidations(vaults, account), self.params.at_once)
            sent += [(LIQUIDATE, row) for row in rows]
        if len(vaults.auctions):
            offers = self._offers(view, vaults, member)
            if self.params.gas_aware:
                gas = price * chain.gas_of(BID) / vaults.instrument.base.scale
                worth = view.moment.reference[vaults.instrument.base.name]
                offers = offers.where(offers.earned * self.params.gas_part > gas * worth)
            sent += [(BID, row) for row in self._bids(view, vaults, account, offers)]
        return [
            with_tip(row, int(price * chain.gas_of(action)))
            for action, row in sent[: self.params.at_once]
        ]

    def _liquidations(self, vaults: VaultsView, account: int) -> Iterator[Intent]:
        """A transaction for each lot of the unsafe vaults."""
        largest = vaults.instrument.base.to_atoms(vaults.terms.largest_lot)
        for vault in vaults.unsafe().tolist():
            for _ in range(-(-int(vaults.collateral_atoms[vault]) // largest)):
                yield liquidate(vaults.index, account, vault, (0, 0), 0)

    def _offers(self, view: View, vaults: VaultsView, member: int) -> Offers:
        """The bids of a keeper, zero where it bids zero."""
        rows, account = vaults.auctions, int(self.accounts[member])
        base, quote = vaults.instrument.base, vaults.instrument.quote
        outside = view.moment.reference[base.name]
        worth = base.to_units(rows["lot_atoms"]) * outside
        fresh = rows["bidder"] == NOBODY
        if self.params.bids_zero:
            nothing = np.zeros(len(rows), np.int64)
            return Offers(rows["number"], nothing, rows["lot_atoms"], worth).where(fresh)
        value = outside * (1 - self.discounts[member])
        goal, held, lot = rows["goal_atoms"], rows["bid_atoms"], rows["lot_atoms"]
        valued = np.minimum(base.to_units(lot) * value, quote.to_units(MAX_ATOMS))
        bids = np.minimum(goal, quote.to_atoms(valued))
        raised = 1 + vaults.terms.raise_ppm / PPM
        tend = (held < goal) & (fresh | (bids > held) & ((bids >= held * raised) | (bids == goal)))
        enough = np.ceil(quote.to_units(goal) / value * base.scale)
        least = np.minimum(enough, MAX_ATOMS).astype(np.int64)
        dent = (held == goal) & (least * raised <= lot)
        lots = np.where(dent, least, lot)
        earned = base.to_units(lots) * outside - quote.to_units(bids)
        offers = Offers(rows["number"], np.where(dent, goal, bids), lots, earned)
        return offers.where((tend | dent) & (rows["bidder"] != account))

    def _bids(
        self, view: View, vaults: VaultsView, account: int, offers: Offers
    ) -> Iterator[Intent]:
        """As many as the stablecoin pays for."""
        left = int(view.balances[account, vaults.stable_column])
        for number, bid, lot in zip(*(c.tolist() for c in offers[:3]), strict=True):
            if bid <= left:
                left -= bid
                yield bid_collateral(vaults.index, account, number, bid, lot)
