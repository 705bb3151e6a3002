"""The benchmark of the runner measures what it says, on a small scale."""

import pytest

from runner import benchmark
from runner.bench import benchmark_names
from runner.provenance import provenance


def test_the_runner_is_among_the_benchmarks():
    assert "runner" in benchmark_names()


@pytest.mark.slow
@pytest.mark.ray
def test_all_figures_are_measured(monkeypatch):
    provenance.cache_clear()
    monkeypatch.setattr(benchmark, "HERE", 20)
    monkeypatch.setattr(benchmark, "SHORT", 20)
    figures = {figure.name: figure for figure in benchmark.measure(0.05, peers=True)}
    assert len(figures) == 8
    assert all(figure.value > 0 for figure in figures.values())
    assert figures["overhead of a run in a sweep"].value < 100
    assert 0.1 < figures["efficiency of 2 workers"].value <= 1.05
    assert 50 < figures["memory of the driver at most"].value < 500
