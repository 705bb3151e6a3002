"""How kernels are compiled, and where the machine code is kept.

Numba keeps compiled code on disk by the file that a function stands in, and does not see that a
function or a constant it uses, in another file, has changed: old code would run silently. So `njit`
here is Numba's own with a cache folder named after a hash of the file and of all files of ours that
it imports, directly or not. The folders lie beside this file or, where that cannot be written, with
the temporary files; `NUMBA_CACHE_DIR` moves them elsewhere.

Numba also counts references to arrays wherever a function takes one out of a tuple. In the hottest
kernels every array belongs to the caller for the whole call and none is made, so that counting
would only cost: it took four fifths of the time of an order-book message. `kernel` turns it off by
`_nrt`, an option of the pinned Numba; a function that makes an array under it does not compile.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

config: Any = numba.config
ROOT = Path(__file__).resolve().parents[1]
_IMPORT = re.compile(
    r"^\s*(?:from|import)\s+((?:markets|agents|experiments)[\w.]*)"
    r"(?:\s+import\s+(?:\(([^)]*)\)|([^(\n]*)))?",
    re.MULTILINE,
)


@cache
def _read(path: Path) -> tuple[bytes, tuple[Path, ...]]:
    """The text of a source file and the files of ours that it imports."""
    text = path.read_text()
    found = set()
    for module, *names in _IMPORT.findall(text):
        place = ROOT / module.replace(".", "/")
        options = [place, *(place / name for name in re.findall(r"\w+", " ".join(names)))]
        found |= {option.with_suffix(".py") for option in options}
    return text.encode(), tuple(sorted(file for file in found if file.is_file()))


def sources(path: Path) -> list[Path]:
    """The file and all files of ours that it imports, directly or not."""
    known, waiting = set(), [path]
    while waiting:
        file = waiting.pop()
        if file not in known:
            known.add(file)
            waiting += _read(file)[1]
    return sorted(known)


@cache
def _state(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sources(path):
        digest.update(file.as_posix().removeprefix(ROOT.as_posix()).encode())
        digest.update(_read(file)[0])
    return digest.hexdigest()[:12]


@cache
def home() -> Path:
    """Where compiled kernels are kept, for all source files."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named)
    beside = Path(__file__).resolve().parent / "__pycache__"
    if os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return beside / "kernels"
    return Path(tempfile.gettempdir()) / f"fathom-kernels-{os.getuid()}"


def cache_folder(path: Path) -> Path:
    """Where the compiled kernels of a source file are kept."""
    return home() / _state(path)


def njit(**options: Any) -> Callable[[Any], Any]:
    """Numba's `njit`, kept on disk by the state of all sources; `options` as for Numba."""

    def decorate(function: Any) -> Any:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(cache_folder(Path(function.__code__.co_filename).resolve()))
        try:
            return numba.njit(**{"cache": True, **options})(function)
        finally:
            config.CACHE_DIR = before

    return decorate


def kernel(**options: Any) -> Callable[[Any], Any]:
    """The same for a kernel that makes no arrays: references are not counted."""
    return njit(_nrt=False, **options)
