"""A domain: one place of custody and ordering, with accounts that no other domain shares.

The market hands a domain the step's intents for its venues; the domain answers with the batch that
is to be executed now, in order. Domains know nothing of each other and commute. Only chains run
bundles atomically.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from markets.intents import INTENT
from markets.outcomes import NO_FLOWS, Flows
from markets.sequencing import Roster, roster
from markets.venue import Moment

if TYPE_CHECKING:
    from markets.market import Market


class Domain(ABC):
    """An exchange or a chain."""

    name: str
    roster: Roster
    """The accounts held here, from `begin` on."""
    knows_bundles: bool = True
    """Whether rows may be tied together; without, all of a venue's rows follow each other."""

    def open(self, market: "Market") -> None:
        """Take up accounts of its own, before the first step."""
        self._market = market

    def begin(self) -> None:
        """Called once, when all accounts are open."""
        ledger, market = self._market.ledger, self._market
        number = ledger.domain_names.index(self.name) if self.name in ledger.domain_names else -1
        self.roster = roster(ledger.domain == number, market.latency_seconds)

    def observe(self, moment: Moment) -> Any:
        """The domain's state as agents may see it: frozen, valid for this step."""
        return None

    @abstractmethod
    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """Take new intents in; give out those to be executed now, in their order."""

    def settle(self, codes: NDArray[np.int64]) -> None:  # noqa: B027 - an exchange charges nothing
        """Take note of how each row of the last batch went."""

    def named_in(self, bundle: int) -> NDArray[np.void]:
        """Transactions of others that a bundle took along and that run alone if it fails."""
        return np.zeros(0, INTENT)

    def drain_flows(self) -> Flows:
        """Payments to the domain itself (gas) since the last call."""
        return NO_FLOWS
