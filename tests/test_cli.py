"""The command line: help, exit statuses, bad input, JSON on stdout, interrupts."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.reproduction import ABOVE_ZERO, Range, Row, mean_row
from runner import cli, reproduce

TINY = str(Path(__file__).with_name("tiny_market.py"))
VECTORS = Path(__file__).with_name("vectors")
HEAVY = ("ray", "mesa", "numba", "matplotlib", "pyarrow", "pandas", "numpy", "scipy")
COMMANDS = (
    "list",
    "run",
    "sweep",
    "reproduce",
    "show",
    "compare",
    "analyse",
    "conformance",
    "bench",
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, text):
    Path(name).write_text(text)
    return name


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from runner.cli import status; status(['--help']);"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert cli.status([command, "--help"]) == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "place"), [("run", "results/runs/SCENARIO"), ("sweep", "results/FILE")]
)
def test_help_says_where_results_go(command, place, capsys):
    cli.status([command, "--help"])
    assert place in capsys.readouterr().out


def test_nothing_asked_shows_the_help(capsys):
    assert cli.status([]) == 0
    assert "sweep" in capsys.readouterr().out


def test_python_dash_m_runner_is_the_command():
    command = [sys.executable, "-m", "runner", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("fathom: Missing argument")


SWEEP = f"scenario = {TINY!r}\n"
BAD_INPUT = {
    "unknown command": (["frob"], ["frob"]),
    "unknown option": (["run", TINY, "--sed", "1"], ["--sed", "--seed"]),
    "no scenario": (["run"], ["scenario"]),
    "unknown scenario": (["run", "nope"], ["scenario", "nope"]),
    "missing scenario file": (["run", "nope.py"], ["scenario", "nope.py"]),
    "scenario with a syntax error": (["run", "broken.py"], ["scenario", "SyntaxError"]),
    "scenario without build": (["run", "partial.py"], ["scenario", "build"]),
    "misspelt path": (["run", TINY, "--set", "desk.fe=1"], ["desk.fe", "mean desk.fee"]),
    "wrong type": (["run", TINY, "--set", "desk.fee=high"], ["desk.fee", "number"]),
    "negative fee": (["run", TINY, "--set", "desk.fee=-0.1"], ["desk.fee", "0"]),
    "fee that is not finite": (["run", TINY, "--set", "desk.fee=nan"], ["desk.fee", "finite"]),
    "set twice": (["run", TINY, "--set", "desk.fee=0", "--set", "desk.fee=1"], ["desk.fee"]),
    "set without value": (["run", TINY, "--set", "desk.fee"], ["--set", "path=value"]),
    "negative seed": (["run", TINY, "--seed", "-1"], ["--seed", "0"]),
    "seed that is no number": (["run", TINY, "--seed", "one"], ["--seed", "integer"]),
    "seed too large": (["run", TINY, "--seed", str(2**64)], ["--seed"]),
    "no steps": (["run", TINY, "--steps", "0"], ["--steps", "1"]),
    "negative steps": (["run", TINY, "--steps", "-5"], ["--steps", "1"]),
    "missing history": (["run", TINY, "--path", "none.csv"], ["path", "none.csv"]),
    "empty history": (["run", TINY, "--path", "empty.csv"], ["path", "empty"]),
    "history without rows": (["run", TINY, "--path", "header.csv"], ["path", "no rows"]),
    "history with NaN": (["run", TINY, "--path", "nan.csv"], ["path", "row 2"]),
    "unsorted history": (["run", TINY, "--path", "unsorted.csv"], ["path", "time", "row 3"]),
    "history without prices": (["run", TINY, "--path", "odd.csv"], ["path", "no price column"]),
    "history that is not text": (["run", TINY, "--path", "binary.parquet"], ["path", "Parquet"]),
    "history is a folder": (["run", TINY, "--path", "."], ["path"]),
    "unwritable out": (["run", TINY, "--out", "header.csv/out"], ["out", "header.csv"]),
    "missing sweep file": (["sweep", "none.toml"], ["file", "none.toml"]),
    "bad TOML": (["sweep", "bad.toml"], ["file", "TOML"]),
    "unknown key": (["sweep", "key.toml"], ["gird", "grid"]),
    "sweep over nothing": (["sweep", "nothing.toml"], ["grid", "nothing to sweep"]),
    "grid without values": (["sweep", "void.toml"], ["grid.desk.fee"]),
    "sweep without seeds": (["sweep", "seedless.toml"], ["seeds"]),
    "negative seed in a sweep": (["sweep", "minus.toml"], ["seed", "-1"]),
    "misspelt path in a sweep": (["sweep", "misspelt.toml"], ["desk.fe", "desk.fee"]),
    "bad value in a sweep": (["sweep", "value.toml"], ["desk.fee"]),
    "negative workers": (["sweep", "good.toml", "--workers", "-1"], ["--workers"]),
    "workers and address": (
        ["sweep", "good.toml", "--workers", "1", "--address", "auto"],
        ["address", "--workers"],
    ),
    "address that is none": (["sweep", "good.toml", "--address", "here"], ["address", "host:port"]),
    "address of nobody": (["sweep", "good.toml", "--address", "127.0.0.1:1"], ["address", ":1"]),
    "Ray Client": (["sweep", "good.toml", "--address", "ray://h:1"], ["address", "host:port"]),
    "unwritable sweep": (["sweep", "good.toml", "--out", "header.csv/o"], ["out"]),
    "missing vectors": (["conformance", "none.json"], ["FILE", "none.json"]),
    "vectors that are no JSON": (["conformance", "bad.toml"], ["FILE", "JSON"]),
    "vectors that are no object": (["conformance", "list.json"], ["FILE", "object"]),
    "no vectors": (["conformance"], ["FILE"]),
    "unknown benchmark": (["bench", "nope"], ["NAME", "nope"]),
    "unknown reproduction": (["reproduce", "nope"], ["reproduction", "nope"]),
    "no runs": (["reproduce", "--runs", "0"], ["--runs"]),
    "missing folder": (["show", "none"], ["DIR", "none"]),
    "folder without results": (["show", "."], ["results"]),
    "nothing to compare": (["compare", ".", "none"], ["results"]),
    "nothing to analyse": (["analyse", "none"], ["DIR", "none"]),
    "file system of no kind": (["run", TINY, "--out", "what://x"], ["out", "what"]),
    "time limit of nothing": (["sweep", "limit.toml"], ["limit_seconds"]),
    "constraint that nothing keeps": (["sweep", "strict.toml"], ["constraints", "none of the 2"]),
    "constraint on nothing": (["sweep", "typo.toml"], ["constraints.0", "desk.fe"]),
}
FILES = {
    "broken.py": "def build(:\n",
    "partial.py": "from markets.params import Params\n",
    "empty.csv": "",
    "header.csv": "time,price\n",
    "nan.csv": "time,price\n0,1\n60,nan\n120,1\n",
    "unsorted.csv": "time,price\n0,1\n120,1\n60,1\n",
    "odd.csv": "time,volume\n0,1\n60,1\n",
    "binary.parquet": "PAR1 not really",
    "bad.toml": "scenario = = 1",
    "key.toml": SWEEP + "[gird]\n'desk.fee' = [0]\n",
    "nothing.toml": SWEEP,
    "void.toml": SWEEP + "[grid]\n'desk.fee' = []\n",
    "seedless.toml": SWEEP + "seeds = []\n",
    "minus.toml": SWEEP + "seeds = [1, -1]\n",
    "misspelt.toml": SWEEP + "[grid]\n'desk.fe' = [0, 1]\n",
    "value.toml": SWEEP + "[grid]\n'desk.fee' = [0.1, -1]\n",
    "good.toml": SWEEP + "seeds = [1, 2]\n",
    "list.json": "[1, 2]",
    "limit.toml": SWEEP + "seeds = [1, 2]\nlimit_seconds = 0\n",
    "strict.toml": SWEEP + "constraints = ['desk.fee > 1']\n[grid]\n'desk.fee' = [0, 1]\n",
    "typo.toml": SWEEP + "constraints = ['desk.fe > 1']\n[grid]\n'desk.fee' = [0, 1]\n",
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_in_two_lines_that_name_the_field(case, capsys):
    arguments, words = BAD_INPUT[case]
    for name, text in FILES.items():
        write(name, text)
    assert cli.status(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert 1 <= len(err.strip().splitlines()) <= 2
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert sorted(each.name for each in Path().iterdir()) == sorted(FILES)


def test_run_answers_one_json_document(capsys):
    arguments = ["run", TINY, "--set", "desk.fee=0.01", "--seed", "3", "--steps", "10", "--json"]
    assert cli.status(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["scenario"] == TINY
    assert (answer["seed"], answer["steps"]) == (3, 10)
    assert answer["params"]["desk"]["fee"] == 0.01
    assert answer["metrics"]["ledger_residual_atoms"] == 0
    assert sorted(each.name for each in Path(answer["out"]).iterdir()) == [
        "accounts",
        "events",
        "fills",
        "flows",
        "liquidations",
        "runs",
        "steps",
    ]


def test_people_read_stderr(capsys):
    assert cli.status(["run", TINY, "--out", "out"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "buyer.profit" in err


def test_a_run_that_fails_is_recorded_and_exits_1(capsys):
    arguments = ["run", TINY, "--set", "buyer.fail=true", "--out", "out", "--json"]
    assert cli.status(arguments) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "failed"
    assert "the buyer fell over" in err
    assert cli.status(["show", "out", "--json"]) == 0
    failure = json.loads(capsys.readouterr().out)["failures"][0]
    assert failure["error"] == "RuntimeError: the buyer fell over"
    assert "--set buyer.fail=true" in failure["replay"]


def test_a_history_replaces_the_reference_price(capsys):
    rows = "\n".join(f"2020-03-12T00:{minute:02}:00Z,{100 + minute}" for minute in range(30))
    write("prices.csv", f"Date,Close\n{rows}\n")
    assert cli.status(["run", TINY, "--path", "prices.csv", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["desk.mid_first"] == pytest.approx(100)
    assert metrics["desk.mid_last"] == pytest.approx(119)


def test_list_knows_what_there_is(capsys):
    assert cli.status(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "flash_crash" in found["scenarios"]
    assert "avellaneda_stoikov" in found["reproductions"]
    assert "agents.noise.NoiseTakers" in found["agents"]
    assert "markets.spot.order_book.OrderBook" in found["venues"]
    assert "markets.venue.Venue" not in found["venues"]
    assert all(line for group in found.values() for line in group.values())


def test_list_of_a_scenario_shows_every_parameter_with_default_and_meaning(capsys):
    assert cli.status(["list", "lvr", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["parameters"]
    assert found["block_seconds"] == {
        "default": 12.0,
        "meaning": "Time between blocks, or its mean.",
    }
    assert cli.status(["list", "flash_crash"]) == 0
    shown = capsys.readouterr().err
    assert "maker.largest_skew" in shown
    assert "--set PATH=VALUE" in shown


def test_conformance_passes_and_a_changed_figure_fails(capsys):
    good = VECTORS / "amm_v2.json"
    assert cli.status(["conformance", str(good), "--json"]) == 0
    line = json.loads(capsys.readouterr().out)[0]
    assert line["ok"]
    assert line["figures"] > 100
    write("empty.json", json.dumps({"kind": "of a kind that nobody knows"}))
    assert cli.status(["conformance", str(good), "empty.json"]) == 1
    assert "empty.json" in capsys.readouterr().err


class Published:
    """A reproduction of one figure, which is 2 +- 0.1."""

    CITATION, DEFAULT_RUNS = "Somebody (2020)", 7
    got = 2.0

    def reproduce(self, runs, seed):
        return [Row("made_up", f"{runs} runs", 2.0, 0.1, self.got, float("nan"))]


@pytest.mark.parametrize(("got", "status"), [(2.05, 0), (2.2, 1), (float("nan"), 1)])
def test_reproduce_gives_a_verdict(got, status, capsys, monkeypatch):
    module = Published()
    module.got = got
    monkeypatch.setattr(reproduce, "find_reproduction", lambda name: module)
    assert cli.status(["reproduce", "made_up", "--json", "--out", "out"]) == status
    row = json.loads(capsys.readouterr().out)[0]
    assert row["ok"] is (status == 0)
    assert row["quantity"] == "7 runs"
    assert row["standard_error"] is None
    assert set(row) == {
        "name",
        "quantity",
        "published",
        "tolerance",
        "low",
        "high",
        "got",
        "standard_error",
        "ok",
    }
    assert cli.status(["reproduce", "made_up"]) == status
    assert "Somebody (2020)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("published", "tolerance", "texts"),
    [
        (2.0, 0.5, ("2", "± 0.5")),
        (math.nan, Range(0.6, 0.9), ("0.6 to 0.9", "0.6 to 0.9")),
        (math.nan, ABOVE_ZERO, ("> 0", "> 0")),
        (-0.127, Range(high=0.0), ("-0.127", "< 0")),
    ],
)
def test_a_target_is_a_figure_a_range_or_a_sign(published, tolerance, texts):
    row = Row("made_up", "q", published, tolerance, 0.7, math.nan)
    assert reproduce.target_texts(row) == texts


@pytest.mark.parametrize(
    ("tolerance", "got", "ok"),
    [
        (Range(0.6, 0.9), 0.61, True),
        (Range(0.6, 0.9), 0.9, False),
        (ABOVE_ZERO, 0.0, False),
        (ABOVE_ZERO, 1e-9, True),
        (Range(high=0.0), 1e-9, False),
        (Range(), math.nan, False),
    ],
)
def test_bounds_are_not_included_and_nothing_is_no_figure(tolerance, got, ok):
    assert Row("made_up", "q", math.nan, tolerance, got, math.nan).ok is ok


def test_a_mean_over_runs_has_a_standard_error_from_two_runs_on():
    row = mean_row("made_up", "q", 2.0, 0.5, [1.0, 2.0, 3.0, 4.0])
    assert row.got == 2.5
    assert row.standard_error == pytest.approx((5 / 3) ** 0.5 / 2)
    assert math.isnan(mean_row("made_up", "q", 2.0, 0.5, [1.0]).standard_error)


def test_a_foreign_package_that_shadows_ours_is_named():
    Path("agents").mkdir()
    write("agents/__init__.py", "")
    Path("stranger-1.2.dist-info").mkdir()
    write(
        "stranger-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: stranger\nVersion: 1.2\n"
    )
    write("stranger-1.2.dist-info/RECORD", "agents/__init__.py,,\n")
    write("stranger-1.2.dist-info/top_level.txt", "agents\n")
    done = subprocess.run(
        [sys.executable, "-c", "from runner.__main__ import main; main()", "list"],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("fathom: agents:")
    assert "stranger 1.2" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_while_libraries_are_imported_is_a_line_too():
    write("typer.py", "raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "runner", "list"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "fathom: interrupted\n")


def test_an_interrupt_stops_cleanly():
    command = [sys.executable, "-m", "runner", "run", TINY, "--out", "out"]
    command += ["--set", "buyer.pause_seconds=0.1", "--steps", "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not Path("out").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().splitlines() == ["fathom: interrupted"]
    assert list(Path("out").iterdir()) == []
