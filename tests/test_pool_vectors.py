"""Every figure of the pool vectors, through the kernels, at the tolerance its file states."""

import copy
import json
from pathlib import Path

import pytest

from experiments.conformance import compare
from experiments.conformance.comparison import close, exact

FILES = sorted(Path(__file__).parent.joinpath("vectors").glob("amm_*.json"))
FIGURES = {
    "amm_balancer_weighted": 49,
    "amm_closed_forms": 355,
    "amm_curve_crypto": 25,
    "amm_curve_stableswap": 420,
    "amm_v2": 175,
    "amm_v3_pools": 570,
    "amm_v3_units": 151,
}


def load(name: str) -> dict:
    return json.loads(next(path for path in FILES if path.stem == name).read_text())


def test_all_files_are_here():
    assert {path.stem for path in FILES} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_of_a_file_is_within_its_tolerance(name):
    rows = compare(load(name))
    assert [row for row in rows if not row.ok] == []
    assert len(rows) == FIGURES[name]
    assert all(row.error <= row.tolerance for row in rows)


def test_unknown_kinds_fail():
    for document in ({"kind": "perpetual motion"}, {"rows": []}, {}):
        rows = compare(document)
        assert rows
        assert not any(row.ok for row in rows)
        assert rows[0].case.startswith("unknown kind")


@pytest.mark.parametrize("name", ["amm_v2", "amm_v3_pools", "amm_curve_stableswap"])
def test_an_unknown_operation_fails(name):
    document = load(name)
    document["scenarios"] = document["scenarios"][:1]
    document["scenarios"][0]["ops"][-1]["op"] = "teleport"
    document.pop("spec_snapshots", None)
    assert [row.got for row in compare(document) if not row.ok] == ["teleport"]


def test_an_unknown_weighted_operation_and_group_fail():
    document = load("amm_balancer_weighted")
    document["pools"][0]["cases"][0]["op"] = "teleport"
    assert [row.got for row in compare(document) if not row.ok] == ["teleport"]
    document = load("amm_closed_forms")
    document["rows"] = {"teleport": [{"x": "1"}]}
    document["monte_carlo_check"] = {"rows": []}
    rows = compare(document)
    assert len(rows) == 1
    assert not rows[0].ok
    assert rows[0].case.startswith("unknown kind")


@pytest.mark.parametrize("name", FIGURES)
def test_a_document_without_its_parts_fails_and_does_not_raise(name):
    rows = compare({"kind": load(name)["kind"]})
    assert rows
    assert not any(row.ok for row in rows)


def test_a_wrong_figure_and_a_figure_we_do_not_compute_fail():
    document = load("amm_v2")
    document["scenarios"] = [document["scenarios"][0]]
    spoilt = copy.deepcopy(document)
    spoilt["scenarios"][0]["ops"][1]["result"]["amount_out_human"] = "1.66249791563"
    spoilt["scenarios"][0]["ops"][1]["result"]["gas_human"] = "21000"
    failed = {row.quantity for row in compare(spoilt) if not row.ok}
    assert failed == {"amount_out", "gas"}
    assert all(row.ok for row in compare(document))


def test_a_case_that_cannot_be_replayed_fails():
    document = load("amm_curve_crypto")
    del document["cases"][0]["dx_human"]
    failed = [row for row in compare(document) if not row.ok]
    assert [row.case for row in failed] == ["two_coin_balanced"]
    assert "KeyError" in str(failed[0].got)


def test_comparisons_know_equal_near_and_not_finite():
    assert exact("c", "q", 3, 3).ok
    assert not exact("c", "q", 1, True).ok
    assert close("c", "q", "0.1", 0.1 + 1e-15, 1e-12).ok
    assert not close("c", "q", "0.1", 0.1 + 1e-12, 1e-12).ok
    assert not close("c", "q", "1", float("nan"), 1.0).ok
    assert not close("c", "q", "inf", float("inf"), 1.0).ok
    assert close("c", "q", "0", 1e-13, 0.0, 1e-12).ok
    assert not close("c", "q", "0", 1e-13, 1e-12).ok
