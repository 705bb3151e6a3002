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
from runner.results import Results, load

SHOWN_FAILURES = 10


def show_folder(folder: Path, as_json: bool) -> int:
    """Print what is there; raises ConfigError if it is no result folder."""
    if not folder.is_dir():
        raise ConfigError("DIR", f"no folder {folder}")
    results = load(folder)
    document = describe(results)
    if as_json:
        answer(document)
    else:
        _print(document)
    return 0


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


def _range(column: pd.Series) -> dict[str, float]:
    return {"low": float(column.min()), "mean": float(column.mean()), "high": float(column.max())}


def _size(folder: Path, table: str) -> dict[str, int]:
    files = store.parts(folder, table)
    return {
        "parts": len(files),
        "rows": sum(pq.read_metadata(file).num_rows for file in files),
        "bytes": sum(file.stat().st_size for file in files),
    }


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
