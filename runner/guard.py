"""Start-up guard: our four packages have plain names, another distribution may shadow them.

`agents`, `markets` and `experiments` must come from the folder that `runner` comes from. If one
does not, an installed distribution or a folder on the path got in front; importing it would fail
later with a puzzling message, so the command stops first and names the culprit. Nothing is
imported: the import system is only asked where it would look.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

from runner import __file__ as runner_file

PACKAGES = ("markets", "agents", "experiments")


def shadowed() -> str | None:
    """What is wrong, in one line, or None."""
    home = Path(runner_file).resolve().parent.parent
    for package in PACKAGES:
        found = _folder(package)
        if found is None:
            return (
                f"{package}: not found beside {home / 'runner'}; install Fathom with `make install`"
            )
        if found != home / package:
            culprit = _distribution(package, found)
            return (
                f"{package}: {found} shadows {home / package}; it comes from {culprit}. "
                "Fathom needs an environment of its own: make install"
            )
    return None


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None


def _distribution(package: str, found: Path) -> str:
    """The installed distribution that owns the folder, as name and version."""
    for name in importlib.metadata.packages_distributions().get(package, []):
        distribution = importlib.metadata.distribution(name)
        files = distribution.files or []
        if any(found in Path(str(file.locate())).resolve().parents for file in files):
            return f"the distribution {name} {distribution.version}"
    return f"the folder {found.parent}, which is no installed distribution"
