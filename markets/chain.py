"""A chain: intents wait in a queue for the next block, and pay gas whether they succeed or not.

Blocks fall due every `block_seconds`, or at random with that mean (a Poisson process); a step may
hold none, one or many, each of which takes from the queue what fits (see `markets.block`). Gas of
a transaction burns base fee x gas (see `markets.base_fee`) and pays its tip to the builder; all gas
of a step's blocks is taken before their first transaction. `gas_fee` is what one swap burns at the
start, in units of `fee_asset`.

The queue is public: `observe` shows it, and a bundle may name a transaction that waits there, to
run in the middle of its own rows (a sandwich, or liquidity just in time). Such a bundle is good for
the next block only; if it fails, what it named runs alone in its place. Intents sent privately go
to the builder unseen; with `revert_protection` those that fail are left out of the block and pay
nothing, though the space that was kept for them stays empty.
Left out: forks, missed slots, competing builders.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.assets import MAX_ATOMS
from markets.base_fee import BaseFee
from markets.block import NAMED, TAKEN, WAITS, Bids, admit, names, ordered, row_order
from markets.domain import Domain
from markets.errors import ConfigError
from markets.gas import GasSchedule
from markets.intents import INCLUDE, INTENT, PRIVATE, take
from markets.market import Market
from markets.mempool import Mempool, Pending
from markets.outcomes import FLOW, Flows, Reason, flows
from markets.sequencing import Ordering, first_rows, sequence
from markets.venue import Moment

SOON = 1e-9
LEAST_BLOCK_SECONDS = 0.001
NOWHERE = -1


@dataclass(frozen=True)
class ChainView:
    """A chain as agents see it.

    `pending` are the rows of the public queue, `transaction` the number of each one's transaction;
    `next_block_seconds` is NaN where blocks come at random.
    """

    pending: NDArray[np.void]
    transaction: NDArray[np.int64]
    fee_column: int
    base_fee_atoms: float
    gas: GasSchedule
    gas_by_action: NDArray[np.int64]
    next_block_seconds: float

    def gas_of(self, *actions: int) -> int:
        """Gas of one transaction with a row for each action."""
        return self.gas.transaction + int(self.gas_by_action[list(actions)].sum())

    def fee_atoms(self, *actions: int) -> int:
        """What that transaction burns at the present base fee."""
        return math.ceil(min(self.base_fee_atoms * self.gas_of(*actions), MAX_ATOMS))

    def block_due(self, moment: Moment) -> bool:
        """Whether a block is made in this step; always possible where blocks come at random."""
        return not self.next_block_seconds > moment.seconds + moment.step_seconds + SOON

    def waits(self, account: int) -> bool:
        """Whether something that the account sent in public is still in the queue."""
        return bool(len(self.pending) and (self.pending["account"] == account).any())

    def must_wait(self, moment: Moment, account: int) -> bool:
        """Whether no block is due, so that one will know more later, or what one sent waits."""
        return not self.block_due(moment) or self.waits(account)


@dataclass
class _Receipts:
    """Transactions taken by a block: the batch row that tells how each went, and what it paid.

    What a bundle named has no row of its own: NOWHERE.
    """

    row: NDArray[np.int64]
    sender: NDArray[np.int64]
    burnt_atoms: NDArray[np.int64]
    tip_atoms: NDArray[np.int64]
    private: NDArray[np.bool_]


class Chain(Domain):
    """Blocks, a queue, gas; the builder's account and the one that burns belong to the chain."""

    class Params(params.Params):
        """Rules of the chain beyond block time and gas price."""

        blocks: Literal["fixed", "poisson"] = "fixed"
        """Whether blocks come at fixed or at exponential times."""
        gas_limit: int = Field(0, ge=0)
        """Gas that a block holds; 0: no limit, and the base fee stays where it is."""
        elasticity: float = Field(2.0, ge=1)
        """Gas limit over the gas at which the base fee stays."""
        base_fee_change: float = Field(0.125, ge=0, lt=1)
        """Change of the base fee after an empty block."""
        least_base_fee: float = Field(0.001, gt=0, le=1)
        """Floor of the base fee as a part of where it starts."""
        public_delay_seconds: float = Field(0.0, ge=0)
        """Time in which everybody sees a transaction before a block can take it."""
        queue_limit: int = Field(1_000_000, ge=1)
        """Waiting transactions beyond which new ones are refused."""
        revert_protection: bool = True
        """Whether private transactions that fail are left out of the block for nothing."""
        gas: GasSchedule = GasSchedule()

    def __init__(
        self,
        name: str,
        block_seconds: float,
        fee_asset: str,
        gas_fee: float = 0.0,
        ordering: Ordering = Ordering.PRIORITY_FEE,
        params: Params | None = None,
    ) -> None:
        if not block_seconds >= LEAST_BLOCK_SECONDS:
            problem = f"must be at least {LEAST_BLOCK_SECONDS:g}"
            raise ConfigError(f"{name}.block_seconds", problem)
        if not gas_fee >= 0:
            raise ConfigError(f"{name}.gas_fee", "must not be negative")
        self.name = name
        self.block_seconds = block_seconds
        self.fee_asset = fee_asset
        self.gas_fee = gas_fee
        self.ordering = ordering
        self.params = params or Chain.Params()
        rules = self.params
        self.mempool = Mempool(rules.public_delay_seconds, rules.queue_limit, rules.gas)
        self.blocks, self.failed, self.gas_used = 0, 0, 0
        self._gas = self.params.gas.by_action()
        self._named: dict[int, NDArray[np.void]] = {}
        self._receipts: list[_Receipts] = []
        self._flows: list[Flows] = []

    def open(self, market: Market) -> None:
        """See `Domain.open`."""
        super().open(market)
        if self.fee_asset not in market.ledger.column:
            raise ConfigError(f"{self.name}.fee_asset", f"no asset {self.fee_asset}")
        self._column = market.ledger.column[self.fee_asset]
        scale = market.ledger.assets[self._column].scale
        if self.gas_fee * scale > MAX_ATOMS:
            raise ConfigError(f"{self.name}.gas_fee", f"exceeds {MAX_ATOMS} atoms")
        rules, start = self.params, self.gas_fee * scale / self.params.gas.one_swap
        self.base_fee = BaseFee(
            start,
            rules.gas_limit,
            rules.elasticity,
            rules.base_fee_change,
            start * rules.least_base_fee,
        )
        self.builder, self.burner = market.open_accounts(self.name, self.name, 2).tolist()

    def observe(self, moment: Moment) -> ChainView:
        """See `Domain.observe`: the public queue, the base fee, the next block."""
        public = self.mempool.public()
        following = math.nan
        if self.params.blocks == "fixed":
            following = (self._blocks_before(moment.seconds) + 1) * self.block_seconds
        return ChainView(
            public.rows,
            public.number,
            self._column,
            self.base_fee.atoms_per_gas,
            self.params.gas,
            self._gas,
            following,
        )

    def _blocks_before(self, seconds: float) -> int:
        return math.floor(seconds / self.block_seconds + SOON)

    def block_times(self, moment: Moment, rng: np.random.Generator) -> tuple[int, Iterable[float]]:
        """How many blocks the step makes, and when: seconds since the start, worked out as used."""
        end = moment.seconds + moment.step_seconds
        if self.params.blocks == "fixed":
            numbers = range(self._blocks_before(moment.seconds) + 1, self._blocks_before(end) + 1)
            return len(numbers), (number * self.block_seconds for number in numbers)
        count = int(rng.poisson(moment.step_seconds / self.block_seconds))
        return count, np.sort(moment.seconds + moment.step_seconds * rng.random(count))

    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """See `Domain.batch`: what the blocks of this step take, block after block."""
        blocks, times = self.block_times(moment, rng)
        self.blocks += blocks
        self._named.clear()
        if blocks and self._is_free(intents):
            if len(intents) < 2:
                return intents
            return sequence(intents, self.ordering, self.roster, rng)
        if len(intents):
            self.mempool.add(intents, moment.seconds)
        taken: list[NDArray[np.void]] = []
        rows = 0
        for done, seconds in enumerate(times):
            if not len(self.mempool):
                self.base_fee.after_empty(blocks - done)
                break
            taken.append(self._block(seconds, rows, rng))
            rows += len(taken[-1])
        if not taken:
            return intents[:0]
        return taken[0] if len(taken) == 1 else np.concatenate(taken)

    def _is_free(self, intents: NDArray[np.void]) -> bool:
        """Whether nothing waits, nothing costs and nothing is special: no block to be built."""
        if len(self.mempool) or self.base_fee.atoms_per_gas or self.base_fee.gas_limit:
            return False
        if not len(intents):
            return True
        if self.params.public_delay_seconds:
            return False
        if len(intents) == 1:
            return not _is_special(intents.tolist()[0])
        special = intents["tip_atoms"].any() or intents["bundle"].any()
        special = special or ((intents["flags"] & PRIVATE) != 0).any()
        special = special or (intents["action"] == INCLUDE).any()
        return not special

    def _block(self, seconds: float, row: int, rng: np.random.Generator) -> NDArray[np.void]:
        """Build one block; its rows stand in the step's batch from `row` on."""
        arrived = self.mempool.pending.arrival_seconds <= seconds + SOON
        pending = self.mempool.pending.where(arrived)
        if not len(pending.rows):
            self.base_fee.after(0)
            return pending.rows
        bids = self._bids(pending)
        order = ordered(self.ordering, bids, self.roster, rng)
        state = np.zeros(len(order), np.int64)
        place = (self._column, self.builder, self.burner)
        balances, limit = self._market.ledger.balances, self.base_fee.gas_limit
        used = admit(order, bids, limit, balances, place, state)
        self.gas_used += used
        self.base_fee.after(used)
        self._keep_waiting(arrived, state, np.diff(bids.begins) > 0)
        return self._assemble(pending, bids, order, state, row)

    def _bids(self, pending: Pending) -> Bids:
        first = first_rows(pending.number)
        gas = np.add.reduceat(self._gas[pending.rows["action"]], first)
        gas += self.params.gas.transaction
        owed = np.ceil(self.base_fee.atoms_per_gas * gas)
        burnt = np.minimum(owed, MAX_ATOMS).astype(np.int64)
        tips = np.clip(pending.rows["tip_atoms"][first], 0, MAX_ATOMS)
        return Bids(pending.rows["account"][first], gas, burnt, tips, *names(pending, first))

    def _keep_waiting(
        self, arrived: NDArray[np.bool_], state: NDArray[np.int64], names: NDArray[np.bool_]
    ) -> None:
        """What the block took or dropped leaves the queue; so does what named a transaction."""
        whole = self.mempool.pending
        numbers = whole.number[arrived]
        transaction = np.cumsum(np.append(0, np.diff(numbers) > 0))
        waits = ~arrived
        waits[arrived] = ((state == WAITS) & ~names)[transaction]
        self.mempool.keep(waits)

    def _assemble(
        self,
        pending: Pending,
        bids: Bids,
        order: NDArray[np.int64],
        state: NDArray[np.int64],
        row: int,
    ) -> NDArray[np.void]:
        """The rows in order; notes what to charge back, and what to run alone if a bundle fails."""
        first = first_rows(pending.number)
        taken = order[state[order] == TAKEN]
        places, within = row_order(pending, taken, bids)
        rows = take(pending.rows, places)
        begins = np.zeros(len(state), np.int64)
        begins[within[::-1]] = np.arange(len(within))[::-1] + row
        for at in taken[np.diff(bids.begins)[taken] > 0].tolist():
            number, others = -int(pending.number[first[at]]), bids.named
            others = others[bids.begins[at] : bids.begins[at + 1]]
            rows["bundle"][within == at] = number
            self._named[number] = take(pending.rows, row_order(pending, others, _unnamed(bids))[0])
            begins[others] = NOWHERE
        paid = np.flatnonzero((state == TAKEN) | (state == NAMED))
        self._receipts.append(
            _Receipts(
                begins[paid],
                bids.sender[paid],
                bids.burnt_atoms[paid],
                bids.tip_atoms[paid],
                pending.private[first][paid],
            )
        )
        return rows

    def named_in(self, bundle: int) -> NDArray[np.void]:
        """See `Domain.named_in`."""
        return self._named.get(bundle, np.zeros(0, INTENT))

    def settle(self, codes: NDArray[np.int64]) -> None:
        """See `Domain.settle`: pay back what private transactions that failed were charged."""
        for paid in self._receipts:
            failed = (codes[paid.row] < 0) & (paid.row != NOWHERE)
            self.failed += int(np.count_nonzero(failed))
            back = failed & paid.private & self.params.revert_protection
            if back.any():
                self._pay_back(paid, back)
            kept = ~back
            for receiver, atoms in (
                (self.burner, paid.burnt_atoms),
                (self.builder, paid.tip_atoms),
            ):
                gas = flows(paid.sender[kept], receiver, self._column, atoms[kept], Reason.GAS)
                self._flows.append(gas)
        self._receipts.clear()

    def _pay_back(self, paid: _Receipts, back: NDArray[np.bool_]) -> None:
        balances = self._market.ledger.balances[:, self._column]
        burnt, tips = paid.burnt_atoms[back], paid.tip_atoms[back]
        np.add.at(balances, paid.sender[back], burnt + tips)
        balances[self.burner] -= burnt.sum()
        balances[self.builder] -= tips.sum()

    def drain_flows(self) -> Flows:
        """See `Domain.drain_flows`."""
        gas = np.concatenate(self._flows) if self._flows else np.zeros(0, FLOW)
        self._flows.clear()
        return gas


def _is_special(row: tuple[int, ...]) -> bool:
    """Whether one intent has a tip, is a bundle, is private or names another."""
    action, flags, key, tip_atoms = row[0], row[7], row[8], row[9]
    return bool(tip_atoms or key or flags & PRIVATE or action == INCLUDE)


def _unnamed(bids: Bids) -> Bids:
    """The same bids, as if none named another."""
    return bids._replace(begins=np.zeros_like(bids.begins), named=bids.named[:0])
