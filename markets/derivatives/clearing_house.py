"""A clearing house: one margin account for several contracts and coins, and a market for its loans.

Perpetuals and futures that name it as their `house` take their margin from its claims, so that an
account's record is one for all, in atoms of the settlement asset:

    equity       claim + values of all positions at their marks + coins after haircut
    initial      sum of what positions and open orders need;  maintenance    of positions alone

Each contract's venue is told what its accounts have elsewhere before it executes or liquidates, and
liquidates its own contracts of unsafe accounts; a position leaves with its part of the equity, in
proportion to maintenance. An account may hold a contract on margin of its own (`isolation`), which
is in none of these. Coins of an account without positions that is worth nothing more go to
the fund at their haircut value, against its debt. Withdrawing the settlement asset beyond the claim
is borrowing, where `lending` allows it, and ends where the vault is empty. List the house after its
contracts. Coins: `collateral`; interest: `lending`. Left out: selling seized coins.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.assets import Asset
from markets.derivatives.collateral import Collateral, CollateralParams
from markets.derivatives.custody import Custody
from markets.derivatives.isolation import Isolation
from markets.derivatives.lending import Interest, LendingParams, interest_of
from markets.derivatives.margin import margin_ratio, margin_state
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import DEPOSIT, WITHDRAW
from markets.outcomes import Code, Reason, flows
from markets.venue import Moment, Venue

if TYPE_CHECKING:
    from markets.derivatives.perpetual import Perpetual
    from markets.market import Market

VALUE, INITIAL, MAINTENANCE, COST = range(4)
_SECONDS_AN_HOUR = 3_600.0


@dataclass(frozen=True)
class HouseView:
    """Columns of claims (the settlement asset first, then coins), prices, rates of interest."""

    index: int
    columns: tuple[int, ...]
    prices: tuple[float, ...]
    utilisation: float
    borrow_rate: float
    record: NDArray[np.float64]
    """By account: equity, initial and maintenance margin, in settlement units.

    Equity is that of liquidation; what coins count less for orders is part of the initial margin.
    """
    set_aside: NDArray[np.float64]
    """By account: claims held apart for single contracts, which the record leaves out."""

    @property
    def margin_ratios(self) -> NDArray[np.float64]:
        """By account: equity over maintenance, uniMMR at Binance; infinite where none is needed."""
        return np.asarray(margin_ratio(self.record[:, VALUE], self.record[:, MAINTENANCE]))

    @property
    def margin_states(self) -> NDArray[np.int64]:
        """By account: its `MarginState`, by Binance's thresholds."""
        return np.asarray(margin_state(self.margin_ratios))


