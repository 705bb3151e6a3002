"""`fathom bench`: how fast we are, beside others where they are installed.

A module of `experiments/benchmarks/`, and `runner/benchmark.py` under the name `runner`, has
`measure(scale)` that returns figures (name, value, unit, target, note); one that knows peers takes
`peers` as well. A target is the least for a rate, the most for a time or a size; beside it stands
whether it was met. Speed depends on the machine, so a slow one does not fail.
"""

import dataclasses
import importlib
import inspect
import math
import pkgutil
from collections.abc import Sequence
from typing import Any

from markets.errors import ConfigError
from runner.console import answer, console, figure_text, say, tell_of_compiling

PACKAGE = "experiments.benchmarks"
NO_BENCHMARKS = ("figure",)
ELSEWHERE = {"runner": "runner.benchmark"}
"""The runner's own, which the packages below it may not know."""
AT_MOST = ("s", "ms", "MB", "kB", "bytes")
"""Units of what should be small."""


def benchmark_names() -> list[str]:
    """The modules that measure something."""
    package = importlib.import_module(PACKAGE)
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted([*ELSEWHERE, *(name for name in found if name not in NO_BENCHMARKS)])


def bench_all(names: Sequence[str], peers: bool, as_json: bool) -> int:
    """Measure the named benchmarks, or all; always 0."""
    tell_of_compiling()
    known = benchmark_names()
    for name in names:
        if name not in known:
            raise ConfigError("NAME", f"no benchmark {name!r}; known: {', '.join(known)}")
    found = {name: _measure(name, peers) for name in names or known}
    if as_json:
        answer([{"benchmark": name} | row for name, rows in found.items() for row in rows])
    else:
        _print(found)
    return 0


def _measure(name: str, peers: bool) -> list[dict[str, Any]]:
    say(f"measuring {name}")
    measure = importlib.import_module(ELSEWHERE.get(name, f"{PACKAGE}.{name}")).measure
    knows_peers = "peers" in inspect.signature(measure).parameters
    if peers and not knows_peers:
        say(f"{name} knows no peers")
    figures = measure(1.0, peers=peers) if knows_peers else measure(1.0)
    rows = [dataclasses.asdict(figure) for figure in figures]
    return [row | {"met": met(row["value"], row["unit"], row["target"])} for row in rows]


def met(value: float, unit: str, target: float | None) -> bool | None:
    """Whether a figure reaches its target; None where one of them is not there."""
    if target is None or math.isnan(value):
        return None
    return value <= target if unit in AT_MOST else value >= target


def _print(found: dict[str, list[dict[str, Any]]]) -> None:
    from rich.table import Table

    table = Table("benchmark", "figure")
    for name in ("value", "unit", "target", "", "note"):
        table.add_column(name, justify="right" if name in ("value", "target") else "left")
    for name, rows in found.items():
        for row in rows:
            value, target = row["value"], row["target"]
            goal = figure_text(target) if isinstance(target, int | float) else str(target or "")
            verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[row["met"]]
            cells = (figure_text(value), row["unit"], goal, verdict, row["note"])
            table.add_row(name, row["name"], *cells)
    console().print(table)
