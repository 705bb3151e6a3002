"""A scenario: which venues, agents and processes, and how many steps of which length.

A scenario is a module with a class `Params` and a function `build(params)` that returns a fresh
`Scenario`; one that can replay a price history takes `history` as well, and one with metrics of its
own has `summarise(world, tables)`. The first line of its docstring describes it. Modules in
`experiments/scenarios/` are found by name, any other file by its path. Agents are listed, not
made: the world makes them in the order of their names, so that the order of the list means nothing.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from agents.trader import Trader
from experiments import scenarios
from experiments.paths import History, Process
from experiments.tables import TABLES
from markets.domain import Domain
from markets.errors import ConfigError
from markets.params import Params
from markets.venue import Venue

MOST_STEPS = 20_000_000


@dataclass(frozen=True)
class AgentSpec:
    """An agent to be made: its unique name, its class and its parameters."""

    name: str
    kind: type[Trader]
    params: Trader.Params


@dataclass(frozen=True)
class Scenario:
    """Everything that a world is made of.

    `account_steps` is the thinning of `accounts`; `record` are the tables that a run keeps.
    """

    domains: Sequence[Domain]
    venues: Sequence[Venue]
    agents: Sequence[AgentSpec]
    processes: Sequence[Process]
    steps: int
    step_seconds: float
    account_steps: int = 60
    record: tuple[str, ...] = tuple(TABLES)

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MOST_STEPS:
            raise ConfigError("steps", f"must be 1 to {MOST_STEPS:,}, got {self.steps:,}")
        if not self.step_seconds > 0:
            raise ConfigError("step_seconds", f"must be above 0, got {self.step_seconds}")


@dataclass(frozen=True)
class ScenarioModule:
    """A scenario as found: `name`, one line of description, its `Params` and its `build`."""

    name: str
    description: str
    module: ModuleType

    @property
    def params(self) -> type[Params]:
        """The class of the scenario's parameters."""
        params: type[Params] = self.module.Params
        return params

    def build(self, params: Params, history: History | None = None) -> Scenario:
        """A fresh scenario, on a given price history if the scenario can replay one."""
        if history is None:
            scenario: Scenario = self.module.build(params)
        elif "history" in inspect.signature(self.module.build).parameters:
            scenario = self.module.build(params, history=history)
        else:
            raise ConfigError("path", f"scenario {self.name} does not replay price histories")
        return scenario


def scenario_names() -> list[str]:
    """The built-in scenarios."""
    return sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))


def find_scenario(name: str) -> ScenarioModule:
    """A built-in scenario by name, or a file by its path; raises ConfigError if there is none."""
    if name in scenario_names():
        return _described(name, importlib.import_module(f"{scenarios.__name__}.{name}"))
    if not name.endswith(".py"):
        known = ", ".join(scenario_names())
        raise ConfigError("scenario", f"no scenario {name!r}; known: {known}, or a path to a .py")
    path = Path(name)
    if not path.is_file():
        raise ConfigError("scenario", f"no file {name}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError("scenario", f"cannot load {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return _described(path.stem, module)


def _described(name: str, module: ModuleType) -> ScenarioModule:
    for needed in ("Params", "build"):
        if not hasattr(module, needed):
            raise ConfigError("scenario", f"{name} has no {needed}")
    if not (isinstance(module.Params, type) and issubclass(module.Params, Params)):
        raise ConfigError("scenario", f"{name}: Params is no subclass of markets.params.Params")
    if not callable(module.build):
        raise ConfigError("scenario", f"{name}: build is not a function")
    description = (module.__doc__ or "").strip().partition("\n")[0]
    return ScenarioModule(name, description, module)
