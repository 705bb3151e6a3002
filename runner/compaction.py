"""Many small parts become few large ones, at the end of a sweep and by itself.

A part is a few seconds of work, so a long sweep leaves thousands, and readers open every one: ten
thousand files are read fifty times slower than one. When a folder has `MANY` small parts or more,
those that were made by the same code are merged, some megabytes at a time and part after part,
so that memory does not grow with the sweep. Order makes it safe to be killed anywhere: the merged
part is committed with the names of those that it replaces in its footer, and only then do they go,
`runs` first. Whoever finds both counts every run once, and the next writer removes what was
replaced. Parts that share runs are merged however few there are. A merge that cannot be done leaves
everything as it was.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner import store
from runner.folder import Folder
from runner.schemas import stamped, united

MANY = 16
SMALL_BYTES = 8 << 20
MERGED_BYTES = 32 << 20
MERGED_RUNS = 5_000
GROUP_BYTES = 4 << 20
TEXT = pa.string()
MERGED = "part-merged-"


def compact(place: store.Place, token: str | None = None) -> int:
    """Merge small parts if there are many; returns how many went. Raises CannotWrite."""
    folder = store.folder_at(place)
    remove_replaced(folder)
    gone = 0
    for group in _groups(folder):
        merge(folder, group, token)
        gone += len(group)
    return gone


def merge(folder: Folder, names: list[str], token: str | None = None) -> str:
    """Commit one part in the place of several, then remove those; returns its name.

    A run that several of them hold comes along once, one that went well if there is one.
    """
    origin = _origin(folder, names[0])
    origin["runs"] = {
        run_id: run for name in names for run_id, run in _origin(folder, name)["runs"].items()
    }
    origin["replaces"] = names
    held = _holders(folder, names)
    run_ids = [run_id for each in held.values() for run_id in each]
    target = MERGED + store.part_name(run_ids).removeprefix("part-")
    files = {}
    for table in store.TABLE_NAMES:
        there = {name: held[name] for name in names if folder.exists(f"{table}/{name}")}
        if there:
            files[table] = _joined(folder, table, there, origin)
    store.commit_files(folder, files, target, token)
    _remove(folder, names)
    return target


def _holders(folder: Folder, names: Sequence[str]) -> dict[str, list[str]]:
    """The runs that are taken from each part."""
    holders: dict[str, str] = {}
    good: set[str] = set()
    for name in names:
        rows = store.read(folder, store.RUNS, name, ["run_id", "status"])
        columns = rows["run_id"].to_pylist(), rows["status"].to_pylist()
        for run_id, status in zip(*columns, strict=True):
            if run_id not in holders or (status == "ok" and run_id not in good):
                holders[run_id] = name
            if status == "ok":
                good.add(run_id)
    held: dict[str, list[str]] = {name: [] for name in names}
    for run_id, name in holders.items():
        held[name].append(run_id)
    return held


def _joined(
    folder: Folder, table: str, held: Mapping[str, list[str]], origin: Mapping[str, Any]
) -> pa.Buffer:
    """The file of a table: part after part, some megabytes in memory at a time."""
    empty = united([store.schema(folder, table, name).empty_table() for name in held])
    schema = stamped(empty, table, origin).schema
    sink, pieces, size = pa.BufferOutputStream(), [empty], 0
    with store.writer(sink, schema) as file:
        for name, run_ids in held.items():
            rows = store.read(folder, table, name)
            ours = pc.is_in(rows["run_id"].cast(pa.string()), value_set=pa.array(run_ids, TEXT))
            pieces.append(rows.filter(ours))
            size += pieces[-1].nbytes
            if size >= GROUP_BYTES:
                file.write_table(united(pieces).cast(schema), row_group_size=store.ROW_GROUP)
                pieces, size = [empty], 0
        if len(pieces) > 1:
            file.write_table(united(pieces).cast(schema), row_group_size=store.ROW_GROUP)
    pa.default_memory_pool().release_unused()
    return sink.getvalue()


def remove_replaced(place: store.Place) -> None:
    """Finish a merge that was stopped between its commit and its end."""
    folder = store.folder_at(place)
    for name in store.parts(folder, store.RUNS):
        if name.startswith(MERGED):
            _remove(folder, _origin(folder, name).get("replaces", []))


def _remove(folder: Folder, names: list[str]) -> None:
    """`runs` first: what is left after a kill in between are orphans."""
    for table in store.TABLE_NAMES:
        for name in names:
            folder.remove(f"{table}/{name}")


def _groups(folder: Folder) -> Iterator[list[str]]:
    """Small parts of the same origin, together not too large; none if there are few.

    A few are enough if a run is in two of them: two sweeps raced.
    """
    bytes_of: dict[str, int] = defaultdict(int)
    for table in store.TABLE_NAMES:
        for name, size in folder.sizes(table).items():
            bytes_of[name] += size
    small = [n for n in store.parts(folder, store.RUNS) if bytes_of[n] < SMALL_BYTES]
    alike: dict[str, list[str]] = defaultdict(list)
    runs_of: dict[str, int] = {}
    seen: set[str] = set()
    for name in small:
        origin = _origin(folder, name)
        held = origin.pop("runs")
        seen.update(held)
        runs_of[name] = len(held)
        origin.pop("replaces", None)
        origin.pop("scenario", None)
        alike[json.dumps(origin, sort_keys=True)].append(name)
    if len(small) < MANY and sum(runs_of.values()) == len(seen):
        return
    for names in alike.values():
        yield from (group for group in _filled(names, bytes_of, runs_of) if len(group) > 1)


def _filled(
    names: list[str], bytes_of: dict[str, int], runs_of: dict[str, int]
) -> Iterator[list[str]]:
    group: list[str] = []
    size = runs = 0
    for name in names:
        full = size + bytes_of[name] > MERGED_BYTES or runs + runs_of[name] > MERGED_RUNS
        if group and full:
            yield group
            group, size, runs = [], 0, 0
        group.append(name)
        size, runs = size + bytes_of[name], runs + runs_of[name]
    yield group


def _origin(folder: Folder, name: str) -> dict[str, Any]:
    metadata = store.schema(folder, store.RUNS, name).metadata or {}
    origin: dict[str, Any] = json.loads(metadata.get(b"fathom", b"{}"))
    return {"runs": {}} | origin
