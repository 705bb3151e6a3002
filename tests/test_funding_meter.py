"""Funding rules of four venues, and their charging at stamps or continuously, to the atom."""

from fractions import Fraction
from math import ceil, nan

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from markets.derivatives.book_quotes import BookQuotes
from markets.derivatives.funding import median_vote_ppm
from markets.derivatives.funding_meter import FundingMeter, FundingParams
from markets.derivatives.perpetual import Perpetual
from markets.errors import ConfigError
from markets.intents import BUY, SELL, deposit, limit_order
from markets.outcomes import Code, Reason
from markets.venue import Moment
from tests.perpetual_bench import Bench

STEP = 60.0


def meter(margin_ppm=(50_000, 30_000), **params):
    return FundingMeter(FundingParams.read(params), margin_ppm)


def moment(step, step_seconds=STEP):
    return Moment(step, step * step_seconds, step_seconds)


def premium_of(part):
    """Quotes of a book whose best and impact prices stand `part` above an index of 100."""
    price = 100 * (1 + part)
    return BookQuotes(price, price, price, price, price)


def rates(funding, premiums, step_seconds=STEP):
    """Rates of all stamps while the premium of each step is as listed."""
    found = []
    for step, premium in enumerate(premiums):
        now = moment(step, step_seconds)
        funding.sample(premium_of(premium), 100.0, 100.0 * (1 + premium), now)
        if funding.due_1e9(now):
            found.append(funding.rate)
    return found


def positions(bench, lots):
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e4)))
    for user, size in zip(bench.users, lots, strict=False):
        pair = (user, bench.users[-1]) if size > 0 else (bench.users[-1], user)
        bench.trade(*pair, abs(size) * 0.01, 100)
    return [bench.claim(user) for user in bench.users]


