"""How to run: command line, designs, Ray, Parquet, provenance.

The one function for notebooks is `load`; everything else is behind the `fathom` command. Importing
this package costs nothing: Ray, Mesa, Numba, PyArrow, pandas and Matplotlib are imported by the
functions that need them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.results import Results

__all__ = ["load"]


def load(folder: str | Path) -> "Results":
    """The results of a run or a sweep; raises ConfigError if the folder holds none."""
    from runner import results

    return results.load(folder)
