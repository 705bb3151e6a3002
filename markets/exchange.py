"""An exchange: a custodian that orders and executes all intents in the step they arrive.

Each venue of the exchange has a matching engine of its own: all of a venue's intents are executed
in the order of the rule, venue after venue. Engines share nothing but the custody of their
customers, so what happens at one matters to another only for an account that moves its collateral
and spends it elsewhere in the same step; the venue listed first then has the first call on it. An
exchange knows no bundles: their rows stand for themselves.

A `Gateway` puts time between sending and arriving. All of a step's messages are sent as it starts;
those of one account travel together and never overtake its earlier ones. With d the account's own
latency and x a draw of the gateway for this step,

    arrival = max(start of the step + d + x, the account's last arrival)

What arrives before the step ends is executed in it, the rest waits for the step it arrives in.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.domain import Domain
from markets.errors import ConfigError
from markets.intents import INTENT, blank, take
from markets.sequencing import Ordering, sequence_by_arrival, sequence_by_venue
from markets.venue import Moment


class Gateway(params.Params):
    """How long messages travel beyond the account's own latency: mean, and law around it.

    `constant` always takes the mean; `exponential` has it as its only parameter; `lognormal` has
    standard deviation `spread` of the logarithm.
    """

    mean_seconds: float = Field(gt=0)
    """Mean travel time."""
    law: Literal["constant", "exponential", "lognormal"] = "constant"
    """Law of the travel time around its mean."""
    spread: float = Field(default=0.5, ge=0, le=5)
    """Standard deviation of the logarithm, for lognormal."""

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Travel times in seconds."""
        if self.law == "constant":
            return np.full(count, self.mean_seconds)
        if self.law == "exponential":
            return rng.exponential(self.mean_seconds, count)
        return rng.lognormal(np.log(self.mean_seconds) - self.spread**2 / 2, self.spread, count)


class Exchange(Domain):
    """Continuous trading; the ordering rule and the gateway are the parameters."""

    knows_bundles = False

    def __init__(
        self, name: str, ordering: Ordering = Ordering.RANDOM, gateway: Gateway | None = None
    ) -> None:
        if ordering is Ordering.PRIORITY_FEE:
            raise ConfigError(f"{name}.ordering", "exchanges take no tips: arrival or random")
        self.name = name
        self.ordering = ordering
        self.gateway = gateway
        self.travelling = np.zeros(0, INTENT)
        """Messages that were sent and have not arrived."""
        self._due_seconds, self._room = np.zeros(0), blank(0)

    def begin(self) -> None:
        """See `Domain.begin`."""
        super().begin()
        self._last_arrival_seconds = np.zeros(len(self.roster.latency_seconds))

    def batch(
        self, intents: NDArray[np.void], moment: Moment, rng: np.random.Generator
    ) -> NDArray[np.void]:
        """See `Domain.batch`."""
        if self.gateway is None:
            return self._ordered(intents, rng)
        waiting = np.concatenate([self.travelling, np.ascontiguousarray(intents)])
        arrival = self._arrivals(self.gateway, intents["account"], moment, rng)
        due = np.concatenate([self._due_seconds, arrival])
        arrived = due < moment.seconds + moment.step_seconds
        self.travelling = take(waiting, np.flatnonzero(~arrived))
        self._due_seconds = due[~arrived]
        batch = take(waiting, np.flatnonzero(arrived))
        if self.ordering is Ordering.ARRIVAL:
            return sequence_by_arrival(batch, due[arrived])
        return self._ordered(batch, rng)

    def _ordered(self, intents: NDArray[np.void], rng: np.random.Generator) -> NDArray[np.void]:
        """In room of its own, good until the next batch."""
        count = len(intents)
        if not count:
            return intents
        if len(self._room) < count:
            self._room = blank(2 * count)
        return sequence_by_venue(intents, self.ordering, self.roster, rng, self._room)

    def _arrivals(
        self,
        gateway: Gateway,
        accounts: NDArray[np.int64],
        moment: Moment,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """When messages that these accounts send now arrive.

        Every account held here has its draw, whoever sends, so that nobody's depends on the others;
        only those who send have an arrival that their later messages must not overtake.
        """
        latency, place = self.roster.latency_seconds, self.roster.place[accounts]
        arrival = moment.seconds + latency + gateway.draw(len(latency), rng)
        last = self._last_arrival_seconds
        last[place] = np.maximum(arrival[place], last[place])
        return last[place]
