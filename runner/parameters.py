"""`fathom list SCENARIO`: every parameter that `--set` and sweeps can change.

Each with the path that names it, its default in the form that `--set` reads, and its meaning: the
text below the field in its class, which is read from the source, parents included.
"""

import ast
import inspect
import textwrap
from typing import Any

from experiments.scenario import ScenarioModule, find_scenario
from experiments.simulate import parameter_paths
from markets.params import Params
from runner.console import answer, console, say
from runner.overrides import write_value


def list_parameters(name: str, as_json: bool) -> int:
    """Print those of one scenario; always 0. Raises ConfigError where there is no such scenario."""
    scenario = find_scenario(name)
    found = describe(scenario)
    if as_json:
        answer({"scenario": name, "description": scenario.description, "parameters": found})
        return 0
    from rich.table import Table

    table = Table("path", "default", "meaning", box=None, title=scenario.description)
    for path, entry in found.items():
        table.add_row(path, write_value(entry["default"]), entry["meaning"])
    console().print(table)
    say(f"set one with: fathom run {name} --set PATH=VALUE")
    return 0


def describe(scenario: ScenarioModule) -> dict[str, dict[str, Any]]:
    """Path to `default` and `meaning` of every parameter, in the order of the fields."""
    defaults = scenario.params().model_dump(mode="json")
    return {
        path: {"default": _at(defaults, path), "meaning": _meaning(scenario.params, path)}
        for path in parameter_paths(scenario.params)
    }


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def _meaning(params: type[Params], path: str) -> str:
    """The text below a field; of a nested one where its own class declares it."""
    first, _, rest = path.partition(".")
    if rest:
        kind: Any = params.model_fields[first].annotation
        return _meaning(kind, rest)
    for kind in params.__mro__:
        if first in inspect.get_annotations(kind):
            return meanings(kind).get(first, "")
    return ""


def meanings(kind: type) -> dict[str, str]:
    """The string under each annotated field of a class, on one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    texts = {}
    for place, field in enumerate(body[:-1]):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match body[place + 1]:
                case ast.Expr(ast.Constant(text)):
                    texts[field.target.id] = " ".join(str(text).split())
    return texts
