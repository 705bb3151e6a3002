"""Rules between parameters: what they keep, and how they are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.errors import ConfigError
from runner.constraints import Constraint, kept

VALUES = {"a": 2, "b.c": 3.0, "rule": "none", "on": True, "list": [1, 2]}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("a < b.c", True),
        ("a < b.c < 3", False),
        ("a * 2 + 1 >= b.c ** 1 and not (a == 3)", True),
        ("rule == 'none' or a > 5", True),
        ("a in [1, 2]", True),
        ("a not in list", False),
        ("-a % 3 == 1", True),
        ("on", True),
        ("b.c / a > 1.5", False),
    ],
)
def test_a_rule_says_what_python_says(rule, holds):
    assert Constraint(rule).holds(VALUES) is holds


@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from(["<", "<=", "==", "!=", ">", ">="]))
def test_comparisons_are_those_of_python(a, b, sign):
    assert Constraint(f"x.y {sign} z").holds({"x.y": a, "z": b}) is eval(f"{a} {sign} {b}")


@pytest.mark.parametrize(
    "rule",
    [
        "a <",
        "a < d",
        "b < 1",
        "open('x')",
        "a.__class__",
        "(lambda: 1)()",
        "[x for x in list]",
        "a is 2",
        "a < 'text'",
        "1 / (a - 2)",
        "list[0] == 1",
        "a << 2",
    ],
)
def test_what_is_no_rule_is_refused_by_its_number(rule):
    with pytest.raises(ConfigError) as caught:
        kept([{"a": 2}], ["a > 0", rule], VALUES)
    assert caught.value.field == "constraints.1"


def test_points_that_break_a_rule_are_left_out():
    points = [{"a": a} for a in range(5)]
    assert kept(points, ["a <= b.c", "a > 0"], VALUES) == [{"a": 1}, {"a": 2}, {"a": 3}]
    with pytest.raises(ConfigError, match="none of the 5 points"):
        kept(points, ["a > 9"], VALUES)
