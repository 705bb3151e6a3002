"""A lending pool: coins are supplied for interest, and lent against what the borrower supplies.

Each coin has a rate curve of its utilisation U = debt / (cash + debt), a reserve, and its weight as
collateral. Once a step interest accrues at the rate that the step before ended with,

    interest = D((1 + rate/8760)^hours - 1)          added to what is owed of the coin (D)

which raises the worth of debt shares and supply shares alike; of it the protocol gets its part as
new supply shares. Whole atoms accrue and the rest is carried on, so that nothing is rounded for
good. Withdrawals and loans end where the cash does: at U = 1 nobody can leave. Unsafe accounts are
liquidated by whoever sends the intent; the pool forces nobody. Supply and withdrawal are ADD_COIN
and REMOVE_COIN, by coin; rows: `lending_rows`, books: `lending_state`. Sources: Aave v3, Compound
v2 and III. Left out: stable rates, isolation and efficiency modes, flash loans, delegated debt.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from markets.assets import Asset
from markets.derivatives.interest import (
    RateCurve,
    accrued_interest,
    borrow_rate,
    lend_rate,
    utilisation,
)
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import LIQUIDATE, POOL_INTENT, REMOVE_COIN
from markets.lending.lending_params import LendingPoolParams
from markets.lending.lending_rows import LIQUIDATION, execute_rows
from markets.lending.lending_state import Floats, Integers, LendingState, LendingTerms
from markets.lending.lending_view import LendingView
from markets.lending.price_feed import PriceFeed
from markets.lending.shares import part_down
from markets.outcomes import Code, Flows, Reason, flows
from markets.pools.pool import LARGEST, MOST_COINS
from markets.rounding import PPM
from markets.venue import Moment, Venue

if TYPE_CHECKING:
    from markets.market import Market

_SECONDS_AN_HOUR = 3_600.0

Snapshot = tuple[tuple[Integers, Integers, Integers], tuple[int, int], int, dict[str, float]]
"""Owed, written off and borne; lengths of flows and events; refused withdrawals; the tally."""


class LendingPool(Venue):
    """One or more coins that are lent against each other; coin 0 is the base of the figures."""

    class Params(LendingPoolParams):
        """See `LendingPoolParams`."""

    atomic = True

    def __init__(
        self, name: str, domain: str, coins: Sequence[Asset], params: Params | None = None
    ) -> None:
        super().__init__()
        self.name, self.domain, self.coins = name, domain, tuple(coins)
        self.params = params or self.Params()
        if not 2 <= len(coins) <= MOST_COINS:
            raise ConfigError(f"{name}.coins", f"must be 2 to {MOST_COINS}, got {len(coins)}")
        if len(self.params.reserves) != len(coins):
            wanted = f"needs an entry for each of {len(coins)} coins"
            raise ConfigError(f"{name}.reserves", f"{wanted}, got {len(self.params.reserves)}")
        self.shares = tuple(Asset(f"{name}:{coin.name}:share", coin.decimals) for coin in coins)
        self.debts = tuple(Asset(f"{name}:{coin.name}:debt", coin.decimals) for coin in coins)
        self.refused_withdrawals = 0
        """Withdrawals for which there was no cash, all in all."""
        self.bad_debt_atoms = np.zeros(len(coins), np.int64)
        """Debt written off, by coin; `borne_atoms` of it by the protocol."""
        self.borne_atoms = np.zeros(len(coins), np.int64)
        self._curve = RateCurve(*np.array([r.curve for r in self.params.reserves]).T)
        self._reserve = np.array([r.reserve_ppm for r in self.params.reserves]) / PPM
        self._carried = np.zeros(len(coins))
        self._protocol_due_ppm = [0] * len(coins)
        self._accrued_seconds = 0.0
        self._tally = {"liquidations": 0.0, "liquidated": 0.0}

    def columns(self) -> tuple[Asset, ...]:
        """See `Venue.columns`: the coins in order, their supply shares, their debt shares."""
        return (*self.coins, *self.shares, *self.debts)

    def open(self, market: "Market") -> None:
        """See `Venue.open`: a row each for the pool, the protocol and locked shares."""
        self._ledger = market.ledger
        self.accounts = market.open_accounts(self.name, self.domain, 3)
        for asset in (*self.shares, *self.debts):
            market.ledger.allow_issue(int(self.accounts[0]), asset.name)
        column = market.ledger.column
        places = [np.array([column[a.name] for a in group]) for group in self._groups()]
        self.terms = self._terms(places)

    def _groups(self) -> tuple[tuple[Asset, ...], ...]:
        return self.coins, self.shares, self.debts

    def _terms(self, places: list[Integers]) -> LendingTerms:
        params, reserves = self.params, self.params.reserves
        pool, protocol, lock = self.accounts.tolist()

        return LendingTerms(
            pool=pool,
            protocol=protocol,
            lock=lock,
            coins=places[0],
            shares=places[1],
            debts=places[2],
            borrowable=np.array([reserve.borrowable for reserve in reserves]),
            ltv=np.array([reserve.ltv_ppm / PPM for reserve in reserves]),
            threshold=np.array([reserve.threshold_ppm / PPM for reserve in reserves]),
            bonus=np.array([reserve.bonus_ppm / PPM for reserve in reserves]),
            supply_cap_atoms=self._caps("supply_cap"),
            borrow_cap_atoms=self._caps("borrow_cap"),
            close_factor_ppm=params.close_factor_ppm,
            full_close_health=params.full_close_health,
            full_close_quote=params.full_close_quote,
            protocol_part=params.protocol_part_ppm / PPM,
            reserve_bears_losses=params.reserve_bears_losses,
        )

    def _caps(self, field: str) -> Integers:
        """A cap of each coin in atoms, 0 where there is none."""
        caps = np.zeros(len(self.coins), np.int64)
        for at, (coin, reserve) in enumerate(zip(self.coins, self.params.reserves, strict=True)):
            cap = getattr(reserve, field)
            if cap and not 0.5 < cap * coin.scale < LARGEST:
                within = f"{1 / coin.scale:g} to {LARGEST / coin.scale:.3g} {coin.name}"
                wanted = f"must be 0 (no cap) or {within}"
                raise ConfigError(f"{self.name}.reserves.{at}.{field}", f"{wanted}, got {cap:g}")
            caps[at] = coin.to_atoms(cap)
        return caps

    def begin(self) -> None:
        """See `Venue.begin`."""
        ledger, params = self._ledger, self.params
        barred = ledger.domain != ledger.domain_names.index(self.domain)
        barred[self.accounts] = True
        count = len(self.coins)
        self.state = LendingState(np.zeros(count, np.int64), np.full(count, math.nan), barred)
        self._scales = np.array([float(coin.scale) for coin in self.coins])
        self.feed = PriceFeed(self.coins, params.oracle_deviation, params.oracle_heartbeat_seconds)

    def accrue(self, moment: Moment) -> None:
        """See `Venue.accrue`: the oracle's prices, then interest since the last step."""
        self._tally = {"liquidations": 0.0, "liquidated": 0.0}
        self.feed.update(moment)
        self.state.prices[:] = self.feed.prices / self._scales
        hours = (moment.seconds - self._accrued_seconds) / _SECONDS_AN_HOUR
        self._accrued_seconds = moment.seconds
        owed = self.state.owed
        if hours > 0 and owed.any():
            exact = accrued_interest(owed, self.rates()[1], hours) + self._carried
            room = LARGEST - 1.0 - self.wholes()
            whole = np.minimum(np.floor(exact), room)
            self._carried = np.minimum(exact - whole, 1.0)
            self._pay_interest(whole.astype(np.int64))

    def _pay_interest(self, atoms: Integers) -> None:
        """Add interest to what is owed; the protocol gets its part as shares."""
        balances, terms = self._ledger.balances, self.terms
        for coin in np.flatnonzero(atoms).tolist():
            self._flows.append(self._interest_flows(coin, int(atoms[coin])))
            self.state.owed[coin] += atoms[coin]
            due = self._protocol_due_ppm[coin]
            due += int(atoms[coin]) * self.params.reserves[coin].reserve_ppm
            kept, self._protocol_due_ppm[coin] = divmod(due, PPM)
            whole, issued = int(self.wholes()[coin]), -int(balances[terms.pool, terms.shares[coin]])
            if kept and issued:
                minted = part_down(kept, issued, whole - kept)
                balances[terms.protocol, terms.shares[coin]] += minted
                balances[terms.pool, terms.shares[coin]] -= minted
                reserved = np.array([kept])
                column = int(terms.coins[coin])
                self._flows.append(flows(terms.pool, terms.protocol, column, reserved, Reason.FEE))

    def _interest_flows(self, coin: int, atoms: int) -> Flows:
        """Who owes the interest, in proportion and to the nearest atom."""
        shares = self._ledger.balances[:, self.terms.debts[coin]]
        payers = np.flatnonzero(shares > 0)
        parts = np.rint(shares[payers] * (atoms / shares[payers].sum())).astype(np.int64)
        column = int(self.terms.coins[coin])
        return flows(payers, self.terms.pool, column, parts, Reason.INTEREST)

    def cash_atoms(self) -> Integers:
        """What can be taken out of each coin."""
        held: Integers = self._ledger.balances[self.terms.pool, self.terms.coins]
        return held

    def wholes(self) -> Integers:
        """What belongs to the suppliers of each coin, in atoms."""
        return self.cash_atoms() + self.state.owed

    def rates(self) -> tuple[Floats, Floats, Floats]:
        """Utilisation, annual borrow rate and annual supply rate of each coin."""
        used = np.asarray(utilisation(self.state.owed, self.wholes()))
        borrow = np.asarray(borrow_rate(self._curve, used))
        return used, borrow, np.asarray(lend_rate(borrow, used, self._reserve))

    def observe(self, moment: Moment) -> LendingView:
        """See `Venue.observe`."""
        used, borrow, supply = self.rates()
        return LendingView(
            index=self.index,
            coins=self.coins,
            prices=self.feed.prices.copy(),
            utilisation=used,
            borrow_rates=borrow,
            supply_rates=supply,
            cash=self.cash_atoms() / self._scales,
            supplied=self.wholes() / self._scales,
            terms=self.terms,
            state=self.state,
            _balances=self._ledger.balances,
        )

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """See `Venue.execute`."""
        codes = np.zeros(len(intents), np.int64)
        log = np.zeros(max(1, int((intents["action"] == LIQUIDATE).sum())), LIQUIDATION)
        losses = np.zeros((2, len(self.coins)), np.int64)
        rows, balances = intents.view(POOL_INTENT), self._ledger.balances
        done = execute_rows(rows, balances, self.terms, self.state, (log, losses, codes))
        refused = (codes == Code.NO_LIQUIDITY) & (intents["action"] == REMOVE_COIN)
        self.refused_withdrawals += int(refused.sum())
        if done:
            self._note_liquidations(log[:done])
        if losses.any():
            self._note_losses(losses)
        return codes

    def _note_liquidations(self, log: NDArray[np.void]) -> None:
        """What liquidators gained, and the protocol's part, as payments in the coin seized."""
        prices, terms = self.state.prices, self.terms
        for coin in np.unique(log["coin"]).tolist():
            own, column = log[log["coin"] == coin], int(terms.coins[coin])
            paid = own["paid_atoms"] * prices[own["debt"]] / prices[coin]
            bonus = np.rint(own["seized_atoms"] - own["fee_atoms"] - paid).astype(np.int64)
            borrowers, liquidators = own["borrower"], own["liquidator"]
            fees = own["fee_atoms"]
            self._flows += [
                flows(borrowers, liquidators, column, bonus, Reason.LIQUIDATION),
                flows(borrowers, terms.protocol, column, fees, Reason.LIQUIDATION),
            ]
            worth = float(own["seized_atoms"].sum()) * prices[coin]
            self._tally["liquidated"] += worth / float(self.feed.prices[0])
        self._tally["liquidations"] += len(log)

    def _note_losses(self, losses: Integers) -> None:
        self.bad_debt_atoms += losses[0]
        self.borne_atoms += losses[1]
        self._events.append(("bad_debt", float(losses[0] @ self.state.prices)))
        for coin in np.flatnonzero(losses[1]).tolist():
            borne, column = losses[1, coin : coin + 1], int(self.terms.coins[coin])
            rows = flows(self.terms.protocol, self.terms.pool, column, borne, Reason.INSURANCE)
            self._flows.append(rows)

    def earned(self) -> float:
        """Worth of the shares that the protocol holds, in quote."""
        shares = self._ledger.balances[:, self.terms.shares]
        issued = np.maximum(-shares[self.terms.pool], 1)
        worth = shares[self.terms.protocol] * (self.wholes() / issued)
        return float(np.where(worth > 0, worth * self.state.prices, 0.0).sum())

    def shortfall(self) -> float:
        """Quote by which debts exceed the collateral behind them, account by account."""
        view = self.observe(Moment(0, 0.0, 0.0))
        accounts = view.borrowers()
        pledged = np.where(self.terms.threshold > 0, self.state.prices, 0.0)
        held = np.nan_to_num(view.supplies(accounts) * pledged).sum(axis=1)
        return float(np.maximum(view.debt(accounts) - held, 0.0).sum())

    def bystanders(self, intents: NDArray[np.void]) -> NDArray[np.int64]:
        """See `Venue.bystanders`: borrowers who are to be liquidated."""
        named = intents["order"][intents["action"] == LIQUIDATE]
        return named[(named > 0) & (named < len(self._ledger.balances))]

    def snapshot(self) -> Snapshot:
        """See `Venue.snapshot`: what is owed, and how much has been noted."""
        lengths, counts = (len(self._flows), len(self._events)), self.refused_withdrawals
        atoms = self.state.owed.copy(), self.bad_debt_atoms.copy(), self.borne_atoms.copy()
        return (atoms, lengths, counts, dict(self._tally))

    def restore(self, state: Snapshot) -> None:
        """See `Venue.restore`."""
        atoms, lengths, self.refused_withdrawals, self._tally = state
        self.state.owed[:], self.bad_debt_atoms[:], self.borne_atoms[:] = atoms
        del self._flows[lengths[0] :]
        del self._events[lengths[1] :]

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """See `Venue.asset_values`: shares at their part of all; debts below zero."""
        values, balances = {}, self._ledger.balances
        wholes = self.wholes()
        for coin, asset in enumerate(self.coins):
            price = moment.reference.get(asset.name, 1.0)
            for group, whole, sign in (
                (self.shares, wholes[coin], 1.0),
                (self.debts, self.state.owed[coin], -1.0),
            ):
                column = self._ledger.column[group[coin].name]
                issued = -int(balances[self.terms.pool, column])
                values[group[coin].name] = sign * price * int(whole) / issued if issued else 0.0
        return values

    def check(self) -> None:
        """See `Venue.check`: a debt share is worth an atom at least, and no coin is lent twice."""
        balances, terms = self._ledger.balances, self.terms
        for coin, asset in enumerate(self.coins):
            issued = -int(balances[terms.pool, terms.debts[coin]])
            owed = int(self.state.owed[coin])
            if owed < issued or (issued == 0) != (owed == 0):
                raise BrokenInvariant("debts", self.name, asset.name, owed - issued)
            shares = -int(balances[terms.pool, terms.shares[coin]])
            if owed and not shares:
                raise BrokenInvariant("lent without supply", self.name, asset.name, owed)

    def measure(self, moment: Moment) -> dict[str, float]:
        """See `Venue.measure`: rate and utilisation are those of the second coin."""
        used, borrow, _ = self.rates()
        cash = self.cash_atoms() / self._scales
        return {
            "mid": float(self.feed.prices[0]),
            "base_reserve": float(cash[0]),
            "quote_reserve": float(cash[1]),
            "insurance_fund": self.earned(),
            "utilisation": float(used[1]),
            "borrow_rate": float(borrow[1]),
            **self._tally,
        }
