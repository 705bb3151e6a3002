"""Sweeps: a TOML file that says which runs to do.

    scenario = "flash_crash"            a name, or the path of a .py file
    seeds = {first = 1, count = 4}      replicates of every point, or a list of seeds
    constraints = ["a.b < c"]           points that break one are left out
    limit_seconds = 60                  a run that takes longer is a failed row
    steps = 600                         instead of the scenario's own number
    path = "prices.csv"                 a price history, relative to this file
    show = ["venue.volume"]             metrics of the summary table
    [set]                               parameters for all runs     "a.b" = value
    [grid]                              every combination           "a.b" = [values]
    [[runs]]                            or: one point each          "a.b" = value
    [design]                            or: kind, samples, seed, ranges (see `runner.sampling`)
    [figure]                            x, y, by: what OUT/figure.png shows

The runs are all points times all seeds, points first. All points share the seeds (common random
numbers: differences between points are then less noisy than the points themselves), unless
`seeds = {count = 4, independent = true}` gives each point seeds of its own, a hash of point and
number. Everything is checked before the first step, each point by building its scenario; errors
name the field.
"""

import difflib
import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from markets.errors import ConfigError
from markets.params import Params
from runner.constraints import kept
from runner.provenance import short_hash
from runner.sampling import Sampling, sample
from runner.schemas import kind_of
from runner.spec import Request, RunSpec, load_scenario, plan_runs

Point = dict[str, Any]
MOST_RUNS = 1_000_000
"""A plan is held in memory; more is a slip of the keyboard."""
SWEEP_FILE = "sweep.toml"
"""Where a result folder keeps a copy of the file it comes from."""


class FigureChoice(Params):
    """Columns of the sweep's figure: parameters `x` and `by`, metric `y`."""

    x: str | None = None
    y: str | None = None
    by: str | None = None


class SeedRange(Params):
    """Seeds that follow each other, the same for all points unless `independent`."""

    first: int = Field(0, ge=0)
    count: int = Field(ge=1, le=MOST_RUNS)
    independent: bool = False


