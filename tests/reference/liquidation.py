"""Liquidation under every rule, in plain Python on top of `Reference`: fractions, whole lists.

It reads the same parameters as the venue and follows their meaning, stage by stage.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import pairwise
from math import ceil, floor

from markets.derivatives.brackets import MarginBasis, TierRule
from markets.derivatives.liquidation_presets import ClosePrice, OrderPrice, Stage, Step
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.derivatives.ranking import Ranking
from markets.intents import DEPOSIT, WITHDRAW
from markets.outcomes import Code, Reason
from markets.spot.book import MAX_PRICE_TICKS
from tests.reference.perpetual import MILLION, Order, Reference, share

WEIGHT = {ClosePrice.BANKRUPTCY: 0, ClosePrice.TWO_THIRDS: 1, ClosePrice.MARK: 3}
NEVER = -(10**12)


def in_proportion(lots, sizes):
    """Lots by size, rounded down; the odd ones go to the largest fractions, the first of equals."""
    lots, whole = min(lots, sum(sizes)), max(sum(sizes), 1)
    shares = [Fraction(lots * size, whole) for size in sizes]
    by_fraction = sorted(range(len(sizes)), key=lambda row: floor(shares[row]) - shares[row])
    odd = set(by_fraction[: lots - sum(map(floor, shares))])
    return [floor(share) + (row in odd) for row, share in enumerate(shares)]


def split_mix(seed):
    """The first number of the generator SplitMix64 from a seed, as its authors write it."""
    word = 2**64 - 1
    state = (seed + 0x9E3779B97F4A7C15) & word
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & word
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & word
    return state ^ (state >> 31)


@dataclass
class Vault:
    """A backstop; limits in atoms, 0: none. `left` is what remains of a minute and an hour."""

    row: int
    most: int
    floor: int
    per_period: tuple[int, int]
    left: list[int] = field(default_factory=lambda: [0, 0])
    period: list[int] = field(default_factory=lambda: [-1, -1])


@dataclass
class Hand:
    """Lots of the fund that are being closed."""

    side: int
    total: int
    claim: int
    done: int = 0
    extra: int = 0
    extra_from: int = 0


@dataclass
class RuledReference(Reference):
    """`scale` is atoms in a unit of the settlement asset."""

    rule: LiquidationRule = field(default_factory=LiquidationRule)
    scale: int = 100
    ranking: Ranking = Ranking.LEVERAGE
    vaults: list[Vault] = field(default_factory=list)
    last: dict[int, float] = field(default_factory=dict)
    samples: list[tuple[float, int]] = field(default_factory=list)
    adl_on: bool = False
    held_since: float | None = None
    highest_ticks: int = 4_095
    """Of the book: the fund's order does not rest above."""
    deposited: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    step_seconds: float = 60.0

    def __post_init__(self):
        self.deposited = {row: account.claim for row, account in self.accounts.items()}

    def value_of(self, name):
        return self.rule.value(name)

    def atoms(self, name):
        return round(self.value_of(name) * self.scale)

    def requirement(self, notional, scale=Fraction(1)):
        if self.value_of("tier_rule") is not TierRule.STEP:
            return super().requirement(notional, scale)
        rate = self.terms.maintenance[self.tier(notional)][1]
        return ceil(Fraction(notional * min(MILLION, ceil(rate * scale)), MILLION))

    def needed(self, row):
        if self.value_of("maintenance_at") == MarginBasis.ENTRY:
            return self.requirement(abs(self.accounts[row].cost))
        return super().needed(row)

    def exposure(self, row, side=1, lots=0):
        """Nobody may take out, or risk, what the maintenance at entry needs."""
        at_mark = super().exposure(row, side, lots)
        if self.value_of("maintenance_at") != MarginBasis.ENTRY:
            return at_mark
        held, (bids, asks) = self.accounts[row].contracts, (self.offered(row, s) for s in (1, -1))
        most = max(held + bids + lots * (side > 0), asks + lots * (side < 0) - held, abs(held))
        return max(at_mark, abs(self.accounts[row].cost) + self.notional(most - abs(held)))

    def tier(self, notional):
        return max(sum(notional > bottom for bottom, _ in self.terms.maintenance) - 1, 0)

    def execute(self, action, row, side, lots, limit, target, flags):
        code = super().execute(action, row, side, lots, limit, target, flags)
        if code is Code.DONE and action in (DEPOSIT, WITHDRAW):
            self.deposited[row] += lots if action == DEPOSIT else -lots
        return code

    # A step of it

    def liquidate(self):
        fund = self.accounts[self.fund]
        if not fund.contracts:
            self.held_since = None
        waited = 0 if self.held_since is None else self.seconds - self.held_since
        self.in_time = waited < self.value_of("rest_seconds")
        rows = sorted(filter(self.unsafe, self.users()), key=self.ratio)
        self.begin_step(rows)
        self.used, self.queues = 0, {}
        self.drop(rows)
        for vault in self.vaults:
            self.unwind(vault.row)
        if not (self.in_time and self.waits()):
            self.take_up_held(sweep=False)
        for row in rows:
            if self.unsafe(row):
                self.turn(row)
        pooled = self.ranking in (Ranking.PRO_RATA, Ranking.LARGEST)
        if pooled and not (self.in_time and self.waits()):
            self.take_up_held(sweep=True)
        debtors = [row for row in self.users() if self.unsafe(row)]
        debtors = [row for row in debtors if not self.accounts[row].contracts]
        self.drop(debtors)
        for row in debtors:
            self.fund_takes(row, 0)
        if fund.contracts and self.held_since is None:
            self.held_since = self.seconds
        self.offer_held()
        self.stranded += bool(fund.contracts or fund.claim < 0)

    def drop(self, rows):
        self.orders = [order for order in self.orders if order.account not in rows]

    def begin_step(self, rows):
        for row in set(self.last) - set(rows):
            del self.last[row]
        for vault in self.vaults:
            for place, length in enumerate((60, 3_600)):
                now = int(self.seconds // length)
                if vault.period[place] != now:
                    vault.period[place] = now
                    most = vault.per_period[place] * max(1, int(self.step_seconds // length))
                    vault.left[place] = most or 10**18
        if not self.value_of("adl_trigger_ppm"):
            return
        self.samples.append((self.seconds, self.equity(self.fund)))
        now = self.samples[-1][1]
        if now <= 0 or now < self.level("trigger"):
            self.adl_on = True
        elif now > self.level("stop"):
            self.adl_on = False

    def peak(self):
        start = self.seconds - self.value_of("adl_window_seconds")
        return max(value for seconds, value in self.samples if seconds >= start)

    def level(self, name):
        """What the fund must be worth for ADL not to start, or to stop; 0 without such a rule."""
        if not self.value_of("adl_trigger_ppm") or self.peak() <= self.atoms("adl_threshold"):
            return 0
        part = MILLION - self.value_of(f"adl_{name}_ppm")
        return Fraction(self.peak() * part, MILLION)

    # An account's turn

    def due(self, row):
        account = self.accounts[row]
        needed = self.needed(row)
        if account.contracts and self.value_of("step") is Step.LOWEST:
            notional = self.notional(account.contracts)
            lowest = ceil(Fraction(notional * self.terms.maintenance[0][1], MILLION))
            return self.tier(notional) < 2 or self.equity(row) < lowest
        limit = Fraction(needed * self.value_of("takeover_ppm"), MILLION)
        return not account.contracts or self.equity(row) < limit

    def turn(self, row):
        if row in [vault.row for vault in self.vaults]:
            self.fund_takes(row, abs(self.accounts[row].contracts))
            return
        due, has_orders = self.due(row), self.rule.has(Stage.ORDERS)
        if has_orders and (self.value_of("orders_when_due") or not due):
            self.own_order(row)
            if not self.unsafe(row):
                return
            due = due and self.due(row)
        if due or not has_orders:
            lots = self.lots_due(row)
            taken = self.vaults_take(row, lots)
            if taken < lots or not lots:
                self.fund_takes(row, lots - taken)

    def lots_due(self, row):
        held = abs(self.accounts[row].contracts)
        notional = self.notional(self.accounts[row].contracts)
        limit = Fraction(self.needed(row) * self.value_of("takeover_ppm"), MILLION)
        equity = self.equity(row)
        if not held or not self.value_of("takeover_gradual") or equity < 0 or equity >= limit:
            return held
        part = 1 - (Fraction(equity) / limit) ** int(self.step_seconds)
        part = max(part, Fraction(self.value_of("least") * self.scale) / max(notional, 1))
        return min(held, ceil(held * part))

    # Its own orders

    def wanted(self, row, notional):
        step, tiers = self.value_of("step"), self.terms.maintenance
        if step in (Step.TIER, Step.LOWEST):
            tier = self.tier(notional)
            if tier < (2 if step is Step.LOWEST else 1):
                return 0
            return notional - tiers[1 if step is Step.LOWEST else tier][0]
        wanted, goes = notional, 1
        if self.value_of("cooldown_seconds") and not self.value_of("whole_after_cooldown"):
            goes = max(1, int(self.step_seconds // self.value_of("cooldown_seconds")))
        again = self.value_of("whole_after_cooldown") and row in self.last
        if step is Step.PORTION and notional > self.atoms("portion_above") and not again:
            kept = MILLION
            for _ in range(goes):
                kept = kept * (MILLION - self.value_of("portion_ppm")) // MILLION
            wanted = ceil(Fraction(notional * (MILLION - kept), MILLION))
        wanted = min(max(wanted, self.atoms("least") * goes), notional)
        return min(wanted, self.atoms("most") * goes) if self.atoms("most") else wanted

    def own_order(self, row):
        account = self.accounts[row]
        held, contracts, claim = abs(account.contracts), account.contracts, account.claim
        waited = self.seconds - self.last.get(row, NEVER)
        if not held or waited < self.value_of("cooldown_seconds"):
            return
        notional = self.notional(contracts)
        wanted = self.wanted(row, notional)
        if self.atoms("volume_per_second"):
            most = round(self.atoms("volume_per_second") * self.step_seconds)
            wanted = min(wanted, most - self.used)
        if wanted <= 0:
            return
        lots = min(held, ceil(Fraction(held * wanted, max(notional, 1))))
        side = -1 if contracts > 0 else 1
        limit = self.worst(row, side)
        if self.value_of("fill_or_kill"):
            sure = [o for o in self.orders if o.side == -side and not o.reduce_only]
            if sum(o.lots for o in sure if side * o.price <= side * limit) < lots:
                return
        fillable = self.value_of("order_price") is OrderPrice.FILLABLE
        cash = max(self.cash_of_fund() - ceil(self.level("trigger")), 0) if fillable else None
        closed = self.sell(row, lots, limit, cash)
        if not closed:
            return
        cost = claim - account.claim
        surplus = floor(Fraction(claim * closed, held)) - cost
        fee = min(self.fee(abs(cost), self.value_of("fee_ppm")), max(surplus, 0))
        fee += min(surplus, 0) if fillable else 0
        account.claim -= fee
        self.accounts[self.fund].claim += fee
        self.last[row] = self.seconds
        self.used += abs(cost)

    def worst(self, row, side):
        if self.value_of("order_price") is OrderPrice.FILLABLE:
            held = self.accounts[row].contracts
            needed = self.needed(row)
            rating = 1 - Fraction(self.equity(row), max(needed, 1))
            rating *= Fraction(self.value_of("bankruptcy_adjustment"))
            rating = min(max(rating, Fraction(0)), Fraction(1))
            spread = rating * Fraction(self.value_of("spread_to_mm")) * needed
            spread /= max(self.notional(held), 1)
            exact = self.mark * (1 + side * spread)
            worst = floor(exact) if side > 0 else ceil(exact)
        else:
            worst = self.solvent_limit(row, side, 0)
        best = self.best(-side)
        if self.value_of("through_ppm") and best:
            through = floor(Fraction(best.price * self.value_of("through_ppm"), MILLION))
            worst = side * min(side * worst, side * best.price + through)
        return worst

    def sell(self, row, lots, limit, cash=None):
        """Reduce in the book; with cash, as far as this covers what is lacking at bankruptcy."""
        account = self.accounts[row]
        side, held = (-1 if account.contracts > 0 else 1), abs(account.contracts)
        claim, closed = account.claim, 0
        while closed < lots:
            order = self.best(-side)
            if not order or side * order.price > side * limit:
                break
            some = lots - closed
            if cash is not None:
                lacks = partial(self.lacking, (claim, held), (row, closed, order.price))
                some = next((n for n in range(some, 0, -1) if lacks(n) <= cash), 0)
            if not some:
                break
            closed += self.trade(row, side, some, Reason.LIQUIDATION)
        return closed

    def lacking(self, before, place, more):
        """What so many more lots at a price leave short of bankruptcy, with those closed."""
        (claim, held), (row, closed, price) = before, place
        side = -1 if self.accounts[row].contracts > 0 else 1
        cost = claim - self.accounts[row].claim + self.cost(side * more, price)
        return cost - floor(Fraction(claim * (closed + more), held))

    def unwind(self, row):
        held = self.accounts[row].contracts
        if held:
            lots = ceil(Fraction(abs(held) * self.value_of("backstop_unwind_ppm"), MILLION))
            self.sell(row, lots, self.band(-1 if held > 0 else 1))

    def band(self, side):
        width = floor(Fraction(self.mark * self.terms.band_ppm, MILLION))
        return max(self.mark + side * width, 1)

    # Takeover

    def cash_of_fund(self):
        return self.accounts[self.fund].claim - self.held_claim

    def part(self, row, lots):
        account = self.accounts[row]
        if lots == abs(account.contracts):
            return account.claim
        return ceil(Fraction(account.claim * lots, abs(account.contracts)))

    def capacity(self, vault, contracts, claim):
        own, held = self.equity(vault.row), self.accounts[vault.row].contracts
        side, whole = (1 if contracts > 0 else -1), abs(contracts)

        def may(lots):
            value = self.value(side * lots, self.mark)
            notional = self.notional(held + side * lots)
            grows = abs(held + side * lots) > abs(held)
            if abs(value) > min(vault.left) or (vault.most and notional > vault.most and grows):
                return False
            equity = ceil(Fraction(claim * lots, whole)) + value
            fee = max(floor(Fraction(equity * WEIGHT[self.value_of("backstop_price")], 3)), 0)
            return own + equity - fee >= self.requirement(notional)

        if own < vault.floor:
            return 0
        high = min((2**31 - 1) // len(self.vaults), 2**59 // max(1, abs(self.value(1, self.mark))))
        low = high if may(high) else 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if may(middle) else (low, middle)
        return low

    def vaults_take(self, row, lots):
        account = self.accounts[row]
        if not account.contracts or not self.vaults:
            return 0
        if self.equity(row) < 0 and not self.value_of("backstop_in_debt"):
            return 0
        most = [self.capacity(vault, account.contracts, account.claim) for vault in self.vaults]
        parts = in_proportion(lots, most)
        for vault, part in zip(self.vaults, parts, strict=True):
            if part:
                self.hand_to(vault, row, part)
        return sum(parts)

    def hand_to(self, vault, row, lots):
        claim = self.part(row, lots)
        signed = lots if self.accounts[row].contracts > 0 else -lots
        value = self.value(signed, self.mark)
        weight = WEIGHT[self.value_of("backstop_price")]
        gain = floor(Fraction((claim + value) * weight, 3))
        gain = max(gain, -max(self.cash_of_fund(), 0))
        self.move(row, -signed, claim)
        self.move(vault.row, signed, gain - claim)
        self.accounts[self.fund].claim += gain
        vault.left = [left - abs(value) for left in vault.left]

    def fund_takes(self, row, lots):
        account, fund = self.accounts[row], self.accounts[self.fund]
        if not account.contracts:
            fund.claim, account.claim = fund.claim + account.claim, 0
            return
        claim = self.part(row, lots)
        signed = lots if account.contracts > 0 else -lots
        against = fund.contracts * signed < 0
        self.move(row, -signed, claim)
        self.move(self.fund, signed, -claim)
        if against:
            self.held_claim += claim
            self.take_up_held(sweep=False)
        else:
            self.close(Hand(1 if signed > 0 else -1, abs(signed), claim), sweep=False)

    def take_up_held(self, sweep):
        held, claim = self.accounts[self.fund].contracts, self.held_claim
        self.held_claim = 0
        if held:
            self.close(Hand(1 if held > 0 else -1, abs(held), claim), sweep)

    # The fund's order

    def waits(self):
        """Whether the fund goes on with its order: it is not exhausted at the mark."""
        on = self.value_of("rest_seconds") and not self.adl_goes_on()
        return on and self.equity(self.fund) > 0 and self.equity(self.fund) >= self.level("trigger")

    def trade(self, taker, side, lots, reason):
        """The lots that the fund sells by its order take their part of the claim along."""
        maker, held = self.best(-side).account, self.accounts[self.fund].contracts
        done = super().trade(taker, side, lots, reason)
        if maker == self.fund and done:
            self.held_claim -= share(self.held_claim, done, abs(held), 0)
        return done

    def offer_held(self):
        held = self.accounts[self.fund].contracts
        own = [order for order in self.orders if order.account == self.fund]
        waits = self.value_of("rest_seconds") and not self.adl_on
        side, lots = (-1 if held > 0 else 1), abs(held) if waits else 0
        limit = self.worth_claim(side, lots, self.held_claim)
        if own and lots and (own[0].side, own[0].price) == (side, limit) and lots <= own[0].lots:
            own[0].lots = lots
            return
        self.drop([self.fund])
        best = self.best(-side)
        crosses = best and side * limit >= side * best.price
        if lots and 0 < limit <= self.highest_ticks and not crosses:
            self.orders.append(Order(self.fund, side, limit, lots, True))

    def worth_claim(self, side, lots, claim):
        """The worst price at which the lots bring what came with them; 0 where none does."""

        def enough(price):
            return claim - self.cost(side * lots, price) >= 0

        low, high = 0, MAX_PRICE_TICKS + 1
        while high - low > 1:
            middle = (low + high) // 2
            if enough(middle) == (side > 0):
                low = middle
            else:
                high = middle
        return low if side > 0 else high

    # What is in the fund's hands

    def close(self, hand, sweep):
        pooled = self.ranking in (Ranking.PRO_RATA, Ranking.LARGEST)
        stages = [stage for stage in self.value_of("stages") if stage in ("fund", "adl", "social")]
        waits = self.waits()
        for stage in stages:
            if hand.done == hand.total:
                break
            if stage == Stage.FUND and not self.adl_goes_on():
                self.spend(hand, waits and self.in_time)
            elif waits:
                continue
            elif stage == Stage.SOCIAL:
                self.sell_off(hand)
            elif stage == Stage.ADL and (sweep or not pooled) and self.adl_may_run():
                if stages[0] == Stage.FUND and not self.value_of("adl_trigger_ppm"):
                    assert not self.payable(hand), "deleveraged while the fund could pay"
                self.deleverage_hand(hand)
        self.held_claim += hand.claim - share(hand.claim, hand.done, hand.total, 0)

    def cash_at(self, hand, price, lots):
        """What the fund would own after so many more lots at a price, the rest going at b."""
        own = self.cash_of_fund() - hand.claim
        own += ceil(Fraction(hand.claim * (hand.done + lots), hand.total))
        return own - self.cost(-hand.side * lots, price)

    def payable(self, hand, rests=False):
        order = self.best(hand.side)
        if not order:
            return 0
        left, least = hand.total - hand.done, self.level("trigger")
        if rests:
            gains = self.cash_at(hand, order.price, left) >= self.cash_at(hand, order.price, 0)
            return left if gains else 0
        if self.cash_at(hand, order.price, left) >= min(self.cash_at(hand, order.price, 0), least):
            return left
        lots = 0
        if self.cash_at(hand, order.price, 0) >= least:
            while self.cash_at(hand, order.price, lots + 1) >= least:
                lots += 1
        return lots

    def spend(self, hand, rests):
        while hand.done < hand.total and (lots := self.payable(hand, rests)):
            hand.done += self.trade(self.fund, -hand.side, lots, Reason.LIQUIDATION)

    def sell_off(self, hand):
        limit = self.band(-hand.side)
        while hand.done < hand.total:
            order = self.best(hand.side)
            if not order or hand.side * order.price < hand.side * limit:
                return
            left = hand.total - hand.done
            hand.done += self.trade(self.fund, -hand.side, left, Reason.LIQUIDATION)

    def adl_goes_on(self):
        self.adl_on = self.adl_on and self.equity(self.fund) <= self.level("stop")
        return self.adl_on

    def adl_may_run(self):
        if not self.value_of("adl_trigger_ppm"):
            return True
        equity = self.equity(self.fund)
        self.adl_on = self.adl_on or equity <= 0 or equity < self.level("trigger")
        return self.adl_goes_on()

    def paid(self, hand, after):
        paid = share(hand.claim, after, hand.total, hand.done)
        left = hand.total - hand.extra_from
        start = hand.extra_from
        return paid + share(hand.extra, after - start, left, hand.done - start)

    def deleverage_hand(self, hand):
        weight = WEIGHT[self.value_of("adl_price")]
        if weight:
            left = hand.total - hand.done
            at_mark = self.cost(-hand.side * left, self.mark)
            at_bankruptcy = hand.claim - share(hand.claim, hand.done, hand.total, 0)
            wanted = floor(Fraction((at_mark - at_bankruptcy) * weight, 3))
            hand.extra = min(wanted, max(self.cash_at(hand, self.mark, 0), 0))
            hand.extra_from = hand.done
        end = self.last_lot(hand)
        if hand.side not in self.queues:
            self.queues[hand.side] = dict.fromkeys(self.ranked(-hand.side), 0)
        queue = self.queues[hand.side]
        if self.ranking is Ranking.PRO_RATA:
            self.share_out(hand, end, queue, len(queue))
        elif self.ranking is Ranking.LARGEST:
            self.share_out(hand, end, queue, self.value_of("largest"))
        else:
            self.pass_queue(hand, end, queue)

    def last_lot(self, hand):
        if not self.value_of("adl_trigger_ppm"):
            return hand.total
        fund, recovered = self.accounts[self.fund], self.level("stop")
        for end in range(hand.done + 1, hand.total):
            left = fund.contracts - hand.side * (end - hand.done)
            if fund.claim - self.paid(hand, end) + self.value(left, self.mark) > recovered:
                return end
        return hand.total

    def survives(self, hand, row):
        lots = -hand.side * self.accounts[row].contracts
        gained = floor(Fraction(hand.claim * lots, hand.total))
        gained += floor(Fraction(hand.extra * lots, hand.total - hand.extra_from))
        return self.accounts[row].claim + gained >= 1

    def opposite(self, hand, row):
        return -hand.side * self.accounts[row].contracts

    def close_with(self, hand, row, lots):
        paid = self.paid(hand, hand.done + lots)
        self.close_against(row, hand.side, lots, paid)
        hand.done += lots

    def pass_queue(self, hand, end, queue):
        for row in list(queue):
            if hand.done >= end:
                break
            if self.opposite(hand, row) > 0:
                if self.survives(hand, row):
                    lots = min(self.opposite(hand, row), end - hand.done)
                    self.close_with(hand, row, lots)
                else:
                    queue[row] += 1
            if self.opposite(hand, row) <= 0 or queue[row] == 8:
                del queue[row]

    def share_out(self, hand, end, queue, least):
        sharing = []
        for row in queue:
            enough = sum(self.opposite(hand, other) for other in sharing) >= end - hand.done
            if len(sharing) >= least and enough:
                break
            if self.opposite(hand, row) > 0 and self.survives(hand, row):
                sharing.append(row)
        sizes = [self.opposite(hand, row) for row in sharing]
        for row, lots in zip(sharing, in_proportion(end - hand.done, sizes), strict=True):
            if lots:
                self.close_with(hand, row, lots)

    def ranked(self, side):
        if self.ranking is Ranking.LEVERAGE:
            return super().ranked(side)
        rows = [row for row in self.users() if side * self.accounts[row].contracts > 0]
        rows = [row for row in rows if self.equity(row) > 0]
        if self.ranking in (Ranking.ACCOUNT, Ranking.PRO_RATA):
            return rows
        if self.ranking is Ranking.DRAWN:
            start = split_mix(round(self.seconds / self.step_seconds)) % max(len(rows), 1)
            return rows[start:] + rows[:start]
        return sorted(rows, key=lambda row: -self.score_of(row))

    def score_of(self, row):
        account = self.accounts[row]
        contracts, value = account.contracts, self.exact(account.contracts, self.mark)
        if self.ranking is Ranking.LARGEST:
            return abs(contracts)
        equity = account.claim + value
        if self.ranking is Ranking.NOTIONAL:
            if not account.cost:
                return Fraction(10**30)
            gain = Fraction(value, account.cost)
            return (
                (1 / gain if (contracts < 0) != self.terms.inverse else gain) * abs(value) / equity
            )
        profit = max(value - account.cost, 0)
        return profit / max(self.scale, account.claim + account.cost) * self.bare(value) / equity

    def bare(self, value):
        """Maintenance of a position, not rounded."""
        size, needed = abs(value), Fraction(0)
        tiers = [*self.terms.maintenance, (None, None)]
        if self.value_of("tier_rule") is TierRule.STEP:
            return size * Fraction(tiers[self.tier(size)][1], MILLION)
        for (bottom, rate), (top, _) in pairwise(tiers):
            upper = size if top is None else min(size, top)
            needed += max(upper - bottom, 0) * Fraction(rate, MILLION)
        return needed

    # Settlement of a period

    def settle_period(self):
        fund = self.accounts[self.fund]
        profits = {row: self.equity(row) - self.deposited[row] for row in sorted(self.accounts)}
        most = {row: max(0, min(profits[row], self.equity(row))) for row in profits}
        most[self.fund] = most[self.fees] = 0
        deficit = min(0 if fund.contracts else max(-fund.claim, 0), sum(most.values()))
        cut, upto, given = {}, 0, 0
        for row, weight in most.items():
            upto += weight
            end = ceil(Fraction(deficit * upto, max(sum(most.values()), 1)))
            cut[row], given = end - given, end
        spare = 0
        for row in most:
            spare, cut[row] = spare + max(cut[row] - most[row], 0), min(cut[row], most[row])
        for row in most:
            added = min(spare, most[row] - cut[row])
            spare, cut[row] = spare - added, cut[row] + added
        equity = {row: self.equity(row) for row in profits}
        for row, account in self.accounts.items():
            account.claim -= cut[row]
            account.cost = self.value(account.contracts, self.mark)
            self.deposited[row] = equity[row] - cut[row]
        fund.claim += sum(cut.values())
        self.deposited[self.fund] += sum(cut.values())
