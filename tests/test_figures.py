"""Figures: what they show of the tables they are given."""

import itertools

import numpy as np
import pandas as pd
import pytest

from runner import figures
from runner.summary import heading


@pytest.fixture
def steps():
    """Three steps of a perpetual and a pool."""
    return pd.DataFrame(
        {
            "seconds": np.repeat([3600.0, 7200.0, 10800.0], 2),
            "venue": pd.Categorical(["perpetual", "pool"] * 3),
            "reference": np.repeat([100.0, 90.0, 80.0], 2),
            "mid": [101.0, 102.0, 91.0, 92.0, 81.0, 82.0],
            "liquidated": [0.0, np.nan, 5.0, np.nan, 2.0, np.nan],
            "insurance_fund": [10.0, np.nan, 4.0, np.nan, -1.0, np.nan],
        }
    )


@pytest.fixture
def runs():
    """Two seeds at each of two leverages and two thresholds."""
    return pd.DataFrame(
        {
            "p_leverage": [5, 5, 5, 5, 10, 10, 10, 10],
            "p_threshold": [0.1, 0.1, 0.2, 0.2] * 2,
            "m_adl": [1.0, 3.0, 5.0, 5.0, 10.0, 14.0, 20.0, 20.0],
        }
    )


@pytest.fixture
def flows():
    """Three payments in dollars, over two steps, and one in another coin."""
    return pd.DataFrame(
        {
            "step": [0, 1, 1, 1],
            "payer": ["a", "a", "b", "a"],
            "receiver": ["b", "b", "c", "b"],
            "asset": ["USD", "USD", "USD", "BTC"],
            "reason": ["fee", "fee", "funding", "fee"],
            "paid": [1.0, 2.0, 10.0, 99.0],
        }
    )


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_prices_of_all_venues_and_the_reference(steps):
    axes = figures.price_figure(steps).axes[0]
    assert labels(axes) == ["perpetual", "pool", "reference"]
    np.testing.assert_array_equal(axes.lines[1].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [102, 92, 82])


def test_liquidations_above_the_insurance_fund(steps):
    above, below = figures.stress_figure(steps, "perpetual").axes
    assert [bar.get_height() for bar in above.patches] == [0, 5, 2]
    np.testing.assert_array_equal(below.lines[0].get_ydata(), [10, 4, -1])


def test_an_outcome_is_a_mean_with_its_standard_error(runs):
    axes = figures.outcome_figure(runs, "p_leverage", "m_adl", "p_threshold").axes[0]
    low, high = axes.containers
    np.testing.assert_array_equal(low.lines[0].get_ydata(), [2, 12])
    np.testing.assert_array_equal(high.lines[0].get_ydata(), [5, 20])
    first_bar = low.lines[2][0].get_segments()[0]
    np.testing.assert_allclose(first_bar[:, 1], [2 - 1, 2 + 1])
    assert labels(axes) == ["0.1", "0.2"]


def test_an_outcome_without_a_second_parameter_has_no_legend(runs):
    axes = figures.outcome_figure(runs, "p_leverage", "m_adl").axes[0]
    np.testing.assert_array_equal(axes.containers[0].lines[0].get_ydata(), [3.5, 16])
    assert axes.get_legend() is None


def test_a_closed_form_is_drawn_beside_means_with_the_errors_that_runs_report(runs):
    runs["m_adl_se"], runs["law"] = 3.0, 2.0 * runs["p_leverage"]
    axes = figures.outcome_figure(runs, "p_leverage", "m_adl", None, "law").axes[0]
    np.testing.assert_array_equal(axes.lines[-1].get_ydata(), [10, 20])
    first_bar = axes.containers[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(first_bar[:, 1], [3.5 - 3 / np.sqrt(4), 3.5 + 3 / np.sqrt(4)])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_depth_is_of_both_sides_and_zero_without_quotes(steps):
    steps["bid_depth"], steps["ask_depth"] = 3.0, 4.0
    steps["bid"], steps["ask"] = 100.0, 101.0
    gone = (steps["venue"] == "perpetual") & (steps["seconds"] == 7200)
    steps.loc[gone, ["bid_depth", "ask_depth", "bid", "ask"]] = np.nan
    above, below = figures.depth_figure(steps).axes
    np.testing.assert_array_equal(above.lines[0].get_ydata(), [7, 0, 7])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [100, np.nan, 100])
    np.testing.assert_array_equal(above.lines[1].get_ydata(), [7, 7, 7])


def test_flows_are_summed_by_payer_receiver_and_reason(flows):
    axes = figures.flows_figure(flows, ["USD"]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a → b", "b → c"]
    assert sorted(bar.get_width() for bar in axes.patches) == [3, 10]
    assert labels(axes) == ["fee", "funding"]


def test_a_matrix_has_payers_in_rows_and_receivers_in_columns(flows):
    axes = figures.matrix_figure(flows.assign(paid=1e3 * flows["paid"]), ["USD"]).axes[0]
    rows, columns = axes.get_yticklabels(), axes.get_xticklabels()
    assert [text.get_text() for text in rows] == ["b", "a"]
    assert [text.get_text() for text in columns] == ["b", "c"]
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found == {(0, 1): "3.0", (1, 0): "10.0"}


def test_what_was_paid_adds_up_by_reason_in_time(flows):
    axes = figures.paid_figure(flows, ["USD"], 1800.0).axes[0]
    assert labels(axes) == ["funding", "fee"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0, 10])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [1, 3])
    np.testing.assert_array_equal(axes.lines[1].get_xdata(), [0.5, 1.0])


def test_parts_are_stacked_to_the_right_and_losses_to_the_left():
    table = pd.DataFrame({"book": [3.0], "fund": [-2.0], "winners": [4.0]}, ["rule"])
    axes = figures.parts_figure(table, "USD", "split").axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 3), (0, -2), (3, 4)]


@pytest.mark.parametrize("largest", [3.0, 4.2e5, 8.7e8, 9.99e9])
def test_sums_of_any_size_have_labels_that_do_not_touch(largest):
    flows = pd.DataFrame(
        {
            "payer": ["swappers", "arbitrageur"],
            "receiver": ["pool", "perpetual"],
            "asset": "USD",
            "reason": ["slippage", "liquidation"],
            "paid": [largest, largest / 3],
        }
    )
    figure = figures.flows_figure(flows, ["USD"])
    figures.png(figure)
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    shown = [text for text in axes.get_xticklabels() if low <= text.get_position()[0] <= high]
    boxes = [text.get_window_extent() for text in shown]
    assert 2 <= len(boxes) <= 5
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_figure_is_drawn_without_a_display(runs):
    figure = figures.outcome_figure(runs, "p_leverage", "m_adl")
    assert figures.png(figure).startswith(b"\x89PNG")


def test_long_names_become_short_lines():
    lines = heading("traders.withdraw_volatility_per_hour").split("\n")
    assert "".join(lines) == "traders.withdraw_volatility_per_hour"
    assert max(map(len, lines)) <= 14
