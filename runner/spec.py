"""A run to be done: scenario, overrides, seed, steps, price history, and its id.

    run_id = first 16 hex digits of SHA-256(scenario, resolved parameters, seed, steps,
             history, code version)

in canonical JSON (sorted keys). Two runs with one id give the same tables, so resuming a sweep and
dropping duplicates are set differences. Parameters are resolved (defaults filled in, types applied)
before hashing: spelling a default out changes nothing. A scenario in a user's file and a history
enter by the hash of their bytes. A spec is plain values and travels to any worker.
"""

import functools
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.paths import History
from experiments.scenario import ScenarioModule, find_scenario
from experiments.simulate import resolve
from markets.errors import ConfigError, FathomError
from markets.params import Params
from runner.history import read_history
from runner.overrides import write_value
from runner.provenance import provenance, short_hash

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What to run. `steps` is never None after planning; `history` is an absolute path."""

    scenario: str
    overrides: Mapping[str, Any]
    seed: int
    steps: int
    history: str | None
    run_id: str
    params: Mapping[str, Any]
    varied: Mapping[str, Any] = field(default_factory=dict)

    @property
    def replay(self) -> str:
        """The command that does this run again."""
        parts = ["fathom", "run", self.scenario]
        for path, value in self.overrides.items():
            parts += ["--set", f"{path}={write_value(value)}"]
        parts += ["--seed", str(self.seed), "--steps", str(self.steps)]
        parts += ["--path", self.history] if self.history else []
        return shlex.join(parts)


@dataclass(frozen=True)
class Request:
    """What a user asked for, before it is checked."""

    scenario: str
    overrides: Mapping[str, Any]
    steps: int | None = None
    history: Path | None = None


def plan_run(request: Request, seed: int = 0) -> RunSpec:
    """One run; see `plan_runs`."""
    return plan_runs(request, [seed], tuple(request.overrides))[0]


def plan_runs(request: Request, seeds: Sequence[int], varied: Sequence[str]) -> list[RunSpec]:
    """One run for each seed; raises ConfigError naming what cannot be.

    The request is checked down to the scenario's own rules, by building it once. `varied` are the
    paths whose values get a column of their own.
    """
    for seed in seeds:
        _check_number("seed", seed, 0)
    if request.steps is not None:
        _check_number("steps", request.steps, 1)
    module = load_scenario(request.scenario)
    params = resolve(module, request.overrides)
    length = _length(module, params, request)
    name = scenario_name(request.scenario)
    path = None if request.history is None else str(request.history.resolve())
    values = params.model_dump(mode="json")
    columns = {each: value_at(values, each) for each in varied}
    overrides = dict(request.overrides)
    source = [_scenario_identity(name), path and file_hash(path), provenance().code_version]
    return [
        RunSpec(
            scenario=name,
            overrides=overrides,
            seed=seed,
            steps=length,
            history=path,
            run_id=short_hash([*source, values, seed, length]),
            params=values,
            varied=columns,
        )
        for seed in seeds
    ]


def _length(module: ScenarioModule, params: Params, request: Request) -> int:
    """Steps of the run, from the scenario as built, which meets its own checks on the way."""
    history = None if request.history is None else load_history(request.history)
    try:
        steps = module.build(params, history).steps
    except FathomError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError("scenario", f"{module.name} cannot be built: {reason}") from error
    return steps if request.steps is None else request.steps


def scenario_name(name: str) -> str:
    """A built-in name as it is, a file as its absolute path."""
    return str(Path(name).resolve()) if name.endswith(".py") else name


def load_scenario(name: str) -> ScenarioModule:
    """The scenario, imported once in a process, or again when its file has changed.

    A file that cannot be imported is a ConfigError, not a traceback.
    """
    return _load_scenario(scenario_name(name), _changed(name) if name.endswith(".py") else 0)


@functools.lru_cache(maxsize=64)
def _load_scenario(name: str, changed: int) -> ScenarioModule:
    try:
        return find_scenario(name)
    except FathomError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError("scenario", f"{name} cannot be imported: {reason}") from error


def load_history(path: Path) -> History:
    """The price history, read once in a process, or again when the file has changed."""
    return _load_history(path.resolve(), _changed(path))


@functools.lru_cache(maxsize=8)
def _load_history(path: Path, changed: int) -> History:
    return read_history(path)


def _changed(path: str | Path) -> int:
    """When a file was changed last; 0 if there is none, which its reader will say better."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path."""
    found: Any = values
    for step in path.split("."):
        found = found[step]
    return found


def _scenario_identity(name: str) -> list[str]:
    return [Path(name).stem, file_hash(name)] if name.endswith(".py") else [name]


def files_of(spec: RunSpec) -> dict[str, str]:
    """The files of the user that a run reads, with their hashes."""
    scenario = spec.scenario if spec.scenario.endswith(".py") else None
    return {path: file_hash(path) for path in (scenario, spec.history) if path is not None}


def file_hash(path: str) -> str:
    """Of the content as it is now; empty if there is none."""
    changed = _changed(path)
    return _hash_of_file(path, changed) if changed else ""


@functools.lru_cache(maxsize=64)
def _hash_of_file(path: str, changed: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _check_number(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST_SEED:
        raise ConfigError(
            name, f"must be a whole number from {least} to {LARGEST_SEED}, got {value!r}"
        )
