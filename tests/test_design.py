"""Designs: which runs a sweep file means, and how it is refused."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.errors import ConfigError
from runner.design import flatten, read_sweep
from runner.overrides import parse_overrides, parse_value, write_value
from runner.sampling import Range, Sampling, sample

TINY = str(Path(__file__).with_name("tiny_market.py"))
SWEEPS = Path(__file__).parent.parent / "experiments" / "sweeps"


@pytest.fixture
def plan(tmp_path):
    def read(text):
        file = tmp_path / "study.toml"
        file.write_text(f"scenario = {TINY!r}\n{text}")
        return read_sweep(file)

    return read


def points(plan):
    return [tuple(spec.varied.values()) for spec in plan.specs]


def test_a_grid_is_every_combination_times_every_seed(plan):
    made = plan(
        """
        seeds = {first = 5, count = 3}
        steps = 7
        [grid]
        "desk.fee" = [0, 0.5]
        volatility_per_year = [1, 2, 3]
        """
    )
    assert len(made.specs) == 2 * 3 * 3
    assert len({spec.run_id for spec in made.specs}) == 18
    assert {spec.seed for spec in made.specs} == {5, 6, 7}
    assert {spec.steps for spec in made.specs} == {7}
    assert points(made)[:3] == [(0.0, 1.0)] * 3
    assert made.kinds == {"desk.fee": "float64", "volatility_per_year": "float64"}
    assert made.name == "study"


def test_fixed_parameters_hold_for_all_runs_and_are_no_columns(plan):
    made = plan("seeds = [1, 2]\n[set]\nbuyer.pause_seconds = 0.5\ndesk.fee = 0.25\n")
    assert all(spec.params["desk"]["fee"] == 0.25 for spec in made.specs)
    assert all(spec.params["buyer"]["pause_seconds"] == 0.5 for spec in made.specs)
    assert made.kinds == {}


def test_listed_runs_are_points_and_what_one_leaves_out_is_its_default(plan):
    made = plan('[[runs]]\n"desk.fee" = 0.5\n[[runs]]\nvolatility_per_year = 2.0\n')
    assert points(made) == [(0.5, 0.6), (0.001, 2.0)]


def test_a_point_given_twice_is_run_once(plan):
    assert len(plan('[grid]\n"desk.fee" = [1, 1.0, 2]').specs) == 2


def test_all_points_share_their_seeds_unless_they_are_to_be_independent(plan):
    grid = "[grid]\n'desk.fee' = [0.1, 0.2, 0.3]\n"
    paired = plan(f"seeds = {{count = 4}}\n{grid}")
    assert [spec.seed for spec in paired.specs] == [0, 1, 2, 3] * 3
    text = "seeds = {count = 4, independent = true}\n"
    apart = plan(text + grid)
    assert len({spec.seed for spec in apart.specs}) == 12
    fewer = plan(text + "[grid]\n'desk.fee' = [0.3, 0.1]\n")
    assert {spec.run_id for spec in fewer.specs} < {spec.run_id for spec in apart.specs}


def test_points_that_break_a_constraint_are_left_out(plan):
    made = plan(
        """
        constraints = ["desk.fee * 10 < volatility_per_year", "buyer.venue < 1"]
        [set]
        "buyer.venue" = 0
        [grid]
        "desk.fee" = [0.05, 0.15]
        volatility_per_year = [1.0, 2.0]
        """
    )
    assert points(made) == [(0.05, 1.0), (0.05, 2.0), (0.15, 2.0)]
    assert made.left_out == 1


def test_a_constraint_spares_points_that_the_scenario_would_refuse(plan):
    made = plan("constraints = ['desk.fee >= 0']\n[grid]\n'desk.fee' = [-1.0, 0.5]\n")
    assert points(made) == [(0.5,)]


def test_the_scenario_says_how_long_a_run_is_unless_the_sweep_does(plan):
    assert {spec.steps for spec in plan("seeds = [1, 2]").specs} == {20}


@pytest.mark.parametrize(
    "kind", ["random", "latin_hypercube", "sobol", "saltelli", "one_at_a_time"]
)
def test_drawn_designs_are_repeatable_and_inside_their_ranges(plan, kind):
    text = f"""
        [design]
        kind = "{kind}"
        samples = 8
        seed = 3
        [design.ranges]
        "desk.fee" = {{low = 0.001, high = 0.1, log = true}}
        volatility_per_year = {{low = 1, high = 9, whole = true}}
        """
    made = plan(text)
    assert [spec.run_id for spec in made.specs] == [spec.run_id for spec in plan(text).specs]
    assert len(made.specs) >= 8
    for fee, volatility in points(made):
        assert 0.001 <= fee <= 0.1
        assert 0.6 <= volatility <= 9
        assert volatility == 0.6 or volatility.is_integer()


def test_a_latin_hypercube_has_one_point_in_each_slice():
    ranges = {"a": Range(low=0, high=10), "b": Range(low=-5, high=5)}
    drawn = sample(Sampling(kind="latin_hypercube", samples=10, ranges=ranges))
    assert sorted(math.floor(point["a"]) for point in drawn) == list(range(10))
    assert sorted(math.floor(point["b"]) for point in drawn) == list(range(-5, 5))


def test_one_at_a_time_moves_one_parameter_and_leaves_the_others():
    ranges = {"a": Range(low=0, high=1), "b": Range(low=1, high=100, log=True)}
    drawn = sample(Sampling(kind="one_at_a_time", samples=3, ranges=ranges))
    assert [point.get("a") for point in drawn] == [0, 0.5, 1, None, None, None]
    assert [point.get("b") for point in drawn][3:] == pytest.approx([1, 10, 100])


RANGE = '[design.ranges]\n"desk.fee" = {low = 0, high = 1}\n'
BAD = {
    "seeds that repeat": ("seeds = [1, 1]", "seeds"),
    "seeds as a word": ("seeds = 'many'", "seeds"),
    "seed that is no number": ("seeds = [1, 'two']", "seed"),
    "seed range without count": ("seeds = {first = 3}", "seeds.count"),
    "seed range over nothing": ("seeds = {first = 3, count = 0}", "seeds.count"),
    "more seeds than a plan can hold": ("seeds = {count = 99_999_999_999}", "seeds.count"),
    "more points than a plan can hold": (
        "[grid]\n" + "".join(f"p{at} = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for at in range(7)),
        "grid",
    ),
    "more runs than a plan can hold": (
        "seeds = {count = 500_001}\n[grid]\n'desk.fee' = [1, 2]",
        "seeds",
    ),
    "more samples than a plan can hold": (
        f"[design]\nkind = 'random'\nsamples = 99_999_999_999\n{RANGE}",
        "design.samples",
    ),
    "seed range misspelt": ("seeds = {start = 3, count = 2}", "seeds.start"),
    "no steps": ("steps = 0\nseeds = [1, 2]", "steps"),
    "missing history": ("path = 'none.csv'\nseeds = [1, 2]", "path"),
    "grid and runs": ("[grid]\n'desk.fee' = [1]\n[[runs]]\n'desk.fee' = 2", "runs"),
    "grid value that is no list": ("[grid]\n'desk.fee' = 1", "grid.desk.fee"),
    "fixed and varied": ("[set]\n'desk.fee' = 1\n[grid]\n'desk.fee' = [1, 2]", "set.desk.fee"),
    "unknown fixed parameter": ("seeds = [1, 2]\n[set]\n'desk.fe' = 1", "desk.fe"),
    "unknown design": (f"[design]\nkind = 'best'\nsamples = 2\n{RANGE}", "design.kind"),
    "design without ranges": ("[design]\nkind = 'random'\nsamples = 2", "design.ranges"),
    "Sobol without a power of 2": (
        f"[design]\nkind = 'sobol'\nsamples = 6\n{RANGE}",
        "design.samples",
    ),
    "Saltelli without a power of 2": (
        f"[design]\nkind = 'saltelli'\nsamples = 6\n{RANGE}",
        "design.samples",
    ),
    "Saltelli with points left out": (
        f"constraints = ['desk.fee < 1']\n[design]\nkind = 'saltelli'\nsamples = 4\n{RANGE}",
        "constraints",
    ),
    "range upside down": (
        "[design]\nkind = 'random'\nsamples = 2\n[design.ranges]\n'desk.fee' = {low = 2, high = 1}",
        "design.ranges.desk.fee",
    ),
    "figure of what is not varied": (
        "[grid]\n'desk.fee' = [1, 2]\n[figure]\nx = 'volatility_per_year'",
        "figure.x",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_sweep_that_cannot_be_names_the_field(plan, case):
    text, field = BAD[case]
    with pytest.raises(ConfigError) as caught:
        plan(text)
    assert caught.value.field == field


def test_files_are_meant_relative_to_the_sweep(tmp_path, monkeypatch):
    (tmp_path / "market.py").write_text(Path(TINY).read_text())
    (tmp_path / "prices.csv").write_text("time,price\n0,1\n6000,2\n")
    text = "scenario = 'market.py'\npath = 'prices.csv'\nseeds = [1, 2]"
    (tmp_path / "study.toml").write_text(text)
    monkeypatch.chdir("/")
    specs = read_sweep(tmp_path / "study.toml").specs
    assert {spec.scenario for spec in specs} == {str(tmp_path / "market.py")}
    assert {spec.history for spec in specs} == {str(tmp_path / "prices.csv")}


def test_nested_tables_are_dotted_paths():
    assert flatten({"a": {"b": {"c": 1}}, "d.e": [2]}) == {"a.b.c": 1, "d.e": [2]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("random", "random"),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("1 2", "1 2"),
        ("", ""),
        ("1\nb = 2", "1\nb = 2"),
        ("2020-03-12", "2020-03-12"),
    ],
)
def test_values_have_toml_syntax_and_bare_words_are_strings(text, value):
    assert parse_value(text) == value
    assert parse_overrides([f"a.b={text}"]) == {"a.b": value}


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(VALUES)
def test_a_replay_command_gives_the_same_value_back(value):
    again = parse_value(write_value(value))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("file", sorted(SWEEPS.glob("*.toml")), ids=lambda file: file.stem)
def test_the_sweeps_that_come_along_can_be_run(file):
    made = read_sweep(file)
    assert len(made.specs) >= 24
    assert made.kinds
