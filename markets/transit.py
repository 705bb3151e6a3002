"""Transit: the way of assets from one domain to another, through an account of its own and time.

A transfer takes the sender's atoms into the transit account when it is executed (at once on an
exchange; on a chain with a block, gas and all) and gives them to the receiving account, which
belongs to the same owner in another domain, at the first accrual `delay_seconds` later. Meanwhile
they are nobody's to spend but count as the owner's. Sender and receiver lie in two domains that
know nothing of each other, so nothing can be atomic across them.
Rounding: none. Left out: fees and limits of a bridge, transfers that fail on the way.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.assets import Asset
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import TRANSFER
from markets.market import Market
from markets.outcomes import Code
from markets.venue import Escrow, Moment, Venue


class Parcel(NamedTuple):
    """Atoms of one asset on their way to an account."""

    due_seconds: float
    receiver: int
    column: int
    atoms: int


@dataclass(frozen=True)
class TransitView:
    """What agents see: how long it takes, and what is on its way."""

    index: int
    delay_seconds: float
    parcels: tuple[Parcel, ...]

    def coming_atoms(self, receiver: int, column: int) -> int:
        """What is on its way to an account, in atoms of one asset."""
        return sum(p.atoms for p in self.parcels if (p.receiver, p.column) == (receiver, column))


class Transit(Venue):
    """The way out of one domain, for the given assets, into any other."""

    class Params(params.Params):
        """Parameters of the way."""

        delay_seconds: float = Field(600.0, ge=0)
        """Time that a transfer is on its way."""

    atomic = True

    def __init__(
        self, name: str, domain: str, assets: tuple[Asset, ...], params: Params | None = None
    ) -> None:
        super().__init__()
        if len(assets) < 2:
            raise ConfigError(f"{name}.assets", "needs a base and a quote asset at least")
        self.name = name
        self.domain = domain
        self.assets = assets
        self.params = params or Transit.Params()
        self._parcels: deque[Parcel] = deque()

    def columns(self) -> tuple[Asset, ...]:
        """See `Venue.columns`."""
        return self.assets

    def open(self, market: Market) -> None:
        """See `Venue.open`."""
        self.accounts = market.open_accounts(self.name, self.domain)
        self._account = int(self.accounts[0])
        self._ledger = market.ledger
        self._carried = {market.ledger.column[asset.name] for asset in self.assets}

    def accrue(self, moment: Moment) -> None:
        """Hand over what has arrived."""
        while self._parcels and self._parcels[0].due_seconds <= moment.seconds + 1e-9:
            parcel = self._parcels.popleft()
            self._ledger.balances[self._account, parcel.column] -= parcel.atoms
            self._ledger.balances[parcel.receiver, parcel.column] += parcel.atoms

    def observe(self, moment: Moment) -> TransitView:
        """See `Venue.observe`."""
        return TransitView(self.index, self.params.delay_seconds, tuple(self._parcels))

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """See `Venue.execute`."""
        codes = [self._send(row, moment) for row in intents]
        return np.array(codes, np.int64)

    def _send(self, row: Any, moment: Moment) -> Code:
        sender, receiver = int(row["account"]), int(row["order"])
        column, atoms = int(row["trigger_ticks"]), int(row["size"])
        ledger = self._ledger
        if row["action"] != TRANSFER or atoms <= 0 or column not in self._carried:
            return Code.INVALID
        if not 0 < receiver < len(ledger.owner) or ledger.owner[receiver] != ledger.owner[sender]:
            return Code.INVALID
        if ledger.domain[receiver] == ledger.domain[sender]:
            return Code.INVALID
        if ledger.balances[sender, column] < atoms:
            return Code.INSUFFICIENT_BALANCE
        ledger.balances[sender, column] -= atoms
        ledger.balances[self._account, column] += atoms
        due = moment.seconds + self.params.delay_seconds
        self._parcels.append(Parcel(due, receiver, column, atoms))
        return Code.DONE

    def check(self) -> None:
        """The transit account holds exactly what is on its way."""
        held = self._ledger.balances[self._account].copy()
        for parcel in self._parcels:
            held[parcel.column] -= parcel.atoms
        if held.any():
            column = int(np.flatnonzero(held)[0])
            asset = self._ledger.assets[column].name
            raise BrokenInvariant("transit is out of step", self.name, asset, int(held[column]))

    def measure(self, moment: Moment) -> dict[str, float]:
        """See `Venue.measure`: there is no price here."""
        return {}

    def escrowed(self) -> list[Escrow]:
        """See `Venue.escrowed`."""
        columns = sorted({parcel.column for parcel in self._parcels})
        return [self._on_its_way(column) for column in columns]

    def _on_its_way(self, column: int) -> Escrow:
        parcels = [parcel for parcel in self._parcels if parcel.column == column]
        receivers = np.array([parcel.receiver for parcel in parcels], np.int64)
        atoms = np.array([parcel.atoms for parcel in parcels], np.int64)
        return Escrow(self._account, column, receivers, atoms)

    def snapshot(self) -> int:
        """See `Venue.snapshot`."""
        return len(self._parcels)

    def restore(self, state: int) -> None:
        """See `Venue.restore`."""
        while len(self._parcels) > state:
            self._parcels.pop()
