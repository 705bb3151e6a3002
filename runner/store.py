"""Parts: how finished runs come into a result folder, whole, once, and never half.

    OUT/{runs,steps,fills,flows,events,accounts}/part-<hash of the run ids>.parquet

A part holds a chunk of runs. The `runs` part is written last: where it is, the chunk is complete;
tables without it are orphans that no reader counts and that the next writer removes. A part whose
end is missing (a disk that lied, a copy cut off) is removed too, and its runs are done again. One
sweep at a time owns a folder: the latest has its token there until it ends, and a worker of an
earlier one that still runs finds that and commits nothing. What two sweeps wrote all the same, or
what merging left (see `runner.compaction`), a reader counts once. Pages carry checksums, which
readers verify.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.tables import TABLES
from markets.errors import FathomError
from runner.folder import Folder
from runner.provenance import short_hash

Place = str | Path | Folder
RUNS = "runs"
TABLE_NAMES = (RUNS, *TABLES)
OWNER = ".owner"
OURS = re.compile(r"\..+-[0-9a-f]{32}\.tmp")
"""Temporary files beside the tables, where a user may have some as well."""
ROW_GROUP = 1 << 20
UNREADABLE = (pa.ArrowException, OSError)


class FolderTaken(FathomError):
    """Another sweep writes into the folder now."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"another sweep has taken over {folder}")
        self.folder = folder

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.folder,)


class Damaged(FathomError):
    """A committed part cannot be read."""

    def __init__(self, folder: Folder, table: str, part: str, reason: str) -> None:
        super().__init__(
            f"{folder}/{table}/{part} is damaged ({reason}); remove {folder}/{RUNS}/{part} "
            "and start the sweep again: it does the runs of that part once more"
        )


def folder_at(place: Place) -> Folder:
    """The folder at a path or a URI."""
    return place if isinstance(place, Folder) else Folder(place)


def part_name(run_ids: Sequence[str]) -> str:
    """Name of the part that holds these runs, in any order."""
    return f"part-{short_hash(sorted(run_ids))}.parquet"


def claim(place: Place, token: str) -> bool:
    """Make the folder ours; whether somebody has it who has not released it."""
    folder = folder_at(place)
    held = folder.exists(OWNER)
    folder.write(OWNER, token.encode())
    return held


def release(place: Place, token: str) -> None:
    """Remove what our writers left, and our token; nothing if the folder is not ours any more."""
    if owns(place, token):
        sweep_up(place)
        folder_at(place).remove(OWNER)


def owns(place: Place, token: str) -> bool:
    """Whether the folder is still ours."""
    return folder_at(place).read(OWNER) == token.encode()


def commit(
    place: Place, tables: Mapping[str, pa.Table], token: str | None = None, name: str = ""
) -> str:
    """Write the tables of a chunk and return the name of the part; see `commit_files`."""
    name = name or part_name(tables[RUNS]["run_id"].to_pylist())
    commit_files(place, {table: serialised(rows) for table, rows in tables.items()}, name, token)
    return name


def commit_files(
    place: Place, contents: Mapping[str, pa.Buffer], name: str, token: str | None = None
) -> None:
    """Write the files of a part by table, `runs` last.

    Raises FolderTaken if a token is given and the folder has another owner, and CannotWrite.
    Whatever stops it before `runs` is there takes the other tables of the part away again.
    """
    folder = folder_at(place)
    try:
        for table in sorted(contents, key=lambda each: each == RUNS):
            if token is not None and not owns(folder, token):
                raise FolderTaken(str(folder))
            folder.write(f"{table}/{name}", contents[table])
    except BaseException:
        if not folder.exists(f"{RUNS}/{name}"):
            for table in contents:
                folder.remove(f"{table}/{name}")
        raise


def serialised(table: pa.Table) -> pa.Buffer:
    """The bytes of one Parquet file."""
    sink = pa.BufferOutputStream()
    with writer(sink, table.schema) as file:
        file.write_table(table, row_group_size=ROW_GROUP)
    return sink.getvalue()


def writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """How all our files are encoded."""
    return pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True)


