"""Exact pools in Python integers, as contracts count: oracles for the float64 kernels.

Three pools written from the formulae alone and sharing no code with the kernels: constant product,
concentrated liquidity (square-root prices in Q64.96, fee growth in Q128) and StableSwap. Every
division rounds in favour of the pool, as in the contracts. Tick prices come from 60-digit decimals.
"""

from decimal import Decimal, localcontext
from math import isqrt

PPM = 10**6
Q96 = 2**96
Q128 = 2**128
RATE_UNIT = 10**10
ROUNDS = 255


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


class IntegerConstantProduct:
    """x y = k, fee on the input, first shares short of a locked minimum, optional protocol fee."""

    MINIMUM = 1000

    def __init__(self, fee_ppm: int = 3000, protocol_fee_on: bool = False) -> None:
        self.reserves, self.supply, self.fee_ppm = [0, 0], 0, fee_ppm
        self.protocol_fee_on, self.k_last, self.protocol = protocol_fee_on, 0, 0

    def mint(self, amount0: int, amount1: int) -> int:
        self._pay_protocol()
        if self.supply == 0:
            shares = isqrt(amount0 * amount1) - self.MINIMUM
            self.supply = self.MINIMUM
        else:
            deposits = zip((amount0, amount1), self.reserves, strict=True)
            shares = min(amount * self.supply // reserve for amount, reserve in deposits)
        self.supply += shares
        self.reserves = [self.reserves[0] + amount0, self.reserves[1] + amount1]
        self.k_last = self.reserves[0] * self.reserves[1]
        return shares

    def burn(self, shares: int) -> tuple[int, int]:
        self._pay_protocol()
        paid = [shares * reserve // self.supply for reserve in self.reserves]
        self.supply -= shares
        self.reserves = [self.reserves[0] - paid[0], self.reserves[1] - paid[1]]
        self.k_last = self.reserves[0] * self.reserves[1]
        return paid[0], paid[1]

    def swap_in(self, token: int, amount: int) -> int:
        net, (x, y) = amount * (PPM - self.fee_ppm), self._sides(token)
        out = y * net // (x * PPM + net)
        self._move(token, amount, out)
        return out

    def swap_out(self, token: int, out: int) -> int:
        x, y = self._sides(token)
        amount = x * out * PPM // ((y - out) * (PPM - self.fee_ppm)) + 1
        self._move(token, amount, out)
        return amount

    def _sides(self, token: int) -> tuple[int, int]:
        return self.reserves[token], self.reserves[1 - token]

    def _move(self, token: int, amount: int, out: int) -> None:
        self.reserves[token] += amount
        self.reserves[1 - token] -= out

    def _pay_protocol(self) -> None:
        if self.protocol_fee_on and self.k_last:
            root, last = isqrt(self.reserves[0] * self.reserves[1]), isqrt(self.k_last)
            minted = self.supply * (root - last) // (5 * root + last)
            self.supply += minted
            self.protocol += minted


def sqrt_price_x96(tick: int) -> int:
    """Square root of 1.0001^tick in Q64.96."""
    with localcontext(prec=60):
        return int(Decimal("1.0001") ** (Decimal(tick) / 2) * Q96)


def tick_below(root: int) -> int:
    """Greatest tick whose price is at or below a square root in Q64.96."""
    with localcontext(prec=60):
        tick = int((Decimal(root) / Q96).ln() * 2 / Decimal("1.0001").ln()) + 1
    while sqrt_price_x96(tick) > root:
        tick -= 1
    return tick


def token0_between(low: int, high: int, liquidity: int, up: bool) -> int:
    top = (liquidity << 96) * (high - low)
    return ceil_div(ceil_div(top, high), low) if up else top // high // low


def token1_between(low: int, high: int, liquidity: int, up: bool) -> int:
    top = liquidity * (high - low)
    return ceil_div(top, Q96) if up else top // Q96


class IntegerConcentrated:
    """Concentrated liquidity with ticks in a dictionary, walked in sorted order."""

    def __init__(self, tick: int, fee_ppm: int) -> None:
        self.root, self.tick, self.fee_ppm = sqrt_price_x96(tick), tick, fee_ppm
        self.liquidity, self.growth = 0, [0, 0]
        self.ticks: dict[int, dict] = {}
        self.positions: dict[tuple[int, int], dict] = {}

    def change(self, lower: int, upper: int, change: int) -> tuple[int, int]:
        """Signed amounts from the pool's side; fees earned so far become owed."""
        for tick in (lower, upper):
            started = list(self.growth) if tick <= self.tick else [0, 0]
            self.ticks.setdefault(tick, {"net": 0, "gross": 0, "outside": started})
        fresh = {"liquidity": 0, "inside": [0, 0], "owed": [0, 0]}
        position = self.positions.setdefault((lower, upper), fresh)
        inside = [self._inside(lower, upper, token) for token in (0, 1)]
        for token in (0, 1):
            gained = inside[token] - position["inside"][token]
            position["owed"][token] += gained * position["liquidity"] // Q128
        position["inside"] = inside
        position["liquidity"] += change
        self.ticks[lower]["net"] += change
        self.ticks[upper]["net"] -= change
        amounts = self._amounts(lower, upper, change)
        if lower <= self.tick < upper:
            self.liquidity += change
        for tick in (lower, upper):
            self.ticks[tick]["gross"] += change
            if self.ticks[tick]["gross"] == 0:
                del self.ticks[tick]
        return amounts

    def swap(self, down: bool, amount: int, limit: int) -> tuple[int, int]:
        """Gross input and output; amount > 0 is input to spend, < 0 output wanted."""
        left, spent, gained = amount, 0, 0
        while left and self.root != limit:
            tick = self._next_tick(down)
            stop = sqrt_price_x96(tick) if tick is not None else limit
            target = max(stop, limit) if down else min(stop, limit)
            net, out, fee = self._step(down, target, left)
            spent, gained = spent + net + fee, gained + out
            left = left - net - fee if amount > 0 else left + out
            if self.liquidity:
                self.growth[0 if down else 1] += fee * Q128 // self.liquidity
            if tick is not None and self.root == stop:
                self._cross(tick, down)
            else:
                self.tick = tick_below(self.root)
        return spent, gained

    def _next_tick(self, down: bool) -> int | None:
        if down:
            return max((t for t in self.ticks if t <= self.tick), default=None)
        return min((t for t in self.ticks if t > self.tick), default=None)

    def _cross(self, tick: int, down: bool) -> None:
        state = self.ticks[tick]
        state["outside"] = [g - o for g, o in zip(self.growth, state["outside"], strict=True)]
        self.liquidity += -state["net"] if down else state["net"]
        self.tick = tick - 1 if down else tick

    def _step(self, down: bool, target: int, left: int) -> tuple[int, int, int]:
        root, liquidity, kept = self.root, self.liquidity, PPM - self.fee_ppm
        low, high = (target, root) if down else (root, target)
        need = (token0_between if down else token1_between)(low, high, liquidity, True)
        gain = (token1_between if down else token0_between)(low, high, liquidity, False)
        if left * kept // PPM >= need if left > 0 else -left >= gain:
            self.root = target
            return need, gain, ceil_div(need * self.fee_ppm, kept)
        self.root = self._moved(down, left * kept // PPM if left > 0 else left)
        low, high = sorted((root, self.root))
        net = (token0_between if down else token1_between)(low, high, liquidity, True)
        out = (token1_between if down else token0_between)(low, high, liquidity, False)
        if left > 0:
            return net, out, left - net
        return net, min(out, -left), ceil_div(net * self.fee_ppm, kept)

    def _moved(self, down: bool, amount: int) -> int:
        root, liquidity = self.root, self.liquidity
        if down == (amount > 0):
            top = liquidity << 96
            return ceil_div(top * root, top + amount * root)
        if amount > 0:
            return root + (amount << 96) // liquidity
        return root - ceil_div(-amount << 96, liquidity)

    def _amounts(self, lower: int, upper: int, change: int) -> tuple[int, int]:
        low, high = sqrt_price_x96(lower), sqrt_price_x96(upper)
        size, up, sign = abs(change), change > 0, 1 if change > 0 else -1
        root = min(max(self.root, low), high)
        if self.tick < lower:
            root = low
        elif self.tick >= upper:
            root = high
        token0 = token0_between(root, high, size, up)
        return sign * token0, sign * token1_between(low, root, size, up)

    def _inside(self, lower: int, upper: int, token: int) -> int:
        total = self.growth[token]
        below, above = (self.ticks[t]["outside"][token] for t in (lower, upper))
        if self.tick < lower:
            below = total - below
        if self.tick >= upper:
            above = total - above
        return total - below - above


class IntegerStableSwap:
    """StableSwap with balances scaled to 18 decimals by `rates`; fees in units of 1e-10."""

    def __init__(self, amplification: int, fee: int, admin_fee: int, rates: list[int]) -> None:
        self.ann, self.fee, self.admin_fee = amplification * len(rates), fee, admin_fee
        self.rates, self.balances, self.supply = rates, [0] * len(rates), 0

    def scaled(self, balances: list[int]) -> list[int]:
        return [b * rate for b, rate in zip(balances, self.rates, strict=True)]

    def invariant(self, xp: list[int]) -> int:
        total, n = sum(xp), len(xp)
        d, before = total, 0
        for _ in range(ROUNDS):
            if abs(d - before) <= 1:
                break
            power = d
            for x in xp:
                power = power * d // (x * n)
            before = d
            d = (self.ann * total + power * n) * d // ((self.ann - 1) * d + (n + 1) * power)
        return d

    def balance(self, coin: int, xp: list[int], d: int) -> int:
        n, c, others = len(xp), d, 0
        for k, x in enumerate(xp):
            if k != coin:
                others += x
                c = c * d // (x * n)
        c = c * d // (self.ann * n)
        b, y, before = others + d // self.ann, d, 0
        for _ in range(ROUNDS):
            if abs(y - before) <= 1:
                break
            before, y = y, (y * y + c) // (2 * y + b - d)
        return y

    def exchange(self, i: int, j: int, dx: int) -> int:
        xp = self.scaled(self.balances)
        d = self.invariant(xp)
        moved = [x + dx * self.rates[i] if k == i else x for k, x in enumerate(xp)]
        gross = xp[j] - self.balance(j, moved, d) - 1
        fee = gross * self.fee // RATE_UNIT
        paid = (gross - fee) // self.rates[j]
        self.balances[i] += dx
        self.balances[j] -= paid + fee * self.admin_fee // RATE_UNIT // self.rates[j]
        return paid

    def change(self, changes: list[int]) -> int:
        """Shares minted for signed amounts (negative: burnt, before the one unit of the pool)."""
        old, new = self.balances, [b + c for b, c in zip(self.balances, changes, strict=True)]
        d1 = self.invariant(self.scaled(new))
        if self.supply == 0:
            self.balances, self.supply = new, d1
            return d1
        d0, n = self.invariant(self.scaled(old)), len(old)
        rate = self.fee * n // (4 * (n - 1))
        gaps = [abs(d1 * o // d0 - b) for o, b in zip(old, new, strict=True)]
        fees = [rate * gap // RATE_UNIT for gap in gaps]
        d2 = self.invariant(self.scaled([b - f for b, f in zip(new, fees, strict=True)]))
        kept = [f * self.admin_fee // RATE_UNIT for f in fees]
        self.balances = [b - k for b, k in zip(new, kept, strict=True)]
        shares = self.supply * (d2 - d0) // d0 if d2 >= d0 else -(self.supply * (d0 - d2) // d0)
        self.supply += shares
        return shares

    def withdraw(self, shares: int) -> list[int]:
        paid = [b * shares // self.supply for b in self.balances]
        self.balances = [b - p for b, p in zip(self.balances, paid, strict=True)]
        self.supply -= shares
        return paid

    def withdraw_one(self, shares: int, coin: int) -> int:
        xp, n = self.scaled(self.balances), len(self.balances)
        d0 = self.invariant(xp)
        d1 = d0 - shares * d0 // self.supply
        target, reduced = self.balance(coin, xp, d1), []
        for k, x in enumerate(xp):
            expected = x * d1 // d0 - target if k == coin else x - x * d1 // d0
            reduced.append(x - self.fee * n // (4 * (n - 1)) * expected // RATE_UNIT)
        paid = (reduced[coin] - self.balance(coin, reduced, d1) - 1) // self.rates[coin]
        fee = (xp[coin] - target) // self.rates[coin] - paid
        self.balances[coin] -= paid + fee * self.admin_fee // RATE_UNIT
        self.supply -= shares
        return paid
