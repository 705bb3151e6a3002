"""A market for short runs, on which the runner's own costs are measured: one book, a random crowd.

A run of the default length takes about ten milliseconds of work, of which building the world and
its summary are half. Nothing is learnt from it about markets.
"""

from agents.random_agents import RandomCohort
from experiments.scenario import AgentSpec, Scenario
from markets.assets import Asset, Instrument
from markets.exchange import Exchange
from markets.params import Params as BaseParams
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook


class Params(BaseParams):
    """How many take part, and for how long."""

    members: int = 100
    steps: int = 60


def build(params: Params) -> Scenario:
    """A fresh scenario."""
    instrument = Instrument(Asset("BASE", 0), Asset("QUOTE", 0), tick_size=1, lot_size=1)
    crowd = RandomCohort.Params.read({"venue": "book", "count": params.members})
    return Scenario(
        domains=(Exchange("exchange", Ordering.RANDOM),),
        venues=(OrderBook("book", "exchange", instrument, OrderBook.Params()),),
        agents=(AgentSpec("crowd", RandomCohort, crowd),),
        processes=(),
        steps=params.steps,
        step_seconds=1.0,
        record=("steps", "flows"),
    )
