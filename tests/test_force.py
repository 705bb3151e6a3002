"""By force: killed workers and drivers, hung runs, full disks, damaged parts, races, odd clocks.

Each ends with the tables of an undisturbed sweep or with a clear error; nothing is lost, nothing
comes twice.
"""

import datetime
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import runner
from experiments.tables import TABLES
from runner import child, cli, compaction, execution, limit, store
from runner.execution import Target, perform, write
from runner.folder import CannotWrite, Folder
from runner.provenance import provenance
from runner.spec import Request, plan_run
from tests.processes import descendants, on_ray

TINY = str(Path(__file__).with_name("tiny_market.py"))
GRID = "seeds = [1, 2, 3]\n[grid]\n'desk.fee' = [0.001, 0.01]\n"
SLOW = "seeds = {count = 12}\n[set]\n'buyer.pause_seconds' = 0.02\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    provenance.cache_clear()


def study(text, name="study.toml"):
    Path(name).write_text(f"scenario = {TINY!r}\n{text}")
    return name


def sweep(file, out, *more, workers="0"):
    return cli.status(["sweep", file, "--workers", workers, "--out", out, *more])


def command(file, out, *more):
    return [sys.executable, "-m", "runner", "sweep", file, "--out", out, *more]


def parts(out, table="runs"):
    return sorted(Path(out, table).glob("part-*.parquet"))


def rows(out, table):
    frame = runner.load(out).table(table).to_pandas()
    when = ["wall_seconds", "started_at", "generation"]
    return frame.drop(columns=when, errors="ignore").astype(str)


def assert_as_undisturbed(out, file):
    assert sweep(file, "undisturbed") == 0
    for table in ("runs", *TABLES):
        assert rows(out, table).equals(rows("undisturbed", table)), table
    raw = [run for part in parts(out) for run in pq.read_table(part)["run_id"].to_pylist()]
    assert len(raw) == len(set(raw))


def specs(*seeds):
    return [plan_run(Request(TINY, {}, 12), seed) for seed in seeds]


def commit(out, *seeds, generation=0):
    return write([perform(each) for each in specs(*seeds)], Target(str(out), {}, None, generation))


# a run that dies or hangs


def test_a_run_that_dies_in_a_child_takes_neither_sweep_nor_neighbours_along():
    file = study("limit_seconds = 60\nseeds = [1, 2]\n[grid]\n'buyer.kill' = [true, false]\n")
    assert cli.status(["sweep", file, "--out", "out"]) == 1
    runs = runner.load("out").runs.set_index("p_buyer.kill")
    assert set(runs.loc[False, "status"]) == {"ok"}
    assert set(runs.loc[True, "error"]) == {"WorkerDied: killed by SIGKILL"}


def test_the_same_command_gets_past_a_run_that_killed_the_process_of_the_sweep(capsys):
    file = study("seeds = [1, 2, 3]\n[grid]\n'buyer.kill' = [false, true]\n")
    killed = subprocess.run(command(file, "out"), capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert Counter(store.committed("out").values()) == {"ok": 1}
    assert cli.status(["sweep", file, "--out", "out"]) == 1
    assert "came to no end" in capsys.readouterr().err
    runs = runner.load("out").runs
    assert Counter(runs["error"]) == {"": 3, "WorkerDied: killed by SIGKILL": 3}
    assert not Path("out", store.OWNER).exists()


@pytest.mark.parametrize("count", [1, 3])
def test_children_hand_back_what_this_process_would_do(count):
    given = specs(1, 2, 3, 4, 5)
    found = sorted(child.Children(given, None, count), key=lambda done: done.spec.seed)
    for ours, theirs in zip(map(perform, given), found, strict=True):
        assert theirs.spec == ours.spec
        assert theirs.metrics == ours.metrics
        for name, columns in ours.tables.items():
            for column, values in columns.items():
                assert list(map(str, theirs.tables[name][column])) == list(map(str, values))


def test_closed_children_are_gone():
    process = child.Children(specs(*range(50)), None, 2)
    next(process)
    pids = [each.process for each in process._children.values()]
    process.close()
    process.close()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_while_ray_starts_a_dead_child_is_not_replaced():
    deadly = plan_run(Request(TINY, {"buyer.kill": True}, 12), 1)
    process = child.Children([deadly, *specs(2, 3)], None, 1)
    process.shrink()
    assert list(process) == []
    assert process.lost() == [deadly]
    assert process.drain() == specs(2, 3)


def test_children_that_are_drained_finish_what_they_have_in_hand():
    given = [plan_run(Request(TINY, {"buyer.pause_seconds": 0.02}, 12), seed) for seed in range(9)]
    process = child.Children(given, None, 2)
    found = [next(process)]
    process.shrink()
    thread = threading.Thread(target=lambda: found.extend(process))
    thread.start()
    rest = process.drain()
    thread.join()
    assert process.lost() == []
    assert 2 <= len(found) <= 5
    assert sorted(each.seed for each in rest) == sorted(
        set(range(9)) - {done.spec.seed for done in found}
    )


def test_children_end_with_their_parent():
    file = study("seeds = {count = 15}\n[set]\n'buyer.pause_seconds' = 0.05\n")
    with subprocess.Popen(command(file, "out", "--workers", "2")) as process:
        while len(parts("out")) < 2 and process.poll() is None:
            time.sleep(0.05)
        children = descendants(process.pid)
        process.kill()
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("workers", ["0", None], ids=["this process", "child"])
def test_a_run_over_its_time_is_a_failed_row(workers):
    text = "limit_seconds = 1\nseeds = [1, 2]\n[grid]\n'buyer.pause_seconds' = [0.0, 0.3]\n"
    more = [] if workers is None else ["--workers", workers]
    assert cli.status(["sweep", study(text), "--out", "out", *more]) == 1
    runs = runner.load("out").runs.set_index("p_buyer.pause_seconds")
    assert set(runs.loc[0.0, "status"]) == {"ok"}
    assert set(runs.loc[0.3, "error"]) == {"TimeLimit: not done after 1 s"}
    assert all("act" in trace for trace in runs.loc[0.3, "traceback"])


def test_a_run_that_never_comes_back_is_ended_with_its_process(monkeypatch):
    monkeypatch.setattr(limit, "GRACE_SECONDS", 0.2)
    file = study("limit_seconds = 1\n[grid]\n'buyer.hang' = [true, false]\n")
    assert cli.status(["sweep", file, "--out", "out"]) == 1
    runs = runner.load("out").runs.set_index("p_buyer.hang")
    assert runs.loc[False, "status"] == "ok"
    assert runs.loc[True, "error"] == "WorkerDied: exit status 1"


def test_a_limit_leaves_no_alarm_behind():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(limit.TimeLimit), limit.limited(0.05):
        time.sleep(5)
    with limit.limited(100.0, deadly=True):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


# disks


def test_a_write_that_fails_stops_the_sweep_and_the_same_command_goes_on(monkeypatch, capsys):
    file = study(GRID)
    written, move = [], os.replace

    def full(source, target):
        if "runs" in str(target):
            written.append(target)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert sweep(file, "out") == 1
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert len(parts("out")) == len(parts("out", "steps")) == 1
    assert sweep(file, "out") == 0
    assert_as_undisturbed("out", file)


def test_files_that_may_not_grow_are_said(capsys):
    file = study(GRID)

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = subprocess.run(
        command(file, "out", "--workers", "0"),
        preexec_fn=small,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "fathom: cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not parts("out")
    assert not list(Path("out").rglob("*.tmp"))
    assert sweep(file, "out") == 0
    assert_as_undisturbed("out", file)


@pytest.mark.slow
@pytest.mark.ray
def test_workers_that_fill_a_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small file system")
    except FileNotFoundError:
        pytest.skip("needs the command mount")
    file = study("seeds = {count = 400}\n")
    try:
        full = on_ray(file, str(disk / "out"))
        done = subprocess.run(full, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        kept = len(store.committed(disk / "out"))
        assert 0 < kept < 400
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert sweep(file, str(disk / "out")) == 0
        assert_as_undisturbed(disk / "out", file)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("table", ["runs", "steps"])
def test_a_part_that_was_cut_off_is_done_again(table, capsys):
    file = study(GRID)
    sweep(file, "out")
    cut = parts("out", table)[0]
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(store.Damaged, match=f"{table}/part-.* is damaged"):
        runner.load("out").table(table)
    assert sweep(file, "out") == 0
    assert "parts were damaged" in capsys.readouterr().err
    assert_as_undisturbed("out", file)


def test_a_flipped_bit_is_found_and_said():
    commit("out", 1, 2)
    file = parts("out", "steps")[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 8] ^= 4
    file.write_bytes(content)
    with pytest.raises(store.Damaged, match="start the sweep again"):
        runner.load("out").table("steps")


def test_a_table_that_vanished_is_damage_not_an_empty_table():
    commit("out", 1)
    parts("out", "fills")[0].unlink()
    with pytest.raises(store.Damaged, match="it is missing"):
        runner.load("out").table("fills")


# merging


def many(out, count=compaction.MANY):
    for seed in range(count):
        commit(out, seed)


def test_many_small_parts_become_one_and_say_the_same():
    many("out")
    before = {table: rows("out", table) for table in ("runs", *TABLES)}
    assert compaction.compact("out") == compaction.MANY
    assert len(parts("out")) == len(parts("out", "steps")) == 1
    for table, frame in before.items():
        assert rows("out", table).equals(frame)
    assert compaction.compact("out") == 0


def test_few_parts_stay_as_they_are():
    many("out", compaction.MANY - 1)
    assert compaction.compact("out") == 0
    assert len(parts("out")) == compaction.MANY - 1


def test_parts_that_share_runs_are_merged_and_hold_them_once():
    commit("out", 1, 2)
    commit("out", 2, 3)
    assert compaction.compact("out") == 2
    assert pq.read_table(parts("out")[0]).num_rows == 3
    assert pq.read_table(parts("out", "steps")[0]).num_rows == 3 * 12


def killed_at(monkeypatch, step):
    """Merging dies at the step-th change to the folder, as if the process were killed."""
    changes = []

    def counted(change):
        def done(self, *given):
            changes.append(given)
            if len(changes) == step:
                raise SystemExit
            change(self, *given)

        return done

    for name in ("write", "remove"):
        monkeypatch.setattr(Folder, name, counted(getattr(Folder, name)))


@pytest.mark.parametrize("step", range(1, 2 + len(TABLES) + 2 * (1 + len(TABLES))))
def test_merging_that_is_killed_anywhere_loses_and_doubles_nothing(step, monkeypatch):
    commit("out", 1, 2)
    commit("out", 3)
    before = {table: rows("out", table) for table in ("runs", *TABLES)}
    names = [part.name for part in parts("out")]
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        with pytest.raises(SystemExit):
            compaction.merge(Folder("out"), names)
    for table, frame in before.items():
        assert rows("out", table).equals(frame)
    store.sweep_up("out")
    compaction.remove_replaced("out")
    store.sweep_up("out")
    raw = [run for part in parts("out") for run in pq.read_table(part)["run_id"].to_pylist()]
    assert len(raw) == len(set(raw)) == 3
    assert pq.read_table(Path("out/steps")).num_rows == 3 * 12


def test_a_disk_too_full_to_merge_is_no_failure(monkeypatch, capsys):
    file = study(GRID)
    monkeypatch.setattr("runner.engine.COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(compaction, "MANY", 4)

    def refuse(*given):
        raise CannotWrite("there", "full")

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "merge", refuse)
        assert sweep(file, "out") == 0
    assert "small parts were not merged" in capsys.readouterr().err
    assert len(parts("out")) == 6
    assert_as_undisturbed("out", file)
    assert len(parts("undisturbed")) == 1


# clocks


def test_what_is_newest_is_not_told_by_the_clock(monkeypatch):
    hours = itertools.count(1_000_000, -1)

    class Backwards(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(2026, 1, 1, tzinfo=tz) + datetime.timedelta(hours=next(hours))

    monkeypatch.setattr(execution.datetime, "datetime", Backwards)
    monkeypatch.setattr(time, "time", lambda: float(next(hours)))
    file = study(GRID)
    assert sweep(file, "out") == 0
    assert_as_undisturbed("out", file)
    old = set(runner.load("out").runs["run_id"])
    monkeypatch.setattr("runner.spec._scenario_identity", lambda name: ["changed"])
    assert sweep(file, "out") == 0
    new = runner.load("out").runs
    assert len(new) == 6
    assert old.isdisjoint(new["run_id"])
    assert set(new["generation"]) == {1}


# two at once


@pytest.mark.slow
def test_two_sweeps_on_one_folder_at_once():
    file = study(SLOW)
    first = subprocess.Popen(
        command(file, "out", "--workers", "0"), stderr=subprocess.PIPE, text=True
    )
    while not parts("out") and first.poll() is None:
        time.sleep(0.05)
    second = subprocess.run(command(file, "out", "--workers", "0"), check=False)
    _, err = first.communicate(timeout=60)
    assert second.returncode == 0
    assert first.returncode == 1
    assert "another sweep has taken over" in err
    assert_as_undisturbed("out", file)


# workers


@pytest.mark.slow
@pytest.mark.ray
def test_a_worker_that_is_killed_from_outside():
    file = study("seeds = {count = 16}\n[set]\n'buyer.pause_seconds' = 0.03\n")
    with subprocess.Popen(on_ray(file, "out")) as process:
        killed = None
        while killed is None and process.poll() is None:
            time.sleep(0.1)
            busy = [p for p, n in descendants(process.pid).items() if n.startswith("ray::exec")]
            if busy and len(parts("out")) >= 2:
                killed = busy[0]
                os.kill(killed, signal.SIGKILL)
    assert killed is not None
    assert process.returncode == 0
    assert_as_undisturbed("out", file)
