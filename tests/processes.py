"""Commands whose runs Ray does, and which processes a command has started."""

import sys
from pathlib import Path

LOCAL_RAY = ("--address", "local", "--workers", "2")
ALL_ON_RAY = "from runner import __main__, engine; engine.possible = lambda: False; __main__.main()"


def on_ray(file, out):
    """A sweep of which Ray does all but the first run: else children do most before it is up."""
    return [sys.executable, "-c", ALL_ON_RAY, "sweep", file, *LOCAL_RAY, "--out", out]


def descendants(pid):
    """Process ids below a process, with their names."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            head, _, tail = stat.rpartition(")")
            parents[int(entry.name)] = int(tail.split()[1])
            names[int(entry.name)] = head.partition("(")[2]
    found, edge = {}, {pid}
    while edge:
        edge = {each for each, parent in parents.items() if parent in edge}
        found |= {each: names[each] for each in edge}
    return found
