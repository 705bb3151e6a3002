"""One run, from a scenario and its parameters to tables and metrics: what every launcher calls."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from experiments.metrics import summarise
from experiments.paths import History
from experiments.scenario import ScenarioModule
from experiments.tables import Columns
from experiments.world import World
from markets.errors import ConfigError
from markets.params import Params


@dataclass(frozen=True)
class Outcome:
    """A finished run: what it was, its tables (see `experiments.tables`) and its metrics."""

    scenario: str
    params: dict[str, Any]
    seed: int
    steps: int
    tables: dict[str, Columns]
    metrics: dict[str, float]


def resolve(scenario: ScenarioModule, overrides: Mapping[str, Any]) -> Params:
    """The scenario's parameters with some replaced by dotted path.

    Raises ConfigError naming the path where it does not exist or the value is refused.
    """
    values = scenario.params().model_dump()
    for path, value in overrides.items():
        _require_field(scenario.params, path)
        if isinstance(value, (bool, str)) and _kind(scenario.params, path) in (int, float):
            raise ConfigError(path, f"must be a number, got {value!r}")
        *parents, last = path.split(".")
        place = values
        for parent in parents:
            place = place[parent]
        place[last] = value
    return scenario.params.read(values)


def parameter_paths(params: type[Params], prefix: str = "") -> list[str]:
    """Every dotted path that can be set, in the order of the fields."""
    paths = []
    for name, field in params.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Params):
            paths += parameter_paths(kind, f"{prefix}{name}.")
        else:
            paths.append(prefix + name)
    return paths


def _kind(params: Any, path: str) -> Any:
    """The annotation of the field at a dotted path, which exists."""
    first, _, rest = path.partition(".")
    kind = params.model_fields[first].annotation
    return _kind(kind, rest) if rest else kind


def _require_field(params: type[Params], path: str) -> None:
    known = parameter_paths(params)
    if path not in known:
        near = difflib.get_close_matches(path, known, 1)
        hint = f"did you mean {near[0]}?" if near else "`fathom list SCENARIO` shows all there are"
        raise ConfigError(path, f"no such parameter; {hint}")


def simulate(
    scenario: ScenarioModule,
    params: Params,
    seed: int,
    steps: int | None = None,
    history: History | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run a scenario to its end.

    `steps` replaces the scenario's own number; a `history` replaces its reference price and, unless
    `steps` says otherwise, sets the length of the run. `on_step(done, of)` is called after each
    step. The same arguments give the same tables, byte for byte.
    """
    if seed < 0:
        raise ConfigError("seed", f"must not be negative, got {seed}")
    built = scenario.build(params, history)
    if steps is not None:
        built = replace(built, steps=steps)
    world = World(built, seed, built.record)
    endowed = world.holdings()
    for done in range(1, built.steps + 1):
        world.step()
        if on_step is not None:
            on_step(done, built.steps)
    tables = world.recorder.tables()
    metrics = summarise(world, tables, endowed)
    if hasattr(scenario.module, "summarise"):
        metrics |= scenario.module.summarise(world, tables)
    return Outcome(scenario.name, params.model_dump(), seed, built.steps, tables, metrics)
