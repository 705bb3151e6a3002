"""12-13 March 2020: the first wave, the history's bars, and the published shapes."""

import os

import pytest

from experiments.published import march_2020
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate

SCENARIO = find_scenario("march_2020")
SMALL = {"step_seconds": 120.0, "traders.count": 600, "hedgers.count": 100, "noise.count": 30}


def test_the_first_wave_is_liquidated_and_the_fund_pays() -> None:
    metrics = simulate(SCENARIO, resolve(SCENARIO, SMALL), seed=1, steps=480).metrics
    assert 10 < metrics["first_wave"] < 11
    assert metrics["perpetual.liquidations"] > 30
    assert metrics["adl_ratio"] < 0.1
    assert metrics["ledger_residual_atoms"] == 0


@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
def test_the_bars_are_those_of_the_day() -> None:
    history = march_2020.history()
    assert history is not None
    assert history.price[0] == 7934.57
    assert history.price.min() == 3850.0
    assert history.duration_seconds == 48 * 3600


def test_without_the_data_the_turning_points_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FATHOM_DATA", raising=False)
    assert march_2020.history() is None


@pytest.mark.slow
def test_the_published_rows_on_the_turning_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FATHOM_DATA", raising=False)
    rows = march_2020.reproduce(march_2020.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []


@pytest.mark.slow
@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
def test_the_published_rows_on_the_bars() -> None:
    rows = march_2020.reproduce(march_2020.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []
