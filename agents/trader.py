"""Traders: agents that read a view and return intents, alone or as a cohort.

A `Trader` is one Mesa agent with one account in each domain it uses; a `Cohort` is one Mesa agent
with many accounts that decides for all of them in arrays. Both are asked `act(view)` once a step
and answer with intents (see `markets.intents`); neither ever touches a venue or moves money.

Randomness is the trader's own: `stream` (NumPy, for arrays) and `dice` (Python, for single draws,
several times cheaper than NumPy scalars) depend on the run's seed and the trader's name alone, so
that adding an agent changes nobody else's draws.
"""

import itertools
import random
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

import mesa
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.errors import ConfigError
from markets.intents import Intents
from markets.market import Market, View

NOTHING: Any = b""
"""No intent, in whatever form an agent answers."""

Event = tuple[str, str, float]
"""Who, what in one word, and its size in the unit that the word implies."""


class _Numbers(weakref.WeakKeyDictionary[mesa.Model, "itertools.count[int]"]):
    """Where each model's agents are counted. Mesa's own table holds every model for ever."""

    def __getitem__(self, model: mesa.Model) -> "itertools.count[int]":
        return self.setdefault(model, itertools.count(1))


class Trader(mesa.Agent):
    """One participant. Subclasses nest a frozen `Params`, open accounts, and act."""

    _ids = _Numbers()

    class Params(params.Params):
        """Parameters of the trader; subclasses add their own."""

        latency_seconds: float = Field(0.0, ge=0)
        """Delay of the trader's messages, where the domain orders by arrival."""

    size: ClassVar[int] = 1
    params: Any

    def __init__(
        self, model: mesa.Model, name: str, params: Params, stream: np.random.Generator
    ) -> None:
        super().__init__(model)
        self.name = name
        self.params = params
        self.stream = stream
        self.dice = random.Random(int(stream.integers(2**63)))
        self.journal: list[Event] = []

    def open(self, market: Market) -> None:
        """Open the trader's accounts, before the first step; ConfigError where that cannot be."""
        raise ConfigError(self.name, f"{type(self).__name__} opens no account")

    def act(self, view: View) -> Intents:
        """Decide: an intent, or a sequence of them in the order in which they should arrive."""
        return NOTHING

    def note(self, event: str, value: float = 0.0) -> None:
        """Put something that happened once into the run's `events` table."""
        self.journal.append((self.name, event, value))

    def endow(self, market: Market, domain: str, endowment: Mapping[str, Any]) -> int:
        """Open one account in a domain with so many units of each asset; returns its row."""
        latency = self.params.latency_seconds
        return int(market.endow(self.name, domain, endowment, 1, latency)[0])


class Cohort(Trader):
    """Many alike participants in one agent: `params.count` accounts, decisions in arrays."""

    class Params(Trader.Params):
        """Parameters of a cohort."""

        count: int = Field(1, ge=1, le=10_000_000)
        """Members."""

    def endow_all(
        self, market: Market, domain: str, endowment: Mapping[str, Any]
    ) -> NDArray[np.int64]:
        """Open an account for each member, with the same endowment or one from an array."""
        count = self.params.count
        return market.endow(self.name, domain, endowment, count, self.params.latency_seconds)
