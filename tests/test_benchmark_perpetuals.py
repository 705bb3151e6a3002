"""The benchmark of perpetuals measures what it says: all pay at a stamp, a tenth is liquidated."""

from experiments.benchmarks import perpetuals
from markets.outcomes import Reason


def test_everybody_has_a_position_and_pays_at_a_stamp() -> None:
    crowd = perpetuals.crowd(1_000)
    held = crowd.market.ledger.balances[crowd.members, crowd.venue._terms.contract]
    assert (abs(held) == 1).all()
    assert held.sum() == 0
    crowd.venue.drain_flows()
    crowd.venue.accrue(crowd.moment(perpetuals.START))
    flows = crowd.venue.drain_flows()
    assert len(flows) == 1_000
    assert (flows["reason"] == Reason.FUNDING).all()


def test_the_fall_liquidates_a_tenth_through_the_book() -> None:
    crowd = perpetuals.crowd(1_000)
    crowd.venue.forget()
    _, liquidated = perpetuals._cascade(crowd)
    fills = crowd.venue.drain_fills()
    assert liquidated == 100
    assert (fills["reason"] == Reason.LIQUIDATION).all()
    assert fills["size_lots"].sum() == 100


def test_figures_have_their_targets() -> None:
    figures = perpetuals.measure(0.001)
    targets = {figure.unit: figure.target for figure in figures if figure.target}
    assert targets == {"ms": 20.0, "s": 5.0, "MB": 1_000.0}
