"""Where a result comes from: versions, commit, and the hash of our own source.

    code_version = SHA-256 over (relative path, bytes) of every .py file of the four packages

The code version decides what a run id means, so it reads the source itself: it is the same inside
and outside a git checkout, and two checkouts with equal files agree. Commit and the dirty flag are
for people; outside git they are empty. What is left out: versions of libraries are recorded with
every run but are no part of its id.
"""

import functools
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import __file__ as runner_file

PACKAGES = ("agents", "experiments", "markets", "runner")
LIBRARIES = ("fathom-markets", "mesa", "numba", "numpy", "pandas", "pyarrow", "ray", "scipy")
ID_DIGITS = 16
HOME = Path(runner_file).resolve().parent.parent
"""Where the four packages lie."""


@dataclass(frozen=True)
class Provenance:
    """What made a result. `commit` is empty outside git."""

    code_version: str
    commit: str
    dirty: bool
    versions: dict[str, str]


@functools.cache
def provenance() -> Provenance:
    """Of the code that is running."""
    commit = _git(HOME, "rev-parse", "HEAD")
    dirty = bool(commit) and bool(_git(HOME, "status", "--porcelain", "--", *PACKAGES))
    return Provenance(code_version(HOME), commit, dirty, versions())


def code_version(home: Path) -> str:
    """Hash of the source of the four packages under `home`."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((home / package).rglob("*.py")):
            digest.update(file.relative_to(home).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:ID_DIGITS]


def short_hash(document: Any) -> str:
    """Hash of a JSON document, as hex digits."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def versions() -> dict[str, str]:
    """Python and the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = ""
    return found


def _git(home: Path, *arguments: str) -> str:
    command = ["git", "-C", str(home), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
