"""Deviation of a perpetual and what past returns explain of it: the measure, and the rows."""

import numpy as np
import pytest

from experiments.published import perpetual_deviation
from experiments.published.perpetual_deviation import Gap, explained_part


def test_what_past_returns_explain_is_the_part_of_the_variance() -> None:
    dice = np.random.default_rng(3)
    past = dice.standard_normal((4_000, 3))
    noise = dice.standard_normal(4_000)
    assert explained_part(Gap(1e-3 * (past[:, 0] + noise), past)) == pytest.approx(0.5, abs=0.05)
    assert explained_part(Gap(noise, past)) == pytest.approx(0.0, abs=0.01)


@pytest.mark.slow
def test_the_published_rows() -> None:
    rows = perpetual_deviation.reproduce(perpetual_deviation.DEFAULT_RUNS, seed=0)
    assert [(row.quantity, row.got) for row in rows if not row.ok] == []
