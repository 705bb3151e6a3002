"""Dealers' quotes hit directly, in plain Python: a list of quotes, searched for each order.

`receive` takes rows of a batch, (action, account, side, size, limit, flags) or for a quote
(action, account, bid, bid lots, ask, ask lots), and returns their codes. Fills are tuples

    (taker, dealer, taker's side, price_ticks, size_lots, taker fee, dealer fee).
"""

from dataclasses import dataclass, field

from markets.intents import BUY, CANCEL_ALL, MARKET, PLACE, QUOTE
from markets.outcomes import Code

Row = tuple[int, ...]


def fee(notional_atoms: int, rate_ppm: int) -> int:
    """ceil(notional * rate)."""
    return -(-notional_atoms * rate_ppm // 1_000_000)


@dataclass
class ReferenceDealers:
    """Balances are `[base, quote]` by account; quotes are `[dealer, bid, lots, ask, lots]`."""

    balances: dict[int, list[int]]
    lot_atoms: int
    notional_atoms: int
    dealer_fee_ppm: int
    taker_fee_ppm: int
    quotes_first: bool
    quotes: list[list[int]] = field(default_factory=list)
    fills: list[Row] = field(default_factory=list)
    fees_atoms: int = 0

    def receive(self, rows: list[Row]) -> list[Code]:
        numbers = list(range(len(rows)))
        if self.quotes_first:
            numbers.sort(key=lambda number: not self.comes_first(rows, number))
        codes = dict.fromkeys(numbers, Code.INVALID)
        for number in numbers:
            codes[number] = self.one(rows[number])
        return [codes[number] for number in range(len(rows))]

    def comes_first(self, rows: list[Row], number: int) -> bool:
        """Quotes, and withdrawals that the same dealer's quote follows."""
        action, account = rows[number][:2]
        follows = any(row[:2] == (QUOTE, account) for row in rows[number + 1 :])
        return action == QUOTE or (action == CANCEL_ALL and follows)

    def one(self, row: Row) -> Code:
        action, account, *terms = row
        if action == PLACE:
            return self.hit(account, *terms)
        if action == QUOTE and terms[1] and terms[3] and terms[0] >= terms[2]:
            return Code.INVALID
        self.quotes = [quote for quote in self.quotes if quote[0] != account]
        if action == QUOTE:
            self.quotes.append([account, *terms])
        return Code.DONE if action == QUOTE else Code.CANCELLED

    def hit(self, account: int, side: int, size_lots: int, limit_ticks: int, flags: int) -> Code:
        price, lots = (3, 4) if side == BUY else (1, 2)
        standing = [quote for quote in self.quotes if quote[lots] and quote[0] != account]
        if not flags & MARKET:
            standing = [q for q in standing if side * (limit_ticks - q[price]) >= 0]
        left_lots, unpaid = size_lots, False
        for quote in sorted(standing, key=lambda quote: side * quote[price]):
            if left_lots == 0:
                break
            wanted = min(left_lots, quote[lots])
            paid = self.affordable(account, side, wanted, quote[price], self.taker_fee_ppm)
            unpaid = unpaid or paid == 0
            given = self.affordable(quote[0], -side, paid, quote[price], self.dealer_fee_ppm)
            if given:
                self.trade((account, quote[0]), side, quote[price], given)
                quote[lots] -= given
                left_lots -= given
        if left_lots < size_lots:
            return Code.PARTLY_FILLED if left_lots else Code.FILLED
        if unpaid:
            return Code.INSUFFICIENT_BALANCE
        return Code.NO_LIQUIDITY if flags & MARKET else Code.UNFILLED

    def affordable(self, account: int, side: int, most: int, ticks: int, rate_ppm: int) -> int:
        """Lots that an account can trade, counted down from the most; rebates come too late."""
        base_atoms, quote_atoms = self.balances[account]
        for lots in range(most, 0, -1):
            notional_atoms = lots * ticks * self.notional_atoms
            needed_atoms = notional_atoms + fee(notional_atoms, max(rate_ppm, 0))
            enough = quote_atoms >= needed_atoms
            if enough if side == BUY else base_atoms >= lots * self.lot_atoms:
                return lots
        return 0

    def trade(self, parties: tuple[int, int], side: int, ticks: int, lots: int) -> None:
        notional_atoms = lots * ticks * self.notional_atoms
        fees = [fee(notional_atoms, rate) for rate in (self.taker_fee_ppm, self.dealer_fee_ppm)]
        for account, way, fee_atoms in zip(parties, (side, -side), fees, strict=True):
            self.balances[account][0] += way * lots * self.lot_atoms
            self.balances[account][1] -= way * notional_atoms + fee_atoms
        self.fees_atoms += sum(fees)
        self.fills.append((*parties, side, ticks, lots, *fees))
