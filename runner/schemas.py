"""Arrow schemas: the tables of `experiments.tables` with `run_id` in front, and the table `runs`.

Unit and meaning travel as metadata of every field, the origin of a part as one JSON document under
the key `fathom` of the schema, which Parquet keeps in the footer. Strings are dictionaries; NaN,
which here means that there is no such figure, is null. `runs` has one row a run and two kinds of
columns of its own: `p_<path>` for each parameter that was set or varied, `m_<metric>` for each
summary metric. Volatile columns (`wall_seconds`, `started_at`, `generation`) exist in `runs` alone:
the other tables hold the same bytes whenever a run is repeated.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.tables import TABLES, Column, Columns, Table

STRING = pa.dictionary(pa.int32(), pa.string())
TYPES = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": STRING,
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
}
RUN_ID = Column("run_id", "string", "", "the run: hash of scenario, parameters, seed, steps, code")

RUNS = Table(
    "runs",
    "one row for each run",
    (
        Column("run_id", "text", "", RUN_ID.meaning),
        Column("scenario", "string", "", "name of the scenario, or the path of its file"),
        Column("seed", "int64", "1", "seed of all random streams"),
        Column("steps", "int64", "1", "steps asked for"),
        Column("history", "string", "", "price history that was replayed, empty if none"),
        Column("params", "text", "", "all parameters after overrides, as JSON"),
        Column("status", "string", "", "ok or failed"),
        Column("error", "text", "", "type and message of the failure, empty if ok"),
        Column("traceback", "text", "", "where it failed, empty if ok"),
        Column("replay", "text", "", "command that does this run again"),
        Column("versions", "text", "", "Python and libraries, as JSON"),
        Column("code_version", "string", "", "hash of the source of the four packages"),
        Column("commit", "string", "", "git commit, empty outside git"),
        Column("dirty", "bool", "", "whether the source differed from the commit"),
        Column("wall_seconds", "float64", "s", "time that the run took"),
        Column("started_at", "time", "", "when it started, UTC"),
        Column("generation", "int64", "1", "sweeps and runs written into the folder before it"),
    ),
)
VOLATILE = ("wall_seconds", "started_at", "generation")


def field(column: Column) -> pa.Field:
    """A field with its unit and meaning as metadata."""
    metadata = {"unit": column.unit, "meaning": column.meaning}
    return pa.field(column.name, TYPES[column.kind], metadata=metadata)


def table_schema(name: str) -> pa.Schema:
    """Schema of one of the tables of a run."""
    return pa.schema([field(RUN_ID), *(field(column) for column in TABLES[name].columns)])


def stamped(table: pa.Table, name: str, origin: Mapping[str, Any]) -> pa.Table:
    """The table with its origin in the schema's metadata."""
    document = {"table": name, **origin}
    return table.replace_schema_metadata({"fathom": json.dumps(document, sort_keys=True)})


def to_arrow(name: str, runs: Sequence[tuple[str, Columns]]) -> pa.Table:
    """The columns of some runs, by their ids, as one Arrow table; one that is not given is null.

    Columns are joined before they are converted: a conversion costs more than a run's rows.
    """
    schema = table_schema(name)
    for _, columns in runs:
        unknown = set(columns) - set(schema.names)
        if unknown:
            raise ValueError(f"table {name} declares no column {', '.join(sorted(unknown))}")
    rows = [max((len(values) for values in columns.values()), default=0) for _, columns in runs]
    arrays = [_repeated([run_id for run_id, _ in runs], rows)]
    for declared in list(schema)[1:]:
        values = [columns.get(declared.name) for _, columns in runs]
        arrays.append(_column(values, rows, declared))
    return pa.table(arrays, schema=schema)


def _column(values: Sequence[Any], rows: Sequence[int], declared: pa.Field) -> pa.Array:
    """One column of all runs."""
    if all(each is None for each in values):
        return pa.nulls(sum(rows), declared.type)
    if all(isinstance(each, np.ndarray) for each in values):
        return _array(np.concatenate(values), declared)
    if all(isinstance(each, list) for each in values):
        return _array(list(itertools.chain.from_iterable(values)), declared)
    pieces = [
        pa.nulls(count, declared.type) if each is None else _array(each, declared)
        for each, count in zip(values, rows, strict=True)
    ]
    return pa.chunked_array(pieces, declared.type).unify_dictionaries().combine_chunks()


def united(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all, with the columns of all: what a table has not is null there.

    A whole number meets a fraction as a fraction; kinds that do not go together become text.
    """
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for each in table.schema:
            if each.type != pa.null():
                kinds.setdefault(each.name, set()).add(each.type)
    texts = {name for name, found in kinds.items() if len(found) > 1 and not _numbers(found)}
    bare = [_as_text(table.replace_schema_metadata(None), texts) for table in tables]
    joined = pa.concat_tables(bare, promote_options="permissive")
    return joined.unify_dictionaries().combine_chunks()


def _numbers(kinds: set[pa.DataType]) -> bool:
    return all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)


def _as_text(table: pa.Table, names: set[str]) -> pa.Table:
    for at, each in enumerate(table.schema):
        if each.name in names:
            column = table[each.name].cast(pa.string()).combine_chunks().dictionary_encode()
            table = table.set_column(at, each.with_type(column.type), column)
    return table


def _repeated(texts: Sequence[str], rows: Sequence[int]) -> pa.Array:
    indices = pa.array(np.repeat(np.arange(len(texts), dtype=np.int32), rows))
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string()))


def _array(values: Any, declared: pa.Field) -> pa.Array:
    if declared.type == STRING:
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, declared.type, from_pandas=True)


def runs_table(rows: Sequence[Mapping[str, Any]], parameters: Mapping[str, str]) -> pa.Table:
    """The `runs` part of some runs. `parameters` maps varied paths to their kinds.

    Each row has the declared columns, `varied` (path to value) and `metrics` (name to number).
    """
    fields = [field(column) for column in RUNS.columns]
    columns: list[list[Any]] = [[row[each.name] for row in rows] for each in fields]
    for path, kind in parameters.items():
        fields.append(field(Column(f"p_{path}", kind, "", f"parameter {path}")))
        columns.append([cell(row["varied"].get(path), kind) for row in rows])
    for metric in dict.fromkeys(name for row in rows for name in row["metrics"]):
        fields.append(field(Column(f"m_{metric}", "float64", "", f"metric {metric}")))
        columns.append([row["metrics"].get(metric) for row in rows])
    arrays = [_array(values, each) for values, each in zip(columns, fields, strict=True)]
    return pa.table(arrays, schema=pa.schema(fields))


def kind_of(values: Sequence[Any]) -> str:
    """The narrowest column kind that holds all the values; None fits everywhere."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int64"
    return "float64" if kinds and kinds <= {int, float} else "string"


def cell(value: Any, kind: str) -> Any:
    """The value as a column of the kind holds it: lists and tables as JSON text."""
    if kind == "string" and value is not None and not isinstance(value, str):
        return json.dumps(value, sort_keys=True)
    return float(value) if kind == "float64" and value is not None else value
