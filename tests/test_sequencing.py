"""Ordering rules: what comes first, and that nothing depends on who was asked first."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.chain import Chain
from markets.errors import ConfigError, FathomError
from markets.intents import (
    BUY,
    FIELDS,
    INTENT,
    bundle,
    cancel,
    limit_order,
    stack,
    stop_order,
    with_tip,
)
from markets.sequencing import (
    Ordering,
    Roster,
    roster,
    run_starts,
    sequence,
    sequence_by_venue,
    transactions,
)
from markets.splitmix import uniform
from markets.venue import Moment


def orders(*accounts: int) -> np.ndarray:
    return stack([limit_order(0, account, BUY, at + 1, 10) for at, account in enumerate(accounts)])


def alone(latency_seconds: np.ndarray) -> Roster:
    """The roster of a domain that holds every account but the issuer's."""
    return roster(np.arange(len(latency_seconds)) > 0, latency_seconds)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("ordering", list(Ordering))
def test_an_accounts_own_intents_keep_their_order(ordering: Ordering) -> None:
    batch = sequence(orders(2, 1, 2, 3, 1, 2), ordering, alone(np.zeros(4)), rng())
    for account in (1, 2, 3):
        sizes = batch["size"][batch["account"] == account]
        assert sizes.tolist() == sorted(sizes.tolist())
    assert len(np.flatnonzero(np.diff(batch["account"]))) == 2


@pytest.mark.parametrize("ordering", list(Ordering))
def test_the_order_of_asking_changes_nothing(ordering: Ordering) -> None:
    asked = stack([limit_order(0, account, BUY, account, 10) for account in range(1, 9)])
    one = sequence(asked, ordering, alone(np.arange(9.0)), rng())
    two = sequence(asked[::-1].copy(), ordering, alone(np.arange(9.0)), rng())
    assert np.array_equal(one, two)


def test_arrival_goes_by_latency() -> None:
    latency = np.array([0.0, 0.3, 0.1, 0.2])
    batch = sequence(orders(1, 2, 3), Ordering.ARRIVAL, alone(latency), rng())
    assert batch["account"].tolist() == [2, 3, 1]


def test_random_orders_differ_from_step_to_step() -> None:
    generator = rng()
    asked = orders(*range(1, 30))
    one = sequence(asked, Ordering.RANDOM, alone(np.zeros(30)), generator)
    two = sequence(asked, Ordering.RANDOM, alone(np.zeros(30)), generator)
    assert not np.array_equal(one, two)


def test_tips_come_first_and_bundles_stay_together() -> None:
    tied = bundle([with_tip(cancel(0, 2, 1), 5), cancel(0, 2, 2)])
    intents = [limit_order(0, 1, BUY, 1, 1), *tied, with_tip(limit_order(0, 3, BUY, 1, 1), 9)]
    batch = sequence(stack(intents), Ordering.PRIORITY_FEE, alone(np.zeros(4)), rng())
    assert batch["account"].tolist() == [3, 2, 2, 1]
    assert transactions(batch).tolist() == [0, 1, 1, 2]


def plain_splitmix(start: int, number: int) -> float:
    """In whole numbers of any size, cut to 64 bits; see `test_numbers_are_those_of_splitmix`."""
    bits = (start + number * 0x9E3779B97F4A7C15) % 2**64
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
    return ((bits ^ bits >> 31) >> 11) / 2**53


def test_numbers_are_those_of_splitmix() -> None:
    """The first numbers of its authors' program from 1234567, and from 0 those that many print."""
    published = {
        1234567: (6457827717110365317, 3203168211198807973, 9817491932198370423),
        0: (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F),
    }
    for start, numbers in published.items():
        for number, bits in enumerate(numbers, 1):
            expected = (bits >> 11) / 2**53
            assert uniform(start, number) == plain_splitmix(start, number) == expected


PLACES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), max_size=60)


@given(PLACES, st.integers(0, 2**32))
def test_lots_decide_within_a_venue(places: list[tuple[int, int]], seed: int) -> None:
    asked = stack(
        [limit_order(venue, account, BUY, at + 1, 10) for at, (venue, account) in enumerate(places)]
    )
    start = np.random.default_rng(seed).bit_generator.random_raw() >> 1
    lots = [plain_splitmix(start, place) for place in range(13)]
    rng = np.random.default_rng(seed)
    batch = sequence_by_venue(asked, Ordering.RANDOM, alone(np.zeros(13)), rng)
    expected = sorted(range(len(places)), key=lambda at: (places[at][0], lots[places[at][1]], at))
    assert batch["size"].tolist() == [at + 1 for at in expected]


@pytest.mark.parametrize("ordering", list(Ordering))
@pytest.mark.parametrize("how", [sequence, sequence_by_venue])
def test_only_accounts_held_here_draw(how, ordering: Ordering) -> None:
    """The same four customers on rows 1 to 4, and on rows among those of another domain."""
    latency, rows = np.array([0.4, 0.1, 0.3, 0.1]), np.array([2, 5, 6, 9])
    here, latency_there = np.zeros(12, np.bool_), np.full(12, 0.2)
    here[rows], latency_there[rows] = True, latency
    one, two = rng(), rng()
    for _ in range(20):
        few = how(orders(1, 2, 3, 4), ordering, alone(np.append(0.0, latency)), one)
        many = how(orders(*rows), ordering, roster(here, latency_there), two)
        assert rows[few["account"] - 1].tolist() == many["account"].tolist()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(-2, 2)), max_size=30))
