"""`compare` and `analyse`: paired differences, intervals, convergence, Sobol indices."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import runner
from markets.errors import ConfigError
from runner import cli
from runner.analysis import by_parameter, convergence, sobol_indices
from runner.folder import Folder
from runner.sampling import Range, Sampling, sample
from runner.statistics import bootstrap_interval, good_runs, t_interval, units

TINY = str(Path(__file__).with_name("tiny_market.py"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def sweep(name, text):
    Path(f"{name}.toml").write_text(f"scenario = {TINY!r}\n{text}")
    return cli.status(["sweep", f"{name}.toml", "--workers", "0", "--out", name])


def answer(capsys, *arguments):
    capsys.readouterr()
    assert cli.status([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_intervals_of_a_normal_sample_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(1)
    for interval, least in ((t_interval, 0.93), (bootstrap_interval, 0.90)):
        found = [interval(rng.normal(3.0, 2.0, 25)) for _ in range(300)]
        inside = np.mean([each.low <= 3.0 <= each.high for each in found])
        assert least <= inside <= 0.98


def test_the_t_interval_is_the_one_of_the_books():
    found = t_interval(np.array([1.0, 2.0, 3.0, 4.0]))
    half = 3.182446 * 1.2909944 / 2
    assert (found.mean, found.units) == (2.5, 4)
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-6)
    alone = t_interval(np.array([5.0]))
    assert alone.mean == 5.0
    assert np.isnan(alone.low)


def frame(points, seeds, value):
    rows = [
        {"p_a": a, "seed": seed, "replicate": seed, "point": a, "m_y": value(a, seed)}
        for a in points
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def test_runs_that_share_a_seed_count_as_one():
    runs = frame(range(100), range(4), lambda a, seed: seed)
    assert units(runs, "y").tolist() == [0, 1, 2, 3]
    alone = frame(range(6), [0], lambda a, seed: a)
    assert units(alone, "y").tolist() == [0, 1, 2, 3, 4, 5]


def test_values_of_a_parameter_have_their_means():
    runs = frame([1, 2], range(5), lambda a, seed: 10 * a + seed)
    low, high = by_parameter(runs, "p_a", ["y"])
    assert (low["value"], low["runs"]) == (1, 5)
    assert (low["metrics"]["y"]["mean"], high["metrics"]["y"]["mean"]) == (12, 22)
    assert low["metrics"]["y"]["low"] < 12 < low["metrics"]["y"]["high"]
    many = by_parameter(frame(range(40), [1, 2], lambda a, seed: a), "p_a", ["y"])
    assert [row["runs"] for row in many] == [20, 20, 20, 20]
    assert many[0]["value"] == "0 to 9"


def test_convergence_narrows_and_says_what_a_percent_needs():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 10, 64)
    found = convergence(frame([1], range(64), lambda a, seed: 100 + noise[seed]), "y")
    assert [row["units"] for row in found["after"]] == [2, 4, 8, 16, 32, 64]
    last = found["after"][-1]
    assert last["mean"] == pytest.approx(100 + noise.mean())
    assert last["standard_error"] == pytest.approx(noise.std(ddof=1) / 8)
    assert found["needed_for_1_percent"] == np.ceil(
        (8 * last["standard_error"] / 1) ** 2 / (last["mean"] / 100) ** 2
    )


SALTELLI = """
[design]
kind = "saltelli"
samples = 256
[design.ranges]
a = {low = 0, high = 1}
b = {low = 0, high = 1}
c = {low = 0, high = 1}
"""


def test_sobol_indices_of_a_sum_and_a_product(tmp_path):
    """y = a + 2 b + 0 c has shares 1/5, 4/5, 0; z = (a - 1/2)(b - 1/2) only interacts."""
    folder = Folder(tmp_path)
    folder.write("sweep.toml", f"scenario = 'x'\n{SALTELLI}".encode())
    ranges = {name: Range(low=0, high=1) for name in "abc"}
    points = sample(Sampling(kind="saltelli", samples=256, ranges=ranges))
    assert len(points) == 256 * (3 + 2)
    runs = pd.DataFrame([{f"p_{name}": value for name, value in p.items()} for p in points])
    runs["m_y"] = runs["p_a"] + 2 * runs["p_b"]
    runs["m_z"] = (runs["p_a"] - 0.5) * (runs["p_b"] - 0.5)
    shuffled = runs.drop_duplicates().sample(frac=1, random_state=3)
    found = sobol_indices(folder, shuffled, ["y", "z"])
    first, total = ([row[name] for row in found["y"]] for name in ("first", "total"))
    assert first == pytest.approx([0.2, 0.8, 0.0], abs=0.02)
    assert total == pytest.approx([0.2, 0.8, 0.0], abs=0.02)
    assert [row["first"] for row in found["z"]] == pytest.approx([0, 0, 0], abs=0.1)
    assert [row["total"] for row in found["z"]] == pytest.approx([1, 1, 0], abs=0.1)
    with pytest.raises(ConfigError, match="points of the design are missing"):
        sobol_indices(folder, shuffled.iloc[5:], ["y"])


def test_a_finished_sweep_is_analysed(capsys):
    design = "[design]\nkind = 'saltelli'\nsamples = 4\n[design.ranges]\n"
    ranges = "'desk.fee' = {low = 0, high = 0.1}\nvolatility_per_year = {low = 0.1, high = 2}\n"
    head = "seeds = {count = 2}\nshow = ['desk.mid_last', 'buyer.profit']\n"
    assert sweep("study", f"{head}{design}{ranges}") == 0
    capsys.readouterr()
    assert cli.status(["analyse", "study"]) == 0
    err = capsys.readouterr().err
    assert re.findall(r"^(\S+) after 2", err, re.MULTILINE) == ["desk.mid_last", "buyer.profit"]
    assert "by desk.fee" in err
    assert "Sobol indices of" in err
    found = answer(capsys, "analyse", "study", "--metric", "buyer.profit")
    assert (found["points"], found["replicates"]) == (16, 2)
    assert set(found["by_parameter"]) == {"desk.fee", "volatility_per_year"}
    assert [row["parameter"] for row in found["sobol"]["buyer.profit"]] == list(
        found["by_parameter"]
    )


def test_two_folders_are_compared_run_against_run(capsys):
    sweep("cheap", "seeds = {count = 4}\n[grid]\n'desk.fee' = [0.0]\nvolatility_per_year = [1, 2]")
    sweep("dear", "seeds = {count = 5}\n[grid]\n'desk.fee' = [0.1]\nvolatility_per_year = [1, 2]")
    found = answer(capsys, "compare", "cheap", "dear", "--metric", "buyer.profit")
    assert (found["pairs"], found["alone"]) == (8, [0, 2])
    assert found["paired_by"] == ["volatility_per_year"]
    assert found["compared"] == {"desk.fee": ["0.0", "0.1"]}
    row = found["metrics"][0]
    cheap, dear = (runner.load(name).runs for name in ("cheap", "dear"))
    dear = dear[dear["seed"] < 4]
    gap = dear["m_buyer.profit"].to_numpy() - cheap["m_buyer.profit"].to_numpy()
    assert row["difference"] == pytest.approx(gap.mean())
    assert row["low"] < row["difference"] < row["high"] < 0
    assert row["clear"]
    spread = t_interval(units(good_runs(runner.load("cheap")), "buyer.profit"))
    assert row["standard_error"] < 100 * spread.standard_error
    assert cli.status(["compare", "cheap", "dear"]) == 0
    assert "buyer.profit" in capsys.readouterr().err


def test_a_folder_does_not_differ_from_itself(capsys):
    sweep("study", "seeds = [1, 2, 3]")
    assert cli.status(["compare", "study", "study"]) == 0
    assert "no metric differs" in capsys.readouterr().err


def test_folders_that_share_nothing_are_refused(capsys):
    sweep("one", "seeds = [1, 2]")
    sweep("other", "seeds = [3, 4]")
    sweep("shorter", "seeds = [1, 2]\nsteps = 5")
    pairs = (["compare", "one", name] for name in ("other", "shorter"))
    for arguments in (*pairs, ["analyse", "one", "--metric", "nope"]):
        capsys.readouterr()
        assert cli.status(arguments) == 2
        assert "Traceback" not in capsys.readouterr().err
