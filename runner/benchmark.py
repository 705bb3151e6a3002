"""What the runner itself costs: `fathom bench runner`.

    overhead      time of a sweep in one process less the time inside its runs, for each run
    efficiency    time inside the runs / (workers x time that Ray workers took over all of them)
    short sweeps  `fathom sweep --workers 0` / `fathom sweep`, in turn, the best of each
    cold start    from the shell to the first finished run
    memory        the most that driver and largest worker held, and what a run more adds
    peers         the same runs by Mesa's `batch_run` with two processes, from the shell

Runs are those of `runner/short_market.py`, about ten milliseconds each, ten thousand of them where
`scale` is 1, which takes some minutes. Time inside a run is counted by the run, on whatever core it
got, so other load on the machine shows in the rates and less in the efficiency.
"""

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.figure import Figure
from experiments.scenario import find_scenario
from experiments.simulate import resolve
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
from runner.sweep import Options, run_sweep

SCENARIO = str(Path(__file__).with_name("short_market.py"))
RUNS, FEWER = 10_000, 10
HERE = 200
SHORT = (
    (1, 1), (2, 1), (20, 1), (20, 60), (40, 60), (60, 60), (101, 60), (5, 1_000), (2, 12_000),
    (30, 12_000),
)  # fmt: skip
"""Sweeps, by their runs and the steps of each: some below the break-even with children, some above,
the last one long enough for Ray."""
SHORT_SECONDS, SHORT_TURNS = 4.0, 12
WORKERS = 2
FIRST_SECONDS, OVERHEAD_MS, EFFICIENCY = 10.0, 5.0, 0.9
MEMORY_MB, MORE_KB, NOT_SLOWER = 500.0, 5.0, 0.95
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
    runs = max(20 * FEWER, int(RUNS * scale))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        figures = [_overhead(folder), *_on_ray(folder, runs)]
        figures += [_short_sweep(folder, *case) for case in SHORT]
        few = runs // FEWER
        first, whole = _cold_start(folder, few)
        figures += [first, whole, *_memory(folder, runs)]
        if peers:
            theirs = _seconds([sys.executable, "-c", _batch_command(few)])
            name = f"Mesa batch_run / fathom sweep, {few:,} runs, {WORKERS} processes"
            note = f"{theirs:.1f} s / {whole.value:.1f} s"
            figures.append(Figure(name, theirs / whole.value, "x", 1.0, note))
    return figures


def _file(folder: Path, count: int, first: int, steps: int = 60) -> Path:
    """A sweep of so many runs; the grid of one point makes a single run a sweep as well."""
    file = folder / f"short-{first}-{count}-{steps}.toml"
    seeds = f"seeds = {{first = {first}, count = {count}}}"
    file.write_text(f"scenario = {SCENARIO!r}\n{seeds}\nsteps = {steps}\n[grid]\nmembers = [100]\n")
    return file


def _specs(folder: Path, count: int, first: int = 0) -> Sequence[RunSpec]:
    return read_sweep(_file(folder, count, first)).specs


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


def _short_sweep(folder: Path, runs: int, steps: int) -> Figure:
    """A sweep that is never slower than one process, by one process."""
    best: dict[str, float] = {}
    said = io.StringIO()
    begin, turn = time.perf_counter(), 0
    while not turn or (turn < SHORT_TURNS and time.perf_counter() - begin < SHORT_SECONDS):
        for name, options in (("one", Options(workers=0)), ("all", Options(workers=WORKERS))):
            file = _file(folder, runs, 3_000_000 + 1_000 * turn, steps)
            start = time.perf_counter()
            with contextlib.redirect_stderr(said):
                run_sweep(file, folder / f"{name}-{runs}-{steps}-{turn}", options)
            elapsed = time.perf_counter() - start
            best[name] = min(elapsed, best.get(name, elapsed))
        turn += 1
    one, ours = best["one"], best["all"]
    places = (
        ("local Ray workers", "Ray"),
        ("children of this process", "children"),
        ("", "this process"),
    )
    where = next(place for words, place in places if words in said.getvalue())
    name = f"{runs} runs of {1000 * one / runs:.0f} ms: one process / {where}"
    return Figure(name, one / ours, "x", NOT_SLOWER, f"{one:.2f} s / {ours:.2f} s, best of {turn}")


def _cold_start(folder: Path, runs: int) -> tuple[Figure, Figure]:
    """From the shell, as a user has it."""
    first, _, whole, _ = _whole_sweep(folder, runs, 4_000_000, [])
    return (
        Figure("cold start to the first finished run", first, "s", FIRST_SECONDS),
        Figure(f"whole sweep of {runs:,} runs, cold", whole, "s", None, "with summary and figure"),
    )


def _memory(folder: Path, runs: int) -> list[Figure]:
    """On Ray, where the driver holds the most."""
    local = ["--address", "local", "--workers", str(WORKERS)]
    few = runs // FEWER
    _, small, _, _ = _whole_sweep(folder, few, 5_000_000, local)
    _, large, _, worker = _whole_sweep(folder, runs, 6_000_000, local)
    more = (large - small) / 2**10 / (runs - few)
    return [
        Figure(f"memory of the driver, {few:,} runs", small / 2**20, "MB", MEMORY_MB),
        Figure(f"memory of the driver, {runs:,} runs", large / 2**20, "MB", MEMORY_MB),
        Figure("memory of the driver, a run more", more, "kB", MORE_KB),
        Figure("memory of the largest worker", worker, "MB", None, "compiling, if it did"),
    ]


def _whole_sweep(
    folder: Path, runs: int, seed: int, more: Sequence[str]
) -> tuple[float, float, float, float]:
    """Seconds to the first run, most bytes of the driver, seconds in all, most MB of a worker."""
    out, file = folder / f"whole-{seed}", _file(folder, runs, seed)
    command = [sys.executable, "-m", "runner", "sweep", str(file), "--out", str(out), *more]
    start = time.perf_counter()
    first, peak = float("nan"), 0
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        while process.poll() is None:
            if first != first and store.parts(Folder(out), store.RUNS):
                first = time.perf_counter() - start
            peak = max(peak, held_bytes(process.pid))
            time.sleep(POLL_SECONDS)
    whole = time.perf_counter() - start
    workers = re.findall(r"\+ (\d+) MB a worker", (folder / "log").read_text())
    return first, peak, whole, max(map(float, workers), default=float("nan"))


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