class SweepFile(Params):
    """The file as it is written; the doc of the module says what the fields mean."""

    scenario: str
    seeds: Any = (0,)
    constraints: tuple[str, ...] = ()
    limit_seconds: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    path: str | None = None
    show: tuple[str, ...] = ()
    set: Point = Field(default_factory=dict)
    grid: dict[str, Any] = Field(default_factory=dict)
    runs: tuple[Point, ...] = ()
    design: Sampling | None = None
    figure: FigureChoice = FigureChoice()


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, each once, and how to show them. `kinds` maps varied paths to kinds.

    `left_out` is the number of points that break a constraint, `text` the file as it was read.
    """

    name: str
    specs: tuple[RunSpec, ...]
    kinds: Mapping[str, str]
    show: tuple[str, ...]
    figure: FigureChoice
    limit_seconds: float | None = None
    left_out: int = 0
    text: str = ""


def read_sweep(file: Path) -> Plan:
    """The plan of a sweep file; raises ConfigError naming the field."""
    plan = plan_sweep(_text(file), file)
    if len(plan.specs) == 1 and not plan.kinds:
        raise ConfigError("grid", "nothing to sweep: give grid, runs, design or several seeds")
    return plan


def plan_sweep(text: str, file: Path) -> Plan:
    """The plan of what a sweep file says; `file` gives its name and what paths are relative to."""
    sweep = parse_sweep(text, str(file))
    points = list(sweep_points(sweep))
    fixed = flatten(sweep.set)
    varied = tuple(dict.fromkeys(path for point in points for path in point))
    for path in fixed:
        if path in varied:
            raise ConfigError(f"set.{path}", "is varied as well; give it in one place")
    _check_figure(sweep.figure, varied)
    scenario = _scenario(sweep.scenario, file)
    good = _allowed(sweep, scenario, points, fixed)
    runs = _runs(sweep, Request(scenario, fixed, sweep.steps, _history(sweep, file)), good, varied)
    kinds = {path: kind_of([spec.varied[path] for spec in runs]) for path in varied}
    return Plan(
        file.stem,
        runs,
        kinds,
        sweep.show,
        sweep.figure,
        sweep.limit_seconds,
        len(points) - len(good),
        text,
    )


def _history(sweep: SweepFile, file: Path) -> Path | None:
    return None if sweep.path is None else file.parent / sweep.path


def _allowed(sweep: SweepFile, scenario: str, points: list[Point], fixed: Point) -> list[Point]:
    """The points that keep the constraints."""
    if not sweep.constraints:
        return points
    if sweep.design is not None and sweep.design.kind == "saltelli":
        raise ConfigError("constraints", "cannot be combined with saltelli, which needs its points")
    defaults = flatten(load_scenario(scenario).params().model_dump(mode="json"))
    return kept(points, sweep.constraints, defaults | fixed)


def _runs(
    sweep: SweepFile, fixed: Request, points: Sequence[Point], varied: Sequence[str]
) -> tuple[RunSpec, ...]:
    """All points times all seeds, each run once."""
    seeds = _seeds(sweep.seeds)
    _check_runs("seeds", len(points) * len(seeds))
    independent = isinstance(sweep.seeds, Mapping) and sweep.seeds.get("independent", False)
    specs: dict[str, RunSpec] = {}
    for point in points:
        request = replace(fixed, overrides={**fixed.overrides, **point})
        own = [_own_seed(point, seed) for seed in seeds] if independent else seeds
        specs |= {spec.run_id: spec for spec in plan_runs(request, own, varied)}
    return tuple(specs.values())


def _own_seed(point: Point, number: int) -> int:
    """A seed that no other point has; it does not depend on the order of the points."""
    return int(short_hash([sorted(point.items()), number]), 16) >> 1


def flatten(values: Mapping[str, Any], prefix: str = "") -> Point:
    """Nested tables as dotted paths: `[set.maker] size = 1` is `"maker.size" = 1`."""
    flat: Point = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("file", f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError("file", f"{file} is not TOML: {error}") from None


def parse_sweep(text: str, name: str) -> SweepFile:
    """The fields of a sweep file; raises ConfigError naming the one that is wrong."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("file", f"{name} is not TOML: {error}") from None
    known = list(SweepFile.model_fields)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(key, f"no such key in a sweep; {hint}")
    return SweepFile.read(values)


def _seeds(given: Any) -> list[int]:
    if isinstance(given, Mapping):
        wanted = SeedRange.read(given, "seeds")
        return list(range(wanted.first, wanted.first + wanted.count))
    if not isinstance(given, list | tuple) or not given:
        raise ConfigError("seeds", "must be a list of whole numbers, or {first = 0, count = 4}")
    if len(set(map(repr, given))) < len(given):
        raise ConfigError("seeds", "must not repeat")
    return list(given)


def _check_figure(figure: FigureChoice, varied: Sequence[str]) -> None:
    for name, path in (("x", figure.x), ("by", figure.by)):
        if path is not None and path not in varied:
            raise ConfigError(f"figure.{name}", f"{path!r} is not varied: {', '.join(varied)}")


def sweep_points(sweep: SweepFile) -> Iterator[Point]:
    """The points of the one design that is given; one empty point if none is."""
    given = [name for name in ("grid", "runs", "design") if getattr(sweep, name)]
    if len(given) > 1:
        raise ConfigError(given[1], f"cannot be combined with {given[0]}")
    if sweep.design is not None:
        _check_runs("design.samples", sweep.design.samples)
        return iter(sample(sweep.design))
    if sweep.runs:
        return map(flatten, sweep.runs)
    return _combinations(flatten(sweep.grid))


def _check_runs(name: str, count: int) -> None:
    if count > MOST_RUNS:
        raise ConfigError(name, f"makes {count:,} runs, more than {MOST_RUNS:,}")


def _combinations(axes: Mapping[str, Sequence[Any]]) -> Iterator[Point]:
    for path, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"grid.{path}", f"must be a list with a value or more, got {values}")
    _check_runs("grid", math.prod(len(values) for values in axes.values()))
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _scenario(name: str, file: Path) -> str:
    """A scenario file is meant relative to the sweep file."""
    return str((file.parent / name).resolve()) if name.endswith(".py") else name
