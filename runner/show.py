"""`fathom show`: what a result folder holds, and why runs in it failed.

Reads the committed runs; sizes and rows come from the footers of the parts. Failures with the same
error are shown once, with their number and the command that does the first of them again.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from markets.errors import ConfigError
from runner import store
from runner.console import answer, console, figure_text, say
from runner.folder import Folder
from runner.results import Results, load

SHOWN_FAILURES = 10


def show_folder(place: str | Path, as_json: bool) -> int:
    """Print what is there; raises ConfigError if it is no result folder."""
    results = load(existing(place))
    document = describe(results)
    if as_json:
        answer(document)
    else:
        _print(document)
    return 0


def existing(place: str | Path) -> Folder:
    """The folder; raises ConfigError if it is a local one that is not there."""
    folder = Folder(place)
    if folder.local and not folder.path.is_dir():
        raise ConfigError("DIR", f"no folder {place}")
    return folder


def describe(results: Results) -> dict[str, Any]:
    """The folder as plain values."""
    runs = results.runs
    failed = runs[runs["status"] == "failed"]
    return {
        "folder": str(results.folder),
        "runs": len(runs),
        "ok": int((runs["status"] == "ok").sum()),
        "failed": len(failed),
        "scenarios": sorted(runs["scenario"].astype(str).unique()),
        "seeds": runs["seed"].nunique(),
        "parameters": {name[2:]: _values(runs[name]) for name in results.parameters},
        "code_versions": sorted(runs["code_version"].astype(str).unique()),
        "wall_seconds": float(runs["wall_seconds"].sum()),
        "run_seconds": _range(runs["wall_seconds"]),
        "first_started": _moment(runs["started_at"].min()),
        "last_started": _moment(runs["started_at"].max()),
        "tables": {name: _size(results.folder, name) for name in store.TABLE_NAMES},
        "metrics": {name[2:]: _range(runs[name]) for name in results.metrics},
        "failures": _failures(failed),
    }


def _values(column: pd.Series) -> list[Any]:
    """The values of a parameter, in order."""
    present = column.dropna()
    if isinstance(present.dtype, pd.CategoricalDtype):
        present = present.astype(str)
    values: list[Any] = sorted(present.unique().tolist())
    return values


def _moment(moment: Any) -> str | None:
    """To the second, UTC."""
    return None if pd.isna(moment) else moment.strftime("%Y-%m-%d %H:%M:%S")


def _range(column: pd.Series) -> dict[str, float]:
    return {"low": float(column.min()), "mean": float(column.mean()), "high": float(column.max())}


def _size(folder: Folder, table: str) -> dict[str, int]:
    sizes = {n: size for n, size in folder.sizes(table).items() if store.is_part(n)}
    rows = 0
    for name in sizes:
        with folder.open(f"{table}/{name}") as file:
            rows += pq.read_metadata(file).num_rows
    return {"parts": len(sizes), "rows": rows, "bytes": sum(sizes.values())}


def _failures(failed: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry an error, the most frequent first."""
    found = [
        {
            "error": str(error),
            "runs": len(rows),
            "replay": rows["replay"].iloc[0],
            "traceback": rows["traceback"].iloc[0],
            "run_ids": rows["run_id"].tolist(),
        }
        for error, rows in failed.groupby("error", sort=True)
    ]
    return sorted(found, key=lambda each: -int(each["runs"]))


def _print(document: dict[str, Any]) -> None:
    from rich.table import Table

    scenarios = ", ".join(document["scenarios"])
    say(f"{document['folder']}: {scenarios}; {document['runs']} runs, {document['failed']} failed")
    total = sum(size["bytes"] for size in document["tables"].values()) / 2**20
    mean, slowest = document["run_seconds"]["mean"], document["run_seconds"]["high"]
    say(
        f"{total:,.1f} MB; {document['wall_seconds']:,.1f} s of work, {mean:.2f} s a run, "
        f"slowest {slowest:.2f} s; first started {document['first_started'] or 'unknown'}"
    )
    sizes = Table("table")
    for name in ("parts", "rows", "bytes"):
        sizes.add_column(name, justify="right")
    for name, size in document["tables"].items():
        sizes.add_row(name, *(f"{size[each]:,}" for each in ("parts", "rows", "bytes")))
    console().print(sizes)
    for name, values in document["parameters"].items():
        shown = ", ".join(str(value) for value in values[:12])
        say(f"{name}: {shown}" + (f", ... ({len(values)} values)" if len(values) > 12 else ""))
    metrics = Table("metric")
    for name in ("low", "mean", "high"):
        metrics.add_column(name, justify="right")
    for name, spread in document["metrics"].items():
        metrics.add_row(name, *(figure_text(spread[each]) for each in ("low", "mean", "high")))
    if document["metrics"]:
        console().print(metrics)
    for failure in document["failures"][:SHOWN_FAILURES]:
        say(f"failed, {failure['runs']} runs: {failure['error']}\n    {failure['replay']}")
