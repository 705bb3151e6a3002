"""The replay of a real pool; needs the market histories that FATHOM_DATA names."""

import os

import pytest

from experiments.scenario import find_scenario
from experiments.simulate import Outcome, resolve, simulate
from markets.errors import ConfigError

needs_data = pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")


def replay(steps: int | None = None) -> Outcome:
    scenario = find_scenario("v3_replay")
    return simulate(scenario, resolve(scenario, {}), seed=0, steps=steps)


@needs_data
def test_the_first_hours_follow_the_recorded_closes() -> None:
    metrics = replay(steps=6_000).metrics
    assert metrics["minutes"] == 200
    assert metrics["within_10_ticks"] == 1
    assert metrics["ledger_residual_atoms"] == 0


@needs_data
@pytest.mark.slow
def test_five_days_stay_within_ten_ticks_and_reach_the_low() -> None:
    metrics = replay().metrics
    assert metrics["minutes"] > 7_190
    assert metrics["within_10_ticks"] >= 0.95
    assert metrics["low_usdc"] == pytest.approx(1_595.2, rel=2e-3)


def test_without_the_folder_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FATHOM_DATA", raising=False)
    with pytest.raises(ConfigError, match="FATHOM_DATA"):
        replay()


def test_an_empty_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="uniswap_v3_minute"):
        replay()
