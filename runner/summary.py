"""The end of a sweep, and its plan: a table by swept parameters, and a figure.

Each row is a point of the design: the mean of each metric over the seeds that ran well, and the
standard error of that mean, s / sqrt(n). Metrics are those named by `show` in the sweep file, or
the first few that differ between points.
"""

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from runner import schemas, store
from runner.console import console, figure_text, say
from runner.design import Plan
from runner.folder import Folder

Cells = dict[str, list[str]]
"""The texts of a table, column by column."""

OUTCOME = ("run_id", "scenario", "status", "error")
SHOWN_METRICS = 5
SHOWN_POINTS = 40
SHOWN_FAILURES = 5
HEADING_WIDTH = 14
FIGURE = "figure.png"


@dataclass(frozen=True)
class Summary:
    """Means by point: `points` has the parameters, then `runs`, then `<metric>` and its error."""

    points: pd.DataFrame
    parameters: list[str]
    metrics: list[str]


def print_plan(plan: Plan, folder: Folder, done: Collection[str]) -> None:
    """What a sweep would do; nothing is written."""
    from rich.table import Table

    todo = [spec for spec in plan.specs if spec.run_id not in done]
    table = Table("run_id", *plan.kinds, "seed", "steps", "")
    for spec in plan.specs[:SHOWN_POINTS]:
        values = [str(spec.varied[path]) for path in plan.kinds]
        state = "done" if spec.run_id in done else ""
        table.add_row(spec.run_id, *values, str(spec.seed), f"{spec.steps:,}", state)
    console().print(table)
    if len(plan.specs) > SHOWN_POINTS:
        say(f"and {len(plan.specs) - SHOWN_POINTS} more")
    steps = sum(spec.steps for spec in todo)
    say(f"{len(plan.specs)} runs, {len(todo)} to do ({steps:,} steps), into {folder}")
    if plan.left_out:
        say(f"{plan.left_out} points break a constraint and are left out")


def summarise_sweep(plan: Plan, folder: Folder, seconds: float) -> int:
    """Print the table, write the figure; 1 if a run of the plan failed, else 0."""
    ours = outcomes(plan, folder)
    good = ours[ours["status"] == "ok"]
    if len(good):
        summary = summarise(good, list(plan.kinds), chosen_metrics(good, plan.show))
        _print(plan, summary)
        figure = draw(plan, summary, good, folder)
        say(f"figure in {figure}" if figure else "no figure: nothing numeric to draw")
    bad = ours[ours["status"] == "failed"]
    first = bad["error"].head(SHOWN_FAILURES)
    for spec in plan.specs:
        if spec.run_id in first.index:
            say(f"failed: {first[spec.run_id]}\n        {spec.replay}")
    say(f"{len(good)} ok, {len(bad)} failed, {seconds:.1f} s; tables in {folder}")
    return 1 if len(bad) else 0


def outcomes(plan: Plan, folder: Folder) -> pd.DataFrame:
    """The runs of the plan in its order, each once, without the texts that are long."""
    ids = pa.array([spec.run_id for spec in plan.specs], pa.string())
    parameters = [f"p_{path}" for path in plan.kinds]
    pieces = [schemas.runs_table([], plan.kinds).select([*OUTCOME, *parameters])]
    for part in store.parts(folder, store.RUNS):
        names = store.schema(folder, store.RUNS, part).names
        wanted = [name for name in names if name in OUTCOME or name[:2] in ("p_", "m_")]
        rows = store.read(folder, store.RUNS, part, wanted)
        pieces.append(rows.filter(pc.is_in(rows["run_id"], value_set=ids)))
    runs = schemas.united(pieces).to_pandas()
    runs = runs.sort_values("status", key=lambda each: each != "ok", kind="stable")
    runs = runs.drop_duplicates("run_id").set_index("run_id")
    return runs.reindex(pd.Index(ids.to_pylist()).intersection(runs.index, sort=False))


def chosen_metrics(
    runs: pd.DataFrame, wanted: Sequence[str], most: int | None = SHOWN_METRICS
) -> list[str]:
    """The wanted metrics that exist, or the first few that differ between runs."""
    known = [name.removeprefix("m_") for name in runs.columns if name.startswith("m_")]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            say(f"show: no metric {name!r}{hint}")
    differ = [name for name in known if runs[f"m_{name}"].nunique() > 1]
    return [name for name in wanted if name in known] or (differ or known)[:most]


def summarise(runs: pd.DataFrame, parameters: list[str], metrics: list[str]) -> Summary:
    """Mean and standard error of the metrics at each point."""
    rows = runs.rename(columns={f"p_{name}": name for name in parameters})
    rows = rows.rename(columns={f"m_{name}": name for name in metrics})
    rows["scenario"] = [Path(name).stem for name in rows["scenario"]]
    keys = parameters or ["scenario"]
    groups = rows.groupby(keys, observed=True, sort=True, dropna=False)
    points = groups.size().rename("runs").reset_index()
    for name in metrics:
        column = groups[name]
        points[name] = column.mean().to_numpy()
        points[f"{name} error"] = (column.std() / np.sqrt(column.count())).to_numpy()
    return Summary(points, keys, metrics)


def draw(plan: Plan, summary: Summary, runs: pd.DataFrame, folder: Folder) -> str | None:
    """OUT/figure.png: the first metric against the first numeric parameter, by the second."""
    from runner.figures import FEW, outcome_figure, png

    choice = plan.figure
    numeric = [path for path, kind in plan.kinds.items() if kind in ("int64", "float64")]
    x = choice.x or next(iter(numeric), None)
    y = choice.y or next(iter(summary.metrics), None)
    if x not in numeric or y is None or f"m_{y}" not in runs:
        return None
    few = [path for path in plan.kinds if path != x and runs[f"p_{path}"].nunique() <= FEW]
    by = choice.by or next(iter(few), None)
    drawn = outcome_figure(runs, f"p_{x}", f"m_{y}", None if by is None else f"p_{by}")
    folder.write(FIGURE, png(drawn))
    return f"{folder}/{FIGURE}"


def _print(plan: Plan, summary: Summary) -> None:
    """The points, in as many tables as the screen is too narrow for one."""
    from rich.table import Table

    shown = summary.points.head(SHOWN_POINTS)
    keys = {name: [_cell(value) for value in shown[name]] for name in summary.parameters}
    keys["runs"] = [str(count) for count in shown["runs"]]
    metrics = {name: _with_errors(shown[name], shown[f"{name} error"]) for name in summary.metrics}
    screen = console()
    for group in _groups(keys, metrics, screen.width):
        columns = keys | {name: metrics[name] for name in group}
        table = Table(title=f"{plan.name}: mean and standard error over seeds")
        for name, cells in columns.items():
            table.add_column(heading(name), justify="right", min_width=max(map(len, cells)))
        for row in zip(*columns.values(), strict=True):
            table.add_row(*row)
        screen.print(table)
    if len(summary.points) > SHOWN_POINTS:
        say(f"and {len(summary.points) - SHOWN_POINTS} more points")


def _groups(keys: Cells, metrics: Cells, width: int) -> list[list[str]]:
    """The metrics, as many to a table as fit beside the keys."""
    taken = 1 + sum(_width(name, cells) for name, cells in keys.items())
    groups: list[list[str]] = [[]]
    free = width - taken
    for name, cells in metrics.items():
        if groups[-1] and free < _width(name, cells):
            groups.append([])
            free = width - taken
        groups[-1].append(name)
        free -= _width(name, cells)
    return groups


def _width(name: str, cells: list[str]) -> int:
    """Of a column with its margins and one rule."""
    return 3 + max(map(len, [*heading(name).split("\n"), *cells]))


def heading(name: str) -> str:
    """A dotted name on several short lines."""
    lines = [""]
    for piece in re.findall(r"[^._]+[._]*", name):
        if lines[-1] and len(lines[-1]) + len(piece) > HEADING_WIDTH:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _cell(value: object) -> str:
    return figure_text(value) if isinstance(value, float) else str(value)


def _with_errors(means: pd.Series, errors: pd.Series) -> list[str]:
    return [
        figure_text(mean) + ("" if np.isnan(error) else f" ± {figure_text(error, 2)}")
        for mean, error in zip(means, errors, strict=True)
    ]