def test_runs_are_of_one_venue_and_bundles_stand_alone(rows: list[tuple[int, int, int]]) -> None:
    batch = np.zeros(len(rows), INTENT)
    for name, column in zip(("venue", "account", "bundle"), zip(*rows, strict=True), strict=False):
        batch[name] = column
    number, cuts = transactions(batch), [0]
    for at in range(1, len(rows)):
        tied = rows[at][2] != 0 or rows[at - 1][2] != 0
        apart = number[at] != number[at - 1] if tied else rows[at][0] != rows[at - 1][0]
        cuts += [at] * bool(apart)
    assert run_starts(batch).tolist() == [*(cuts if rows else []), len(rows)]


def test_single_intents_columns_and_rows_stack_in_the_order_given() -> None:
    one = limit_order(0, 5, BUY, 1, 10)
    many = limit_order(0, np.array([6, 7]), np.array([1, -1]), 2, np.array([11, 12]))
    ready = stack([limit_order(1, 8, BUY, 3, 13)])
    rows = stack([ready, one, many, ready[:0], cancel(0, 9, 4), ready])
    assert rows["account"].tolist() == [8, 5, 6, 7, 9, 8]
    assert rows["limit"].tolist() == [13, 10, 11, 12, 0, 13]
    assert [rows[3][field] for field in FIELDS] == [1, 0, 7, -1, 2, 12, *[0] * 7]
    assert len(stack([])) == 0


def test_one_account_may_send_columns_and_rows_need_not_be_contiguous() -> None:
    ladder = limit_order(0, 5, BUY, np.array([1, 2]), np.array([10, 11]))
    ready = stack([limit_order(0, account, BUY, 1, account) for account in (1, 2, 3)])[::2]
    rows = stack([ladder, ready])
    assert rows["account"].tolist() == [5, 5, 1, 3]
    assert rows["limit"].tolist() == [10, 11, 1, 3]


@pytest.mark.parametrize("size", [1.5, np.array([1.0, math.nan]), np.array(["1"])])
def test_columns_that_are_no_integers_are_a_bug_of_their_sender(size: object) -> None:
    with pytest.raises(FathomError, match="size of an intent must be integers"):
        stack([limit_order(0, np.array([5, 6]), BUY, size, 10)])
    with pytest.raises(FathomError, match="size of an intent must be integers"):
        stack([limit_order(0, 5, BUY, size, 10)])


@pytest.mark.parametrize("size", [2**63, -(2**63) - 1, 2**64, np.array([1, 2**63], np.uint64)])
def test_columns_that_need_more_than_64_bits_are_refused(size: object) -> None:
    with pytest.raises(FathomError, match="size of an intent must be integers of 64 bits"):
        limit_order(0, 5, BUY, size, 10)


@pytest.mark.parametrize("size", [np.array([1, 2, 3]), np.array([], np.int64)])
def test_columns_must_be_of_one_length(size: np.ndarray) -> None:
    with pytest.raises(FathomError, match="of an intent has"):
        limit_order(0, np.array([5, 6]), BUY, size, 10)


def test_integers_of_any_type_are_the_same_row() -> None:
    plain = limit_order(0, 5, BUY, 1, 10)
    for one in (True, np.bool_(True), np.int8(1), np.uint64(1), np.array(1), np.array([1]), [1]):
        assert stack([limit_order(0, 5, one, one, 10)]).tobytes() == plain


def test_stops_without_limit_are_market_orders_in_lists_too() -> None:
    lists = stop_order(0, [5, 6], BUY, 1, 9, [0, 8])
    arrays = stop_order(0, np.array([5, 6]), BUY, 1, 9, np.array([0, 8]))
    singles = [stop_order(0, 5, BUY, 1, 9), stop_order(0, 6, BUY, 1, 9, 8)]
    assert stack([lists]).tobytes() == stack([arrays]).tobytes() == stack(singles).tobytes()


def test_agents_may_answer_in_many_forms() -> None:
    one, rows = limit_order(0, 5, BUY, 1, 10), orders(6, 7)
    answers = [None, b"", [], (), np.array([]), [one], rows[0], [rows[1], None], iter([one])]
    assert stack(answers)["account"].tolist() == [5, 6, 7, 5]


@pytest.mark.parametrize(
    "answer", ["buy", b"buy", 0, 1.5, (1,) * 13, tuple(np.ones(13, np.int64)), [np.ones(13)], [[0]]]
)
def test_what_is_no_intent_is_a_bug_of_its_sender(answer: object) -> None:
    with pytest.raises(FathomError, match="an intent is made by the functions"):
        stack([limit_order(0, 5, BUY, 1, 10), answer])


@pytest.mark.parametrize("intent", [(1,) * 13, b"buy", [limit_order(0, 5, BUY, 1, 10)], 7, None])
def test_only_intents_can_be_altered(intent: object) -> None:
    with pytest.raises(FathomError, match="an intent is made by the functions"):
        with_tip(intent, 5)


def moment(seconds: float, step_seconds: float) -> Moment:
    return Moment(0, seconds, step_seconds)


def test_blocks_fall_due() -> None:
    chain = Chain("chain", block_seconds=12, fee_asset="ETH")
    due = [list(chain.block_times(moment(at, 4), rng())[1]) for at in (0, 4, 8, 12, 16, 20)]
    assert due == [[], [], [12], [], [], [24]]
    count, times = chain.block_times(moment(3, 60), rng())
    assert (count, list(times)) == (5, [12, 24, 36, 48, 60])


@pytest.mark.parametrize(
    ("field", "value"), [("block_seconds", 0), ("block_seconds", 1e-4), ("gas_fee", -1)]
)
def test_impossible_chains_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"chain\.{field}"):
        Chain(**{"name": "chain", "block_seconds": 1, "fee_asset": "ETH", field: value})
