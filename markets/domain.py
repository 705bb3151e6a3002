"""A domain: one place of custody and ordering, with accounts that no other domain shares.

The market hands a domain the step's intents for its venues; the domain answers with the batch that
is to be executed now, in order. Domains know nothing of each other and commute. Atomic bundles
exist only where `bundles` says so.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from markets.outcomes import FLOW, Flows
from markets.venue import Moment

if TYPE_CHECKING:
    from markets.market import Market


class Domain(ABC):
    """An exchange or a chain."""

    name: str
    bundles: ClassVar[bool] = False

    def open(self, market: "Market") -> None:
        """Take up accounts of its own, before the first step."""
        self._market = market

    @abstractmethod
    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """Take new intents in; give out those to be executed now, in their order."""

    def drain_flows(self) -> Flows:
        """Payments to the domain itself (gas) since the last call."""
        return np.zeros(0, FLOW)
