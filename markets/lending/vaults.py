"""Vaults: collateral is locked, a stablecoin issued against it, unsafe vaults are sold by auction.

Each account has one vault. The stablecoin is the venue's own issue, and every atom of it is owed by
somebody: debts are a signed asset of which borrowers hold less than nothing,

    stablecoin issued here = sum of the vaults' debts + debt of the system          always.

An unsafe vault (see `vault_terms`) is sold lot after lot, one for each LIQUIDATE that anybody
sends: the lot's debt passes to the system's account, and what its auction raises is paid into that
(see `collateral_auction`). Once a step the system burns what it has against what it owes. What it
still owes when the last auction is over is bad debt; what it holds beyond is its surplus, the
penalties. Prices are an hour or two old (see `delayed_price`). DEPOSIT and WITHDRAW lock and free
collateral, BORROW and REPAY issue and burn; what is rounded: see `vault_terms`.
Flows: collateral between vault and venue; fills: auctions that are over; events: zero bids won.
Source: Maker's Multi-Collateral Dai of 2019 (Vat, Cat, Flipper, Vow). Left out: the stability fee,
debt ceilings, auctions of surplus and of the system's debt, emergency shutdown.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from markets.assets import MAX_ATOMS, Asset, Instrument
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import BID, BORROW, BUY, DEPOSIT, LIQUIDATE, REPAY, WITHDRAW
from markets.lending.collateral_auction import NOBODY, AuctionHouse, AuctionRules
from markets.lending.delayed_price import DelayedPrice
from markets.lending.vault_terms import (
    PRICE_SCALE,
    VaultTerms,
    exact_price,
    goal_of,
    is_safe,
    part_to_sell,
)
from markets.outcomes import FILL, Code, Reason, flows
from markets.rounding import PPM
from markets.venue import Escrow, Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market

_SLACK = 1e-9
"""By how much more than the least a ratio of floats must be to need no exact look."""


@dataclass(frozen=True)
class VaultsView:
    """What agents see: the price in force and the next, vaults by account, auctions that run."""

    index: int
    instrument: Instrument
    terms: VaultTerms
    price: float
    next_price: float
    collateral_column: int
    stable_column: int
    collateral_atoms: NDArray[np.int64]
    debt_atoms: NDArray[np.int64]
    auctions: NDArray[np.void]

    def ratios(self, price: float) -> NDArray[np.float64]:
        """Worth of collateral over debt by account at a price; infinite without debt."""
        base, quote = self.instrument.base, self.instrument.quote
        worth = base.to_units(self.collateral_atoms) * price
        debt = quote.to_units(np.maximum(self.debt_atoms, 1))
        return np.where(self.debt_atoms > 0, worth / debt, np.inf)

    def unsafe(self) -> NDArray[np.int64]:
        """Accounts whose vaults may be liquidated now, in the order of accounts."""
        price, least = exact_price(self.price, self.instrument), self.terms.minimum_ratio_ppm
        held, debts = self.collateral_atoms, self.debt_atoms
        bound = debts * (least * (1 + _SLACK) / PPM)
        near = np.flatnonzero((debts > 0) & (held * (price[0] / price[1]) < bound)).tolist()
        unsafe = [at for at in near if not is_safe(int(held[at]), int(debts[at]), price, least)]
        return np.array(unsafe, np.int64)


class Vaults(Venue):
    """A vault for each account, and the auctions of those that were unsafe."""

    Params = VaultTerms
    atomic = True

    def __init__(
        self, name: str, domain: str, instrument: Instrument, params: VaultTerms | None = None
    ) -> None:
        super().__init__()
        self.name, self.domain, self.instrument = name, domain, instrument
        self.params = params or VaultTerms()
        self.debt = Asset(f"{name}:debt", instrument.quote.decimals, signed=True)
        lot, base = self.params.largest_lot, instrument.base
        if not 0.5 < lot * base.scale <= MAX_ATOMS:
            within = f"{1 / base.scale:g} to {MAX_ATOMS / base.scale:.3g} {base.name}"
            raise ConfigError(f"{name}.largest_lot", f"must be {within}, got {lot:g}")
        self.largest_lot_atoms = base.to_atoms(lot)
        params = self.params
        rules = AuctionRules(params.raise_ppm, params.bid_seconds, params.length_seconds)
        self.house = AuctionHouse(rules)
        self.oracle = DelayedPrice(params.price_interval_seconds)
        self._tally = _nothing_yet()

    def columns(self) -> tuple[Asset, ...]:
        """See `Venue.columns`: collateral, stablecoin, debt."""
        return self.instrument.base, self.instrument.quote, self.debt

    def open(self, market: "Market") -> None:
        """See `Venue.open`: rows of what is locked, on auction, issued, and of the system."""
        self._ledger = market.ledger
        self.accounts = market.open_accounts(self.name, self.domain, 4)
        self._locked, self._selling, self._issuer, self.system = self.accounts.tolist()
        self._base, self._stable, self._debt = (
            market.ledger.column[asset.name] for asset in self.columns()
        )
        market.ledger.allow_issue(self._issuer, self.instrument.quote.name)

    def begin(self) -> None:
        """See `Venue.begin`."""
        self.collateral = np.zeros(len(self._ledger.balances), np.int64)

    def accrue(self, moment: Moment) -> None:
        """See `Venue.accrue`: read the oracle, settle what is over, burn what was raised."""
        self._tally = _nothing_yet()
        self._read(moment)
        ended = self.house.end(moment.seconds)
        if len(ended):
            self._settle(ended)
        balances, system = self._ledger.balances, self.system
        burnt = min(int(balances[system, self._stable]), -int(balances[system, self._debt]))
        self._issue(system, -burnt)

    def _read(self, moment: Moment) -> None:
        """Ask the oracle; the first price must be one that integers can express."""
        base, quote = self.instrument.base, self.instrument.quote
        first = math.isnan(self.oracle.price)
        self.oracle.update(moment.reference.get(base.name, math.nan), moment.seconds)
        price, most = self.oracle.price, MAX_ATOMS / quote.scale
        known = exact_price(price, self.instrument)[0] > 0 and price <= most
        if first and not math.isnan(price) and not known:
            within = f"{1 / PRICE_SCALE:g} to {most:.3g} {quote.name}"
            problem = f"a unit of {base.name} must be worth {within} at first, got {price:g}"
            raise ConfigError(f"{self.name}.price", problem)

    def _settle(self, ended: NDArray[np.void]) -> None:
        """Hand over the lots; each is a fill between the winner and the venue."""
        winners, lots = ended["bidder"], ended["lot_atoms"]
        np.add.at(self._ledger.balances[:, self._base], winners, lots)
        self._ledger.balances[self._selling, self._base] -= lots.sum()
        fills = np.zeros(len(ended), FILL)
        fills["taker"], fills["maker"], fills["side"] = winners, self._selling, BUY
        fills["maker_order"], fills["base_atoms"] = ended["number"], lots
        fills["quote_atoms"], fills["reason"] = ended["bid_atoms"], Reason.LIQUIDATION
        self._fills.append(fills)
        zero = lots[ended["bid_atoms"] == 0]
        self._events += [("zero_bid", self.instrument.base.to_units(lot)) for lot in zero.tolist()]
        self._tally["volume"] += self.instrument.base.to_units(int(lots.sum()))
        self._tally["trades"] += len(ended)

    def _issue(self, account: int, atoms: int) -> None:
        """Issue stablecoin that the account then owes; below 0: burn it, and its debt."""
        for row, sign in ((account, 1), (self._issuer, -1)):
            self._ledger.balances[row, self._stable] += sign * atoms
            self._ledger.balances[row, self._debt] -= sign * atoms

    def _move(self, payer: int, receiver: int, column: int, atoms: int) -> None:
        self._ledger.balances[payer, column] -= atoms
        self._ledger.balances[receiver, column] += atoms

    def _is_safe(self, collateral_atoms: int, debt_atoms: int) -> bool:
        price = exact_price(self.oracle.price, self.instrument)
        return is_safe(collateral_atoms, debt_atoms, price, self.params.minimum_ratio_ppm)

    def owed_atoms(self, account: int) -> int:
        """The debt of an account, or of the system."""
        return -int(self._ledger.balances[account, self._debt])

    def observe(self, moment: Moment) -> VaultsView:
        """See `Venue.observe`."""
        debts = -self._ledger.balances[:, self._debt]
        debts[self.accounts] = 0
        return VaultsView(
            self.index,
            self.instrument,
            self.params,
            self.oracle.price,
            self.oracle.queued,
            self._base,
            self._stable,
            self.collateral.copy(),
            debts,
            self.house.running.copy(),
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """See `Venue.execute`."""
        codes = [self._carry_out(row, moment) for row in intents]
        return np.array(codes, np.int64)

    def _carry_out(self, row: Any, moment: Moment) -> Code:
        action, account, atoms = int(row["action"]), int(row["account"]), int(row["size"])
        if action == BID:
            return self._bid(row, moment)
        if action == LIQUIDATE:
            return self._liquidate(int(row["order"]), moment)
        if not 0 < atoms <= MAX_ATOMS:
            return Code.INVALID
        if action == DEPOSIT:
            return self._lock(account, atoms)
        if action == WITHDRAW:
            return self._free(account, atoms)
        if action == BORROW:
            return self._borrow(account, atoms)
        return self._repay(account, atoms) if action == REPAY else Code.INVALID

    def _lock(self, account: int, atoms: int) -> Code:
        if self._ledger.balances[account, self._base] < atoms:
            return Code.INSUFFICIENT_BALANCE
        self._move(account, self._locked, self._base, atoms)
        self.collateral[account] += atoms
        return Code.DONE

    def _free(self, account: int, atoms: int) -> Code:
        left = int(self.collateral[account]) - atoms
        if left < 0:
            return Code.INSUFFICIENT_BALANCE
        owed = self.owed_atoms(account)
        if owed and not self._is_safe(left, owed):
            return Code.INSUFFICIENT_MARGIN
        self._move(self._locked, account, self._base, atoms)
        self.collateral[account] = left
        return Code.DONE

    def _borrow(self, account: int, atoms: int) -> Code:
        """No more than can be owned, nor than an auction could ask for with the penalty."""
        owed = self.owed_atoms(account) + atoms
        issued = atoms - int(self._ledger.balances[self._issuer, self._stable])
        if max(goal_of(owed, self.params.penalty_ppm), issued) > MAX_ATOMS:
            return Code.INVALID
        if not self._is_safe(int(self.collateral[account]), owed):
            return Code.INSUFFICIENT_MARGIN
        self._issue(account, atoms)
        return Code.DONE

    def _repay(self, account: int, atoms: int) -> Code:
        """Up to so many atoms of what is owed."""
        paid = min(atoms, self.owed_atoms(account))
        if paid <= 0:
            return Code.UNKNOWN_ORDER
        if self._ledger.balances[account, self._stable] < paid:
            return Code.INSUFFICIENT_BALANCE
        self._issue(account, -paid)
        return Code.DONE

    def _liquidate(self, vault: int, moment: Moment) -> Code:
        """Put one lot of an unsafe vault up for sale."""
        known = 0 < vault < len(self.collateral) and vault not in self.accounts
        held, owed = (int(self.collateral[vault]), self.owed_atoms(vault)) if known else (0, 0)
        if owed <= 0 or held <= 0:
            return Code.UNKNOWN_ORDER
        if self._is_safe(held, owed):
            return Code.OUT_OF_RANGE
        lot, debt = part_to_sell(held, owed, self.largest_lot_atoms)
        self.collateral[vault] -= lot
        self._seize(vault, self._selling, lot)
        self._move(self._locked, vault, self._base, lot)
        self._move(self.system, vault, self._debt, debt)
        self.house.start(vault, lot, goal_of(debt, self.params.penalty_ppm), moment.seconds)
        self._tally["liquidations"] += 1
        self._tally["liquidated"] += self.instrument.base.to_units(lot)
        return Code.DONE

    def _bid(self, row: Any, moment: Moment) -> Code:
        """A bid that counts is paid at once: to the standing bidder, and to the system."""
        place, bidder = self.house.find(int(row["order"])), int(row["account"])
        if place < 0:
            return Code.UNKNOWN_ORDER
        bid_atoms, lot_atoms = int(row["size"]), int(row["limit"])
        held = int(self._ledger.balances[bidder, self._stable])
        running = self.house.running[place]
        back = int(running["bid_atoms"]) if running["bidder"] == bidder else 0
        if held < bid_atoms - back:
            return Code.INSUFFICIENT_BALANCE
        before = self.house.bid(place, bidder, bid_atoms, lot_atoms, moment.seconds)
        if before.code is Code.DONE:
            if before.bidder != NOBODY:
                self._move(bidder, before.bidder, self._stable, before.bid_atoms)
            self._move(bidder, self.system, self._stable, bid_atoms - before.bid_atoms)
            self._seize(self._selling, int(running["vault"]), before.lot_atoms - lot_atoms)
        return before.code

    def _seize(self, payer: int, receiver: int, atoms: int) -> None:
        """Move collateral into an auction, or back to the owner of the vault."""
        self._move(payer, receiver, self._base, atoms)
        paid = np.array([atoms])
        self._flows.append(flows(payer, receiver, self._base, paid, Reason.LIQUIDATION))

    def surplus_atoms(self) -> int:
        """What the system holds less what it owes; what auctions may yet raise not counted."""
        return int(self._ledger.balances[self.system, self._stable]) - self.owed_atoms(self.system)

    def bystanders(self, intents: NDArray[np.void]) -> NDArray[np.int64]:
        """See `Venue.bystanders`: vaults that are sold, and standing bidders."""
        actions, numbers = intents["action"], intents["order"]
        rows = self.house.running
        touched = rows[np.isin(rows["number"], numbers[actions == BID])]
        vaults = numbers[actions == LIQUIDATE]
        vaults = vaults[(vaults > 0) & (vaults < len(self.collateral))]
        bidders = touched["bidder"][touched["bidder"] != NOBODY]
        return np.concatenate([vaults, bidders, touched["vault"]])

    def snapshot(self) -> Any:
        """See `Venue.snapshot`."""
        state = self.collateral.copy(), self.house.snapshot()
        return (*state, len(self._flows), dict(self._tally))

    def restore(self, state: Any) -> None:
        """See `Venue.restore`."""
        self.collateral[:], house, length, self._tally = state
        self.house.restore(house)
        del self._flows[length:]

    def escrowed(self) -> list[Escrow]:
        """See `Venue.escrowed`: what is locked is the vault owners'."""
        owners = np.flatnonzero(self.collateral)
        return [Escrow(self._locked, self._base, owners, self.collateral[owners])]

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """See `Venue.asset_values`: a unit of debt is a unit of stablecoin that is owed."""
        return {self.debt.name: moment.reference.get(self.instrument.quote.name, 1.0)}

    def check(self) -> None:
        """What is locked, on sale and issued agrees with the ledger to the atom."""
        balances, base, quote = self._ledger.balances, *self.columns()[:2]
        rows = self.house.running
        pairs = (
            ("locked", base.name, self._locked, self._base, int(self.collateral.sum())),
            ("on sale", base.name, self._selling, self._base, int(rows["lot_atoms"].sum())),
            ("issued", quote.name, self._issuer, self._stable, self.owed_atoms(self._issuer)),
        )
        for rule, asset, row, column, expected in pairs:
            difference = int(balances[row, column]) - expected
            if difference:
                raise BrokenInvariant(rule, self.name, asset, difference)
        claims = balances[:, self._debt] > 0
        claims[self._issuer] = False
        if claims.any():
            row = int(np.flatnonzero(claims)[0])
            raise BrokenInvariant(
                "debt below zero", self.name, self.debt.name, int(balances[row, self._debt])
            )

    def measure(self, moment: Moment) -> dict[str, float]:
        """See `Venue.measure`: reserves are what is locked and owed, the fund is the surplus."""
        base, quote = self.columns()[:2]
        owed = -int(self._ledger.balances[self._issuer, self._stable]) - self.owed_atoms(
            self.system
        )
        return {
            "mid": self.oracle.price,
            "base_reserve": base.to_units(int(self.collateral.sum())),
            "quote_reserve": quote.to_units(owed),
            "insurance_fund": quote.to_units(self.surplus_atoms()),
            **self._tally,
        }


def _nothing_yet() -> dict[str, float]:
    """What a step counts."""
    return {"volume": 0.0, "trades": 0.0, "liquidations": 0.0, "liquidated": 0.0}
