"""Notebooks run from a fresh folder, and are stored with their outputs.

The first reads a sweep that is done here. The others do their own runs: what a cell tagged
`parameters` sets is set again after it, to less, as papermill would.
"""

import asyncio
import warnings
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from runner.cli import status

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SWEEP = """
scenario = "flash_crash"
seeds = [1, 2]
steps = 120
[set]
"traders.count" = 200
"traders.enter_per_hour" = 5.0
[grid]
"traders.leverage_mean" = [5, 20]
withdraw_volatility_per_hour = [0.01, 0.04]
"""

SMALLER = {
    "02_who_pays_whom": "SEEDS, STEPS, TRADERS = 2, 700, 200",
    "03_liquidity_providers_and_arbitrage": "FEES_PPM, BLOCK_SECONDS, STEPS = [500], [12], 4_000",
    "04_when_a_maker_leaves": "THRESHOLDS, SEEDS, TRADERS = [0.03, 0.06], 2, 200",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "sweep.toml").write_text(SWEEP)
    arguments = [
        "sweep",
        str(folder / "sweep.toml"),
        "--out",
        str(folder / "out"),
        "--workers",
        "0",
    ]
    assert status(arguments) == 0
    return folder / "out"


def figures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def lessen(notebook: nbformat.NotebookNode, source: str) -> None:
    """Set parameters anew, after the one cell that sets them."""
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    (place,) = (at for at, found in enumerate(tags) if "parameters" in found)
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(source))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_a_fresh_sweep(
    path: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(path, as_version=4)
    if path.stem in SMALLER:
        lessen(notebook, f"{SMALLER[path.stem]}\nOUT = {str(tmp_path)!r}")
    else:
        monkeypatch.setenv("FATHOM_RESULTS", str(request.getfixturevalue("results")))
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": path.parent}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(client.async_execute())
    assert figures(notebook) >= 3
    assert "Warning" not in str([cell.get("outputs") for cell in notebook.cells])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_with_its_outputs(path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    assert figures(stored) >= 3
    assert "Error" not in str([cell.get("outputs") for cell in stored.cells])
