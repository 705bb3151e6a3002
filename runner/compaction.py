"""Many small parts become few large ones, at the end of a sweep and by itself.

A part is a few seconds of work, so a long sweep leaves thousands, and readers open every one: ten
thousand files are read fifty times slower than one. When a folder has `MANY` small parts or more,
those that were made by the same code are merged, some ten megabytes at a time. Order makes it safe
to be killed anywhere: the merged part is committed with the names of those that it replaces in its
footer, and only then do they go, `runs` first. Whoever finds both counts every run once, and the
next writer removes what was replaced. A merge that cannot be done leaves everything as it was.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from experiments.tables import TABLES
from runner import store
from runner.folder import Folder
from runner.schemas import stamped, united

MANY = 16
SMALL_BYTES = 8 << 20
MERGED_BYTES = 32 << 20
MERGED_RUNS = 5_000
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
    """Commit one part in the place of several, then remove those; returns its name."""
    origin = _origin(folder, names[0])
    origin["runs"] = {
        run_id: run for name in names for run_id, run in _origin(folder, name)["runs"].items()
    }
    origin["replaces"] = names
    runs = united([store.read(folder, store.RUNS, name) for name in names])
    ids = runs["run_id"].to_pylist()
    target = MERGED + store.part_name(ids).removeprefix("part-")
    tables = {store.RUNS: stamped(runs, store.RUNS, origin)}
    for table in TABLES:
        held = [name for name in names if folder.exists(f"{table}/{name}")]
        if held:
            pieces = [store.read(folder, table, name) for name in held]
            tables[table] = stamped(united(pieces), table, origin)
    store.commit(folder, tables, token, target)
    _remove(folder, names)
    return target


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
    """Small parts of the same origin, together not too large; none if there are few."""
    bytes_of: dict[str, int] = defaultdict(int)
    for table in store.TABLE_NAMES:
        for name, size in folder.sizes(table).items():
            bytes_of[name] += size
    small = [n for n in store.parts(folder, store.RUNS) if bytes_of[n] < SMALL_BYTES]
    if len(small) < MANY:
        return
    alike: dict[str, list[str]] = defaultdict(list)
    runs_of: dict[str, int] = {}
    for name in small:
        origin = _origin(folder, name)
        runs_of[name] = len(origin.pop("runs"))
        origin.pop("replaces", None)
        origin.pop("scenario", None)
        alike[json.dumps(origin, sort_keys=True)].append(name)
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
    with folder.open(f"{store.RUNS}/{name}") as file:
        metadata = pq.read_schema(file).metadata or {}
    origin: dict[str, Any] = json.loads(metadata.get(b"fathom", b"{}"))
    return {"runs": {}} | origin
