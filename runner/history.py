"""Price history files: CSV or Parquet, a time column, and a price or open, high, low, close.

Columns are found by name, in any case. Times may be dates, or numbers since 1970 in seconds,
milli-, micro- or nanoseconds (told apart by their size), or seconds from any start; they must rise.
Prices are quote units for one base and must be above 0. A file that breaks a rule is refused with
the row that breaks it, counted from 1 below the header: gaps are never filled in silence.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.paths import History
from markets.errors import ConfigError

TIMES = ("time", "timestamp", "datetime", "date", "unix", "seconds", "open_time", "block_timestamp")
PRICES = ("price", "close", "mid", "last", "mark_price", "index_price")
BARS = ("open", "high", "low", "close")
SHOWN_COLUMNS = 8
UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (0.0, 1.0))


def read_history(path: Path) -> History:
    """The history in a file; raises ConfigError naming `path` and what is wrong."""
    frame = _read(path)
    if frame.empty:
        raise ConfigError("path", f"{path} has no rows")
    names = {str(name).strip().lower(): name for name in frame.columns}
    time = _named(names, TIMES, "time")
    seconds = _seconds(frame[time])
    _require(frame[time], np.isfinite(seconds), "is no time")
    rises = np.append(True, np.diff(seconds) > 0)
    _require(frame[time], rises, "must rise from row to row; sort the file by time")
    if all(name in names for name in BARS):
        return History.from_bars(seconds, [_prices(frame, names[name]) for name in BARS])
    return History(seconds, _prices(frame, _named(names, PRICES, "price")))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ConfigError("path", f"no file {path}")
    if path.stat().st_size == 0:
        raise ConfigError("path", f"{path} is empty")
    reader = pd.read_parquet if path.suffix.lower() in (".parquet", ".pq") else pd.read_csv
    try:
        return reader(path)
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError("path", f"{path} is neither CSV nor Parquet: {reason}") from None


def _named(names: Mapping[str, Any], known: tuple[str, ...], what: str) -> Any:
    for name in known:
        if name in names:
            return names[name]
    have = ", ".join(list(names)[:SHOWN_COLUMNS]) + (", ..." if len(names) > SHOWN_COLUMNS else "")
    raise ConfigError("path", f"no {what} column; expected one of {', '.join(known)}; has {have}")


def _seconds(column: pd.Series) -> NDArray[np.float64]:
    """Times as seconds; NaN where a cell is no time."""
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        size = np.nanmax(np.abs(numbers), initial=0.0)
        return numbers / next(scale for least, scale in UNITS if size >= least)
    moments = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    since = moments - pd.Timestamp(0, tz="UTC")
    return since.dt.total_seconds().to_numpy(np.float64)


def _prices(frame: pd.DataFrame, name: Any) -> NDArray[np.float64]:
    numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    _require(frame[name], np.isfinite(numbers) & (numbers > 0), "must be a number above 0")
    return numbers


def _require(column: pd.Series, good: NDArray[np.bool_], rule: str) -> None:
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ConfigError("path", f"{column.name} {rule}: row {row + 1} has {column.iloc[row]}")
