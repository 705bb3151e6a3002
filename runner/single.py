"""`fathom run`: one scenario, once, into one part.

The same command gives the same bytes in every table but `runs`, which also notes when it ran and
for how long. Runs of one folder are told apart by their id; doing a run again replaces its part.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from markets.errors import ConfigError
from runner import store
from runner.console import answer, console, figure_text, say, tell_of_compiling
from runner.execution import Done, OnStep, Target, perform, write
from runner.folder import Folder
from runner.schemas import kind_of
from runner.spec import Request, RunSpec, plan_run


def run_once(request: Request, seed: int, out: str | Path | None, as_json: bool) -> int:
    """Do it, write it, say it; 0 if it ended well, 1 if it failed."""
    tell_of_compiling()
    spec = plan_run(request, seed)
    place = out or Path("results") / "runs" / Path(spec.scenario).stem
    folder = Folder(place)
    folder.prepare()
    with _progress(spec) as on_step:
        done = perform(spec, on_step)
    if isinstance(done.cause, ConfigError):
        raise done.cause
    kinds = {path: kind_of([value]) for path, value in spec.varied.items()}
    target = Target(folder.uri, kinds, generation=store.next_generation(folder))
    write([done], target)
    _report(done, str(place))
    if as_json:
        answer(_document(done, str(place)))
    return 0 if done.ok else 1


def _document(done: Done, place: str) -> dict[str, object]:
    return {
        "run_id": done.spec.run_id,
        "scenario": done.spec.scenario,
        "seed": done.spec.seed,
        "steps": done.spec.steps,
        "status": "ok" if done.ok else "failed",
        "error": done.error,
        "params": dict(done.spec.params),
        "metrics": {name: float(value) for name, value in done.metrics.items()},
        "wall_seconds": done.wall_seconds,
        "out": place,
    }


def _report(done: Done, place: str) -> None:
    spec = done.spec
    if not done.ok:
        say(done.trace.rstrip())
        say(f"failed: {spec.scenario} seed {spec.seed}: {done.error}")
        return
    from rich.table import Table

    table = Table(
        "metric", title=f"{Path(spec.scenario).stem}, seed {spec.seed}, {spec.steps:,} steps"
    )
    table.add_column("value", justify="right")
    for name, value in done.metrics.items():
        table.add_row(name, figure_text(float(value)))
    console().print(table)
    say(f"run {spec.run_id} took {done.wall_seconds:.2f} s; tables in {place}")


@contextmanager
def _progress(spec: RunSpec) -> Iterator[OnStep | None]:
    """A bar on a terminal, nothing elsewhere."""
    screen = console()
    if not screen.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(Path(spec.scenario).stem, total=spec.steps)

        def on_step(done: int, of: int) -> None:
            if done == of or done % 64 == 0:
                progress.update(task, completed=done, total=of)

        yield on_step
