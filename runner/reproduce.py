"""`fathom reproduce`: published results against ours.

One row a quantity: what was published, a figure or a range, what is accepted, what we got with its
standard error, and whether it is accepted. `--out` keeps the same rows as a Parquet file.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.reproduction import Range, Row, find_reproduction, reproduction_names
from markets.errors import ConfigError
from runner.console import answer, console, figure_text, say, tell_of_compiling

TABLE = "reproductions"


def reproduce_all(
    names: Sequence[str], runs: int | None, seed: int, out: str | Path | None, as_json: bool
) -> int:
    """Reproduce the named results, or all; 1 if a figure is not accepted."""
    tell_of_compiling()
    modules = {name: find_reproduction(name) for name in names or reproduction_names()}
    if out is not None:
        from runner.folder import Folder

        Folder(out).prepare()
    rows: list[Row] = []
    for name, module in modules.items():
        wanted = runs or module.DEFAULT_RUNS
        say(f"{name}: {module.CITATION} ({wanted:,} runs)")
        got = module.reproduce(wanted, seed)
        if not got:
            raise ConfigError(name, "gives no figure")
        rows += got
        if not as_json:
            _print(got)
    if out is not None:
        _write(rows, out)
    if as_json:
        answer([_document(row) for row in rows])
    bad = sum(not row.ok for row in rows)
    say(f"{len(rows) - bad} of {len(rows)} figures accepted")
    return 1 if bad else 0


def _document(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "quantity": row.quantity,
        "published": float(row.published),
        "tolerance": math.nan if isinstance(row.tolerance, Range) else float(row.tolerance),
        "low": float(row.accepted.low),
        "high": float(row.accepted.high),
        "got": float(row.got),
        "standard_error": float(row.standard_error),
        "ok": bool(row.ok),
    }


def _print(rows: Sequence[Row]) -> None:
    from rich.table import Table

    table = Table("quantity")
    for name in ("published", "accepted", "got", "standard error"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for row in rows:
        verdict = "[green]ok[/]" if row.ok else "[red]outside[/]"
        got, error = figure_text(float(row.got)), figure_text(float(row.standard_error))
        table.add_row(row.quantity, *target_texts(row), got, error, verdict)
    console().print(table)


def target_texts(row: Row) -> tuple[str, str]:
    """What was published, and what is accepted, as people read it."""
    if isinstance(row.tolerance, Range):
        accepted = _range_text(row.tolerance)
    else:
        accepted = f"± {figure_text(float(row.tolerance))}"
    return accepted if math.isnan(row.published) else figure_text(float(row.published)), accepted


def _range_text(accepted: Range) -> str:
    low, high = figure_text(accepted.low), figure_text(accepted.high)
    if math.isinf(accepted.low):
        return f"< {high}"
    return f"> {low}" if math.isinf(accepted.high) else f"{low} to {high}"


def _write(rows: Sequence[Row], out: str | Path) -> None:
    import pyarrow as pa

    from runner.folder import Folder
    from runner.provenance import provenance
    from runner.schemas import stamped
    from runner.store import serialised

    source = provenance()
    origin = {"versions": source.versions, "commit": source.commit, "dirty": source.dirty}
    table = pa.Table.from_pylist([_document(row) for row in rows])
    folder, name = Folder(out), f"{TABLE}/part-0.parquet"
    folder.write(name, serialised(stamped(table, TABLE, origin)))
    say(f"table in {folder}/{name}")
