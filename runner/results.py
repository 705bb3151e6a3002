"""Reading a result folder: what is committed, once, with the parameters joined.

    results = runner.load("results/flash_crash")        or "s3://bucket/folder"
    results.runs                    one row a run, sorted by parameters and seed
    results.steps, results.fills    pandas frames, with `seed` and the `p_` columns of their run
    results.table("flows")          the same as an Arrow table: polars.from_arrow(...) and DuckDB
                                    (duckdb.sql("select ... from flows")) take it without a copy

Parts written at different times, and by older versions of Fathom, are read with one schema that has
the columns of all; what a part has not is null. A newer version is refused by name. Only parts with
a committed `runs` part count, and a run that two parts hold (two sweeps raced, or a merge was cut
short) is taken from one of them, preferring one that went well. A run that was done again with
other code counts as the newest by `generation`, so that samples are never doubled and no clock is
asked. Dictionaries arrive as categories.
"""

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from experiments.tables import SCHEMA_VERSION, TABLES
from markets.errors import ConfigError
from runner import schemas, store
from runner.folder import Folder

SAME_RUN = ["scenario", "params", "seed", "steps", "history"]
"""What makes two rows the same run, whatever code it was done with."""
ATTEMPTS = 3


class Results:
    """The committed tables of one folder, or of the runs with `only` these ids."""

    def __init__(self, place: store.Place, only: Collection[str] | None = None) -> None:
        self.folder = store.folder_at(place)
        parts = _read_runs(self.folder)
        if only is not None:
            parts = {name: _chosen(rows, only) for name, rows in parts.items()}
        if not parts:
            raise ConfigError("results", f"no results in {self.folder}")
        self._versions = {name: _version(self.folder, name, rows) for name, rows in parts.items()}
        self._runs = _one_each(parts)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run; `p_` columns are parameters, `m_` columns metrics."""
        return self.table(store.RUNS).to_pandas()

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row a step and venue."""
        return self.table("steps").to_pandas()

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row a trade."""
        return self.table("fills").to_pandas()

    @cached_property
    def flows(self) -> pd.DataFrame:
        """Who paid whom and why, summed over a step."""
        return self.table("flows").to_pandas()

    @cached_property
    def liquidations(self) -> pd.DataFrame:
        """One row a forced close-out, and who paid for it."""
        return self.table("liquidations").to_pandas()

    @cached_property
    def events(self) -> pd.DataFrame:
        """Things that happened once."""
        return self.table("events").to_pandas()

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """Balances of every owner, thinned."""
        return self.table("accounts").to_pandas()

    @property
    def parameters(self) -> list[str]:
        """The columns of `runs` that hold parameters."""
        return [name for name in self._runs.column_names if name.startswith("p_")]

    @property
    def metrics(self) -> list[str]:
        """The columns of `runs` that hold summary metrics."""
        return [name for name in self._runs.column_names if name.startswith("m_")]

    def table(self, name: str) -> pa.Table:
        """A table in the order of the runs; raises ConfigError for a name that is none."""
        if name == store.RUNS:
            return self._runs.drop_columns(["part"])
        if name not in TABLES:
            raise ConfigError("table", f"no table {name!r}; known: {', '.join(store.TABLE_NAMES)}")
        pieces = [piece for part in self._parts() if (piece := self._read(name, part)) is not None]
        empty = schemas.table_schema(name).empty_table()
        return self._with_parameters(schemas.united([empty, *pieces]))

    def _parts(self) -> list[str]:
        return sorted(set(self._runs["part"].to_pylist()))

    def _read(self, name: str, part: str) -> pa.Table | None:
        """The rows of the runs that count in one part."""
        try:
            rows = store.read(self.folder, name, part)
        except FileNotFoundError:
            if not self.folder.exists(f"{store.RUNS}/{part}"):
                raise ConfigError(
                    "results", f"{self.folder} changed while it was read; load it again"
                ) from None
            if self._versions[part] < SCHEMA_VERSION:
                return None
            raise store.Damaged(self.folder, name, part, "it is missing") from None
        ours = self._runs.filter(pc.equal(self._runs["part"], part))["run_id"]
        return rows.filter(pc.is_in(rows["run_id"].cast(pa.string()), value_set=ours))

    def _with_parameters(self, rows: pa.Table) -> pa.Table:
        ids = rows["run_id"].cast(pa.string())
        place = pc.index_in(ids, value_set=self._runs["run_id"].combine_chunks())
        order = np.argsort(place.to_numpy(), kind="stable")
        rows, place = rows.take(order), place.take(pa.array(order))
        for column in ("seed", *self.parameters):
            rows = rows.append_column(
                self._runs.schema.field(column), self._runs[column].take(place)
            )
        return rows


def load(place: store.Place) -> Results:
    """The results in a folder or at a URI; raises ConfigError if there are none."""
    return Results(place)


def _read_runs(folder: Folder) -> dict[str, pa.Table]:
    """The `runs` parts by name; a folder that is merged meanwhile is listed again."""
    for left in reversed(range(ATTEMPTS)):
        try:
            return {n: store.read(folder, store.RUNS, n) for n in store.parts(folder, store.RUNS)}
        except FileNotFoundError:
            if not left:
                raise
    return {}


def _chosen(rows: pa.Table, run_ids: Collection[str]) -> pa.Table:
    """The runs with these ids, without the columns that other runs alone have."""
    rows = rows.filter(pc.is_in(rows["run_id"], value_set=pa.array(sorted(run_ids), pa.string())))
    return rows.select(
        [
            name
            for name in rows.column_names
            if name[:2] not in ("p_", "m_") or len(rows[name].drop_null())
        ]
    )


def _version(folder: Folder, name: str, rows: pa.Table) -> int:
    """Schema version of a part; raises ConfigError if it is from the future."""
    origin: dict[str, Any] = json.loads((rows.schema.metadata or {}).get(b"fathom", b"{}"))
    version = int(origin.get("schema_version", 0))
    if version > SCHEMA_VERSION:
        raise ConfigError(
            "results",
            f"{folder}/{store.RUNS}/{name} has schema version {version}; "
            f"this Fathom reads up to {SCHEMA_VERSION}",
        )
    return version


def _one_each(parts: Mapping[str, pa.Table]) -> pa.Table:
    """All run rows with the name of their part, each run once, in order of parameters and seed."""
    pieces = [schemas.runs_table([], {})]
    for name, rows in sorted(parts.items()):
        pieces.append(rows.append_column("part", pa.array([name] * rows.num_rows, pa.string())))
    joined = schemas.united(pieces)
    columns = [name for name in joined.column_names if name.startswith("p_")]
    age = ["generation", "started_at"]
    keys = joined.select([*SAME_RUN, *columns, "run_id", "status", *age]).to_pandas()
    for name in keys.select_dtypes("category"):
        keys[name] = keys[name].astype(str)
    keys["failed"] = keys["status"] != "ok"
    keys["generation"] = keys["generation"].fillna(-1)
    keys = keys.sort_values(["failed", *age], kind="stable").drop_duplicates("run_id")
    keys = keys.sort_values(age, kind="stable").drop_duplicates(SAME_RUN, keep="last")
    keys = keys.sort_values(["scenario", *columns, "seed", "run_id"])
    return joined.take(keys.index.to_numpy()).combine_chunks()
