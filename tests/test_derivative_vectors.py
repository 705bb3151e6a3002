"""Reference vectors of perpetuals, futures and options: every figure of every case must agree."""

import copy
import json
from pathlib import Path

import pytest

from experiments.conformance import compare
from experiments.conformance.derivatives import KINDS

FILES = sorted((Path(__file__).parent / "vectors").glob("perp_*.json"))


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_case_agrees(path: Path) -> None:
    document = load(path)
    rows = compare(document)
    assert [row for row in rows if not row.ok] == []
    assert {row.case for row in rows} == {case["id"] for case in document["cases"]}


@pytest.mark.parametrize(
    ("equity", "later", "stage", "closed"),
    [
        (1_000.0, False, "none", 0.0),
        (999.0, False, "book", 40e3),
        (667.0, False, "book", 40e3),
        (667.0, True, "book", 200e3),
        (666.0, False, "backstop", 200e3),
        (0.0, False, "backstop", 200e3),
        (-1.0, False, "adl", 200e3),
    ],
)
def test_stages_go_from_book_to_backstop_to_adl(equity, later, stage, closed) -> None:
    """Hyperliquid's, as played at a venue: maintenance 1,000 of a position of 200,000."""
    case = {"account_value": equity, "maintenance_required": 1_000.0, "after_cooldown": later}
    found = KINDS["hl_waterfall"]({"position_notional": 200e3, **case})
    assert found == {"stage": stage, "order_notional": pytest.approx(closed)}


def test_the_files_hold_all_cases_and_no_mapping_is_unused() -> None:
    documents = [load(path) for path in FILES]
    assert sum(len(document["cases"]) for document in documents) == 164
    kinds = {case["kind"] for document in documents for case in document["cases"]}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_wrong_expectation_is_noticed_in_every_case(path: Path) -> None:
    document = load(path)
    for case in document["cases"]:
        case["expected"] = shifted(case["expected"])
    rows = compare(document)
    failed = {row.case for row in rows if not row.ok}
    assert failed == {case["id"] for case in document["cases"]}


def shifted(figure: object) -> object:
    """The same nesting with every leaf changed by more than any tolerance."""
    if isinstance(figure, dict):
        return {key: shifted(value) for key, value in figure.items()}
    if isinstance(figure, list):
        return [shifted(value) for value in figure] + [0]
    if isinstance(figure, bool):
        return not figure
    if isinstance(figure, int | float):
        return figure * 1.000001 + 1e-9
    return "another" if figure is None else f"{figure}?"


def test_unknown_kinds_missing_inputs_and_missing_figures_fail() -> None:
    document = load(FILES[0])
    strange, empty, extra = (copy.deepcopy(document["cases"][0]) for _ in range(3))
    strange["kind"] = "adl_by_moonlight"
    empty["inputs"] = {}
    extra["expected"]["moon_phase"] = 0.5
    for case in (strange, empty, extra):
        rows = compare({**document, "cases": [case]})
        assert any(not row.ok for row in rows), case["kind"]
        assert {row.case for row in rows} == {case["id"]}
    assert not compare({**document, "cases": []})[0].ok


def test_the_tolerance_is_the_larger_of_the_two_not_their_sum() -> None:
    case = {"id": "one", "kind": "pnl", "expected": {"pnl": 1.0 + 1.5e-12}}
    case["inputs"] = {"side": "long", "qty": 1, "entry": 1.0, "exit": 2.0}
    verdicts = [
        compare({"title": "t", "rtol": rtol, "cases": [case]})[0].ok for rtol in (1e-12, 1e-11)
    ]
    assert verdicts == [False, True]
