"""Where compiled kernels are kept: a folder for each state of the sources.

Numba keeps compiled code on disk by the file that a function stands in and does not see that a
function it calls, in another file, has changed: old code would run silently. So the folder is named
after a hash of all sources that may hold kernels. It lies beside this file or, where that cannot be
written, in the folder for temporary files; `NUMBA_CACHE_DIR` moves it elsewhere. The variable is
set for this process and those it starts, before Numba is imported.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

PACKAGES = ("markets", "agents", "experiments")
PREFIX = "kernels-"


def sources_hash() -> str:
    """Twelve hexadecimal digits of the packages that may hold kernels."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _home() -> Path:
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named).parent if Path(named).name.startswith(PREFIX) else Path(named)
    beside = Path(__file__).resolve().parent / "__pycache__"
    if os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return beside
    return Path(tempfile.gettempdir()) / f"fathom-{os.getuid()}"


def use_own_cache() -> None:
    """Point Numba at the cache of this state of the sources."""
    folder = str(_home() / f"{PREFIX}{sources_hash()}")
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder  # type: ignore[attr-defined]
