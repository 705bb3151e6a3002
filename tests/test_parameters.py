"""Every parameter says what it means, in the one place where `fathom list` reads it."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest

import agents
import markets
from experiments import scenarios
from experiments.scenario import find_scenario, scenario_names
from markets.params import Params
from runner.parameters import describe, meanings

LONGEST = 200
"""Characters of a meaning: a cell of a table, not a chapter."""


def parameter_sets(kind: type[Params]) -> Iterator[type[Params]]:
    for each in kind.__subclasses__():
        yield each
        yield from parameter_sets(each)


@pytest.mark.parametrize("name", scenario_names())
def test_every_parameter_of_a_scenario_has_a_meaning(name: str) -> None:
    found = describe(find_scenario(name))
    assert found
    assert [path for path, entry in found.items() if not entry["meaning"]] == []
    assert [path for path, entry in found.items() if len(entry["meaning"]) > LONGEST] == []


def test_so_has_every_parameter_of_agents_and_venues_that_no_scenario_uses() -> None:
    for package in (agents, markets, scenarios):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    ours = ("agents.", "markets.", "experiments.scenarios.")
    sets = {kind for kind in parameter_sets(Params) if kind.__module__.startswith(ours)}
    assert len(sets) > 60
    without = []
    for kind in sets:
        texts = meanings(kind)
        for field, type_ in inspect.get_annotations(kind).items():
            nested = isinstance(type_, type) and issubclass(type_, Params)
            if field in kind.model_fields and not nested and not texts.get(field):
                without.append(f"{kind.__module__}.{kind.__qualname__}.{field}")
    assert without == []
