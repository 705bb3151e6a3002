"""The LVR scenario through the whole step: seconds for a million blocks, one pool, a step a block.

Everything is on: view, decisions, chain, pool, ledger checks after every step, and the record of
fills. At 30 basis points one Poisson block of 12 s in eight trades, at 1 basis point four in five.
"""

import time

from experiments.benchmarks.figure import Figure
from experiments.scenario import find_scenario
from experiments.simulate import resolve
from experiments.world import World

BLOCKS, WINDOWS = 90_000, 9
MILLION = 1_000_000


def _seconds(fee_ppm: int, blocks: int) -> float:
    """For a million blocks, from the best window of a run; set-up and compiling left out."""
    scenario = find_scenario("lvr")
    built = scenario.build(resolve(scenario, {"fee_ppm": fee_ppm}))
    world = World(built, seed=1, record=built.record)
    for _ in range(100):
        world.step()
    window, best = blocks // WINDOWS, float("inf")
    for _ in range(WINDOWS):
        start = time.perf_counter()
        for _ in range(window):
            world.step()
        best = min(best, time.perf_counter() - start)
    return best / window * MILLION


def measure(scale: float = 1.0) -> list[Figure]:
    """At 30 and at 1 basis points."""
    blocks = max(900, min(int(BLOCKS * scale), BLOCKS))
    return [
        Figure(f"LVR, {fee_ppm / 100:g} bp, a million blocks", _seconds(fee_ppm, blocks), "s", 60.0)
        for fee_ppm in (3_000, 100)
    ]
