"""Funding over the years: the shape, what ties the basis, and traders who follow the trend."""

import numpy as np
import pandas as pd
import pytest

from experiments.published import funding_plateau
from experiments.scenario import find_scenario
from experiments.simulate import Outcome, resolve, simulate

FUNDING = find_scenario("funding")
SHORT = {"days": 90, "perpetual_maker.largest_skew": 0.05}


def outcome(**overrides: object) -> Outcome:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return simulate(FUNDING, resolve(FUNDING, {**SHORT, **dotted}), seed=4)


@pytest.fixture(scope="module")
def usual() -> Outcome:
    return outcome()


def premium(of: Outcome) -> pd.Series:
    steps = pd.DataFrame(dict(of.tables["steps"]))
    mid = steps.pivot(index="step", columns="venue", values="mid")
    return (mid["perpetual"] / mid["spot"] - 1).iloc[100:]


def test_without_arbitrageurs_the_basis_varies_more(usual: Outcome) -> None:
    free = outcome(cheap_carry__largest_position=1e-9, dear_carry__largest_position=1e-9)
    assert premium(free).std() > premium(usual).std()
    assert premium(free).abs().mean() > premium(usual).abs().mean()


def test_a_wider_damper_makes_a_wider_plateau(usual: Outcome) -> None:
    wide = outcome(perpetual__funding_damper=0.002)
    assert wide.metrics["plateau_share"] > usual.metrics["plateau_share"]


def test_demand_follows_past_returns(usual: Outcome) -> None:
    steps = pd.DataFrame(dict(usual.tables["steps"]))
    spot = steps[steps["venue"] == "spot"].set_index("step")["mid"]
    trend = np.log(spot).diff(60).reindex(premium(usual).index)
    assert trend.corr(premium(usual)) > 0.3


@pytest.mark.slow
def test_the_published_rows() -> None:
    rows = funding_plateau.reproduce(funding_plateau.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []
