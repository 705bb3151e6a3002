"""What the runner itself costs: `fathom bench runner`.

    overhead      time of a sweep in one process less the time inside its runs, for each run
    efficiency    time inside the runs / (workers x time that Ray workers took over all of them)
    cold start    from the shell to the first finished run, and what Ray adds to a short sweep
    memory        the most that the driver of the whole sweep held
    one process   a sweep of a second of work against the same runs in a bare loop
    peers         the same runs by Mesa's `batch_run` with two processes, from the shell

Runs are those of `runner/short_market.py`, about ten milliseconds each; `scale` 1 does a thousand
and takes about a minute, 10 does ten thousand. Time inside a run is counted by the run, on whatever
core it got, so other load on the machine shows in the rates and less in the efficiency.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.figure import Figure
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate
from experiments.world import World
from runner import cluster, store
from runner.design import read_sweep
from runner.dispatch import Dispatcher
from runner.engine import work_here
from runner.execution import Target, perform
from runner.folder import Folder
from runner.memory import held_bytes
from runner.progress import SweepProgress
from runner.results import load
from runner.spec import RunSpec

SCENARIO = str(Path(__file__).with_name("short_market.py"))
RUNS = 1_000
HERE = 200
SHORT = 100
WORKERS = 2
FIRST_SECONDS, OVERHEAD_MS, EFFICIENCY, MEMORY_MB = 10.0, 5.0, 0.9, 500.0
POLL_SECONDS = 0.02


class Quiet(SweepProgress):
    """Says nothing."""

    def report(self, statuses: Any) -> None:
        """Counts only."""
        self.done += len(list(statuses))

    def refresh(self, running: int | None = None) -> None:
        """Nothing to show."""


def measure(scale: float = 1.0, peers: bool = False) -> list[Figure]:
    """All figures; those of peers are cold starts from a shell on both sides."""
    runs = max(50, int(RUNS * scale))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        figures = [_overhead(folder), *_on_ray(folder, runs), *_one_process(folder)]
        ours, whole = _whole_sweep(folder, runs)
        figures += ours
        if peers:
            theirs = _seconds([sys.executable, "-c", _batch_command(runs)])
            name = f"Mesa batch_run / fathom sweep, {runs:,} runs, {WORKERS} processes"
            figures.append(
                Figure(name, theirs / whole, "x", 1.0, f"{theirs:.1f} s / {whole:.1f} s")
            )
    return figures


def _specs(folder: Path, count: int, first: int = 0) -> Sequence[RunSpec]:
    file = folder / f"short-{first}-{count}.toml"
    file.write_text(f"scenario = {SCENARIO!r}\nseeds = {{first = {first}, count = {count}}}\n")
    return read_sweep(file).specs


def _overhead(folder: Path) -> Figure:
    """In this process, where nothing else competes."""
    specs = _specs(folder, HERE)
    perform(specs[0])
    start = time.perf_counter()
    work_here((perform(spec) for spec in specs), Target(str(folder / "here"), {}), Quiet(specs))
    elapsed = time.perf_counter() - start
    inside = float(load(folder / "here").runs["wall_seconds"].sum())
    value = 1000 * (elapsed - inside) / HERE
    note = f"runs of {1000 * inside / HERE:.1f} ms"
    return Figure("overhead of a run in a sweep", value, "ms", OVERHEAD_MS, note)


def _on_ray(folder: Path, runs: int) -> list[Figure]:
    """Workers that are warm, and what starting and stopping them took."""
    warm, specs = _specs(folder, 2 * WORKERS, 1_000_000), _specs(folder, runs, 2_000_000)
    target = Target(str(folder / "ray"), {})
    start = time.perf_counter()
    with cluster.session(WORKERS, None) as crew:
        Dispatcher(crew, warm, Target(str(folder / "warm"), {}), 1.0, Quiet(warm)).work()
        started = time.perf_counter() - start
        clock = time.perf_counter()
        Dispatcher(crew, specs, target, 0.01, Quiet(specs)).work()
        elapsed = time.perf_counter() - clock
        stop = time.perf_counter()
    around = started + time.perf_counter() - stop
    inside = float(load(folder / "ray").runs["wall_seconds"].sum())
    note = f"{runs:,} runs of {1000 * inside / runs:.1f} ms in {elapsed:.1f} s"
    least = cluster.break_even_seconds(WORKERS)
    return [
        Figure(
            f"efficiency of {WORKERS} workers", inside / WORKERS / elapsed, "1", EFFICIENCY, note
        ),
        Figure("starting and stopping Ray", around, "s", None, f"break-even {least:.0f} s of work"),
    ]


def _one_process(folder: Path) -> list[Figure]:
    """A short sweep stays with one process; it costs what a loop costs."""
    specs = _specs(folder, SHORT, 3_000_000)
    module = find_scenario(SCENARIO)
    start = time.perf_counter()
    for spec in specs:
        simulate(module, resolve(module, {}), spec.seed)
    loop = time.perf_counter() - start
    from runner.child import Children

    start = time.perf_counter()
    work_here(Children(specs, None, WORKERS), Target(str(folder / "child"), {}), Quiet(specs))
    child = time.perf_counter() - start
    note = f"{SHORT} runs, {loop:.2f} s / {child:.2f} s, tables written"
    return [Figure("bare loop / short sweep", loop / child, "x", 1.0, note)]


def _whole_sweep(folder: Path, runs: int) -> tuple[list[Figure], float]:
    """From the shell, as a user has it."""
    out, file = folder / "whole", folder / f"short-4000000-{runs}.toml"
    _specs(folder, runs, 4_000_000)
    command = [sys.executable, "-m", "runner", "sweep", str(file), "--out", str(out)]
    start = time.perf_counter()
    first, peak = float("nan"), 0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if first != first and store.parts(Folder(out), store.RUNS):
                first = time.perf_counter() - start
            peak = max(peak, held_bytes(process.pid))
            time.sleep(POLL_SECONDS)
    whole = time.perf_counter() - start
    figures = [
        Figure("cold start to the first finished run", first, "s", FIRST_SECONDS),
        Figure(f"whole sweep of {runs:,} runs, cold", whole, "s", None, "with summary and figure"),
        Figure("memory of the driver at most", peak / 2**20, "MB", MEMORY_MB),
    ]
    return figures, whole


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def _batch_command(runs: int) -> str:
    return f"from runner.benchmark import batch_run; batch_run({runs})"


class BatchWorld(World):
    """The same run as Mesa's `batch_run` wants it: stops by itself, collects in memory."""

    def __init__(self, number: int) -> None:
        module = find_scenario(SCENARIO)
        scenario = module.build(resolve(module, {}))
        super().__init__(scenario, number, scenario.record)
        collector = importlib.import_module("mesa").DataCollector
        self.datacollector = collector(model_reporters={"intents": lambda world: world.intents})
        self.endowed = self.holdings()

    def step(self) -> None:
        """A step, then the collection; the summary after the last."""
        super().step()
        self.datacollector.collect(self)
        if self.now == self.scenario.steps:
            from experiments.metrics import summarise

            self.running = False
            summarise(self, self.recorder.tables(), self.endowed)


def batch_run(runs: int) -> None:
    """The peer: Mesa's own runner with as many processes."""
    peer = importlib.import_module("mesa.batchrunner").batch_run
    seeds = list(range(runs))
    found = peer(
        BatchWorld,
        {"number": seeds},
        number_processes=WORKERS,
        data_collection_period=-1,
        display_progress=False,
    )
    print(json.dumps(len(found)))
