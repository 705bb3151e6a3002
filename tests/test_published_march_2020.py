"""12-13 March 2020: the first wave, the history's bars, and the published shapes."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from experiments.paths import History
from experiments.published import march_2020
from experiments.scenario import find_scenario
from experiments.simulate import resolve, simulate
from markets.errors import ConfigError

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


def test_a_folder_without_the_bars_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="FATHOM_DATA"):
        march_2020.reproduce(1, seed=0)


@pytest.mark.parametrize("path", ["turning points", "hourly bars"])
def test_every_row_names_its_path(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"funding_second_day": -1e-3, "first_wave": 10.0, "second_wave": 24.5}
    for _, metric, *_ in (*march_2020.SHAPES, *march_2020.AUCTIONS):
        metrics.setdefault(metric, 0.01)
    bars = History(np.array([0.0, 3_600.0]), np.array([1.0, 2.0]))
    monkeypatch.setattr(march_2020, "history", lambda: bars if path == "hourly bars" else None)
    monkeypatch.setattr(march_2020, "_metrics", lambda *_: [dict(metrics)])
    rows = {row.quantity: row for row in march_2020.reproduce(1, seed=0)}
    assert all(quantity.startswith(f"{path}: ") for quantity in rows)
    funding = rows[f"{path}: mean funding on the 13th, % in 8 hours (fitted)"]
    assert (funding.got, funding.published, funding.ok) == (pytest.approx(-0.1), -0.127, True)
    fund = rows[f"{path}: largest fall of the fund, part of it"]
    assert fund.published == pytest.approx(0.0745, abs=1e-4)
    assert fund.ok
    assert not dataclasses.replace(fund, got=0.0).ok
    assert not dataclasses.replace(fund, got=1.0).ok


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
