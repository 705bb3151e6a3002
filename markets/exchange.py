"""An exchange: a custodian that orders and executes all intents in the step they are sent.

Each venue of the exchange has a matching engine of its own: all of a venue's intents are executed
in the order of the rule, venue after venue. Engines share nothing but the custody of their
customers, so what happens at one matters to another only for an account that moves its collateral
and spends it elsewhere in the same step; the venue listed first then has the first call on it.
"""

import numpy as np
from numpy.typing import NDArray

from markets.domain import Domain
from markets.sequencing import Ordering, sequence_by_venue
from markets.venue import Moment


class Exchange(Domain):
    """Continuous trading; the ordering rule is the parameter."""

    def __init__(self, name: str, ordering: Ordering = Ordering.RANDOM) -> None:
        self.name = name
        self.ordering = ordering

    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """See `Domain.batch`."""
        return sequence_by_venue(intents, self.ordering, self._market.latency_seconds, rng)
