"""`fathom list`: scenarios, reproductions, agents and venues, each with one line.

Scenarios and reproductions are files: their first line is read without importing them. Agents and
venues are classes with nested `Params`, found by walking their packages; there is no registry.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import agents
import markets
from agents.trader import Cohort, Trader
from experiments import published, scenarios
from experiments.reproduction import reproduction_names
from experiments.scenario import scenario_names
from markets.venue import Venue
from runner.console import answer, console, say


def list_everything(as_json: bool) -> int:
    """Print it; always 0."""
    found = {
        "scenarios": _first_lines(scenarios, scenario_names()),
        "reproductions": _first_lines(published, reproduction_names()),
        "agents": dict(_classes(agents, _is_agent)),
        "venues": dict(_classes(markets, _is_venue)),
    }
    if as_json:
        answer(found)
        return 0
    from rich.table import Table

    for group, lines in found.items():
        table = Table("name", "", box=None, show_header=False, title=group, title_justify="left")
        for name, line in lines.items():
            table.add_row(name, line)
        console().print(table)
    say("a scenario's parameters: fathom list NAME; run it: fathom run NAME")
    say("a reproduction: fathom reproduce NAME")
    return 0


def first_line(text: str | None) -> str:
    """The first line of a docstring."""
    return (text or "").strip().partition("\n")[0]


def _first_lines(package: ModuleType, names: list[str]) -> dict[str, str]:
    folder = Path(next(iter(package.__path__)))
    return {name: first_line(_docstring(folder, name)) for name in names}


def _docstring(folder: Path, name: str) -> str | None:
    file = folder / f"{name}.py"
    source = file if file.exists() else folder / name / "__init__.py"
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))


def _classes(package: ModuleType, wanted: Callable[[type], bool]) -> Iterator[tuple[str, str]]:
    for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(each.name)
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == each.name and not name.startswith("_") and wanted(kind):
                yield f"{each.name}.{name}", first_line(kind.__doc__)


def _is_agent(kind: type) -> bool:
    abstract = kind in (Trader, Cohort) or inspect.isabstract(kind)
    return issubclass(kind, Trader) and not abstract


def _is_venue(kind: type) -> bool:
    return issubclass(kind, Venue) and not inspect.isabstract(kind)
