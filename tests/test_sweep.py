"""Sweeps: a failing run, resume, SIGKILL, interrupts, and Ray with a worker that dies."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from ray import exceptions as ray_exceptions

import runner
from experiments.tables import TABLES
from markets.errors import ConfigError
from runner import child, cli, cluster, console, engine, schemas, store
from runner.cluster import Crew, break_even_seconds
from runner.design import read_sweep
from runner.dispatch import Dispatcher
from runner.execution import OtherCode, Target, execute_chunk, perform
from runner.interrupt import Terminated
from runner.progress import SweepProgress
from runner.provenance import provenance
from runner.spec import RunSpec
from runner.sweep import Options, _estimate
from tests.processes import LOCAL_RAY, descendants, on_ray

TINY = str(Path(__file__).with_name("tiny_market.py"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study(text, name="study.toml"):
    Path(name).write_text(f"scenario = {TINY!r}\n{text}")
    return name


def command(*arguments):
    return [sys.executable, "-m", "runner", "sweep", *arguments]


def files(out):
    """Every file of a result folder with its time of change."""
    return {file: file.stat().st_mtime_ns for file in Path(out).rglob("part-*")}


def rows(out, table):
    """A table without the columns that say when."""
    frame = runner.load(out).table(table).to_pandas()
    return frame.drop(columns=list(schemas.VOLATILE), errors="ignore").astype(str)


def assert_same_results(one, other):
    for table in ("runs", *TABLES):
        assert rows(one, table).equals(rows(other, table)), table


GRID = "seeds = [1, 2, 3]\n[grid]\n'desk.fee' = [0.001, 0.01]\n"


def test_a_sweep_ends_in_tables_a_summary_and_a_figure(capsys):
    assert cli.status(["sweep", study(GRID), "--workers", "0", "--out", "out"]) == 0
    err = capsys.readouterr().err
    assert "6 ok, 0 failed" in err
    assert "±" in err
    assert len(runner.load("out").runs) == 6
    assert Path("out/figure.png").read_bytes().startswith(b"\x89PNG")
    assert not list(Path("out").rglob("*.tmp"))


def test_a_narrow_screen_gets_several_tables_and_loses_no_figure(capsys, monkeypatch):
    shown = ["desk.mid_low", "desk.mid_high", "desk.volume", "buyer.profit"]
    file = study(f"show = {shown}\n{GRID}")
    monkeypatch.setattr(console, "PLAIN_WIDTH", 50)
    cli.status(["sweep", file, "--workers", "0", "--out", "out"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line[:1] in "┏┃┡│└"]
    assert max(map(len, lines)) <= 50
    assert sum(line.count("±") for line in lines) == 2 * len(shown)
    assert "…" not in "".join(lines)


def test_resume_does_nothing_twice(capsys):
    file = study(GRID)
    cli.status(["sweep", file, "--workers", "0", "--out", "out"])
    before = files("out")
    capsys.readouterr()
    assert cli.status(["sweep", file, "--workers", "0", "--out", "out"]) == 0
    assert files("out") == before
    assert "6 done earlier, 0 to do" in capsys.readouterr().err


def test_a_larger_sweep_adds_what_is_new(capsys):
    cli.status(["sweep", study(GRID), "--workers", "0", "--out", "out"])
    before = files("out")
    file = study("seeds = [2, 3, 4]\n[grid]\n'desk.fee' = [0.001, 0.01]\n")
    assert cli.status(["sweep", file, "--workers", "0", "--out", "out"]) == 0
    assert "4 done earlier, 2 to do" in capsys.readouterr().err
    assert before.items() <= files("out").items()
    assert sorted(runner.load("out").runs["seed"]) == [1, 1, 2, 2, 3, 3, 4, 4]


def test_fresh_forgets_the_tables_and_keeps_what_is_not_ours(capsys):
    file = study(GRID)
    cli.status(["sweep", file, "--workers", "0", "--out", "out"])
    Path("out/notes.txt").write_text("mine")
    assert cli.status(["sweep", file, "--workers", "0", "--out", "out", "--fresh"]) == 0
    assert capsys.readouterr().err.count("6 to do") == 2
    assert Path("out/notes.txt").read_text() == "mine"


FAILING = "seeds = [1, 2]\n[grid]\n'buyer.fail' = [false, true]\n"


def test_a_failing_run_is_a_row_and_the_others_go_on(capsys):
    file = study(FAILING)
    assert cli.status(["sweep", file, "--workers", "0", "--out", "out"]) == 1
    assert "2 ok, 2 failed" in capsys.readouterr().err
    runs = runner.load("out").runs.set_index("p_buyer.fail")
    assert set(runs.loc[False, "status"]) == {"ok"}
    failed = runs.loc[True]
    assert set(failed["error"]) == {"RuntimeError: the buyer fell over"}
    assert all("tiny_market.py" in trace for trace in failed["traceback"])
    assert all("--set buyer.fail=true" in replay for replay in failed["replay"])
    assert set(runner.load("out").steps["p_buyer.fail"]) == {False}


def test_a_replay_command_fails_in_the_same_way(capsys):
    cli.status(["sweep", study(FAILING), "--workers", "0", "--out", "out"])
    runs = runner.load("out").runs
    replay = runs.loc[runs["status"] == "failed", "replay"].iloc[0].split()
    assert replay[0] == "fathom"
    assert cli.status(replay[1:]) == 1
    assert "the buyer fell over" in capsys.readouterr().err


def test_failed_runs_are_done_again_when_asked(capsys):
    file = study(FAILING)
    cli.status(["sweep", file, "--workers", "0", "--out", "out"])
    assert cli.status(["sweep", file, "--workers", "0", "--out", "out"]) == 1
    assert "4 done earlier, 0 to do" in capsys.readouterr().err
    retry = ["sweep", file, "--workers", "0", "--out", "out", "--retry-failed"]
    assert cli.status(retry) == 1
    assert "2 done earlier, 2 to do" in capsys.readouterr().err
    assert len(runner.load("out").runs) == 4


def test_dry_run_prints_the_plan_and_writes_nothing(capsys):
    file = study(GRID)
    assert cli.status(["sweep", file, "--dry-run", "--out", "out"]) == 0
    err = capsys.readouterr().err
    assert "6 runs, 6 to do (120 steps)" in err
    assert all(spec.run_id in err for spec in read_sweep(Path(file)).specs)
    assert sorted(each.name for each in Path().iterdir()) == [file]


def test_dry_run_says_how_long_it_takes_from_a_run_that_is_forgotten(capsys, monkeypatch):
    file = study("seeds = {count = 50}\n[set]\n'buyer.pause_seconds' = 0.05\n")
    for module in ("engine", "sweep"):
        monkeypatch.setattr(f"runner.{module}.cores", lambda: 4)
    assert cli.status(["sweep", file, "--dry-run", "--out", "out"]) == 0
    said = capsys.readouterr().err.splitlines()[-1]
    found = re.fullmatch(
        r"one run takes ([\d.]+) s, all of them about ([\d.]+) s in one process, "
        r"([\d.]+) s on 4 local Ray workers",
        said,
    )
    run, here, there = map(float, found.groups())
    assert 1.0 <= run <= here / 40
    assert there < here
    assert sorted(each.name for each in Path().iterdir()) == [file]


@pytest.mark.parametrize("seconds", [12.0, 1200.0])
def test_more_workers_than_cores_are_not_estimated_to_be_faster(seconds, monkeypatch):
    monkeypatch.setattr("runner.sweep.cores", lambda: 2)
    times = [
        float(re.search(r"process, ([\d.]+) s", _estimate(seconds, Options(workers)))[1])
        for workers in (2, 4)
    ]
    assert times[0] == times[1] < seconds


def test_away_from_a_terminal_each_run_is_a_line(capsys):
    cli.status(["sweep", study(FAILING), "--workers", "0", "--out", "out"])
    lines = [each for each in capsys.readouterr().err.splitlines() if re.match(r"\d+/4 ", each)]
    assert [line.split()[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert all(re.search(r"seed [12] buyer.fail=(True|False) .* MB", line) for line in lines)
    assert sum("failed (RuntimeError" in line for line in lines) == 2


def test_small_parts_are_merged_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr(engine, "COMMIT_RUNS", 1)
    assert cli.status(["sweep", study("seeds = {count = 16}"), "--out", "out"]) == 0
    assert "16 small parts merged" in capsys.readouterr().err
    assert len(files("out")) == 1 + len(TABLES)
    assert len(runner.load("out").runs) == 16


def test_a_folder_that_cannot_be_read_is_said_without_a_traceback(capsys):
    Path("out").mkdir()
    Path("out/runs").touch()
    assert cli.status(["sweep", study(GRID), "--workers", "0", "--out", "out"]) == 1
    err = capsys.readouterr().err
    assert "fathom: " in err
    assert "out/runs" in err


def test_no_worker_and_an_address_contradict_each_other(capsys):
    arguments = ["sweep", study(GRID), "--workers", "0", "--address", "local"]
    assert cli.status(arguments) == 2
    assert "workers: 0 is this process" in capsys.readouterr().err


def test_the_sweep_file_lies_beside_the_results():
    file = study(GRID)
    cli.status(["sweep", file, "--workers", "0", "--out", "out"])
    assert Path("out/sweep.toml").read_text() == Path(file).read_text()


def test_a_setting_that_the_world_refuses_stops_before_anything_is_written(capsys):
    source = Path(TINY).read_text().replace('AgentSpec("buyer"', 'AgentSpec("desk"')
    Path("clash.py").write_text(source)
    Path("clash.toml").write_text("scenario = 'clash.py'\nseeds = [1, 2]")
    assert cli.status(["sweep", "clash.toml", "--workers", "0", "--out", "out"]) == 2
    assert "agents: " in capsys.readouterr().err
    assert not files("out")


@pytest.fixture
def forks(monkeypatch):
    """How many children there have been; there are two cores and no Ray."""
    made: list[None] = []
    fork = child.Children._fork
    monkeypatch.setattr(child.Children, "_fork", lambda self: made.append(fork(self)))
    monkeypatch.setattr(engine, "cores", lambda: 2)
    monkeypatch.setattr(engine, "session", None)
    return made


@pytest.mark.parametrize("seeds", ["[1]", "[1, 2, 3]"])
def test_little_work_is_done_in_this_process_and_says_so(seeds, capsys, forks):
    file = study(GRID.replace("[1, 2, 3]", seeds).replace(", 0.01", ""))
    assert cli.status(["sweep", file, "--out", "out"]) == 0
    assert not forks
    assert "in this process, in children of it from 0.8 s on" in capsys.readouterr().err
    assert not Path("out", store.OWNER).exists()


def test_more_work_goes_on_in_children(capsys, forks, monkeypatch):
    monkeypatch.setattr(child, "peak_bytes", lambda: 77 << 20)
    file = study("seeds = {count = 6}\n[set]\n'buyer.pause_seconds' = 0.01\n")
    assert cli.status(["sweep", file, "--out", "out"]) == 0
    assert len(forks) == 2
    said = capsys.readouterr().err
    assert "in 2 children of this process, on Ray from 24 s on" in said
    assert " MB + 77 MB a worker\n" in said
    assert cli.status(["sweep", file, "--workers", "0", "--out", "here"]) == 0
    assert "a worker" not in capsys.readouterr().err
    assert_same_results("out", "here")


@pytest.mark.parametrize("text", ["limit_seconds = 60\n", "seeds = {count = 101}\nsteps = 1\n"])
def test_a_hang_or_the_first_of_many_runs_cannot_end_the_sweep(text, capsys, forks):
    file = study(text if "seeds" in text else f"{text}{GRID}")
    assert cli.status(["sweep", file, "--out", "out"]) == 0
    assert forks


@pytest.mark.parametrize(
    ("workers", "seconds", "place", "children"),
    [
        (0, 1e9, engine.Place.HERE, None),
        (1, 4.9, engine.Place.HERE, None),
        (1, 1e9, engine.Place.CHILDREN, 1),
        (8, 0.7, engine.Place.HERE, None),
        (8, 1.7, engine.Place.CHILDREN, 4),
        (8, 95.0, engine.Place.CHILDREN, 8),
        (8, 97.0, engine.Place.RAY, None),
    ],
)
def test_where_work_is_done_soonest(workers, seconds, place, children):
    found = engine.Engine(workers)
    assert found.best(seconds) is place
    assert children is None or found.children(seconds) == children


def test_one_worker_never_breaks_even_and_more_do_with_twice_the_start():
    assert break_even_seconds(1) == float("inf")
    for workers in (2, 4, 64):
        here = work = break_even_seconds(workers)
        assert cluster.START_SECONDS + work / workers < here
        assert 2 * cluster.START_SECONDS + work / workers <= here


def test_a_worker_with_other_code_refuses(tmp_path):
    specs = read_sweep(Path(study(GRID))).specs
    with pytest.raises(OtherCode, match="was planned with"):
        execute_chunk(specs, Target(str(tmp_path / "out"), {}, code_version="other"))
    assert not files("out")


@pytest.mark.parametrize("change", [lambda file: file.write_text("x"), Path.unlink])
def test_a_scenario_file_that_changes_meanwhile_ends_the_sweep_and_gives_no_row(
    change, capsys, monkeypatch
):
    mine = Path("mine.py")
    mine.write_text(Path(TINY).read_text())
    Path("study.toml").write_text(f"scenario = 'mine.py'\n{GRID}")

    def changed(spec, **how):
        done = perform(spec, **how)
        if spec.seed == 2:
            change(mine)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(engine, "perform", changed)
        assert cli.status(["sweep", "study.toml", "--workers", "0", "--out", "out"]) == 1
    assert "mine.py is " in (said := capsys.readouterr().err)
    assert "but the sweep was planned with" in said
    assert set(store.committed("out").values()) == {"ok"}
    mine.write_text(Path(TINY).read_text())
    assert cli.status(["sweep", "study.toml", "--workers", "0", "--out", "out"]) == 0
    assert len(runner.load("out").runs) == 6


def test_a_source_that_vanishes_is_said_without_a_traceback(capsys, monkeypatch):
    def gone(reference):
        raise ray_exceptions.RayTaskError.__new__(ray_exceptions.RayTaskError)

    ray = FakeRay(set())
    cause = ModuleNotFoundError("No module named 'runner.spec'", name="runner.spec")
    monkeypatch.setattr(ray_exceptions.RayTaskError, "cause", cause, raising=False)
    ray.get = gone
    with pytest.raises(ModuleNotFoundError):
        dispatch(ray)
    monkeypatch.setattr("runner.dispatch.code_version", lambda home: "")
    with pytest.raises(OtherCode, match="is gone, but the sweep was planned with"):
        dispatch(ray)


def test_a_module_of_ours_that_is_gone_is_said_without_a_traceback(capsys, monkeypatch):
    def gone(name):
        def refuse(*given):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return refuse

    monkeypatch.setattr("runner.sweep.run_sweep", gone("runner.figures"))
    assert cli.status(["sweep", "study.toml"]) == 1
    assert "no module runner.figures any more" in capsys.readouterr().err
    monkeypatch.setattr("runner.sweep.run_sweep", gone("numpy"))
    with pytest.raises(ModuleNotFoundError):
        cli.status(["sweep", "study.toml"])


def test_a_sweep_whose_folder_another_takes_over_stops_and_leaves_it_alone(capsys, monkeypatch):
    file = study(GRID)
    theirs = Path("out/steps/.part-theirs.tmp")

    def taken(spec, **how):
        done = perform(spec, **how)
        store.claim(Path("out"), "theirs")
        theirs.parent.mkdir(exist_ok=True)
        theirs.touch()
        return done

    monkeypatch.setattr(engine, "perform", taken)
    assert cli.status(["sweep", file, "--workers", "0", "--out", "out"]) == 1
    assert "another sweep has taken over" in capsys.readouterr().err
    assert not files("out")
    assert theirs.exists()


def test_runs_of_other_designs_are_pointed_out(capsys):
    cli.status(["sweep", study(GRID), "--workers", "0", "--out", "out"])
    cli.status(["sweep", study("seeds = [8, 9]"), "--workers", "0", "--out", "out"])
    assert "6 runs of other designs or other code" in capsys.readouterr().err


def wait_for_parts(process, out, least):
    deadline = time.monotonic() + 60
    while len(store.parts(Path(out), "runs")) < least and process.poll() is None:
        assert time.monotonic() < deadline, "no parts in time"
        time.sleep(0.05)


SLOW = "seeds = {count = 12}\nsteps = 20\n[set]\n'buyer.pause_seconds' = 0.02\n"


@pytest.mark.slow
def test_a_driver_that_is_killed_loses_nothing_finished_and_doubles_nothing():
    file = study(SLOW)
    with subprocess.Popen(command(file, "--workers", "0", "--out", "killed")) as process:
        wait_for_parts(process, "killed", 2)
        process.kill()
    whole = {part.name for part in Path("killed/runs").glob("part-*")}
    finished = {file: when for file, when in files("killed").items() if file.name in whole}
    assert 0 < len(store.committed(Path("killed"))) < 12
    subprocess.run(command(file, "--workers", "0", "--out", "killed"), check=True)
    assert finished.items() <= files("killed").items()
    subprocess.run(command(file, "--workers", "0", "--out", "undisturbed"), check=True)
    assert_same_results("killed", "undisturbed")
    raw = [pq.read_table(part) for part in Path("killed/runs").glob("part-*")]
    assert sum(part.num_rows for part in raw) == 12


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_an_interrupted_sweep_keeps_what_is_finished(sent, status):
    file = study(SLOW)
    arguments = command(file, "--workers", "0", "--out", "out")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        wait_for_parts(process, "out", 1)
        time.sleep(0.6)
        process.send_signal(sent)
        _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert 1 < len(store.committed(Path("out"))) < 12
    assert not list(Path("out").rglob("*.tmp"))


@dataclass(frozen=True, eq=False)
class Reference:
    """To the result of a task of `FakeRay`."""

    task: Callable
    specs: Sequence[RunSpec]
    target: Target


class FakeRay:
    """Runs tasks at once, in this process; runs with a deadly seed kill their worker.

    `commits` is what a worker does just before it dies.
    """

    exceptions = ray_exceptions

    def __init__(self, deadly, commits=False):
        self.deadly, self.commits, self.sizes = deadly, commits, []

    def remote(self, **options):
        assert options == {"num_cpus": 1, "max_retries": 0}
        return lambda task: SimpleNamespace(remote=lambda *given: Reference(task, *given))

    def wait(self, references, num_returns, timeout):
        return references[:num_returns], references[num_returns:]

    def get(self, reference):
        task, specs, target = reference.task, reference.specs, reference.target
        self.sizes.append(len(specs))
        if self.deadly.isdisjoint(spec.seed for spec in specs):
            return task(specs, target)
        if self.commits:
            task(specs, target)
        raise ray_exceptions.WorkerCrashedError


def dispatch(ray, out="out", run_seconds=0.01):
    specs = read_sweep(Path(study("seeds = {count = 16}"))).specs
    with SweepProgress(specs) as progress:
        Dispatcher(Crew(ray, 1), specs, Target(out, {}), run_seconds, progress).work()
    return progress


def test_chunks_grow_when_nobody_knew_how_long_a_run_takes():
    ray = FakeRay(set())
    assert dispatch(ray, run_seconds=float("inf")).done == 16
    assert ray.sizes[0] == 1
    assert max(ray.sizes) > 1


def test_a_chunk_whose_worker_dies_is_halved_until_the_run_is_found():
    ray = FakeRay({3})
    progress = dispatch(ray)
    runs = runner.load("out").runs
    assert runs.loc[runs["status"] == "failed", "seed"].tolist() == [3]
    assert runs["error"].iloc[3].startswith("WorkerDied: WorkerCrashedError")
    assert (len(runs), progress.done, progress.failed) == (16, 16, 1)
    assert ray.sizes == [16, 8, 8, 4, 4, 2, 2, 1, 1, 1]


def test_a_chunk_that_was_committed_before_its_worker_died_counts():
    ray = FakeRay({3}, commits=True)
    progress = dispatch(ray)
    assert (progress.done, progress.failed) == (16, 0)
    assert ray.sizes == [16]
    assert set(store.committed(Path("out")).values()) == {"ok"}


def wait_for_ray(process):
    """Until a worker of Ray does runs."""
    deadline = time.monotonic() + 60
    while not any(name.startswith("ray::exec") for name in descendants(process.pid).values()):
        assert process.poll() is None
        assert time.monotonic() < deadline, "no worker in time"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (SystemExit(15), Terminated),
        (ConnectionError("nobody there"), ConfigError),
        (ray_exceptions.AuthenticationError("no token"), ConfigError),
    ],
)
def test_what_stops_ray_from_starting_is_told_apart(raised, becomes, monkeypatch):
    def refuse(**given):
        raise raised

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(becomes), cluster.session(2, None):
        pass


@pytest.mark.ray
class TestRay:
    """On two local workers."""

    @pytest.fixture(autouse=True)
    def _source_as_it_is_now(self):
        """Not as it was when the test session began: workers start later."""
        provenance.cache_clear()

    def test_workers_give_what_one_process_gives(self, capsys, monkeypatch):
        """Among them runs that raise; Ray does all but the first."""
        monkeypatch.setattr(engine, "possible", lambda: False)
        file = study(FAILING + "volatility_per_year = [0.5, 1]\n")
        assert cli.status(["sweep", file, *LOCAL_RAY, "--out", "ray"]) == 1
        assert "4 ok, 4 failed" in capsys.readouterr().err
        assert cli.status(["sweep", file, "--workers", "0", "--out", "here"]) == 1
        assert_same_results("ray", "here")

    @pytest.mark.slow
    def test_a_run_that_kills_its_worker_becomes_a_failed_row(self, monkeypatch):
        monkeypatch.setattr(engine, "possible", lambda: False)
        file = study("seeds = [1, 2, 3]\n[grid]\n'buyer.kill' = [false, true]\n")
        assert cli.status(["sweep", file, *LOCAL_RAY, "--out", "out"]) == 1
        runs = runner.load("out").runs
        assert len(runs) == len(store.committed(Path("out"))) == 6
        assert set(runs.loc[~runs["p_buyer.kill"], "status"]) == {"ok"}
        died = runs.loc[runs["p_buyer.kill"], "error"]
        assert all(error.startswith("WorkerDied") for error in died)

    @pytest.mark.slow
    def test_a_driver_killed_in_the_middle_of_a_fan_out_resumes(self):
        file = study(SLOW)
        with subprocess.Popen(on_ray(file, "killed")) as process:
            wait_for_ray(process)
            time.sleep(0.5)
            process.kill()
        assert len(store.committed(Path("killed"))) < 12
        subprocess.run(on_ray(file, "killed"), check=True)
        subprocess.run(command(file, "--workers", "0", "--out", "undisturbed"), check=True)
        assert_same_results("killed", "undisturbed")

    @pytest.mark.slow
    def test_ctrl_c_stops_the_workers_too(self):
        file = study(SLOW)
        arguments = on_ray(file, "out")
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
            wait_for_ray(process)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in err
        before = files("out")
        time.sleep(1.0)
        assert files("out") == before
        assert not list(Path("out").rglob("*.tmp"))
