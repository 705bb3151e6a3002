"""Cont, Stoikov and Talreja 2010: the cells by themselves, the whole book, then all tables."""

import pytest

from experiments.published import cont_stoikov_talreja as paper


@pytest.mark.parametrize(("table", "bids", "asks"), [(3, 1, 2), (4, 2, 1), (5, 2, 3)])
def test_a_cell_of_each_table(table: int, bids: int, asks: int) -> None:
    published = {3: paper.RISING, 5: paper.MAKING}
    if table == 4:
        expected = 1 - paper.FILLING[asks - 1][bids - 1]
    else:
        expected = published[table][bids - 1][asks - 1]
    assert paper.race_share(table, bids, asks, 4_000, seed=3) == pytest.approx(expected, abs=0.027)


def test_equal_queues_are_a_fair_race() -> None:
    assert paper.race_share(3, 4, 4, 4_000, seed=4) == pytest.approx(0.5, abs=0.027)


def test_the_whole_book() -> None:
    rows = paper.whole_book(30, 0, wider=3.0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []


@pytest.mark.slow
def test_all_tables() -> None:
    rows = paper.reproduce(paper.DEFAULT_RUNS, seed=0)
    assert len(rows) == 81
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []
