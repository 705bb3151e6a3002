"""Managed pool (am-AMM): the right to set the fee, to keep it and to trade without it is let.

A constant-product pool with a lease that is always up for auction. Bids are a rent R in share atoms
a block with a deposit D >= K R, and must exceed the standing bid by `raise_ppm`. The best bid waits
K blocks before it takes over, unless it is outbid meanwhile; with K = `delay_blocks` nobody can
be displaced at a moment's notice. Each block the manager's rent is burnt out of the deposit,

    shares outstanding  <-  shares outstanding - R      (so it belongs to all other shares),

and a manager whose deposit cannot pay the next rent is dismissed; what is left returns. The manager
names the fee up to `cap_ppm`, pays none, and receives the fee of everybody else: it stays outside
the curve, floored, and is paid over once a step. Without a manager the fee is `fee_ppm` and stays
in the pool. A leaver pays `withdrawal_fee_ppm` to those who stay, so that nobody enjoys the
rent and leaves before a price move that is already known. Deposits return at the next step's start.
Rounding: as the constant-product pool. Source: Adams, Moallemi, Reynolds, Robinson 2024
(arXiv 2403.03367); raise and deposit after Bunniapp/biddog. Left out: withdrawing spare deposit.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets.errors import BrokenInvariant, ConfigError
from markets.intents import (
    ADD_LIQUIDITY,
    BID,
    REMOVE_LIQUIDITY,
    SET_FEE,
    SWAP_EXACT_IN,
    SWAP_EXACT_OUT,
)
from markets.kernel import njit
from markets.ledger import Matrix
from markets.market import Market
from markets.outcomes import Fills, Reason, flows
from markets.pools.constant_product import amount_for
from markets.pools.constant_product_pool import (
    ConstantProductPool,
    Place,
    PoolView,
    add_shares,
    swap_amounts,
)
from markets.pools.pool import (
    BEYOND_LIMIT,
    DONE,
    INSUFFICIENT,
    INVALID,
    LARGEST,
    settle_swap,
    way_of,
    write_fill,
)
from markets.rounding import PPM, floor_atoms, ppm_down, ppm_up
from markets.venue import Escrow, Moment

NOBODY = -1
MANAGER, RENT, DEPOSIT, FEE, NEXT, NEXT_RENT, NEXT_DEPOSIT, NEXT_BLOCK, BLOCK = range(9)
"""Places of the lease: the manager's account, rent, deposit and fee, the best bid that waits and
the block it takes over in, the last block accounted for."""


class LeaseTerms(NamedTuple):
    """Rows of deposits and of fees, and the rules of the auction."""

    deposits: int
    fees: int
    default_fee_ppm: int
    cap_ppm: int
    raise_ppm: int
    delay_blocks: int
    withdrawal_fee_ppm: int


@njit(cache=True)
def _swap(
    row: Any,
    balances: Matrix,
    place: Place,
    terms: LeaseTerms,
    lease: NDArray[np.int64],
    fill: Any,
) -> int:
    """One swap: free for the manager, whose is the fee of others."""
    way = way_of(row, 2)
    if way[0] < 0:
        return INVALID
    managed = lease[MANAGER] != NOBODY
    fee_ppm = lease[FEE] if managed else terms.default_fee_ppm
    fee_ppm = 0 if managed and row.account == lease[MANAGER] else fee_ppm
    columns = (place.quote, place.base) if way[0] == 1 else (place.base, place.quote)
    code, input_atoms, output_atoms = swap_amounts(
        row, balances[place.pool, columns[0]], balances[place.pool, columns[1]], fee_ppm
    )
    if code != DONE:
        return code
    rows, amounts = (row.account, place.pool), (input_atoms, output_atoms)
    code = settle_swap(balances, rows, columns, amounts)
    if code == DONE:
        write_fill(fill, rows, way, amounts, ppm_up(input_atoms, fee_ppm))
        if managed:
            atoms = ppm_down(input_atoms, fee_ppm)
            balances[place.pool, columns[0]] -= atoms
            balances[terms.fees, columns[0]] += atoms
    return code


@njit(cache=True)
def _remove(row: Any, balances: Matrix, place: Place, terms: LeaseTerms) -> int:
    """Take shares back, pay the same part of both reserves less the withdrawal fee."""
    if row.size <= 0:
        return INVALID
    if balances[row.account, place.share] < row.size:
        return INSUFFICIENT
    supply = float(-balances[place.pool, place.share])
    for column in (place.base, place.quote):
        held = float(balances[place.pool, column])
        atoms = floor_atoms(amount_for(float(row.size), held, supply))
        atoms -= ppm_up(atoms, terms.withdrawal_fee_ppm)
        balances[place.pool, column] -= atoms
        balances[row.account, column] += atoms
    balances[row.account, place.share] -= row.size
    balances[place.pool, place.share] += row.size
    return DONE


@njit(cache=True)
def _bid(
    row: Any,
    balances: Matrix,
    place: Place,
    terms: LeaseTerms,
    lease: NDArray[np.int64],
    refunds: NDArray[np.int64],
) -> int:
    """A bid, or more deposit from the manager at its own rent."""
    if not (0 < row.size < LARGEST and 0 < row.limit < LARGEST):
        return INVALID
    if balances[row.account, place.share] < row.limit:
        return INSUFFICIENT
    tops_up = row.account == lease[MANAGER] and row.size == lease[RENT]
    standing = lease[NEXT_RENT] if lease[NEXT] != NOBODY else lease[RENT]
    if not tops_up:
        if row.size < standing + max(1, ppm_up(standing, terms.raise_ppm)):
            return BEYOND_LIMIT
        if row.limit < float(terms.delay_blocks) * row.size:
            return BEYOND_LIMIT
    balances[row.account, place.share] -= row.limit
    balances[terms.deposits, place.share] += row.limit
    if tops_up:
        lease[DEPOSIT] += row.limit
        return DONE
    if lease[NEXT] != NOBODY:
        refunds[lease[NEXT]] += lease[NEXT_DEPOSIT]
    lease[NEXT], lease[NEXT_RENT], lease[NEXT_DEPOSIT] = row.account, row.size, row.limit
    lease[NEXT_BLOCK] = lease[BLOCK] + terms.delay_blocks
    return DONE


@njit(cache=True)
def _set_fee(row: Any, terms: LeaseTerms, lease: NDArray[np.int64]) -> int:
    """The manager's fee, held at the cap."""
    if lease[MANAGER] == NOBODY or row.account != lease[MANAGER] or row.size < 0:
        return INVALID
    lease[FEE] = min(row.size, terms.cap_ppm)
    return DONE


