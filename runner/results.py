"""Reading a result folder: what is committed, once, with the parameters joined.

    results = runner.load("results/flash_crash")
    results.runs                    one row a run, sorted by parameters and seed
    results.steps, results.fills    pandas frames, with `seed` and the `p_` columns of their run
    results.table("flows")          the same as an Arrow table

Parts written at different times are read with one schema that has the columns of all. Only parts
with a committed `runs` part count, and a run that two parts hold (two sweeps raced in one folder)
is taken from one of them, preferring one that went well. A run that was done again with other code
counts as the newest, so that samples are never doubled. Dictionaries arrive as categories.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.tables import TABLES
from markets.errors import ConfigError
from runner import schemas, store

SAME_RUN = ["scenario", "params", "seed", "steps", "history"]
"""What makes two rows the same run, whatever code it was done with."""


class Results:
    """The committed tables of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {file.name: file for file in store.parts(folder, store.RUNS)}
        if not files:
            raise ConfigError("results", f"no results in {folder}")
        self._runs = _one_each({name: pq.read_table(file) for name, file in files.items()})

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
        joined = pa.concat_tables([empty, *pieces], promote_options="default")
        joined = joined.unify_dictionaries().combine_chunks()
        return self._with_parameters(joined)

    def _parts(self) -> list[str]:
        return sorted(set(self._runs["part"].to_pylist()))

    def _read(self, name: str, part: str) -> pa.Table | None:
        """The rows of the runs that count in one part."""
        file = self.folder / name / part
        if not file.exists():
            return None
        rows = pq.read_table(file).replace_schema_metadata(None)
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


def load(folder: str | Path) -> Results:
    """The results in a folder; raises ConfigError if there are none."""
    return Results(Path(folder))


def _one_each(parts: Mapping[str, pa.Table]) -> pa.Table:
    """All run rows with the name of their part, each run once, in order of parameters and seed."""
    pieces = [
        rows.replace_schema_metadata(None).append_column(
            "part", pa.array([name] * rows.num_rows, pa.string())
        )
        for name, rows in sorted(parts.items())
    ]
    joined = pa.concat_tables(pieces, promote_options="permissive").unify_dictionaries()
    columns = [name for name in joined.column_names if name.startswith("p_")]
    keys = joined.select([*SAME_RUN, *columns, "run_id", "status", "started_at"]).to_pandas()
    for name in keys.select_dtypes("category"):
        keys[name] = keys[name].astype(str)
    keys["failed"] = keys["status"] != "ok"
    keys = keys.sort_values(["failed", "started_at"], kind="stable").drop_duplicates("run_id")
    keys = keys.sort_values("started_at", kind="stable").drop_duplicates(SAME_RUN, keep="last")
    keys = keys.sort_values(["scenario", *columns, "seed", "run_id"])
    return joined.take(keys.index.to_numpy()).combine_chunks()
