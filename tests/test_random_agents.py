"""Random agents: objects and a cohort follow the one rule and leave the same kind of market."""

import numpy as np
import pytest

from agents.random_agents import RandomAgent, RandomCohort
from experiments.benchmarks.agents import cohort_of, objects_of, scenario
from experiments.scenario import AgentSpec
from experiments.world import World
from markets.intents import BUY, CANCEL, PLACE, SELL, stack

COUNT, STEPS = 400, 60
BUILDS = pytest.mark.parametrize("build", [objects_of, cohort_of])


def messages(agents: list[AgentSpec]) -> list[np.ndarray]:
    """What the agents sent, step by step; each step is carried out."""
    world, sent = World(scenario(agents, STEPS), seed=1, record=("steps",)), []
    execute = world.market.execute
    world.market.execute = lambda rows, *rest: sent.append(rows.copy()) or execute(rows, *rest)
    for _ in range(STEPS):
        world.step()
    return sent


@BUILDS
def test_half_of_them_act_and_draw_evenly(build) -> None:
    sent = messages(build(COUNT))
    assert np.mean([len(rows) for rows in sent]) == pytest.approx(COUNT / 2, rel=0.03)
    rows = np.concatenate(sent)
    placed = rows[rows["action"] == PLACE]
    assert set(rows["action"].tolist()) == {PLACE, CANCEL}
    assert (placed["side"] == BUY).mean() == pytest.approx(0.5, abs=0.03)
    assert set(placed["side"].tolist()) == {BUY, SELL}
    for column, low, high in (("limit", 10, 100), ("size", 10, 50)):
        assert (placed[column].min(), placed[column].max()) == (low, high)
        counts = np.bincount(placed[column] - low, minlength=high - low + 1)
        expected = len(placed) / len(counts)
        assert ((counts - expected) ** 2 / expected).sum() < 2 * len(counts)
    drawn = np.stack([placed[column] for column in ("side", "limit", "size")])
    assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < 0.05


@BUILDS
def test_nobody_has_two_orders(build) -> None:
    world = World(scenario(build(COUNT), STEPS), seed=2, record=("steps",))
    for _ in range(STEPS):
        world.step()
    book = world.market.venues["book"].book
    resting = book.arrays.orders["account"][book.arrays.orders["side"] != 0]
    assert len(resting) == len(set(resting.tolist())) == book.count > 0


def test_objects_and_cohort_leave_the_same_kind_of_market() -> None:
    shares = []
    for build in (objects_of, cohort_of):
        rows = np.concatenate(messages(build(COUNT)))
        shares.append((rows["action"] == CANCEL).mean())
    assert shares[0] == pytest.approx(shares[1], abs=0.02)


def test_a_view_alone_decides_whether_to_cancel() -> None:
    world = World(scenario(cohort_of(50), 5), seed=3, record=("steps",))
    for _ in range(4):
        view = world.market.observe(world.moment(world.now))
        newest = np.array(view["book"].newest_order)
        rows = stack(world.traders[0].act(view))
        cancels = rows["action"] == CANCEL
        assert (newest[rows["account"]] >= 0).tolist() == cancels.tolist()
        assert rows["order"][cancels].tolist() == newest[rows["account"][cancels]].tolist()
        world.step()


@pytest.mark.parametrize("kind", [RandomAgent, RandomCohort])
@pytest.mark.parametrize("ends", [{"low_ticks": 50, "high_ticks": 49}, {"high_lots": 9}])
def test_ranges_that_fall_are_refused(kind: type[RandomAgent], ends: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least low_ticks and low_lots"):
        kind.Params(venue="book", **ends)
