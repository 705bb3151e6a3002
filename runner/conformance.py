"""`fathom conformance`: reference vectors through our mechanisms, a line a file.

A file is one JSON document; what it may hold, `experiments.conformance` knows. The worst error is
the largest relative error of a figure that is a real number; one that must be equal and is not,
or that is missing, has an infinite error (null in JSON).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.conformance import Comparison, compare
from markets.errors import ConfigError
from runner.console import answer, console, say

SHOWN_FAILURES = 5


def check_files(files: Sequence[Path], as_json: bool) -> int:
    """Compare all files; 1 if a figure fails or a file holds none."""
    documents = {file: _read(file) for file in files}
    found = {str(file): compare(document) for file, document in documents.items()}
    if as_json:
        answer([_line(name, rows) | {"failures": _failures(rows)} for name, rows in found.items()])
    else:
        _print(found)
    return 0 if all(rows and all(row.ok for row in rows) for rows in found.values()) else 1


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("FILE", f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError("FILE", f"{file} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError("FILE", f"{file} must hold a JSON object")
    return document


def _line(name: str, rows: Sequence[Comparison]) -> dict[str, Any]:
    return {
        "file": name,
        "cases": len({row.case for row in rows}),
        "figures": len(rows),
        "worst_error": max((row.error for row in rows), default=0.0),
        "failed": sum(not row.ok for row in rows),
        "ok": bool(rows) and all(row.ok for row in rows),
    }


def _failures(rows: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        {
            "case": row.case,
            "quantity": row.quantity,
            "expected": row.expected,
            "got": row.got,
            "error": row.error,
            "tolerance": row.tolerance,
        }
        for row in rows
        if not row.ok
    ]


def _print(found: dict[str, list[Comparison]]) -> None:
    from rich.table import Table

    table = Table("file")
    for name in ("cases", "figures", "worst error", "failures"):
        table.add_column(name, justify="right")
    for name, rows in found.items():
        line = _line(name, rows)
        counts = f"{line['cases']:,}", f"{line['figures']:,}"
        table.add_row(Path(name).name, *counts, f"{line['worst_error']:.2g}", str(line["failed"]))
    console().print(table)
    for name, rows in found.items():
        if not rows:
            say(f"{name}: holds no figure")
        for row in _failures(rows)[:SHOWN_FAILURES]:
            say(
                f"{Path(name).name}: {row['case']}, {row['quantity']}: "
                f"expected {row['expected']}, got {row['got']}"
            )
