"""An exchange: a custodian that orders and executes all intents in the step they are sent."""

import numpy as np
from numpy.typing import NDArray

from markets.domain import Domain
from markets.sequencing import Ordering, sequence
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
        return sequence(intents, self.ordering, self._market.latency_seconds, rng)
