"""A scenario of one book that reads tapes, and one agent that writes them.

Ticks are of one cash unit, lots of one share, so that prices and sizes are plain numbers, as in the
models of order flow that it serves. There is no reference price, and a step has no length but what
the agent makes of it.
"""

from agents.trader import Trader
from experiments.scenario import AgentSpec, Scenario
from markets.assets import Asset, Instrument
from markets.spot.tape import AsSent, TapeBook

VENUE = "book"


def taped(kind: type[Trader], params: Trader.Params, step_seconds: float) -> Scenario:
    """One tape book and one agent on it; the caller takes as many steps as it needs."""
    instrument = Instrument(Asset("share", 0), Asset("cash", 0), tick_size=1, lot_size=1)
    return Scenario(
        domains=(AsSent("exchange"),),
        venues=(TapeBook(VENUE, "exchange", instrument),),
        agents=(AgentSpec("flow", kind, params),),
        processes=(),
        steps=1,
        step_seconds=step_seconds,
    )