class ClearingHouse(Venue):
    """Margin accounts of a group of contracts."""

    class Params(params.Params):
        """Parameters of the house."""

        collaterals: tuple[CollateralParams, ...] = ()
        """Coins accepted as margin beside the settlement asset."""
        insurance_fund_units: float = Field(default=0.0, ge=0)
        """The fund at the start, brought in from outside."""
        lending: LendingParams = LendingParams()

    def __init__(
        self,
        name: str,
        domain: str,
        settlement: Asset,
        coins: tuple[Asset, ...] = (),
        params: Params | None = None,
    ) -> None:
        super().__init__()
        self.name, self.domain, self.settlement = name, domain, settlement
        self.params = params or self.Params()
        self.custody = Custody(name, settlement)
        by_name = {coin.name: coin for coin in coins}
        if set(by_name) != {terms.asset for terms in self.params.collaterals}:
            raise ConfigError(f"{name}.collaterals", f"must be those of {sorted(by_name)}")
        self.coins = [
            Collateral(name, by_name[terms.asset], terms) for terms in self.params.collaterals
        ]
        self.members: list[Perpetual] = []
        self.interest: Interest | None = None
        self.seized_atoms = 0
        """What the fund has paid for debts whose coins it took."""
        self._open = False

    def columns(self) -> tuple[Asset, ...]:
        """The settlement asset twice, its claims, then each coin and its claims."""
        coins = [asset for coin in self.coins for asset in (coin.asset, coin.claims)]
        return self.settlement, self.settlement, self.custody.margin, *coins

    def join(self, member: "Perpetual", market: "Market") -> None:
        """Take a contract into the group; it must settle in the house's asset."""
        if member.form.settlement != self.settlement or member.domain != self.domain:
            problem = f"settles in {self.settlement.name} in {self.domain}"
            raise ConfigError(f"{member.name}.house", f"{self.name} {problem}")
        self.members.append(member)
        self._open_custody(market)

    def _open_custody(self, market: "Market") -> None:
        if not self._open:
            self._open = True
            self.custody.open(market, self.domain)
            self.custody.endow(self.custody.fund, self.params.insurance_fund_units)

    def open(self, market: "Market") -> None:
        """Open the accounts, unless a contract has; price venues must exist."""
        for coin in self.coins:
            for venue in coin.params.price_venues:
                if venue not in market.venues:
                    raise ConfigError(f"{self.name}.collaterals", f"no spot venue {venue}")
        self._open_custody(market)
        self._market, self._ledger = market, market.ledger
        self.accounts = self.custody.accounts
        column = market.ledger.column
        self._assets = [self.custody.quote_column, *(column[c.asset.name] for c in self.coins)]
        self._claims = [self.custody.margin_column, *(column[c.claims.name] for c in self.coins)]

    def begin(self) -> None:
        """Take up the ledger."""
        rows = len(self._ledger.owner)
        self._records = np.zeros((len(self.members), rows, 4), np.int64)
        self._stale = np.ones(len(self.members), bool)
        self._values, self._haircuts = np.zeros((2, rows), np.int64)
        self.isolation = Isolation(len(self.members), rows)
        self._mine = self._ledger.domain == self._ledger.domain_names.index(self.domain)
        self._mine[self.accounts] = False

    def accrue(self, moment: Moment) -> None:
        """Price the coins; let interest fall due."""
        for coin in self.coins:
            mids = [
                self._market.venues[name].measure(moment).get("mid", math.nan)
                for name in coin.params.price_venues
            ]
            coin.update(mids, moment.reference.get(coin.asset.name, 1.0))
        self._stale[:] = True
        self._value_coins()
        if self.params.lending.enabled and moment.step > 0:
            self._pay_interest(moment.step_seconds / _SECONDS_AN_HOUR)

    def _value_coins(self) -> None:
        self._values[:], self._haircuts[:] = self._worth(self._ledger.balances)
        self._values[self.accounts] = self._haircuts[self.accounts] = 0

    def _worth(self, balances: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the coins of rows of the ledger count as margin, and how much less for orders."""
        total = np.zeros((2, len(balances)), np.int64)
        for coin, column in zip(self.coins, self._claims[1:], strict=True):
            if not math.isnan(coin.price):
                total += coin.values(balances[:, column], self.settlement.scale)
        return total

    def _refresh(self) -> None:
        """Measure again the contracts whose marks or positions may have changed."""
        for place in np.flatnonzero(self._stale):
            self.members[place].records(self._records[place])
        self._stale[:] = False

    def inform(self, member: "Perpetual") -> None:
        """Tell a contract what its accounts have elsewhere; its own record is stale from here."""
        place = self.members.index(member)
        self._refresh()
        isolation, claims = self.isolation, self._ledger.balances[:, self._claims[0]]
        others = isolation.shared(self._records) - isolation.own(place, self._records[place])
        others[:, VALUE] += self._values - isolation.aside
        others[:, INITIAL] += self._haircuts
        accounts, atoms = isolation.kept[place]
        others[accounts] = 0
        others[accounts, VALUE] = atoms - claims[accounts]
        held = sum(other.held_claim for other in self.members if other is not member)
        others[self.custody.fund, VALUE] = -held
        member.take_records(others[:, : MAINTENANCE + 1])
        self._stale[place] = True

    def dismiss(self, member: "Perpetual") -> None:
        """Hear from a contract that has acted what its isolated accounts have set aside."""
        self.isolation.keep(self.members.index(member), *member.isolated_margin())

    def records(self) -> NDArray[np.int64]:
        """By account: equity, initial and maintenance margin, and cost of positions, in atoms."""
        self._refresh()
        record = self.isolation.shared(self._records)
        record[:, VALUE] += self._wallets() + self._values
        record[:, INITIAL] += self._haircuts
        return record

    def _wallets(self) -> NDArray[np.int64]:
        """Claims on the settlement asset that are not set aside for one contract."""
        wallets: NDArray[np.int64] = (
            self._ledger.balances[:, self._claims[0]] - self.isolation.aside
        )
        return wallets

    def _pay_interest(self, hours: float) -> None:
        """Borrowers pay lenders; the reserve and the dust are the fund's."""
        claims = self._ledger.balances[:, self._claims[0]]
        self._refresh()
        part = VALUE if self.params.lending.lend_unrealised else COST
        shared = self.isolation.shared(self._records)[:, part]
        nets = np.where(self._mine, self._wallets() + shared, 0)
        self.interest = interest_of(nets, self.params.lending, hours)
        received, fund = self.interest.received_atoms, self.custody.fund
        claims += received
        claims[fund] += self.interest.reserved_atoms
        everybody = np.arange(len(received))
        made = flows(fund, everybody, self._claims[0], received, Reason.INTEREST)
        self._flows.append(made)

    def observe(self, moment: Moment) -> HouseView:
        """Claims, prices, rates and the record of every account."""
        interest = self.interest
        return HouseView(
            self.index,
            tuple(self._claims),
            tuple(coin.price for coin in self.coins),
            interest.utilisation if interest else 0.0,
            interest.borrow_rate if interest else 0.0,
            np.asarray(self.settlement.to_units(self.records()[:, : MAINTENANCE + 1])),
            np.asarray(self.settlement.to_units(self.isolation.aside)),
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """Deposits and withdrawals, in order; `side` is the coin, 0 the settlement asset."""
        self._stale[:] = True
        record = self.records()
        codes = np.full(len(intents), Code.INVALID, np.int64)
        for row, intent in enumerate(intents):
            account, coin, atoms = (int(intent[name]) for name in ("account", "side", "size"))
            if not (0 < account < len(self._mine) and self._mine[account] and atoms > 0):
                continue
            if not 0 <= coin < len(self._assets):
                continue
            if intent["action"] == DEPOSIT:
                codes[row] = self._move(account, coin, atoms, record)
            elif intent["action"] == WITHDRAW:
                codes[row] = self._move(account, coin, -atoms, record)
        return codes

    def _move(self, account: int, coin: int, atoms: int, record: NDArray[np.int64]) -> Code:
        """Deposit, or withdraw where the amount is negative."""
        balances, vault = self._ledger.balances, self.custody.vault
        asset, claims = self._assets[coin], self._claims[coin]
        if balances[account, asset] < atoms or balances[vault, asset] < -atoms:
            return Code.INSUFFICIENT_BALANCE
        if coin and balances[account, claims] < -atoms:
            return Code.INSUFFICIENT_BALANCE
        for row, sign in ((account, 1), (vault, -1)):
            balances[row, asset] -= sign * atoms
            balances[row, claims] += sign * atoms
        before = self._values[account], self._haircuts[account], *record[account]
        if coin:
            value, haircut = self._worth(balances[account : account + 1])[:, 0]
            record[account, VALUE] += value - self._values[account]
            record[account, INITIAL] += haircut - self._haircuts[account]
            self._values[account], self._haircuts[account] = value, haircut
        else:
            record[account, VALUE] += atoms
        if atoms < 0 and not self._may_leave(account, record):
            self._values[account], self._haircuts[account], *record[account] = before
            for row, sign in ((account, 1), (vault, -1)):
                balances[row, asset] += sign * atoms
                balances[row, claims] -= sign * atoms
            return Code.INSUFFICIENT_MARGIN
        return Code.DONE

    def _may_leave(self, account: int, record: NDArray[np.int64]) -> bool:
        """Whether, after a withdrawal, margin is left; without lending, nothing is owed either."""
        equity, initial, _, cost = record[account].tolist()
        wallet = int(self._wallets()[account]) + cost
        covered = min(equity, wallet + int(self._values[account])) >= initial
        return covered and (self.params.lending.enabled or wallet >= 0)

    def liquidate(self, moment: Moment) -> None:
        """Take the coins of accounts that have no position and are worth nothing more."""
        self._stale[:] = True
        record, balances, fund = self.records(), self._ledger.balances, self.custody.fund
        claims = balances[:, self._claims[0]]
        self._forgive_isolated(claims)
        wallets = self._wallets()
        spent = (wallets < 0) & (record[:, VALUE] <= 0) & (record[:, INITIAL] == 0)
        spent &= record[:, MAINTENANCE] == 0
        spent[[self.custody.vault, fund]] = False
        accounts = np.flatnonzero(spent)
        if not len(accounts):
            return
        debts = -wallets[accounts]
        claims[accounts] += debts
        claims[fund] -= debts.sum()
        self.seized_atoms += int(debts.sum())
        self._flows.append(flows(fund, accounts, self._claims[0], debts, Reason.INSURANCE))
        for column in self._claims[1:]:
            taken = balances[accounts, column].copy()
            balances[accounts, column] = 0
            balances[fund, column] += taken.sum()
            self._flows.append(flows(accounts, fund, column, taken, Reason.LIQUIDATION))
        self._events.append(("seizure", float(self.settlement.to_units(int(debts.sum())))))
        self._value_coins()

    def _forgive_isolated(self, claims: NDArray[np.int64]) -> None:
        """Debts that isolated positions have left are the fund's."""
        fund = self.custody.fund
        for place, (accounts, atoms) in enumerate(self.isolation.kept):
            contracts = self._ledger.balances[accounts, self.members[place].contract_column]
            debts = np.where(contracts == 0, np.maximum(-atoms, 0), 0)
            if debts.any():
                claims[accounts] += debts
                claims[fund] -= debts.sum()
                self.isolation.keep(place, accounts, atoms + debts)
                made = flows(fund, accounts, self._claims[0], debts, Reason.INSURANCE)
                self._flows.append(made)

    def check(self) -> None:
        """Raise unless all claims are backed, coin by coin, and nobody owes a coin."""
        balances, vault = self._ledger.balances, self.custody.vault
        assets = [self.custody.margin, *(coin.claims for coin in self.coins)]
        for asset, column, claims in zip(assets, self._assets, self._claims, strict=True):
            backing = int(balances[vault, column] + balances[vault, claims])
            if backing:
                rule = "claims are not the collateral held"
                raise BrokenInvariant(rule, self.name, asset.name, backing)
        for coin, claims in zip(self.coins, self._claims[1:], strict=True):
            least = int(np.delete(balances[:, claims], vault).min())
            if least < 0:
                raise BrokenInvariant("a coin is owed", self.name, coin.claims.name, least)

    def measure(self, moment: Moment) -> dict[str, float]:
        """The fund's claims, seized coins at their haircut value apart."""
        claim = int(self._ledger.balances[self.custody.fund, self._claims[0]])
        return {"insurance_fund": float(self.settlement.to_units(claim))}

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """A claim is worth what it is a claim on: 1, or the coin's price."""
        values = {coin.claims.name: coin.price for coin in self.coins}
        return {self.custody.margin.name: 1.0, **values}


def house_of(member: "Perpetual", market: "Market") -> ClearingHouse:
    """The house that a contract names, with the contract in it."""
    house: Any = market.venues.get(member.params.house)
    if not isinstance(house, ClearingHouse):
        raise ConfigError(f"{member.name}.house", f"no clearing house {member.params.house}")
    names = list(market.venues)
    if names.index(house.name) < names.index(member.name):
        raise ConfigError(f"{member.name}.house", f"{house.name} must be listed after it")
    house.join(member, market)
    return house
