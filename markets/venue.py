"""The venue protocol: what every mechanism answers, in the order of the nine beats.

A venue lives in one domain, owns a few accounts of the ledger and nothing of its users'. It is
told the `Moment` and never asks a clock or draws a number. Each call below is one beat:

    accrue     funding, interest, expiry fall due            observe   a frozen view for the agents
    execute    intents row by row, a code for each           liquidate unsafe positions, forced
    check      invariants; raise BrokenInvariant             measure   figures for the step's record

Fills, flows and events gather inside until they are drained, once a step, for the record.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.assets import Asset
from markets.outcomes import NO_FILLS, NO_FLOWS, Fills, Flows, drained

if TYPE_CHECKING:
    from markets.derivatives.liquidation_log import LiquidationLog
    from markets.market import Market

NOBODY = np.zeros(0, np.int64)


class Moment(NamedTuple):
    """When it is and what the outside world says.

    `seconds` since the start of the run at the beginning of the step; `reference` maps a base
    asset's name to its price outside the model, in quote units.
    """

    step: int
    seconds: float
    step_seconds: float
    reference: Mapping[str, float] = MappingProxyType({})


class Escrow(NamedTuple):
    """Amounts of one asset (a ledger column) that one account of a venue holds for others."""

    holder: int
    column: int
    accounts: NDArray[np.int64]
    atoms: NDArray[np.int64]


class Venue(ABC):
    """One mechanism. Subclasses add nested frozen `Params` and take (name, domain, params)."""

    name: str
    domain: str
    index: int = -1
    accounts: NDArray[np.int64]
    """Rows of the ledger that belong to the venue itself."""
    atomic: bool = False
    """Whether `snapshot` and `restore` work, so that the venue may be part of a bundle."""

    def __init__(self) -> None:
        self._fills: list[Fills] = []
        self._flows: list[Flows] = []
        self._events: list[tuple[str, float]] = []

    @abstractmethod
    def columns(self) -> tuple[Asset, ...]:
        """The assets that the ledger must carry for this venue."""

    @abstractmethod
    def open(self, market: "Market") -> None:
        """Take up accounts in the market's ledger, before the first step."""

    def begin(self) -> None:  # noqa: B027 - most venues have nothing to begin
        """Called once, when all accounts are open and endowed."""

    def accrue(self, moment: Moment) -> None:  # noqa: B027 - spot venues owe nothing over time
        """Settle what falls due with time."""

    @abstractmethod
    def observe(self, moment: Moment) -> Any:
        """The venue's state as agents may see it: frozen, columnar, valid for this step."""

    @abstractmethod
    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """Carry out intents row by row and return a `Code` for each."""

    def clear(self, moment: Moment) -> None:  # noqa: B027 - only auctions gather first
        """Trade what has gathered: called once a step, after the last intent."""

    def liquidate(self, moment: Moment) -> None:  # noqa: B027 - only leverage is liquidated
        """Close unsafe positions by force."""

    @abstractmethod
    def check(self) -> None:
        """Raise BrokenInvariant where the venue's own state disagrees with the ledger."""

    @abstractmethod
    def measure(self, moment: Moment) -> dict[str, float]:
        """The step's figures, by column of the `steps` table; NaN where there is none."""

    def escrowed(self) -> list[Escrow]:
        """What the venue holds for others, such as the cover of their resting orders."""
        return []

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """What one unit of each asset that the venue itself issues is worth, in quote units."""
        return {}

    def bystanders(self, intents: NDArray[np.void]) -> NDArray[np.int64]:
        """Accounts that intents may change beside the sender's and the venue's own."""
        return NOBODY

    def snapshot(self) -> Any:
        """State outside the ledger, enough for `restore`."""
        return None

    def restore(self, state: Any) -> None:  # noqa: B027 - a venue whose state is all in the ledger
        """Go back to a snapshot."""

    def forget(self) -> None:
        """Drop fills, flows and events that nobody records."""
        self._events.clear()
        self._fills.clear()
        self._flows.clear()

    def fill_scales(self, fills: Fills) -> tuple[Any, Any, Any]:
        """Atoms in a unit of each fill's base, quote and taker fee."""
        base, quote = self.columns()[:2]
        return base.scale, quote.scale, quote.scale

    def drain_fills(self) -> Fills:
        """The fills since the last call."""
        return drained(self._fills, NO_FILLS)

    def drain_events(self) -> list[tuple[str, float]]:
        """What has happened once since the last call: (event, its size)."""
        events, self._events = self._events, []
        return events

    def drain_liquidations(self) -> "LiquidationLog | None":
        """Forced close-outs since the last call; None where there are none."""
        return None

    def drain_flows(self) -> Flows:
        """The payments since the last call."""
        return drained(self._flows, NO_FLOWS)