@njit(cache=True)
def _execute(
    rows: NDArray[np.void],
    balances: Matrix,
    place: Place,
    terms: LeaseTerms,
    out: tuple[Fills, NDArray[np.int64]],
    kept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> int:
    """All rows in order; `kept` is the lease, what is to be refunded, and no growth."""
    filled = 0
    fills, codes = out
    lease, refunds, growth = kept
    for at in range(len(rows)):
        row = rows[at]
        if row.action == SWAP_EXACT_IN or row.action == SWAP_EXACT_OUT:
            codes[at] = _swap(row, balances, place, terms, lease, fills[filled])
            if codes[at] == DONE:
                filled += 1
        elif row.action == ADD_LIQUIDITY:
            codes[at] = add_shares(row, balances, place, growth)
        elif row.action == REMOVE_LIQUIDITY:
            codes[at] = _remove(row, balances, place, terms)
        elif row.action == BID:
            codes[at] = _bid(row, balances, place, terms, lease, refunds)
        elif row.action == SET_FEE:
            codes[at] = _set_fee(row, terms, lease)
        else:
            codes[at] = INVALID
    return filled


@njit(cache=True)
def advance(
    lease: NDArray[np.int64],
    refunds: NDArray[np.int64],
    rents: NDArray[np.int64],
    block: int,
    default_fee_ppm: int,
) -> None:
    """Let the lease run up to a block; adds to what each account gets back and pays in rent."""
    while lease[BLOCK] < block:
        lease[BLOCK] += 1
        if lease[MANAGER] != NOBODY and lease[DEPOSIT] < lease[RENT]:
            refunds[lease[MANAGER]] += lease[DEPOSIT]
            lease[MANAGER], lease[RENT], lease[DEPOSIT] = NOBODY, 0, 0
        if lease[NEXT] != NOBODY and lease[BLOCK] >= lease[NEXT_BLOCK]:
            if lease[MANAGER] != NOBODY:
                refunds[lease[MANAGER]] += lease[DEPOSIT]
            lease[MANAGER], lease[RENT] = lease[NEXT], lease[NEXT_RENT]
            lease[DEPOSIT], lease[FEE] = lease[NEXT_DEPOSIT], default_fee_ppm
            lease[NEXT], lease[NEXT_RENT], lease[NEXT_DEPOSIT] = NOBODY, 0, 0
        if lease[MANAGER] == NOBODY and lease[NEXT] == NOBODY:
            lease[BLOCK] = block
        elif lease[MANAGER] != NOBODY and lease[DEPOSIT] >= lease[RENT]:
            lease[DEPOSIT] -= lease[RENT]
            rents[lease[MANAGER]] += lease[RENT]


@dataclass(frozen=True)
class ManagedView(PoolView):
    """A managed pool as agents see it; quotes are for outsiders, see `for_manager`."""

    manager: int
    """Account of the manager; -1 where there is none."""
    rent_atoms: int
    deposit_atoms: int
    standing_rent_atoms: int
    """Rent of the bid that a new one must beat."""
    least_bid_atoms: int
    """The lowest rent that would be taken now."""

    def for_manager(self) -> "ManagedView":
        """The same pool without the fee."""
        return replace(self, fee_ppm=0)


class ManagedPool(ConstantProductPool):
    """A constant-product pool under a manager."""

    class Params(ConstantProductPool.Params):
        """Parameters of the pool and its auction."""

        cap_ppm: int = Field(10_000, ge=0, lt=PPM)
        """The highest fee that a manager may set."""
        block_seconds: float = Field(12.0, gt=0)
        """Rent falls due once in so many seconds."""
        delay_blocks: int = Field(100, ge=1)
        """Blocks from the best bid to its lease, and rents that a deposit must hold."""
        raise_ppm: int = Field(100_000, ge=0, le=PPM)
        """How much a bid must exceed the standing one."""
        withdrawal_fee_ppm: int = Field(0, ge=0, lt=PPM)
        """What leavers pay to those who stay."""

    params: Params

    def __init__(self, name: str, domain: str, instrument: Any, params: Params) -> None:
        if params.protocol_fee:
            raise ConfigError(f"{name}.protocol_fee", "a managed pool has none")
        super().__init__(name, domain, instrument, params)
        self.lease = np.zeros(9, np.int64)
        self.lease[[MANAGER, NEXT]] = NOBODY

    def open(self, market: Market) -> None:
        """See `Venue.open`: also an account of deposits and one of the manager's fees."""
        super().open(market)
        own = market.open_accounts(self.name, self.domain, 2)
        self.accounts = np.concatenate([self.accounts, own])
        params = self.params
        self.terms = LeaseTerms(
            int(own[0]),
            int(own[1]),
            params.fee_ppm,
            params.cap_ppm,
            params.raise_ppm,
            params.delay_blocks,
            params.withdrawal_fee_ppm,
        )

    def begin(self) -> None:
        """See `Venue.begin`."""
        super().begin()
        self._refunds = np.zeros(len(self._ledger.balances), np.int64)

    def accrue(self, moment: Moment) -> None:
        """See `Venue.accrue`: pay out fees, then rent, take-overs and refunds up to this block."""
        super().accrue(moment)
        self._pay_fees()
        block = int(moment.seconds / self.params.block_seconds + 1e-9)
        first_fee = min(self.fee_ppm, self.params.cap_ppm)
        rents = np.zeros(len(self._refunds), np.int64)
        advance(self.lease, self._refunds, rents, block, first_fee)
        shares = self._ledger.balances[:, self.share_column]
        shares[self.terms.deposits] -= rents.sum() + self._refunds.sum()
        shares[self.pool_row] += rents.sum()
        shares += self._refunds
        self._refunds[:] = 0
        payers = np.flatnonzero(rents)
        if len(payers):
            column, paid = self.share_column, rents[payers]
            self._flows.append(flows(payers, self.pool_row, column, paid, Reason.RENT))

    def _pay_fees(self) -> None:
        """The fees taken since the last step go to the manager who earned them."""
        manager, balances = int(self.lease[MANAGER]), self._ledger.balances
        for column in (self.place.base, self.place.quote):
            atoms = int(balances[self.terms.fees, column])
            if atoms and manager != NOBODY:
                balances[self.terms.fees, column] = 0
                balances[manager, column] += atoms
                paid = np.array([atoms])
                self._flows.append(flows(self.terms.fees, manager, column, paid, Reason.FEE))

    def observe(self, moment: Moment) -> ManagedView:
        """See `Venue.observe`."""
        view, lease = super().observe(moment), self.lease.tolist()
        standing = lease[NEXT_RENT] if lease[NEXT] != NOBODY else lease[RENT]
        least = standing + max(1, int(ppm_up(standing, self.params.raise_ppm)))
        return ManagedView(
            view.index,
            view.instrument,
            view.coins,
            lease[FEE] if lease[MANAGER] != NOBODY else self.fee_ppm,
            view.reserves_atoms,
            view.shares_atoms,
            view.share_column,
            lease[MANAGER],
            lease[RENT],
            lease[DEPOSIT],
            standing,
            least,
        )

    def settle(
        self,
        rows: NDArray[np.void],
        fills: Fills,
        codes: NDArray[np.int64],
        moment: Moment,
    ) -> int:
        """See `Pool.settle`."""
        terms = self.terms._replace(default_fee_ppm=self.fee_ppm)
        kept = (self.lease, self._refunds, self._growth)
        return _execute(rows, self._ledger.balances, self.place, terms, (fills, codes), kept)

    def check(self) -> None:
        """See `ConstantProductPool.check`; deposits are those of the lease and of the refunds."""
        super().check()
        held = int(self._ledger.balances[self.terms.deposits, self.share_column])
        owed = int(self.lease[DEPOSIT] + self.lease[NEXT_DEPOSIT] + self._refunds.sum())
        if held != owed:
            raise BrokenInvariant("deposits", self.name, self.share.name, held - owed)

    def escrowed(self) -> list[Escrow]:
        """See `Venue.escrowed`: deposits belong to their bidders until they are rent."""
        lease = self.lease
        back = np.flatnonzero(self._refunds)
        accounts = np.concatenate([lease[[MANAGER, NEXT]], back])
        atoms = np.concatenate([lease[[DEPOSIT, NEXT_DEPOSIT]], self._refunds[back]])
        held = accounts != NOBODY
        return [Escrow(self.terms.deposits, self.share_column, accounts[held], atoms[held])]

    def state(self) -> Any:
        """See `Pool.state`."""
        return self.lease.copy(), self._refunds.copy()

    def set_state(self, state: Any) -> None:
        """See `Pool.set_state`."""
        self.lease[:], self._refunds[:] = state
