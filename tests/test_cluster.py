"""A cluster of two nodes on this machine: same tables, nodes that vanish, jobs submitted."""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import runner
from experiments.tables import TABLES
from runner import cli, cluster
from runner.provenance import provenance

TINY = str(Path(__file__).with_name("tiny_market.py"))
HOME = Path(__file__).parent.parent
PAUSED = "seeds = {count = 16}\n[set]\n'buyer.pause_seconds' = 0.03\n"
pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    provenance.cache_clear()


@pytest.fixture
def nodes():
    """A head and a second node, one core each."""
    os.environ.update({k: v for k, v in cluster.ENVIRONMENT.items() if k not in os.environ})
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def study(text, name="study.toml"):
    Path(name).write_text(f"scenario = {TINY!r}\n{text}")
    return name


def rows(out, table):
    frame = runner.load(out).table(table).to_pandas()
    when = ["wall_seconds", "started_at", "generation"]
    return frame.drop(columns=when, errors="ignore").astype(str)


def assert_same(one, other):
    for table in ("runs", *TABLES):
        assert rows(one, table).equals(rows(other, table)), table


def test_one_worker_two_workers_and_two_nodes_give_the_same(nodes):
    file = study("seeds = {count = 6}\n[grid]\n'desk.fee' = [0.001, 0.01]\n")
    assert cli.status(["sweep", file, "--address", nodes.address, "--out", "cluster"]) == 0
    for workers in ("0", "1", "2"):
        assert cli.status(["sweep", file, "--workers", workers, "--out", workers]) == 0
        assert_same("cluster", workers)


def test_a_node_that_vanishes_takes_nothing_along(nodes, capsys):
    file = study(PAUSED)

    def pull_the_plug():
        while len(list(Path("out/runs").glob("part-*"))) < 3:
            time.sleep(0.05)
        nodes.remove_node(nodes.second, allow_graceful=False)

    plug = threading.Thread(target=pull_the_plug)
    plug.start()
    assert cli.status(["sweep", file, "--address", nodes.address, "--out", "out"]) == 0
    plug.join()
    assert "16 ok, 0 failed" in capsys.readouterr().err
    assert cli.status(["sweep", file, "--workers", "0", "--out", "undisturbed"]) == 0
    assert_same("out", "undisturbed")


@pytest.mark.skipif(
    importlib.util.find_spec("aiohttp") is None, reason="needs the extra `cluster` (ray[default])"
)
def test_a_sweep_that_is_submitted_as_a_job(tmp_path):
    ray = shutil.which("ray", path=str(Path(sys.executable).parent)) or "ray"
    environment = os.environ | cluster.ENVIRONMENT | {"PYTHONPATH": str(HOME)}
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": True, "dashboard_port": 8299}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1)
    file = Path(study("seeds = {count = 6}\n")).resolve()
    fathom = [sys.executable, "-m", "runner", "sweep", str(file), "--address", "auto"]
    submit = [ray, "job", "submit", "--address", "http://127.0.0.1:8299", "--"]
    try:
        command = [*submit, *fathom, "--out", str(tmp_path / "out")]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
    finally:
        made.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    assert len(runner.load("out").runs) == 6
