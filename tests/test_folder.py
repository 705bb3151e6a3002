"""Result folders: whole files or none, here and on an object store."""

import os
from pathlib import Path

import pytest

import runner
from experiments.tables import TABLES
from markets.errors import ConfigError
from runner import cli, store
from runner.folder import CannotWrite, Folder
from tests.object_store import object_store

TINY = str(Path(__file__).with_name("tiny_market.py"))
GRID = f"scenario = {TINY!r}\nseeds = [1, 2]\n[grid]\n'desk.fee' = [0.001, 0.01]\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(GRID)


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with object_store() as server:
        yield server


def sweep(out, *more):
    return cli.status(["sweep", "study.toml", "--workers", "0", "--out", out, *more])


def rows(out, table):
    frame = runner.load(out).table(table).to_pandas()
    when = ["wall_seconds", "started_at", "generation"]
    return frame.drop(columns=when, errors="ignore").astype(str)


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path, bucket):
    """The same folder on both kinds of file systems."""
    return Folder(tmp_path / "out" if request.param == "local" else bucket.uri("some/out"))


def test_what_is_written_is_listed_read_and_removed(folder):
    folder.prepare()
    folder.write("runs/a", b"first")
    folder.write("runs/b", b"")
    folder.write("runs/a", b"second")
    assert folder.sizes("runs") == {"a": 6, "b": 0}
    assert (folder.read("runs/a"), folder.read("runs/c")) == (b"second", None)
    assert folder.exists("runs/b")
    folder.remove("runs/b")
    folder.remove("runs/b")
    assert not folder.exists("runs/b")
    folder.remove_all("runs")
    assert folder.sizes("runs") == {}


def test_a_sweep_into_an_object_store_gives_what_a_local_one_gives(bucket, capsys):
    there = bucket.uri("studies/first")
    assert sweep(there) == sweep("here") == 0
    for table in ("runs", *TABLES):
        assert rows(there, table).equals(rows("here", table))
    assert bucket.objects["studies/first/figure.png"].startswith(b"\x89PNG")
    before = dict(bucket.objects)
    assert sweep(there) == 0
    assert "4 done earlier, 0 to do" in capsys.readouterr().err
    parts = {key: value for key, value in before.items() if "part-" in key}
    assert parts.items() <= bucket.objects.items()
    assert cli.status(["show", there]) == 0
    assert "4 runs, 0 failed" in capsys.readouterr().err
    assert sweep(there, "--fresh") == 0
    assert len(runner.load(there).runs) == 4


def test_an_object_store_that_refuses_is_said_and_nothing_half_counts(bucket, capsys):
    bucket.refuse = "/runs/"
    there = bucket.uri("out")
    assert sweep(there) == 1
    err = capsys.readouterr().err
    assert "cannot write s3://bucket/out" in err
    assert "Traceback" not in err
    assert not [key for key in bucket.objects if "part-" in key]
    bucket.refuse = "\0"
    assert sweep(there) == 0
    assert len(runner.load(there).runs) == 4


@pytest.mark.parametrize("out", ["nowhere://x/y", "s3://"])
def test_a_file_system_that_does_not_exist_is_bad_input(out, capsys):
    assert sweep(out) == 2
    assert capsys.readouterr().err.startswith("fathom: out: ")


def test_a_bucket_that_cannot_be_written_is_bad_input(bucket, capsys):
    bucket.refuse = ".probe"
    assert sweep(bucket.uri("out")) == 2
    assert "out: cannot write" in capsys.readouterr().err


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    folder = Folder(tmp_path / "out")
    folder.write("a", b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="No space left on device"):
        folder.write("a", b"new")
    assert folder.read("a") == b"old"
    assert folder.sizes() == {"a": 3}


def test_a_part_without_its_end_is_not_whole(tmp_path):
    folder = Folder(tmp_path)
    assert sweep(str(tmp_path / "out")) == 0
    whole = Folder(tmp_path / "out")
    name = f"runs/{store.parts(whole, 'runs')[0]}"
    content = whole.read(name)
    assert whole.is_whole(name)
    for cut in (b"", content[:5], content[:-1], content[: len(content) // 2]):
        folder.write("cut", cut)
        assert not folder.is_whole("cut")


def test_a_relative_place_is_absolute_at_once(tmp_path, monkeypatch):
    folder = Folder("out")
    monkeypatch.chdir("/")
    assert folder.path == tmp_path / "out"
    with pytest.raises(ConfigError, match="no results"):
        runner.load(folder)
