"""Providers of a pool-based perpetual: shares for quote or base, with a fee that guards the mix.

    shares for a deposit   worth * S / V+        V+, V-  the pool's value with the oracle's price
    worth of s shares      V- * s / S            moved against whoever comes or goes
    fee                    fee + tax*mean distance/target away from a coin's target, less towards it

worth is of the coin at the oracle's lower price when it comes and at its higher price when it goes,
the fee taken off; the target of a coin is its weight times the worth of all coins held. Worth and
shares are rounded down, fees up; of a fee the venue keeps its part. A pool that takes base besides
quote holds it in the same account; profits of traders are paid in quote, as far as there is quote.
Sources: GMX v1 (Vault, VaultUtils.getFeeBasisPoints, GlpManager.getAum). Left out: more than two
coins, payment of profits in base, the cooldown of shares.
"""

from markets.derivatives.oracle_pool import MintRule, mint_fee_bps
from markets.derivatives.pool_perpetual_accounts import PoolAccounts
from markets.derivatives.pool_perpetual_params import PoolPerpetualParams
from markets.outcomes import Code
from markets.rounding import PPM, ppm_down, ppm_up

_PPM_OF_BPS = 100.0
QUOTE, BASE = 0, 1


class PoolProviders:
    """Mints and burns the shares of one pool."""

    def __init__(self, books: PoolAccounts, params: PoolPerpetualParams, quote_scale: int) -> None:
        self._books, self._params, self._scale = books, params, quote_scale

    def shares_atoms(self) -> int:
        """Shares outstanding."""
        return -int(self._books.balances[self._books.at.pool, self._books.at.share])

    def takes(self, coin: int) -> bool:
        """Whether a coin can be deposited: 0 quote, 1 base."""
        return coin == QUOTE or (coin == BASE and self._params.base_weight_ppm > 0)

    def value(self, direction: int) -> int:
        """The pool's value, up or down by half the spread on what it has at stake."""
        books = self._books
        contracts = int(books.balances[books.at.pool, books.at.contract]) * books.value_atoms
        stake = abs(books.base_value() + contracts)
        return books.pool_value() + direction * ppm_up(stake, self._params.half_spread_ppm)

    def fee_ppm(self, coin: int, change: int) -> int:
        """Fee on moving a coin's worth in the pool by so many quote atoms, rounded up."""
        params, books = self._params, self._books
        tax_ppm = params.mint_tax_ppm if params.base_weight_ppm else 0
        base = books.base_value()
        held = (int(books.balances[books.at.pool, books.at.quote]), base)
        weight = (PPM - params.base_weight_ppm, params.base_weight_ppm)[coin]
        target = sum(held) * weight / PPM
        rule = MintRule(params.mint_fee_ppm / _PPM_OF_BPS, tax_ppm / _PPM_OF_BPS)
        before, moved, goal = (figure / self._scale for figure in (held[coin], change, target))
        bps = float(mint_fee_bps(before, moved, goal, rule))
        return min(PPM, -int(-bps * _PPM_OF_BPS // 1))

    def add(self, account: int, coin: int, atoms: int, least_shares: int) -> Code:
        """Shares for a coin, at the value of the pool before."""
        books = self._books
        supply, value = self.shares_atoms(), self.value(1)
        if not self.takes(coin):
            return Code.INVALID
        if not books.mark_ticks or (supply and value <= 0):
            return Code.NO_LIQUIDITY
        column = self._column(coin)
        if books.balances[account, column] < atoms:
            return Code.INSUFFICIENT_BALANCE
        worth = self._worth(coin, atoms)
        fee = ppm_up(atoms, self.fee_ppm(coin, worth))
        after_fee = self._worth(coin, atoms - fee)
        shares = after_fee * supply // value if supply else after_fee
        if shares < max(1, least_shares):
            return Code.BEYOND_LIMIT
        self._move(account, column, atoms, shares)
        self._keep(column, fee)
        return Code.DONE

    def remove(self, account: int, coin: int, shares: int, least_atoms: int) -> Code:
        """A coin for shares, as far as what is left still covers the positions."""
        books = self._books
        if not self.takes(coin):
            return Code.INVALID
        if books.balances[account, books.at.share] < shares:
            return Code.INSUFFICIENT_BALANCE
        value = self.value(-1)
        worth = max(0, value) * shares // self.shares_atoms()
        gross = self._atoms(coin, worth)
        fee = ppm_up(gross, self.fee_ppm(coin, -worth))
        if gross - fee < max(1, least_atoms):
            return Code.BEYOND_LIMIT
        column = self._column(coin)
        reserved = max(books.open_lots.values()) * books.value_atoms
        scarce = gross > books.balances[books.at.pool, column]
        if scarce or reserved > self._params.reserve_factor * (value - worth):
            return Code.NO_LIQUIDITY
        self._move(account, column, fee - gross, -shares)
        self._keep(column, fee)
        return Code.DONE

    def _column(self, coin: int) -> int:
        return self._books.at.base if coin == BASE else self._books.at.quote

    def _worth(self, coin: int, atoms: int) -> int:
        """Quote atoms of a coin that comes in, at the lower price."""
        if coin == QUOTE:
            return atoms
        books = self._books
        whole = atoms * books.value_atoms // books.at.lot_atoms
        return whole - ppm_up(whole, self._params.half_spread_ppm)

    def _atoms(self, coin: int, worth: int) -> int:
        """Atoms of a coin that goes out for so many quote atoms, at the higher price."""
        if coin == QUOTE:
            return worth
        books = self._books
        dearer = books.value_atoms * (PPM + self._params.half_spread_ppm)
        return worth * books.at.lot_atoms * PPM // dearer

    def _move(self, account: int, column: int, atoms: int, shares: int) -> None:
        balances, at = self._books.balances, self._books.at
        balances[account, column] -= atoms
        balances[at.pool, column] += atoms
        balances[account, at.share] += shares
        balances[at.pool, at.share] -= shares

    def _keep(self, column: int, fee: int) -> None:
        """The venue's part of a fee that the pool has received."""
        balances, at = self._books.balances, self._books.at
        kept = ppm_down(fee, PPM - self._params.provider_part_ppm)
        balances[at.pool, column] -= kept
        balances[at.fees, column] += kept
