"""10 October 2025: the order of events, thin books, patient makers, and the published shapes."""

import numpy as np
import pandas as pd
import pytest

from experiments.published import october_2025
from experiments.scenario import find_scenario
from experiments.simulate import Outcome, resolve, simulate

SCENARIO = find_scenario("october_2025")
SMALL = {"step_seconds": 20.0, "traders.count": 1_500, "hedgers.count": 400}


def outcome(**overrides: object) -> Outcome:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return simulate(SCENARIO, resolve(SCENARIO, {**SMALL, **dotted}), seed=5)


@pytest.fixture(scope="module")
def usual() -> Outcome:
    return outcome(maker__order_size=6.0)


def test_depth_goes_before_winners_are_closed(usual: Outcome) -> None:
    steps = pd.DataFrame(dict(usual.tables["steps"]))
    first = steps.index[steps["adl"] > 0][0]
    assert steps.loc[:first, "liquidated"].sum() > 0
    assert steps.loc[first, "bid_depth"] == pytest.approx(0.0, abs=1e-9) or np.isnan(
        steps.loc[first, "bid_depth"]
    )
    assert usual.metrics["ledger_residual_atoms"] == 0


def test_makers_who_stay_prevent_deleveraging(usual: Outcome) -> None:
    patient = outcome(maker__order_size=6.0, withdraw_volatility_per_hour=10.0)
    assert patient.metrics["adl_ratio"] < usual.metrics["adl_ratio"] / 2
    assert patient.metrics["depth_left"] > usual.metrics["depth_left"]


@pytest.mark.slow
def test_the_published_rows() -> None:
    rows = october_2025.reproduce(october_2025.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []
