"""Parts on disk: written beside their place under a temporary name, then put there in one move.

    OUT/{runs,steps,fills,flows,events,accounts}/part-<hash of the run ids>.parquet

A part holds a chunk of runs. The `runs` part is written last: where it is, the chunk is complete;
tables without it are orphans that no reader counts and that the next writer removes. A file is
synced before it is moved, so a killed worker, driver or machine leaves whole parts or `.tmp` files,
never half a table. One sweep at a time owns a folder: the latest leaves its token there, and a
worker of an earlier one that still runs finds it and commits nothing, so nothing comes twice.
"""

import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.tables import TABLES
from markets.errors import ConfigError, FathomError
from runner.provenance import short_hash

RUNS = "runs"
TABLE_NAMES = (RUNS, *TABLES)
OWNER = ".owner"


class FolderTaken(FathomError):
    """Another sweep writes into the folder now."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"another sweep has taken over {folder}")
        self.folder = folder

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.folder,)


def part_name(run_ids: Sequence[str]) -> str:
    """Name of the part that holds these runs, in any order."""
    return f"part-{short_hash(sorted(run_ids))}.parquet"


def prepare(out: Path) -> None:
    """Make the folder; raises ConfigError if it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError("out", f"cannot write to {out}: {error.strerror}") from None


def claim(out: Path, token: str) -> None:
    """Make the folder ours."""
    temporary = out / f"{OWNER}-{token}.tmp"
    temporary.write_text(token)
    os.replace(temporary, out / OWNER)


def commit(out: Path, tables: Mapping[str, pa.Table], token: str | None = None) -> str:
    """Write the tables of a chunk, `runs` last, and return the name of the part.

    Raises FolderTaken if a token is given and the folder has another owner. Whatever stops it
    before `runs` is there takes the other tables of the part away again.
    """
    name = part_name(tables[RUNS]["run_id"].to_pylist())
    try:
        for table in sorted(tables, key=lambda each: each == RUNS):
            if token is not None and not owns(out, token):
                raise FolderTaken(str(out))
            write_part(tables[table], out / table / name)
    except BaseException:
        if not (out / RUNS / name).exists():
            for table in tables:
                (out / table / name).unlink(missing_ok=True)
        raise
    return name


def write_part(table: pa.Table, target: Path) -> None:
    """One Parquet file, all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.stem}-{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=1 << 20)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def parts(out: Path, table: str) -> list[Path]:
    """The files of a table, by name."""
    return sorted((out / table).glob("part-*.parquet"))


def committed(out: Path) -> dict[str, str]:
    """Run ids that are done, with their status."""
    done: dict[str, str] = {}
    for part in parts(out, RUNS):
        rows = pq.read_table(part, columns=["run_id", "status"])
        done.update(zip(rows["run_id"].to_pylist(), rows["status"].to_pylist(), strict=True))
    return done


def is_committed(out: Path, run_ids: Sequence[str]) -> bool:
    """Whether exactly this chunk is there."""
    return (out / RUNS / part_name(run_ids)).exists()


def sweep_up(out: Path) -> int:
    """Remove what killed writers left: temporary files and parts without `runs`."""
    whole = {part.name for part in parts(out, RUNS)}
    left = [file for table in TABLE_NAMES for file in (out / table).glob(".part-*.tmp")]
    left += [part for table in TABLES for part in parts(out, table) if part.name not in whole]
    left += out.glob(".*.tmp")
    for file in left:
        file.unlink(missing_ok=True)
    return len(left)


def drop(out: Path, run_ids: Iterable[str]) -> None:
    """Forget single runs that failed, so that they are done again."""
    gone = pa.array(sorted(run_ids), pa.string())
    for part in parts(out, RUNS):
        rows = pq.read_table(part)
        keep = pc.invert(pc.is_in(rows["run_id"], value_set=gone))
        kept = rows.filter(keep)
        if kept.num_rows == 0:
            part.unlink()
        elif kept.num_rows < rows.num_rows:
            write_part(kept, part)


def wipe(out: Path) -> None:
    """Remove the result tables, and nothing else that may lie in the folder."""
    shutil.rmtree(out / RUNS, ignore_errors=True)
    for table in TABLES:
        shutil.rmtree(out / table, ignore_errors=True)


def owns(out: Path, token: str) -> bool:
    """Whether the folder is still ours."""
    try:
        return (out / OWNER).read_text() == token
    except OSError:
        return False