SIZES = st.lists(st.integers(-40, 40).filter(bool), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(lots=SIZES, rate=st.floats(-0.0075, 0.0075), steps=st.integers(1, 40), inverse=st.booleans())
def test_a_stamp_and_the_cumulative_index_charge_the_same(lots, rate, steps, inverse) -> None:
    """The same rate at an unchanged mark: equal for each account, to the atom, in any steps."""
    paid = []
    for charge in ("stamps", "continuous"):
        bench = Bench(
            len(lots) + 1,
            decimals=2,
            lot=0.01,
            contract="inverse" if inverse else "linear",
            contract_value_quote=100.0,
            interest_rate=rate,
            funding_damper=1.0,
            funding_interval_seconds=steps * STEP,
            funding_cap=0.5,
            funding_charge=charge,
        )
        before = positions(bench, lots)
        for _ in range(steps):
            bench.mark(100)
        paid.append([had - bench.claim(u) for had, u in zip(before, bench.users, strict=True)])
        assert sum(paid[-1]) == bench.claim(bench.venue._terms.fund) >= 0
        bench.market.check()
    assert paid[0] == paid[1]


@settings(max_examples=30, deadline=None)
@given(lots=SIZES, rate=st.floats(-0.0075, 0.0075), seed=st.integers(0, 2**32))
def test_continuous_funding_is_the_ceiling_of_the_index_at_every_moment(lots, rate, seed) -> None:
    """Positions and marks change: paid is the sum of c*P*k*dC, rounded up once.

    C is a float: where its exact value lies between two whole 1e-9 it may round to either.
    """
    totals_1e9 = [Fraction(rate) * 60 * step / 28_800 * 10**9 for step in range(1, 26)]
    assume(all(abs(total % 1 - Fraction(1, 2)) > 1e-6 for total in totals_1e9))
    rng = np.random.default_rng(seed)
    bench = Bench(
        len(lots) + 1,
        decimals=2,
        lot=0.01,
        interest_rate=rate,
        funding_damper=1.0,
        funding_charge="continuous",
    )
    positions(bench, lots)
    k = bench.venue._terms.notional_atoms
    exact, paid = [Fraction(0)] * len(bench.users), [0] * len(bench.users)
    period = Fraction(0)
    for _ in range(25):
        before = [bench.claim(user) for user in bench.users]
        charged_1e9 = round(period * 10**9)
        period += Fraction(bench.venue.funding.params.interest_rate) * 60 / 28_800
        growth = Fraction(round(period * 10**9) - charged_1e9, 10**9)
        price = int(rng.integers(80, 120))
        bench.mark(price)
        for place, user in enumerate(bench.users):
            exact[place] += bench.lots(user) * price * k * growth
            paid[place] += before[place] - bench.claim(user)
        assert paid == [ceil(each) for each in exact]
        assert bench.claim(bench.venue._terms.fund) == sum(paid)
        assert sum(exact) == 0
        buyer, seller = rng.choice(bench.users, 2, replace=False).tolist()
        bench.trade(buyer, seller, 0.01 * int(rng.integers(1, 9)), price)
    flows = bench.venue.drain_flows()
    assert set(flows["reason"].tolist()) <= {Reason.FUNDING}
    bench.market.check()


def test_deribit_pays_nothing_within_the_band_and_what_is_beyond_it_outside() -> None:
    for premium, period in ((0.0004, 0.0), (-0.0005, 0.0), (0.0015, 0.001), (-0.0025, -0.002)):
        funding = meter(funding_rule="dead_band", funding_charge="continuous")
        due = 0
        for step in range(481):
            now = moment(step)
            funding.sample(BookQuotes(nan, nan, nan), 100.0, 100.0 * (1 + premium), now)
            due += funding.due_1e9(now)
        assert due == pytest.approx(period * 1e9, abs=1)
        assert funding.rate == pytest.approx(period, abs=1e-12)
        assert funding.seconds_left(480 * STEP) == 0


def test_bitmex_limits_the_rate_and_its_change() -> None:
    """IM 2 %, MM 0.4 %: at most 1.2 % a stamp, and 0.3 % more or less than the last one."""
    funding = meter((20_000, 4_000), funding_rule="step_limited", funding_interval_seconds=28_800.0)
    found = rates(funding, [0.02] * 6 + [-0.001] * 3, 28_800.0)
    assert found == pytest.approx([0.003, 0.006, 0.009, 0.012, 0.012, 0.009, 0.006, 0.003])


def test_dydx_averages_the_votes_of_an_hour_and_adds_the_default() -> None:
    """Index 9,000 and impact bid 9,998.2: 110,911 ppm, plus 100, an eighth of it an hour."""
    funding = meter(funding_rule="votes", funding_interval_seconds=3_600.0)
    quotes = BookQuotes(10_000.0, 9998.2, nan, 9_999.0, 10_001.0)
    due = []
    for step in range(61):
        funding.sample(quotes, 9_000.0, 9_000.0, moment(step))
        due.append(funding.due_1e9(moment(step)))
    assert due[:60] == [0] * 60
    assert due[60] == round((110_911 + 100) / 8 * 1_000)


def test_dydx_votes_are_held_within_their_limits() -> None:
    """IM - MM = 1 %: votes at most 60 %, the rate at most 6 %."""
    for premium, rate in ((0.05, 0.0501), (0.2, 0.06), (-0.9, -0.06)):
        funding = meter((20_000, 10_000), funding_rule="votes", funding_interval_seconds=3_600.0)
        assert rates(funding, [premium] * 61) == pytest.approx([rate / 8])
        assert abs(funding.premium) == pytest.approx(min(abs(premium), 0.6))


def test_minutes_without_a_vote_count_nothing() -> None:
    """The venue opens at half past: thirty minutes of 1 %, and thirty of 0."""
    funding = meter(funding_rule="votes", funding_interval_seconds=3_600.0, interest_rate=0.0)
    for step in range(30, 61):
        funding.sample(premium_of(0.01), 100.0, 101.0, moment(step))
        due = funding.due_1e9(moment(step))
    assert due == round(0.005 / 8 * 1e9)


@pytest.mark.parametrize("step_seconds", [10.0, 20.0, 300.0])
def test_the_length_of_a_step_does_not_matter_to_votes(step_seconds) -> None:
    funding = meter(funding_rule="votes", funding_interval_seconds=3_600.0, interest_rate=0.0)
    steps = round(3_600 / step_seconds) + 1
    assert rates(funding, [0.01] * steps, step_seconds) == pytest.approx([0.01 / 8])


def test_one_wild_vote_a_minute_changes_nothing() -> None:
    funding = meter(funding_rule="votes", funding_interval_seconds=3_600.0, interest_rate=0.0)
    votes = [0.5 if step % 6 == 2 else 0.01 for step in range(361)]
    assert rates(funding, votes, 10.0) == pytest.approx([0.01 / 8])
    assert [median_vote_ppm(v) for v in ([1, 2], [-1, -2], [-3, 4], [3, -4], [5, 1, 9])] == [
        2,
        -2,
        1,
        -1,
        5,
    ]


@pytest.mark.parametrize(("on", "price"), [("mark", 102), ("index", 100)])
def test_a_venue_pays_on_its_mark_or_on_the_index(on, price) -> None:
    """dYdX through the venue: a book 2 % above the index, 4 lots of 1 BTC, an hour."""
    bench = Bench(
        3,
        1e6,
        funding_rule="votes",
        funding_interval_seconds=3_600.0,
        funding_price=on,
        interest_rate=0.0,
        basis_bandwidth=0.5,
        initial_margin_ppm=50_000,
        impact_notional_quote=1_000.0,
    )
    long, short, maker = bench.users
    bench.do(deposit(0, np.array(bench.users), bench.atoms(1e5)))
    bench.trade(long, short, 4, 100)
    quotes = [limit_order(0, maker, side, 50_000, 102 - side) for side in (BUY, SELL)]
    assert bench.do(*quotes) == [Code.RESTING] * 2
    before = bench.claim(long)
    for _ in range(60):
        bench.mark(100)
    assert bench.venue.marking.mark == 102
    # the impact bid is 101: 1 % in 59 minutes, and none in the first
    rate = Fraction(10_000 * 59 // 60, 8 * 10**6)
    assert before - bench.claim(long) == ceil(4 * price * 10**6 * rate)
    assert (
        bench.claim(short) + bench.claim(long) + bench.claim(bench.venue._terms.fund) == 2 * 10**11
    )


@pytest.mark.parametrize("step_seconds", [3_600.0, 28_800.0, 43_200.0, 86_400.0])
def test_every_stamp_that_a_step_passes_is_paid(step_seconds) -> None:
    """Three days of a premium of 0.2 %, so 0.15 % a stamp: nine stamps, however long the steps."""
    for rule in ("damped", "dead_band"):
        funding = meter(funding_rule=rule, interest_rate=0.0001)
        paid = 0
        for step in range(round(3 * 86_400 / step_seconds) + 1):
            now = moment(step, step_seconds)
            funding.sample(premium_of(0.002), 100.0, 100.2, now)
            paid += funding.due_1e9(now)
        assert paid == 9 * 1_500_000


def test_a_limited_rate_takes_a_limited_step_at_each_stamp_that_is_passed() -> None:
    """BitMEX: changes of at most 0.75 MM = 2.25 % up to 0.75 (IM - MM) = 1.5 %."""
    margins = (50_000, 48_000)
    rates_of = []
    for step_seconds in (28_800.0, 86_400.0):
        funding = meter(margins, funding_rule="step_limited", interest_rate=0.0)
        paid = 0
        for step in range(round(86_400 / step_seconds) + 1):
            now = moment(step, step_seconds)
            funding.sample(premium_of(-0.01 if step == 0 else 0.5), 100.0, 150.0, now)
            paid += funding.due_1e9(now)
        rates_of.append((paid, funding.rate))
    assert rates_of[0][1] == rates_of[1][1] == pytest.approx(0.75 * 0.002)
    assert rates_of[0][0] == rates_of[1][0]


def test_votes_of_a_day_make_the_rates_of_its_stamps() -> None:
    """A day in a step, its votes a day ago: three stamps of 480 minutes each."""
    funding = meter(funding_rule="votes", interest_rate=0.0)
    paid = 0
    for step in range(3):
        now = moment(step, 86_400.0)
        funding.sample(premium_of(0.001), 100.0, 100.1, now)
        paid += funding.due_1e9(now)
    assert paid == 2 * 3 * 1_000_000


def test_rules_without_a_continuous_form_are_refused() -> None:
    with pytest.raises(ConfigError, match="continuous"):
        Perpetual.Params.read({"funding_rule": "votes", "funding_charge": "continuous"})
