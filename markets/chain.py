"""A chain: intents wait in a public queue for the next block, and pay gas to its builder.

A block falls due every `block_seconds`; a step in which several fall due has one. Each transaction
(an intent, or a bundle as a whole) pays `gas_fee` units of `fee_asset` plus its tip, whether it
succeeds or not; all gas of a block is taken before its first transaction, in order, and who cannot
pay is dropped.
"""

import numpy as np
from numpy.typing import NDArray

from markets.domain import Domain
from markets.errors import ConfigError
from markets.intents import INTENT
from markets.market import Market
from markets.outcomes import FLOW, Flows, Reason, flows
from markets.sequencing import Ordering, first_rows, sequence, transactions
from markets.venue import Moment


class Chain(Domain):
    """Blocks at a fixed interval, ordered by tip; the builder's account belongs to the chain."""

    bundles = True

    def __init__(
        self,
        name: str,
        block_seconds: float,
        fee_asset: str,
        gas_fee: float = 0.0,
        ordering: Ordering = Ordering.PRIORITY_FEE,
    ) -> None:
        if not block_seconds > 0:
            raise ConfigError(f"{name}.block_seconds", "must be above 0")
        if not gas_fee >= 0:
            raise ConfigError(f"{name}.gas_fee", "must not be negative")
        self.name = name
        self.block_seconds = block_seconds
        self.fee_asset = fee_asset
        self.gas_fee = gas_fee
        self.ordering = ordering
        self.pending = np.zeros(0, INTENT)
        self._flows: list[Flows] = []

    def open(self, market: Market) -> None:
        """See `Domain.open`."""
        super().open(market)
        if self.fee_asset not in market.ledger.column:
            raise ConfigError(f"{self.name}.fee_asset", f"no asset {self.fee_asset}")
        self._column = market.ledger.column[self.fee_asset]
        self._gas_atoms = market.ledger.assets[self._column].to_atoms(self.gas_fee)
        self.builder = int(market.open_accounts(self.name, self.name)[0])

    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """See `Domain.batch`: everything that waits, if a block falls due in this step."""
        waiting = np.concatenate([self.pending, intents]) if len(self.pending) else intents
        if not self.block_falls_due(moment):
            self.pending = waiting
            return waiting[:0]
        self.pending = waiting[:0]
        ordered = sequence(waiting, self.ordering, self._market.latency_seconds, rng)
        return self._charge_gas(ordered)

    def block_falls_due(self, moment: Moment) -> bool:
        """Whether a block is made in the step."""
        before = np.floor(moment.seconds / self.block_seconds + 1e-9)
        after = np.floor((moment.seconds + moment.step_seconds) / self.block_seconds + 1e-9)
        return bool(after > before)

    def _charge_gas(self, batch: NDArray[np.void]) -> NDArray[np.void]:
        """Take base fee and tip of each transaction, in order; drop those who cannot pay."""
        if not len(batch) or not (self._gas_atoms or batch["tip_atoms"].any()):
            return batch
        number = transactions(batch)
        first = first_rows(number)
        due = self._gas_atoms + np.maximum(batch["tip_atoms"][first], 0)
        payers = batch["account"][first]
        balances = self._market.ledger.balances[:, self._column]
        paid = np.zeros(len(first), np.bool_)
        for transaction, (payer, atoms) in enumerate(zip(payers, due, strict=True)):
            if balances[payer] >= atoms:
                balances[payer] -= atoms
                balances[self.builder] += atoms
                paid[transaction] = True
        self._flows.append(flows(payers[paid], self.builder, self._column, due[paid], Reason.GAS))
        return batch[paid[number]]

    def drain_flows(self) -> Flows:
        """See `Domain.drain_flows`."""
        gas = np.concatenate(self._flows) if self._flows else np.zeros(0, FLOW)
        self._flows.clear()
        return gas
