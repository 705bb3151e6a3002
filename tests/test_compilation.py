"""Time that goes into kernels before they run, and who is told of it."""

import numba
import pytest

from markets import compilation
from runner.console import tell_of_compiling


@pytest.fixture
def _no_moment(monkeypatch):
    monkeypatch.setattr(compilation, "MOMENT_SECONDS", 0.0)


def compile_two():
    @numba.njit
    def leaf(x):
        return x + 1

    @numba.njit
    def root(x):
        return leaf(x)

    root(1)
    return root


def test_compiling_is_loading_and_running_is_not():
    before = compilation.loading_seconds()
    root = compile_two()
    between = compilation.loading_seconds()
    assert between > before
    assert root(2) == 3
    assert compilation.loading_seconds() == between


@pytest.mark.usefixtures("_no_moment")
def test_people_are_told_once_on_stderr_where_kernels_are_kept(capsys):
    tell_of_compiling()
    compile_two()
    compile_two()
    said = capsys.readouterr()
    assert said.err.count("compiling kernels (first run only; kept in ") == 1
    assert said.out == ""


def test_a_moment_is_not_worth_a_word(capsys, monkeypatch):
    monkeypatch.setattr(compilation, "MOMENT_SECONDS", 1e9)
    tell_of_compiling()
    compile_two()
    assert capsys.readouterr().err == ""
