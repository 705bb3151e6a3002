"""The common random-agent model: agent-steps a second of objects and of a cohort.

One order book, 200 steps; each step an agent is active with probability one half and then cancels
its own resting order or places a random limit order (see `agents.random_agents`). Everything is on:
ledger, escrow, checks after every step and the record of step figures. An agent-step is one agent
asked once.
"""

import time

from agents.random_agents import RandomAgent, RandomCohort
from experiments.benchmarks.figure import Figure
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.exchange import Exchange
from markets.sequencing import Ordering
from markets.spot.order_book import OrderBook

REPEATS = 5


def scenario(agents: list[AgentSpec], steps: int) -> Scenario:
    """One book and these agents."""
    instrument = Instrument(Asset("BASE", 0), Asset("QUOTE", 0), tick_size=1, lot_size=1)
    return Scenario(
        domains=(Exchange("exchange", Ordering.RANDOM),),
        venues=(OrderBook("book", "exchange", instrument, OrderBook.Params()),),
        agents=agents,
        processes=(),
        steps=steps,
        step_seconds=1.0,
    )


def objects_of(count: int) -> list[AgentSpec]:
    """So many agents, each an object."""
    params = RandomAgent.Params(venue="book")
    return [AgentSpec(f"agent{number:06d}", RandomAgent, params) for number in range(count)]


def cohort_of(count: int) -> list[AgentSpec]:
    """One cohort of so many."""
    return [AgentSpec("cohort", RandomCohort, RandomCohort.Params(venue="book", count=count))]


def agent_steps_per_second(
    agents: list[AgentSpec], count: int, steps: int, repeats: int = REPEATS
) -> float:
    """The best of several runs, set-up left out."""
    best = float("inf")
    for repeat in range(repeats):
        world = World(scenario(agents, steps), seed=repeat, record=("steps",))
        world.step()
        start = time.perf_counter()
        for _ in range(steps - 1):
            world.step()
        best = min(best, time.perf_counter() - start)
    return count * (steps - 1) / best


def measure(scale: float = 1.0) -> list[Figure]:
    """Objects at 100 and 1,000 agents, cohorts at 1,000 and 100,000."""
    steps = max(2, int(200 * scale))
    figures = []
    for label, build, count, target in (
        ("objects", objects_of, 100, None),
        ("objects", objects_of, 1_000, 600_000.0),
        ("cohort", cohort_of, 1_000, 5e6),
        ("cohort", cohort_of, 100_000, 5e6),
    ):
        rate = agent_steps_per_second(build(count), count, steps)
        name = f"{label}, {count:,} agents"
        figures.append(Figure(name, rate, "agent-steps/s", target))
    return figures
