"""The command line: what can be asked, and the exit status of every answer.

    0    done
    1    a verdict or a run failed
    2    bad input: one or two lines on stderr name the field and what is allowed
    130  interrupted (143 when terminated); what was finished is kept, nothing is half-written

Heavy libraries are imported inside the commands, so that help answers at once. Human text goes to
stderr; `--json` prints one document on stdout and nothing else. Typer's own usage errors are
reported in the same two lines.
"""

from pathlib import Path
from typing import Annotated

import typer

from runner.console import say
from runner.guard import PACKAGES, shadowed

app = typer.Typer(
    name="fathom",
    help="Agent-based simulation of crypto markets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LARGEST = 2**63 - 1
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST, help="Seed of all random streams.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=V", help="Set a parameter; TOML value, repeatable."),
]

Metrics = Annotated[
    list[str] | None, typer.Option("--metric", metavar="NAME", help="Of these only; repeatable.")
]


@app.command("list")
def list_(
    scenario: Annotated[
        str | None, typer.Argument(help="Of this one: every parameter, default and meaning.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Scenarios, reproductions, agents and venues, with one line each."""
    from runner.listing import list_everything
    from runner.parameters import list_parameters

    return list_parameters(scenario, as_json) if scenario else list_everything(as_json)


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A name from `fathom list`, or a .py file.")],
    overrides: Sets = None,
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, max=LARGEST, help="Instead of the scenario's own number.")
    ] = None,
    path: Annotated[
        Path | None, typer.Option(help="Price history to replay, CSV or Parquet.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Result folder, or a URI; results/runs/SCENARIO if none is named."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Run one scenario once and write its tables."""
    from runner.overrides import parse_overrides
    from runner.single import run_once
    from runner.spec import Request

    request = Request(scenario, parse_overrides(overrides or []), steps, path)
    return run_once(request, seed, out, as_json)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep, as TOML.")],
    out: Annotated[
        str | None, typer.Option(help="Result folder, or a URI; results/FILE if none is named.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes; 0: in this process.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, or auto; local: Ray on this machine.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print plan and time, write nothing.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove earlier results first.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do runs again that failed earlier.")
    ] = False,
) -> int:
    """Run a whole design on all cores; resumes where it stopped."""
    from runner.memory import save_memory

    save_memory()
    from runner.sweep import Options, run_sweep

    how = {"dry_run": dry_run, "fresh": fresh, "retry_failed": retry_failed}
    return run_sweep(file, out, Options(workers, address, **how))


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="All of them if none is named.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Runs a figure, instead of each one's own number.")
    ] = None,
    seed: Seed = 0,
    out: Annotated[str | None, typer.Option(help="Folder for the table, as Parquet.")] = None,
    as_json: Json = False,
) -> int:
    """Published results against ours: quantity, published, tolerance, got, verdict."""
    from runner.reproduce import reproduce_all

    return reproduce_all(names or [], runs, seed, out, as_json)


@app.command()
def show(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A result folder, or a URI.")],
    as_json: Json = False,
) -> int:
    """What a result folder holds; failures with their reasons."""
    from runner.show import show_folder

    return show_folder(folder, as_json)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A result folder.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The one held against it.")],
    metrics: Metrics = None,
    as_json: Json = False,
) -> int:
    """Paired differences between two result folders, with confidence intervals."""
    from runner.comparison import compare_folders

    return compare_folders(a, b, metrics or [], as_json)


@app.command()
def analyse(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The result folder of a sweep.")],
    metrics: Metrics = None,
    as_json: Json = False,
) -> int:
    """Means by parameter, convergence in seeds, Sobol indices of a finished sweep."""
    from runner.analysis import analyse_folder

    return analyse_folder(folder, metrics or [], as_json)


@app.command()
def conformance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Vector files, JSON.")],
    as_json: Json = False,
) -> int:
    """Run reference vectors through our mechanisms; worst error per file."""
    from runner.conformance import check_files

    return check_files(files, as_json)


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="All of them if none is named.")
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Side by side with other tools.")] = False,
    as_json: Json = False,
) -> int:
    """Speed, side by side with peers when they are installed."""
    from runner.bench import bench_all

    return bench_all(names or [], peers, as_json)


def status(arguments: list[str]) -> int:
    """Do what is asked and return the exit status."""
    trouble = shadowed()
    if trouble is not None:
        return _refuse(trouble)
    from markets.errors import ConfigError, FathomError

    try:
        code = app(arguments or ["--help"], prog_name="fathom", standalone_mode=False)
    except typer.TyperException as error:
        return _refuse(error.format_message())
    except ConfigError as error:
        return _refuse(str(error))
    except (FathomError, OSError) as error:
        say(f"fathom: {_line(str(error))}")
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in (*PACKAGES, "runner"):
            raise
        say(f"fathom: the source has gone while it was at work: no module {error.name} any more")
        return 1
    except KeyboardInterrupt:
        code = 130
    if code == 130:
        say("fathom: interrupted")
    return int(code or 0)


def _refuse(problem: str) -> int:
    say(f"fathom: {_line(problem)}")
    return 2


def _line(text: str) -> str:
    return " ".join(text.split())
