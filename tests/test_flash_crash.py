"""The flash crash: what must hold in it, on the built-in path and on a real history."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.scenario import find_scenario
from experiments.simulate import Outcome, resolve, simulate
from runner import load
from runner.history import read_history

HISTORY = "btc_hourly/bitstamp_btcusd_1h_2020-03-09_15.csv"
FLASH_CRASH = find_scenario("flash_crash")


@pytest.fixture(scope="module")
def crash() -> Outcome:
    return simulate(FLASH_CRASH, resolve(FLASH_CRASH, {}), seed=1, steps=720)


def by_venue(outcome: Outcome, venue: str) -> pd.DataFrame:
    steps = pd.DataFrame(dict(outcome.tables["steps"]))
    return steps[steps["venue"] == venue].reset_index(drop=True)


def test_books_follow_the_outside_price_while_makers_quote(crash: Outcome) -> None:
    for venue in ("spot", "perpetual"):
        rows = by_venue(crash, venue).dropna(subset="mid")
        assert len(rows) > 600
        assert (rows["mid"] / rows["reference"] - 1).abs().quantile(0.99) < 0.02


def test_messages_that_travel_for_an_hour_meet_nothing_before() -> None:
    slow = resolve(FLASH_CRASH, {"gateway": {"mean_seconds": 3_600.0}, "ordering": "arrival"})
    rows = by_venue(simulate(FLASH_CRASH, slow, seed=1, steps=90), "spot")
    assert rows["mid"].iloc[:60].isna().all()
    assert rows["mid"].iloc[60:].notna().all()
    assert (rows["volume"].iloc[60:] > 0).any()


@pytest.mark.parametrize("seed", [1, 4])
def test_before_the_crash_quotes_are_away_only_where_a_whole_side_was_taken(
    crash: Outcome, seed: int
) -> None:
    params = resolve(FLASH_CRASH, {})
    outcome = crash if seed == 1 else simulate(FLASH_CRASH, params, seed=seed, steps=570)
    spot, perpetual = (by_venue(outcome, venue)[:570] for venue in ("spot", "perpetual"))
    assert spot["mid"].notna().all()
    fills = pd.DataFrame(dict(outcome.tables["fills"]))
    fills = fills[(fills["venue"] == "perpetual") & (fills["maker"] == "perpetual_maker")]
    taken = fills.groupby(["side", "step"])["size"].sum()
    ladder = params.perpetual_maker.levels * params.perpetual_maker.order_size
    for side, quote in ((-1, "bid"), (1, "ask")):
        for step in perpetual.index[perpetual[quote].isna()]:
            assert taken.get((side, step), 0) > ladder - 1e-6
    assert perpetual["mid"].notna().mean() > 0.97


def test_the_crash_empties_books_and_liquidates(crash: Outcome) -> None:
    perpetual = by_venue(crash, "perpetual")
    hours = perpetual["seconds"] / 3600
    assert by_venue(crash, "spot").loc[hours.between(10, 11.5), "mid"].isna().any()
    crashing = perpetual.loc[hours.between(10, 11.5), "liquidated"].sum()
    assert crashing > 3 * perpetual.loc[hours.between(8.5, 10), "liquidated"].sum() > 0


def test_flows_say_who_paid(crash: Outcome) -> None:
    flows = pd.DataFrame(dict(crash.tables["flows"]))
    paid = flows.groupby("reason")["paid"].sum()
    assert {"fee", "funding", "liquidation", "arbitrage", "gas"} <= set(paid.index)
    assert (flows["paid"] > 0).all()
    assert (flows["payer"] != flows["receiver"]).all()
    funding = flows[flows["reason"] == "funding"]
    to, by = funding["receiver"] == "perpetual", funding["payer"] == "perpetual"
    dust = funding.loc[to, "paid"].sum() - funding.loc[by, "paid"].sum()
    assert 0 <= dust < 0.01


def test_events_say_when_makers_left_and_came_back(crash: Outcome) -> None:
    events = pd.DataFrame(dict(crash.tables["events"]))
    told = events[events["source"] == "maker"]
    assert told["event"].tolist()[:2] == ["withdraws", "returns"]
    gone = by_venue(crash, "spot").loc[told["step"].iloc[0] : told["step"].iloc[1] - 1, "mid"]
    assert gone.isna().all()
    assert (events["source"] == "whale").sum() == 1


def test_without_leverage_fewer_are_liquidated(crash: Outcome) -> None:
    calm = resolve(FLASH_CRASH, {"traders.leverage_mean": 2.0})
    outcome = simulate(FLASH_CRASH, calm, seed=1, steps=720)
    key = "perpetual.liquidated"
    assert outcome.metrics[key] < crash.metrics[key] / 3


@pytest.mark.slow
@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
def test_a_real_history_is_followed() -> None:
    path = Path(os.environ["FATHOM_DATA"]) / HISTORY
    params = resolve(FLASH_CRASH, {})
    outcome = simulate(FLASH_CRASH, params, seed=0, history=read_history(path))
    spot = by_venue(outcome, "spot")
    close = pd.read_csv(path)["close"].to_numpy()
    at_the_hour = spot["mid"].to_numpy()[59::60]
    gap = np.abs(at_the_hour / close - 1)
    assert np.isnan(gap).mean() < 0.05
    assert np.nanmax(gap) < 0.01
    assert outcome.metrics["perpetual.liquidations"] > 500
    assert outcome.metrics["ledger_residual_atoms"] == 0


@pytest.mark.slow
def test_the_order_of_hashed_sets_changes_nothing(tmp_path: Path) -> None:
    """Python hashes strings anew in each process, so that what depended on it would differ."""
    outcomes = []
    for hash_seed in ("0", "1"):
        out = tmp_path / hash_seed
        command = [sys.executable, "-m", "runner", "run", "flash_crash", "--steps", "120"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [*command, "--json", "--out", out], env=environment, capture_output=True, check=True
        )
        tables = {name: load(out).table(name).to_pylist() for name in ("fills", "flows", "steps")}
        outcomes.append((json.loads(done.stdout)["metrics"], tables))
    assert len(outcomes[0][1]["fills"]) > 100
    assert repr(outcomes[0]) == repr(outcomes[1])
