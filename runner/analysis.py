"""`fathom analyse DIR`: what a finished sweep says, and how surely.

    by parameter    mean of each metric at each value (or quartile) of each swept parameter, over
                    all other parameters and seeds, with a bootstrap interval
    convergence     mean and standard error after 2, 4, 8, ... seeds, and how many would be
                    needed in all for a standard error of 1 % of the mean: (s / (0.01 |mean|))^2
    Sobol           for a sweep with `kind = "saltelli"`: the share of a metric's variance that a
                    parameter explains alone (first) and with all interactions (total), by SALib

What is drawn independently is the replicate (see `runner.statistics`). Sobol indices need every
point of the design; the copy of the sweep file in the folder says which they are, and by its `show`
which metrics people see, where none is named.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from markets.errors import ConfigError
from runner.console import answer, console, figure_text, say
from runner.design import SWEEP_FILE, SweepFile, parse_sweep, sweep_points
from runner.folder import Folder
from runner.results import load
from runner.sampling import Sampling, problem
from runner.show import existing
from runner.statistics import (
    bootstrap_interval,
    good_runs,
    t_interval,
    units,
    wanted_metrics,
)
from runner.summary import heading

FEW_VALUES = 8
QUARTERS = 4
PRECISION = 0.01
SHOWN_METRICS = 4


def analyse_folder(place: str | Path, metrics: list[str], as_json: bool) -> int:
    """Print the analysis; always 0."""
    document = analyse(existing(place), metrics, None if as_json else SHOWN_METRICS)
    if as_json:
        answer(document)
    else:
        _print(document)
    return 0


def analyse(folder: Folder, metrics: list[str], most: int | None = None) -> dict[str, Any]:
    """The analysis as plain values; raises ConfigError if there is nothing to analyse."""
    results = load(folder)
    runs = good_runs(results)
    sweep = _sweep(folder)
    names = wanted_metrics(runs, metrics, most, sweep.show if sweep and most else ())
    return {
        "folder": str(folder),
        "runs": len(runs),
        "points": int(runs["point"].nunique()),
        "replicates": int(runs["replicate"].nunique()),
        "by_parameter": {
            path.removeprefix("p_"): by_parameter(runs, path, names)
            for path in results.parameters
            if runs[path].nunique() > 1
        },
        "convergence": {name: convergence(runs, name) for name in names},
        "sobol": sobol_indices(folder, runs, names),
    }


def _sweep(folder: Folder) -> SweepFile | None:
    """The sweep that the folder holds, if it is one."""
    text = folder.read(SWEEP_FILE)
    return None if text is None else parse_sweep(text.decode(), SWEEP_FILE)


def by_parameter(runs: pd.DataFrame, path: str, metrics: list[str]) -> list[dict[str, Any]]:
    """One row a value of the parameter, or a quartile where there are many."""
    column = runs[path]
    many = pd.api.types.is_numeric_dtype(column) and column.nunique() > FEW_VALUES
    if many:
        column = pd.qcut(column, QUARTERS, duplicates="drop")
    rows = []
    for value, group in runs.groupby(column, observed=True, sort=True):
        if many:
            value = f"{group[path].min():.4g} to {group[path].max():.4g}"
        intervals = {
            name: dataclasses.asdict(bootstrap_interval(units(group, name))) for name in metrics
        }
        rows.append({"value": _plain(value), "runs": len(group), "metrics": intervals})
    return rows


def convergence(runs: pd.DataFrame, metric: str) -> dict[str, Any]:
    """The mean after ever more replicates, and how many a precise one needs."""
    values = units(runs, metric)
    counts = sorted({*(2**power for power in range(1, len(values).bit_length())), len(values)})
    rows = [dataclasses.asdict(t_interval(values[:count])) for count in counts if count >= 2]
    needed = float("nan")
    if rows and rows[-1]["mean"]:
        needed = (values.std(ddof=1) / (PRECISION * abs(rows[-1]["mean"]))) ** 2
    return {"after": rows, "needed_for_1_percent": float(np.ceil(needed))}


def sobol_indices(
    folder: Folder, runs: pd.DataFrame, metrics: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """First and total indices of each metric; empty if the sweep is of another kind."""
    sweep = _sweep(folder)
    design = None if sweep is None else sweep.design
    if sweep is None or design is None or design.kind != "saltelli":
        return {}
    paths = list(design.ranges)
    means = runs.groupby([f"p_{path}" for path in paths])[[f"m_{name}" for name in metrics]].mean()
    means.index = pd.Index([_key(each) for each in means.index], tupleize_cols=False)
    points = [_key(tuple(point[path] for path in paths)) for point in sweep_points(sweep)]
    missing = len(points) - sum(point in means.index for point in points)
    if missing:
        raise ConfigError("results", f"{missing} of {len(points)} points of the design are missing")
    at_points = means.loc[points]
    return {name: _indices(design, at_points[f"m_{name}"].to_numpy()) for name in metrics}


def _key(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in (values if isinstance(values, tuple) else (values,)))


def _indices(design: Sampling, values: Any) -> list[dict[str, Any]]:
    from SALib.analyze import sobol

    names = list(design.ranges)
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        return [{"parameter": name, "first": None, "total": None} for name in names]
    found = sobol.analyze(problem(design), values, calc_second_order=False, seed=design.seed)
    return [
        {
            "parameter": name,
            "first": float(found["S1"][at]),
            "first_error": float(found["S1_conf"][at]),
            "total": float(found["ST"][at]),
            "total_error": float(found["ST_conf"][at]),
        }
        for at, name in enumerate(names)
    ]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _print(document: dict[str, Any]) -> None:
    runs, points, replicates = (document[name] for name in ("runs", "points", "replicates"))
    say(f"{document['folder']}: {runs} runs, {points} points, {replicates} replicates")
    for path, rows in document["by_parameter"].items():
        _print_parameter(path, rows)
    for name, found in document["convergence"].items():
        if not found["after"]:
            say(f"{name}: one replicate, so nothing to converge")
            continue
        last, needed = found["after"][-1], found["needed_for_1_percent"]
        said = " -> ".join(
            f"{figure_text(row['mean'])} ± {figure_text(row['standard_error'], 2)}"
            for row in found["after"]
        )
        more = "" if np.isnan(needed) else f"; 1 % needs about {needed:,.0f}"
        say(f"{name} after 2, 4, ... {last['units']} replicates: {said}{more}")
    _print_sobol(document["sobol"])


def _print_parameter(path: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(path, title=f"by {path}: mean, 95 % bootstrap interval")
    table.add_column("runs", justify="right")
    names = list(rows[0]["metrics"])
    for name in names:
        table.add_column(heading(name), justify="right")
    for row in rows:
        cells = [_with_ends(row["metrics"][name]) for name in names]
        value = figure_text(row["value"]) if isinstance(row["value"], float) else str(row["value"])
        table.add_row(value, str(row["runs"]), *cells)
    console().print(table)


def _with_ends(found: dict[str, Any]) -> str:
    ends = f" ({figure_text(found['low'], 4)} to {figure_text(found['high'], 4)})"
    return figure_text(found["mean"], 4) + ("" if np.isnan(found["low"]) else ends)


def _print_sobol(found: dict[str, list[dict[str, Any]]]) -> None:
    from rich.table import Table

    for name, rows in found.items():
        table = Table("parameter", title=f"Sobol indices of {name}, ± 95 %")
        for column in ("first", "total"):
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(row["parameter"], _share(row, "first"), _share(row, "total"))
        console().print(table)


def _share(row: dict[str, Any], name: str) -> str:
    return "-" if row[name] is None else f"{row[name]:.3f} ± {row[f'{name}_error']:.3f}"
