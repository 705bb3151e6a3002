"""Price histories from files: CSV or Parquet, with a time column and a price or OHLC columns.

The time column is called time, timestamp, date, datetime, unix or open_time (ISO text, a date type,
or seconds, milliseconds, microseconds or nanoseconds since 1970); it must rise from row to row. The
price is in a column price, close or mid, or in the four columns open, high, low and close, whose
bars begin at their time. Names are compared without regard to case. Whatever is wrong is a
ConfigError of the field `path`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.paths import History
from markets.errors import ConfigError

TIME_NAMES = ("time", "timestamp", "date", "datetime", "unix", "open_time")
PRICE_NAMES = ("price", "close", "mid")
BAR_NAMES = ("open", "high", "low", "close")


def read_history(path: Path) -> History:
    """The history in a file; raises ConfigError("path", ...) where it cannot be used."""
    frame = _read(path)
    frame.columns = pd.Index([str(name).strip().lower() for name in frame.columns])
    if frame.empty:
        raise ConfigError("path", f"{path} has no rows")
    seconds = _seconds(frame, path)
    if all(name in frame for name in BAR_NAMES):
        return History.from_bars(seconds, [_numbers(frame, name, path) for name in BAR_NAMES])
    name = _first(frame, PRICE_NAMES, "price", path)
    return History(seconds, _numbers(frame, name, path))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ConfigError("path", f"no file {path}")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError("path", f"cannot read {path}: {reason}") from None


def _first(frame: pd.DataFrame, names: tuple[str, ...], what: str, path: Path) -> str:
    for name in names:
        if name in frame:
            return name
    raise ConfigError("path", f"{path} has no {what} column (one of {', '.join(names)})")


def _numbers(frame: pd.DataFrame, name: str, path: Path) -> NDArray[np.float64]:
    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        raise ConfigError("path", f"{path}: {name} of row {bad[0] + 1} is not a number above 0")
    return values


def _seconds(frame: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    name = _first(frame, TIME_NAMES, "time", path)
    column = frame[name]
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(np.float64)
        seconds = values / _ticks_per_second(float(np.nanmax(np.abs(values))))
    else:
        times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
        if times.isna().any():
            row = int(np.flatnonzero(times.isna())[0]) + 1
            raise ConfigError("path", f"{path}: {name} of row {row} is not a time")
        origin = pd.Timestamp(0, tz="UTC")
        seconds = ((times - origin) / pd.Timedelta(seconds=1)).to_numpy(np.float64)
    if np.any(~(np.diff(seconds) > 0)):
        row = int(np.flatnonzero(~(np.diff(seconds) > 0))[0]) + 2
        raise ConfigError("path", f"{path}: {name} must rise, but does not at row {row}")
    return seconds - seconds[0]


def _ticks_per_second(largest: float) -> float:
    """Seconds, milli-, micro- or nanoseconds since 1970, told by their size."""
    for ticks in (1e9, 1e6, 1e3):
        if largest > 1e8 * ticks:
            return ticks
    return 1.0
