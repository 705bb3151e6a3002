"""A perpetual venue in plain Python: lists, exact fractions and no haste. The oracle of the tests.

It is told the mark and the funding rate and keeps everything else itself. Orders live in one list
in the order of their arrival; the best one is found by looking at all of them. Amounts are Python
integers, quotients `Fraction`s that are rounded where they become atoms.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from math import ceil, floor

from markets.intents import (
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    IMMEDIATE_OR_CANCEL,
    MARKET,
    PLACE,
    POST_ONLY,
    REDUCE_ONLY,
    WITHDRAW,
)
from markets.outcomes import Code, Reason
from markets.spot.book import MAX_PRICE_TICKS

MILLION = 10**6


def share(claim, done, total, before):
    """The part of a claim that belongs to the lots from `before` to `done` of a total."""
    return ceil(Fraction(claim * done, total)) - ceil(Fraction(claim * before, total))


@dataclass
class Account:
    collateral: int = 0
    contracts: int = 0
    claim: int = 0
    cost: int = 0


@dataclass(eq=False)
class Order:
    account: int
    side: int
    price: int
    lots: int
    reduce_only: bool


@dataclass
class Terms:
    notional_atoms: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    maintenance: list[tuple[int, int]]
    """Brackets as (floor in atoms, rate in ppm)."""
    initial_ppm: int
    inverse: bool = False


@dataclass
class Reference:
    """`accounts` includes the fund and the fee account under their ledger rows."""

    terms: Terms
    accounts: dict[int, Account]
    fund: int
    fees: int
    mark: int = 0
    orders: list[Order] = field(default_factory=list)
    fills: list[tuple[int, ...]] = field(default_factory=list)
    stranded: int = 0
    held_claim: int = 0
    """Claim that came with the position that the fund could not close."""

    def exact(self, lots, price):
        """What signed lots are worth, not rounded."""
        if self.terms.inverse:
            return -Fraction(lots * self.terms.notional_atoms, price)
        return Fraction(lots * price * self.terms.notional_atoms)

    def value(self, lots, price):
        return floor(self.exact(lots, price))

    def cost(self, lots, price):
        return ceil(self.exact(lots, price))

    def notional(self, lots):
        return abs(self.value(lots, self.mark))

    def equity(self, row):
        account = self.accounts[row]
        return account.claim + self.value(account.contracts, self.mark)

    def requirement(self, notional, scale=Fraction(1)):
        """Bracket by bracket; each bracket's rounding is that of the table in whole atoms."""
        brackets = self.terms.maintenance
        rates = [min(MILLION, ceil(rate * scale)) for _, rate in brackets]
        deduction = Fraction(0)
        chosen = (rates[0], 0)
        for tier in range(1, len(brackets)):
            bottom = brackets[tier][0]
            deduction += Fraction(bottom * (rates[tier] - rates[tier - 1]), MILLION)
            if notional > bottom:
                chosen = (rates[tier], floor(deduction))
        return ceil(Fraction(notional * chosen[0], MILLION)) - chosen[1]

    def initial(self, notional):
        return self.requirement(
            notional, Fraction(self.terms.initial_ppm, self.terms.maintenance[0][1])
        )

    def fee(self, quote, ppm):
        return ceil(Fraction(quote * ppm, MILLION))

    def offered(self, row, side):
        own = [order for order in self.orders if order.account == row and order.side == side]
        return sum(order.lots for order in own if not order.reduce_only)

    def best(self, side):
        own = [order for order in self.orders if order.side == side]
        return min(own, key=lambda order: -side * order.price, default=None)

    def move(self, row, lots, quote):
        """Add signed lots for a signed price, at average cost."""
        account = self.accounts[row]
        before = account.contracts
        account.contracts += lots
        account.claim -= quote
        if before * lots >= 0:
            account.cost += quote
        elif abs(lots) < abs(before):
            account.cost -= ceil(Fraction(account.cost * abs(lots), abs(before)))
        else:
            account.cost = ceil(Fraction(quote * abs(account.contracts), abs(lots)))

    def trade(self, taker, side, lots, reason):
        """With the best resting order; lots, 0 if that order had to go instead."""
        order = self.best(-side)
        maker = order.account
        room = order.lots
        if order.reduce_only:
            room = min(room, max(0, order.side * -self.accounts[maker].contracts))
        lots = min(lots, room)
        if lots == 0 or maker == taker:
            self.orders.remove(order)
            return 0
        cost = self.cost(side * lots, order.price)
        quote = abs(cost)
        forced = reason == Reason.LIQUIDATION
        taker_fee = 0 if forced else self.fee(quote, self.terms.taker_fee_ppm)
        maker_fee = self.fee(quote, self.terms.maker_fee_ppm)
        if forced:
            maker_fee = max(maker_fee, 0)
        if maker == self.fund:
            maker_fee = 0
        self.move(taker, side * lots, cost)
        self.move(maker, -side * lots, -cost)
        self.accounts[taker].claim -= taker_fee
        self.accounts[maker].claim -= maker_fee
        self.accounts[self.fees].claim += taker_fee + maker_fee
        row = (taker, maker, side, order.price, lots, quote, taker_fee, maker_fee, int(reason))
        self.fills.append(row)
        order.lots -= lots
        flat = order.reduce_only and self.accounts[maker].contracts * order.side >= 0
        if order.lots == 0 or flat:
            self.orders.remove(order)
        if order.reduce_only:
            self.drop_uncovered(maker, -side)
        return lots

    def drop_uncovered(self, row, side):
        """Newest first, orders that would open a position for which the margin is lacking."""
        own = [order for order in self.orders if order.account == row and order.side == side]
        closable = max(0, -side * self.accounts[row].contracts)
        for order in [order for order in reversed(own) if not order.reduce_only]:
            opened = self.offered(row, side) - closable
            if opened > 0 and self.equity(row) < self.initial(self.notional(opened)):
                self.orders.remove(order)

    def execute(self, action, row, side, lots, limit, target, flags):
        """`target` is the order meant by a CANCEL, None where it does not exist."""
        if action == PLACE:
            return self.place(row, side, lots, limit, flags)
        if action == CANCEL:
            if target is None or target not in self.orders or target.account != row:
                return Code.UNKNOWN_ORDER
            self.orders.remove(target)
            return Code.CANCELLED
        if action == CANCEL_ALL:
            self.orders = [order for order in self.orders if order.account != row]
            return Code.CANCELLED
        if action not in (DEPOSIT, WITHDRAW) or lots <= 0:
            return Code.INVALID
        account = self.accounts[row]
        atoms = lots if action == DEPOSIT else -lots
        if atoms > account.collateral:
            return Code.INSUFFICIENT_BALANCE
        if atoms < 0 and lots > min(self.free(row), self.collateral_held()):
            return Code.INSUFFICIENT_MARGIN
        account.collateral -= atoms
        account.claim += atoms
        return Code.DONE

    def collateral_held(self):
        return sum(account.claim for account in self.accounts.values())

    def exposure(self, row, side=1, lots=0):
        held = self.accounts[row].contracts
        bids, asks = self.offered(row, 1), self.offered(row, -1)
        if side > 0:
            bids += lots
        else:
            asks += lots
        return self.notional(max(abs(held + bids), abs(held - asks)))

    def free(self, row):
        account = self.accounts[row]
        wallet = account.claim + account.cost
        return min(wallet, self.equity(row)) - self.initial(self.exposure(row))

    def place(self, row, side, lots, limit, flags):
        if self.mark < 1:
            return Code.NO_LIQUIDITY
        if flags & MARKET:
            flags |= IMMEDIATE_OR_CANCEL
            band = floor(Fraction(self.mark * self.terms.band_ppm, MILLION))
            limit = max(self.mark + side * band, 1)
        known = MARKET | IMMEDIATE_OR_CANCEL | POST_ONLY | REDUCE_ONLY
        if side not in (1, -1) or lots < 1 or limit < 1 or flags & ~known:
            return Code.INVALID
        if flags & POST_ONLY and flags & IMMEDIATE_OR_CANCEL:
            return Code.INVALID
        closable = max(0, -side * self.accounts[row].contracts)
        if flags & REDUCE_ONLY:
            if not closable:
                return Code.REDUCE_ONLY
            lots = min(lots, closable)
        best = self.best(-side)
        if flags & POST_ONLY and best and side * (limit - best.price) >= 0:
            return Code.WOULD_CROSS
        if flags & REDUCE_ONLY or self.offered(row, side) + lots <= closable:
            worst = self.solvent_limit(row, side)
            if side * limit > side * worst:
                if not flags & MARKET:
                    return Code.INSUFFICIENT_MARGIN
                limit = worst
        elif not self.covered(row, side, lots, limit, flags):
            return Code.INSUFFICIENT_MARGIN
        return self.fill(row, side, lots, limit, flags)

    def solvent_limit(self, row, side, rate=None):
        """First price, from bad to good, at which the rule says that nothing is owed."""
        account, terms = self.accounts[row], self.terms
        held = abs(account.contracts)
        rate = max(terms.maker_fee_ppm, terms.taker_fee_ppm, 0) if rate is None else rate
        claim = account.claim - held
        if self.terms.inverse:
            return self.inverse_limit(side, held, claim, rate)
        if side > 0:
            return floor(Fraction(claim - self.fee(claim, rate), self.value(held, 1)))
        if claim >= 0:
            return 1
        gross = ceil(Fraction(rate * MILLION, MILLION - rate))
        return ceil(Fraction(-claim + self.fee(-claim, gross), self.value(held, 1)))

    def inverse_limit(self, side, held, claim, rate):
        """By bisection: the condition holds at all prices on the good side of one."""

        def solvent(price):
            cost = self.cost(side * held, price)
            return claim - cost - self.fee(abs(cost), rate) >= 0

        low, high = 0, MAX_PRICE_TICKS + 1
        while high - low > 1:
            middle = (low + high) // 2
            if solvent(middle) == (side > 0):
                low = middle
            else:
                high = middle
        return low if side > 0 else high

    def covered(self, row, side, lots, limit, flags):
        """Whether equity after fees and the loss against the mark carries the initial margin."""
        left, cost = lots, 0
        offered = [order for order in self.orders if order.side == -side]
        for price in sorted({order.price for order in offered}, key=lambda price: side * price):
            if side * price <= side * limit:
                level = sum(order.lots for order in offered if order.price == price)
                cost += self.cost(side * min(left, level), price)
                left -= min(left, level)
        fees = self.fee(abs(cost), self.terms.taker_fee_ppm)
        if flags & IMMEDIATE_OR_CANCEL:
            lots -= left
        else:
            resting = self.cost(side * left, limit)
            fees += self.fee(abs(resting), max(0, self.terms.maker_fee_ppm))
            cost += resting
        loss = max(0, cost - self.value(side * lots, self.mark))
        return self.equity(row) - loss - fees >= self.initial(self.exposure(row, side, lots))

    def fill(self, row, side, lots, limit, flags):
        left = lots
        while left:
            best = self.best(-side)
            if not best or side * best.price > side * limit:
                break
            left -= self.trade(row, side, left, Reason.TRADE)
        if flags & REDUCE_ONLY:
            self.drop_uncovered(row, side)
        if not left:
            return Code.FILLED
        if not flags & IMMEDIATE_OR_CANCEL:
            self.orders.append(Order(row, side, limit, left, bool(flags & REDUCE_ONLY)))
            return Code.RESTING
        if left < lots:
            return Code.PARTLY_FILLED
        return Code.NO_LIQUIDITY if flags & MARKET else Code.UNFILLED

    def pay_funding(self, rate_1e9):
        paid = 0
        for account in self.accounts.values():
            value = self.value(account.contracts, self.mark) * (-1 if self.terms.inverse else 1)
            owed = ceil(Fraction(value * rate_1e9, 10**9))
            account.claim -= owed
            paid += owed
        self.accounts[self.fund].claim += paid
        return paid

    def unsafe(self, row):
        account = self.accounts[row]
        if not account.contracts:
            return account.claim < 0
        return self.equity(row) < self.needed(row)

    def needed(self, row):
        return self.requirement(self.notional(self.accounts[row].contracts))

    def ratio(self, row):
        account = self.accounts[row]
        if not account.contracts:
            return -float("inf")
        return Fraction(self.equity(row), max(1, self.needed(row)))

    def users(self):
        return [row for row in sorted(self.accounts) if row not in (self.fund, self.fees)]

    def liquidate(self):
        rows = sorted(filter(self.unsafe, self.users()), key=self.ratio)
        self.orders = [order for order in self.orders if order.account not in rows]
        fund = self.accounts[self.fund]
        queues = {}
        if fund.contracts:
            claim, self.held_claim = self.held_claim, 0
            self.close_out(fund.contracts, claim, queues)
        for row in rows:
            if self.unsafe(row):
                self.take_over(row, queues)
        for row in self.users():
            if self.unsafe(row) and not self.accounts[row].contracts:
                self.take_over(row, queues)
        self.stranded += bool(fund.contracts or fund.claim < 0)

    def take_over(self, row, queues):
        account, fund = self.accounts[row], self.accounts[self.fund]
        contracts, claim = account.contracts, account.claim
        if contracts:
            against = fund.contracts * contracts < 0
            self.move(row, -contracts, claim)
            self.move(self.fund, contracts, -claim)
            if against:
                claim, self.held_claim = claim + self.held_claim, 0
                contracts = fund.contracts
            if contracts:
                self.close_out(contracts, claim, queues)
        else:
            account.claim = 0
            fund.claim += claim

    def close_out(self, contracts, claim, queues):
        """Close lots of the fund, with the claim that came: book, then the ranked opposite."""
        own = self.accounts[self.fund].claim - self.held_claim - claim
        total, side = abs(contracts), (1 if contracts > 0 else -1)
        done = self.close_in_book(claim, own, total, side)
        if done < total:
            if side not in queues:
                queues[side] = dict.fromkeys(self.ranked(-side), 0)
            done = self.deleverage(claim, done, total, side, queues[side])
        self.held_claim += claim - share(claim, done, total, 0)

    def close_in_book(self, claim, own, total, side):
        """Lot by lot the question is asked: would the fund still own nothing less than zero?"""
        done, proceeds = 0, 0
        while done < total:
            order = self.best(side)
            if not order:
                break

            cash = partial(self.cash, claim, own + proceeds, (done, total, side, order.price))
            lots = 0
            if cash(total - done) >= min(cash(0), 0):
                lots = total - done
            elif cash(0) >= 0:
                while cash(lots + 1) >= 0:
                    lots += 1
            if not lots:
                break
            lots = self.trade(self.fund, -side, lots, Reason.LIQUIDATION)
            done += lots
            proceeds -= self.cost(-side * lots, order.price)
        return done

    def cash(self, claim, own, place, lots):
        """What the fund would own after so many more lots at a price, the rest being gone at b."""
        done, total, side, price = place
        gained = -self.cost(-side * lots, price)
        return own + ceil(Fraction(claim * (done + lots), total)) + gained

    def deleverage(self, claim, done, total, side, queue):
        for row in list(queue):
            account = self.accounts[row]
            opposite = -side * account.contracts
            if done == total:
                break
            solvent = account.claim + floor(Fraction(claim * opposite, total)) >= 1
            if opposite > 0 and solvent:
                lots = min(opposite, total - done)
                before, done = done, done + lots
                self.close_against(row, side, lots, share(claim, done, total, before))
            elif opposite > 0:
                queue[row] += 1
            if -side * account.contracts <= 0 or queue[row] == 8:
                del queue[row]
        return done

    def close_against(self, row, side, lots, paid):
        self.move(self.fund, -side * lots, paid)
        self.move(row, side * lots, -paid)
        quote = side * paid if self.terms.inverse else -side * paid
        ticks = floor(Fraction(quote, lots * self.terms.notional_atoms) + Fraction(1, 2))
        if self.terms.inverse:
            ticks = MAX_PRICE_TICKS
            if quote > 0:
                price = Fraction(lots * self.terms.notional_atoms, quote)
                ticks = min(floor(price + Fraction(1, 2)), MAX_PRICE_TICKS)
        self.fills.append((self.fund, row, -side, ticks, lots, quote, 0, 0, int(Reason.ADL)))
        self.drop_uncovered(row, side)

    def ranked(self, side):
        """BitMEX: profit part times leverage, divided by it for losers."""
        rows = [row for row in self.users() if side * self.accounts[row].contracts > 0]
        rows = [row for row in rows if self.equity(row) > 0]
        return sorted(rows, key=lambda row: -self.score(row))

    def score(self, row):
        account = self.accounts[row]
        value = self.exact(account.contracts, self.mark)
        gain = Fraction(value - account.cost, abs(account.cost)) if account.cost else Fraction(0)
        leverage = abs(value) / (account.claim + value)
        return gain * leverage if gain > 0 else gain / leverage