def parts(place: Place, table: str) -> list[str]:
    """The names of a table's files, in order."""
    return [name for name in folder_at(place).sizes(table) if is_part(name)]


def is_part(name: str) -> bool:
    """Whether a file is a part, and not a temporary one or somebody else's."""
    return name.startswith("part-") and name.endswith(".parquet")


def read(place: Place, table: str, name: str, columns: list[str] | None = None) -> pa.Table:
    """One file, verified; raises Damaged, or FileNotFoundError if it is not there."""
    with _opened(folder_at(place), table, name) as file:
        return file.read(columns=columns)


def schema(place: Place, table: str, name: str) -> pa.Schema:
    """The columns of one file and where it comes from; raises as `read` does."""
    with _opened(folder_at(place), table, name) as file:
        return file.schema_arrow


@contextmanager
def _opened(folder: Folder, table: str, name: str) -> Iterator[pq.ParquetFile]:
    try:
        with folder.open(f"{table}/{name}") as file:
            yield pq.ParquetFile(file, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise Damaged(folder, table, name, " ".join(str(error).split())[:120]) from None


def committed(place: Place) -> dict[str, str]:
    """Run ids that are done, with their status; ok wins where two parts hold a run."""
    folder = folder_at(place)
    done: dict[str, str] = {}
    for part in parts(folder, RUNS):
        rows = read(folder, RUNS, part, ["run_id", "status"])
        columns = rows["run_id"].to_pylist(), rows["status"].to_pylist()
        for run_id, status in zip(*columns, strict=True):
            if done.get(run_id) != "ok":
                done[run_id] = status
    return done


def next_generation(place: Place) -> int:
    """One more than that of any run there: what is newer is told by this, not by the clock."""
    folder = folder_at(place)
    latest = -1
    for part in parts(folder, RUNS):
        rows = read(folder, RUNS, part, ["generation"])
        if rows.num_columns and rows.num_rows:
            latest = max(latest, pc.max(rows["generation"]).as_py() or 0)
    return latest + 1


def is_committed(place: Place, run_ids: Sequence[str]) -> bool:
    """Whether exactly this chunk is there."""
    return folder_at(place).exists(f"{RUNS}/{part_name(run_ids)}")


def sweep_up(place: Place) -> int:
    """Remove what killed writers left: temporary files, parts without `runs` or without an end.

    Returns how many parts were damaged: their runs have to be done again.
    """
    folder = folder_at(place)
    found = {table: list(folder.sizes(table)) for table in TABLE_NAMES}
    damaged = _damaged(folder, found) if folder.local else set()
    for part in damaged:
        folder.remove(f"{RUNS}/{part}")
    whole = {name for name in found[RUNS] if is_part(name)} - damaged
    for table, names in found.items():
        for name in names:
            orphan = table != RUNS and is_part(name) and name not in whole
            if orphan or _is_temporary(name):
                folder.remove(f"{table}/{name}")
    for name in filter(OURS.fullmatch, folder.sizes()):
        folder.remove(name)
    return len(damaged)


def _damaged(folder: Folder, found: Mapping[str, list[str]]) -> set[str]:
    """Parts of which some file has no end. An object store shows no file before it is whole."""
    return {
        name
        for table, names in found.items()
        for name in names
        if is_part(name) and name in found[RUNS] and not folder.is_whole(f"{table}/{name}")
    }


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def drop(place: Place, run_ids: Iterable[str]) -> None:
    """Forget single runs that failed, so that they are done again."""
    folder = folder_at(place)
    gone = pa.array(sorted(run_ids), pa.string())
    for part in parts(folder, RUNS):
        rows = read(folder, RUNS, part)
        kept = rows.filter(pc.invert(pc.is_in(rows["run_id"], value_set=gone)))
        if kept.num_rows == 0:
            folder.remove(f"{RUNS}/{part}")
        elif kept.num_rows < rows.num_rows:
            folder.write(f"{RUNS}/{part}", serialised(kept))


def wipe(place: Place) -> None:
    """Remove the result tables, and nothing else that may lie in the folder."""
    for table in TABLE_NAMES:
        folder_at(place).remove_all(table)
