"""A lending pool in plain numbers of fifty digits: what everybody has and owes, without shares.

Each account has a supply and a debt in every coin, in atoms and parts of them. Interest multiplies
debts; suppliers and the protocol divide it. Written from the rules alone, to be compared with the
venue, which holds whole atoms and shares; it answers True where a request is granted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, getcontext
from typing import Any

LOCKED = 1_000
getcontext().prec = 50


@dataclass
class PlainCoin:
    """One coin: its rules, its price in quote an atom, and who supplied and owes what."""

    rules: Any
    price: Decimal
    supply: list[Decimal]
    debt: list[Decimal]
    cash: Decimal = Decimal(0)
    earned: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)

    @property
    def used(self) -> float:
        owed = sum(self.debt)
        return float(owed / (self.cash + owed)) if owed else 0.0

    def rate(self) -> float:
        rules, used = self.rules, self.used
        if used <= rules.kink:
            return rules.rate_at_0 + (rules.rate_at_kink - rules.rate_at_0) * used / rules.kink
        slope = (rules.rate_at_1 - rules.rate_at_kink) / (1 - rules.kink)
        return rules.rate_at_kink + slope * (used - rules.kink)

    def grow(self, part: Decimal) -> None:
        """All suppliers gain or lose the same part; the protocol as one of them."""
        self.supply = [held * (1 + part) for held in self.supply]
        self.earned, self.locked = self.earned * (1 + part), self.locked * (1 + part)


class PlainLending:
    """The pool of some accounts, counted from 0."""

    def __init__(self, rules: Sequence[Any], prices: Sequence[float], accounts: int, bank: Any):
        none = [Decimal(0)] * accounts
        pairs = zip(rules, prices, strict=True)
        self.coins = [PlainCoin(rule, Decimal(p), list(none), list(none)) for rule, p in pairs]
        self.bank = bank

    def accrue(self, hours: float) -> None:
        for coin in self.coins:
            growth = Decimal((1 + coin.rate() / 8760) ** hours - 1)
            interest = sum(coin.debt) * growth
            if not interest:
                continue
            coin.debt = [owed * (1 + growth) for owed in coin.debt]
            whole = sum(coin.supply) + coin.earned + coin.locked
            kept = interest * coin.rules.reserve_ppm / 10**6
            coin.grow((interest - kept) / whole)
            coin.earned += kept

    def power(self, account: int, field: str) -> Decimal:
        return sum(
            coin.supply[account] * coin.price * getattr(coin.rules, field) / 10**6
            for coin in self.coins
        )

    def owed(self, account: int) -> Decimal:
        return sum(coin.debt[account] * coin.price for coin in self.coins)

    def supply(self, account: int, number: int, atoms: int) -> bool:
        coin = self.coins[number]
        if not coin.locked:
            if atoms <= LOCKED:
                return False
            coin.locked = Decimal(LOCKED)
            coin.supply[account] -= LOCKED
        coin.supply[account] += atoms
        coin.cash += atoms
        return True

    def withdraw(self, account: int, number: int, part: Decimal) -> bool:
        """A part of all that the account has supplied of a coin."""
        coin = self.coins[number]
        atoms = coin.supply[account] * part
        if atoms < 1 or atoms > coin.cash:
            return False
        coin.supply[account] -= atoms
        if self.power(account, "threshold_ppm") < self.owed(account):
            coin.supply[account] += atoms
            return False
        coin.cash -= atoms
        return True

    def borrow(self, account: int, number: int, atoms: int) -> bool:
        coin = self.coins[number]
        if atoms > coin.cash:
            return False
        worth = self.owed(account) + atoms * coin.price
        if self.power(account, "ltv_ppm") < worth:
            return False
        coin.debt[account] += atoms
        coin.cash -= atoms
        return True

    def repay(self, account: int, number: int, atoms: int) -> bool:
        coin = self.coins[number]
        paid = min(Decimal(atoms), coin.debt[account])
        coin.debt[account] -= paid
        coin.cash += paid
        return paid > 0

    def liquidate(self, liquidator: int, borrower: int, pair: tuple[int, int], atoms: int) -> bool:
        debt, coin = (self.coins[number] for number in pair)
        owed = self.owed(borrower)
        if not owed or coin.rules.threshold_ppm == 0:
            return False
        health = self.power(borrower, "threshold_ppm") / owed
        if health >= 1 or not debt.debt[borrower] or not coin.supply[borrower]:
            return False
        small = debt.debt[borrower] * debt.price < Decimal(self.bank.full_close_quote)
        whole = small or health <= Decimal(self.bank.full_close_health)
        part = Decimal(1) if whole else Decimal(self.bank.close_factor_ppm) / 10**6
        bonus = Decimal(coin.rules.bonus_ppm) / 10**6
        rate = debt.price / coin.price * (1 + bonus)
        paid = min(Decimal(atoms), debt.debt[borrower] * part, coin.supply[borrower] / rate)
        seized = paid * rate
        kept = seized * bonus / (1 + bonus) * self.bank.protocol_part_ppm / 10**6
        if coin.cash + (paid if coin is debt else 0) < seized - kept:
            return False
        debt.debt[borrower] -= paid
        debt.cash += paid
        coin.supply[borrower] -= seized
        coin.cash -= seized - kept
        coin.earned += kept
        self.write_off(borrower)
        return True

    def write_off(self, account: int) -> None:
        if any(coin.supply[account] >= 1 for coin in self.coins if coin.rules.threshold_ppm):
            return
        for coin in self.coins:
            lost, coin.debt[account] = coin.debt[account], Decimal(0)
            borne = min(lost, coin.earned) if self.bank.reserve_bears_losses else Decimal(0)
            coin.earned -= borne
            whole = sum(coin.supply) + coin.earned + coin.locked
            if lost > borne:
                coin.grow(-(lost - borne) / whole)
