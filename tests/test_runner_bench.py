"""The benchmark of the runner measures what it says, on a small scale."""

import pytest

from runner import benchmark
from runner.bench import benchmark_names, met
from runner.provenance import provenance


def test_the_runner_is_among_the_benchmarks():
    assert "runner" in benchmark_names()


@pytest.mark.slow
@pytest.mark.ray
def test_all_figures_are_measured(monkeypatch):
    provenance.cache_clear()
    monkeypatch.setattr(benchmark, "HERE", 20)
    monkeypatch.setattr(benchmark, "SHORT", ((1, 1), (101, 60)))
    monkeypatch.setattr(benchmark, "SHORT_TURNS", 1)
    figures = {figure.name: figure for figure in benchmark.measure(0.02, peers=True)}
    assert len(figures) == 12
    assert all(figure.value > 0 for name, figure in figures.items() if "a run more" not in name)
    assert figures["overhead of a run in a sweep"].value < 100
    assert 0.1 < figures["efficiency of 2 workers"].value <= 1.05
    assert 50 < figures["memory of the driver, 200 runs"].value < 500
    assert 50 < figures["memory of the largest worker"].value < 1500
    assert sum(": one process / this process" in name for name in figures) == 1
    assert sum(": one process / children" in name for name in figures) == 1


@pytest.mark.parametrize(
    ("value", "unit", "target", "verdict"),
    [
        (2.0, "s", 3.0, True),
        (4.0, "MB", 3.0, False),
        (2.0, "x", 3.0, False),
        (3.0, "x", 3.0, True),
        (3.0, "x", None, None),
        (float("nan"), "s", 3.0, None),
    ],
)
def test_a_target_is_the_most_for_times_and_sizes_and_the_least_for_rates(
    value, unit, target, verdict
):
    assert met(value, unit, target) is verdict
