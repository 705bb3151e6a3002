"""Price history files: what is found in them, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from markets.errors import ConfigError
from runner.history import read_history


@pytest.fixture
def history(tmp_path):
    def read(text):
        file = tmp_path / "prices.csv"
        file.write_text(text)
        return read_history(file)

    return read


@pytest.mark.parametrize(
    "times",
    [
        ("0", "60"),
        ("1583971200", "1583971260"),
        ("1583971200000", "1583971260000"),
        ("1583971200000000", "1583971260000000"),
        ("1583971200000000000", "1583971260000000000"),
        ("2020-03-12 00:00:00", "2020-03-12 00:01:00"),
        ("2020-03-12T00:00:00Z", "2020-03-12T00:01:00Z"),
        ("2020-03-12T01:00:00+01:00", "2020-03-12T00:01:00Z"),
        ("2020-03-12", "2020-03-12T00:01"),
    ],
)
def test_times_in_any_usual_form_are_seconds(history, times):
    assert history(f"time,price\n{times[0]},1\n{times[1]},2\n").duration_seconds == 60


@pytest.mark.parametrize("name", ["Price", "close", "MID", "mark_price"])
def test_the_price_is_found_by_name(history, name):
    assert history(f"timestamp,{name},volume\n0,5,9\n60,6,9\n").price.tolist() == [5, 6]


def test_bars_give_open_extremes_and_close(history):
    bars = "unix,open,high,low,close\n0,10,12,9,11\n60,11,11,7,8\n"
    assert history(bars).price.tolist() == [10, 9, 12, 11, 11, 7, 8]


def test_parquet_is_read_like_csv(tmp_path):
    moments = pd.to_datetime(["2020-03-12", "2020-03-13"], utc=True)
    frame = pd.DataFrame({"time": moments, "price": [2.0, 3.0]})
    frame.to_parquet(tmp_path / "prices.parquet")
    found = read_history(tmp_path / "prices.parquet")
    assert found.duration_seconds == 86_400
    np.testing.assert_array_equal(found.price, [2, 3])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("time,price\n", "no rows"),
        ("time,price\n0,1\n", "at least 2"),
        ("when,price\n0,1\n60,1\n", "no time column"),
        ("time,volume\n0,1\n60,1\n", "no price column"),
        ("time,price\n0,1\n60,\n", "row 2 has nan"),
        ("time,price\n0,1\n60,dear\n", "row 2 has dear"),
        ("time,price\n0,1\n60,-1\n", "row 2 has -1"),
        ("time,price\n0,0\n60,1\n", "row 1 has 0"),
        ("time,price\n0,1\n60,inf\n", "row 2 has inf"),
        ("time,price\n60,1\n0,1\n", "rise from row to row.*: row 2 has 0"),
        ("time,price\n0,1\n0,1\n", "rise from row to row.*: row 2 has 0"),
        ("time,price\n2020-03-12,1\nsoon,1\n", "time is no time: row 2 has soon"),
        (
            "time,open,high,low,close\n0,1,1,1,1\n60,1,,1,1\n",
            "high must be a number above 0: row 2",
        ),
        ('time,price\n0,1\n60,1,"x', "neither CSV nor Parquet"),
    ],
)
def test_a_history_with_a_fault_is_refused_with_the_row(history, text, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        history(text)
    assert caught.value.field == "path"
