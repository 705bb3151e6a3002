"""A plain vault protocol with collateral auctions: dictionaries, fractions, no ledger, no arrays.

Written from the rules alone, one operation after the other; amounts are whole atoms. It knows what
every account has, and says of each operation whether it goes through.
"""

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction


@dataclass
class Auction:
    owner: str
    lot: int
    goal: int
    end: float
    bid: int = 0
    bidder: str | None = None
    expiry: float | None = None


class PlainVaults:
    """`price` is stablecoin atoms for an atom of collateral, a fraction."""

    def __init__(self, ratio, penalty, raise_, largest_lot, bid_life, length):
        self.ratio, self.penalty, self.raise_ = ratio, penalty, raise_
        self.largest_lot, self.bid_life, self.length = largest_lot, bid_life, length
        self.price = Fraction(0)
        self.coins = defaultdict(int)
        self.stable = defaultdict(int)
        self.locked = defaultdict(int)
        self.debt = defaultdict(int)
        self.system_debt = 0
        self.system_stable = 0
        self.auctions = {}
        self.started = 0

    def healthy(self, locked, debt):
        return locked * self.price >= debt * self.ratio

    def lock(self, who, amount):
        if amount <= 0 or self.coins[who] < amount:
            return False
        self.coins[who] -= amount
        self.locked[who] += amount
        return True

    def free(self, who, amount):
        left = self.locked[who] - amount
        if amount <= 0 or left < 0 or (self.debt[who] and not self.healthy(left, self.debt[who])):
            return False
        self.locked[who] = left
        self.coins[who] += amount
        return True

    def borrow(self, who, amount):
        if amount <= 0 or not self.healthy(self.locked[who], self.debt[who] + amount):
            return False
        self.debt[who] += amount
        self.stable[who] += amount
        return True

    def repay(self, who, amount):
        amount = min(amount, self.debt[who])
        if amount <= 0 or self.stable[who] < amount:
            return False
        self.debt[who] -= amount
        self.stable[who] -= amount
        return True

    def liquidate(self, owner, now):
        locked, debt = self.locked[owner], self.debt[owner]
        if not locked or not debt or self.healthy(locked, debt):
            return False
        lot = min(locked, self.largest_lot)
        part = debt if lot == locked else int(Fraction(debt) * lot / locked)
        goal = Fraction(part) * (1 + self.penalty)
        goal = goal.numerator // goal.denominator + (goal.denominator > 1)
        self.locked[owner] -= lot
        self.debt[owner] -= part
        self.system_debt += part
        self.started += 1
        self.auctions[self.started] = Auction(owner, lot, goal, now + self.length)
        return True

    def accepts(self, auction, bid, lot, now):
        if (auction.expiry is not None and now >= auction.expiry) or now >= auction.end:
            return False
        if auction.bidder is None:
            return lot == auction.lot and 0 <= bid <= auction.goal
        if auction.bid < auction.goal:
            enough = bid >= auction.bid * (1 + self.raise_) or bid == auction.goal
            return lot == auction.lot and auction.bid < bid <= auction.goal and enough
        return (
            bid == auction.goal and 0 < lot < auction.lot and lot * (1 + self.raise_) <= auction.lot
        )

    def bid(self, who, number, bid, lot, now):
        auction = self.auctions.get(number)
        if auction is None or not self.accepts(auction, bid, lot, now):
            return False
        purse = self.stable[who] + (auction.bid if who == auction.bidder else 0)
        if purse < bid:
            return False
        if auction.bidder is not None:
            self.stable[auction.bidder] += auction.bid
        self.stable[who] -= bid
        self.system_stable += bid - auction.bid
        self.coins[auction.owner] += auction.lot - lot
        auction.bid, auction.lot, auction.bidder = bid, lot, who
        auction.expiry = now + self.bid_life
        return True

    def new_step(self, now):
        """Settle what is over, then burn what the system can pay."""
        for number, auction in list(self.auctions.items()):
            if auction.bidder is None:
                if now >= auction.end:
                    auction.end = now + self.length
            elif now >= min(auction.expiry, auction.end):
                self.coins[auction.bidder] += auction.lot
                del self.auctions[number]
        burnt = min(self.system_debt, self.system_stable)
        self.system_debt -= burnt
        self.system_stable -= burnt
