"""`fathom compare A B`: what changes from one result folder to the other, run against run.

Runs are paired that have the same seed, steps and swept parameters; a parameter that each folder
has at one value, and not the same, is what is compared and takes no part in the pairing. For each
metric, over the pairs:

    difference = mean of (B - A), with Student's 95 % interval over replicates

The pairs share their random numbers, so the interval is narrower than that of either mean. It is
`clear` when it leaves 0 out. Runs without a partner are counted and not used.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from markets.errors import ConfigError
from runner.console import answer, console, figure_text, say
from runner.results import Results, load
from runner.show import existing
from runner.statistics import good_runs, t_interval, units, wanted_metrics

SHOWN = 20


def compare_folders(one: str | Path, other: str | Path, metrics: list[str], as_json: bool) -> int:
    """Print the paired differences; always 0."""
    document = compare(load(existing(one)), load(existing(other)), metrics)
    if as_json:
        answer(document)
    else:
        _print(document, bool(metrics))
    return 0


def compare(one: Results, other: Results, metrics: list[str]) -> dict[str, Any]:
    """The comparison as plain values; raises ConfigError if nothing can be paired."""
    left, right = good_runs(one), good_runs(other)
    keys = _keys(one, other, left, right)
    paired = _paired(left, right, keys)
    if paired.empty:
        agree = ", ".join(["seed", "steps", *(key.removeprefix("p_") for key in keys)])
        raise ConfigError("B", f"no run of {other.folder} has {agree} of one of {one.folder}")
    return {
        "a": str(one.folder),
        "b": str(other.folder),
        "paired_by": [key.removeprefix("p_") for key in keys],
        "compared": _compared(one, other, left, right),
        "pairs": len(paired),
        "alone": [len(left) - len(paired), len(right) - len(paired)],
        "metrics": [_difference(paired, name) for name in _names(left, right, metrics)],
    }


def _keys(one: Results, other: Results, left: pd.DataFrame, right: pd.DataFrame) -> list[str]:
    common = [name for name in one.parameters if name in other.parameters]
    return [name for name in common if not _differs(left, right, name)]


def _differs(left: pd.DataFrame, right: pd.DataFrame, name: str) -> bool:
    """Whether each folder has one value, and not the same."""
    ours, theirs = (set(rows[name].astype(str)) for rows in (left, right))
    return len(ours) == len(theirs) == 1 and ours != theirs


def _compared(
    one: Results, other: Results, left: pd.DataFrame, right: pd.DataFrame
) -> dict[str, list[str]]:
    common = [name for name in one.parameters if name in other.parameters]
    return {
        name.removeprefix("p_"): [str(rows[name].iloc[0]) for rows in (left, right)]
        for name in common
        if _differs(left, right, name)
    }


def _paired(left: pd.DataFrame, right: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Metrics of both, side by side; runs that agree in all keys are averaged first."""
    sides = []
    for rows in (left, right):
        known = [name for name in rows.columns if name.startswith("m_")]
        groups = rows.groupby([*keys, "seed", "steps"], observed=True, dropna=False)
        sides.append(groups[known].mean().reset_index())
    for name in keys:
        if sides[0][name].dtype != sides[1][name].dtype:
            for side in sides:
                side[name] = side[name].astype(str)
    return sides[0].merge(sides[1], on=[*keys, "seed", "steps"], suffixes=(" a", " b"))


def _names(left: pd.DataFrame, right: pd.DataFrame, metrics: list[str]) -> list[str]:
    both = [name for name in left.columns if name.startswith("m_") and name in right.columns]
    if metrics:
        for rows in (left, right):
            wanted_metrics(rows, metrics)
        return metrics
    return [name.removeprefix("m_") for name in both]


def _difference(paired: pd.DataFrame, name: str) -> dict[str, Any]:
    before, after = paired[f"m_{name} a"], paired[f"m_{name} b"]
    rows = pd.DataFrame({f"m_{name}": after - before, "replicate": paired["seed"]})
    found = t_interval(units(rows, name))
    mean = float(before.mean())
    clear = bool(found.low > 0 or found.high < 0)
    return {
        "metric": name,
        "a": mean,
        "b": float(after.mean()),
        **_renamed(dataclasses.asdict(found)),
        "relative": found.mean / abs(mean) if mean else float("nan"),
        "pairs": int((after - before).notna().sum()),
        "clear": clear,
    }


def _renamed(found: dict[str, Any]) -> dict[str, Any]:
    return {"difference" if name == "mean" else name: value for name, value in found.items()}


def _print(document: dict[str, Any], named: bool) -> None:
    from rich.table import Table

    alone = f"{document['alone'][0]} and {document['alone'][1]} without a partner"
    say(f"A {document['a']}, B {document['b']}: {document['pairs']} pairs, {alone}")
    for name, (ours, theirs) in document["compared"].items():
        say(f"compared: {name} = {ours} in A, {theirs} in B")
    rows = document["metrics"]
    rows = rows if named else [row for row in rows if row["difference"] or np.isnan(row["a"])]
    table = Table("metric", title="B - A, 95 % interval over replicates")
    for name in ("A", "B", "difference", "from", "to", "relative"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in sorted(rows, key=lambda each: not each["clear"])[: None if named else SHOWN]:
        texts = [figure_text(row[name]) for name in ("a", "b", "difference", "low", "high")]
        relative = "-" if np.isnan(row["relative"]) else f"{100 * row['relative']:+.1f} %"
        table.add_row(row["metric"], *texts, relative, "clear" if row["clear"] else "")
    if rows:
        console().print(table)
    else:
        say("no metric differs")
