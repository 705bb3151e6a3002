"""How to run: command line, designs, Ray, Parquet, provenance.

Notebooks need two functions: `run` does a design, `load` reads what was done. Everything else is
behind the `fathom` command. Importing this package costs nothing: Ray, Mesa, Numba, PyArrow, pandas
and Matplotlib are imported by the functions that need them.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.results import Results

__all__ = ["load", "run"]

warnings.filterwarnings("ignore", "IProgress not found")
"""Mesa imports tqdm, which asks a notebook for ipywidgets."""


def load(folder: str | Path) -> "Results":
    """The results of a run or a sweep; raises ConfigError if the folder holds none."""
    from runner import results

    return results.load(folder)


def run(design: Mapping[str, Any], out: str | Path) -> "Results":
    """Do in this process what is left of a design; its results, those found in `out` included.

    `design` has the fields of a sweep file: `{"scenario": "flash_crash", "seeds": [1, 2], "grid":
    {"traders.leverage_mean": [5, 10]}}`; arrays and ranges will do for lists, and what is None is
    left out. Relative paths are meant from the working directory. Raises ConfigError naming the
    field that is wrong; a run that fails is a row with status `failed`.
    """
    from runner.sweep import run_here

    return run_here(design, out)
