"""Run ids and the code version: what they depend on, and what they do not."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from markets.errors import ConfigError
from runner import __file__ as runner_file
from runner.provenance import PACKAGES, code_version, provenance
from runner.spec import Request, plan_run

HOME = Path(runner_file).parent.parent
TINY = Path(__file__).with_name("tiny_market.py")


def run_id(scenario=TINY, seed=0, steps=None, history=None, **overrides):
    paths = {name.replace("__", "."): value for name, value in overrides.items()}
    return plan_run(Request(str(scenario), paths, steps, history), seed).run_id


@pytest.fixture
def copy(tmp_path):
    """Two of the four packages outside git, one file each: enough to hash."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        shutil.copy(HOME / package / "__init__.py", tmp_path / package)
    return tmp_path


def test_the_code_version_does_not_depend_on_git_or_on_the_place(copy, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "again"
    shutil.copytree(copy, elsewhere)
    assert code_version(copy) == code_version(elsewhere)


def test_the_code_version_ignores_what_is_no_source(copy):
    before = code_version(copy)
    cache = copy / "markets" / "__pycache__"
    cache.mkdir()
    (cache / "kernel.nbi").write_bytes(b"compiled")
    assert code_version(copy) == before


@pytest.mark.parametrize("package", PACKAGES)
def test_the_code_version_changes_with_any_package(copy, package):
    before = code_version(copy)
    with (copy / package / "__init__.py").open("a") as file:
        file.write("\n")
    after = code_version(copy)
    (copy / package / "__init__.py").rename(copy / package / "renamed.py")
    assert len({before, after, code_version(copy)}) == 3


def test_provenance_names_what_results_depend_on():
    source = provenance()
    assert {"python", "numpy", "numba", "pyarrow", "mesa", "ray"} <= set(source.versions)
    assert all(source.versions.values())
    assert len(source.code_version) == 16
    assert json.dumps(dataclasses.asdict(source))


def test_a_run_id_is_sixteen_hex_digits_and_stays():
    assert run_id() == run_id()
    assert len(run_id()) == 16
    assert int(run_id(), 16) >= 0


def test_spelling_a_default_out_changes_nothing():
    assert run_id(desk__fee=0.001, steps=20) == run_id()
    assert run_id(desk__fee=1) == run_id(desk__fee=1.0)


def test_everything_that_changes_a_run_changes_its_id(tmp_path):
    history = tmp_path / "prices.csv"
    history.write_text("time,price\n0,1\n6000,2\n")
    ids = [
        run_id(),
        run_id(seed=1),
        run_id(steps=21),
        run_id(desk__fee=0.002),
        run_id(history=history),
    ]
    assert len(set(ids)) == len(ids)


def test_a_user_file_enters_by_its_name_and_content_not_by_its_place(tmp_path):
    ids = []
    for folder, more in (("a", ""), ("b", ""), ("c", "# changed\n")):
        file = tmp_path / folder / "market.py"
        file.parent.mkdir()
        file.write_text(TINY.read_text() + more)
        ids.append(run_id(scenario=file))
    assert ids[0] == ids[1] != ids[2]


def test_a_scenario_that_cannot_be_built_is_a_setting_not_a_crash(tmp_path):
    file = tmp_path / "market.py"
    file.write_text(TINY.read_text().replace("    process = ", "    1 / 0\n    process = "))
    with pytest.raises(ConfigError, match=r"scenario: market cannot be built: ZeroDivisionError"):
        run_id(scenario=file)


def test_a_file_that_changes_under_our_feet_is_read_again(tmp_path):
    file, history = tmp_path / "market.py", tmp_path / "prices.csv"
    ids = []
    for steps, last in ((30, 6000), (40, 6000), (40, 9000)):
        file.write_text(TINY.read_text().replace("steps=20", f"steps={steps}"))
        history.write_text(f"time,price\n0,1\n{last},2\n")
        spec = plan_run(Request(str(file), {}, None, history))
        assert spec.steps == steps
        ids.append(spec.run_id)
    assert len(set(ids)) == 3
