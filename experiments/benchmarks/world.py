"""The whole step: intents a second of the flash-crash scenario with its cohorts made large.

All venues, agents and checks of the scenario are on, tables are recorded; only the cohorts of noise
takers and of perpetual traders have tens of thousands of members that trade small and often. The
rate counts every intent executed in a step over the whole time of the step.
"""

import time

from experiments.benchmarks.figure import Figure
from experiments.scenario import find_scenario
from experiments.simulate import resolve
from experiments.world import World

MEMBERS = 100_000
STEPS = 20
REPEATS = 3


def _world(members: int, seed: int) -> World:
    scenario = find_scenario("flash_crash")
    overrides = {
        "noise.count": members,
        "noise.trades_per_hour": 300.0,
        "noise.size_median": 0.0002,
        "noise.base": 1.0,
        "noise.quote": 10_000.0,
        "traders.count": members,
        "traders.collateral_median": 50.0,
        "traders.enter_per_hour": 60.0,
        "traders.leave_per_hour": 60.0,
        "traders.leverage_mean": 3.0,
        "maker.order_size": 40,
        "maker.base": 30_000,
        "maker.quote": 240e6,
        "perpetual_maker.order_size": 400,
        "perpetual_maker.quote": 300e6,
    }
    return World(scenario.build(resolve(scenario, overrides)), seed)


def measure(scale: float = 1.0) -> list[Figure]:
    """The best of several runs; the first step deposits margins and is not counted."""
    members = max(100, int(MEMBERS * scale))
    best = 0.0
    for repeat in range(REPEATS):
        world = _world(members, repeat)
        world.step()
        before, start = world.intents, time.perf_counter()
        for _ in range(STEPS):
            world.step()
        best = max(best, (world.intents - before) / (time.perf_counter() - start))
    name = f"flash_crash step, cohorts of {members:,}"
    return [Figure(name, best, "intents/s", 1e6)]
