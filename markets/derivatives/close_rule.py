"""The liquidation rule in whole numbers, for kernels.

Amounts are atoms of the settlement asset, enumerations numbers in the order in which they are
listed. What the rule says of one second or one order stands here for the step at hand: `in_step`
sets the volume of the step and how many orders of one account it holds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.assets import MAX_ATOMS
from markets.derivatives.backstop import backstop_rows
from markets.derivatives.liquidation_presets import MARK_THIRDS, OrderPrice, Stage, Step
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.derivatives.ranking import Ranking

IN_HAND = {Stage.FUND: 1, Stage.ADL: 2, Stage.SOCIAL: 3}
FUND, ADL, SOCIAL = IN_HAND.values()
WHOLE, TIER, LOWEST, PORTION = range(4)
_ALL = 2**31 - 1


class CloseRule(NamedTuple):
    """The rule; `in_hand` lists what is done, in order, with lots that the fund has taken.

    `pooled` is how many opposite positions share at least, pro rata; 0: a queue.
    """

    in_hand: NDArray[np.int64]
    orders: int
    step: int
    portion_ppm: int
    portion_above: int
    least: int
    most: int
    cooldown_seconds: float
    whole_after_cooldown: bool
    orders_when_due: bool
    fill_or_kill: bool
    fillable: bool
    spread_to_mm: float
    bankruptcy_adjustment: float
    through_ppm: int
    takeover_ppm: int
    takeover_gradual: bool
    fee_ppm: int
    volume: int
    goes: int
    step_seconds: float
    backstops: NDArray[np.int64]
    backstop_mark_thirds: int
    backstop_in_debt: bool
    backstop_unwind_ppm: int
    adl_mark_thirds: int
    adl_trigger_ppm: int
    rest_seconds: float
    pooled: int
    band_ppm: int


def close_rule(
    rule: LiquidationRule,
    scale: int,
    backstops: NDArray[np.int64],
    ranking: Ranking,
    band_ppm: int,
) -> CloseRule:
    """The rule for kernels; `scale` is atoms in a settlement unit, `backstops` ledger rows."""
    stages = rule.value("stages")
    pooled = {Ranking.PRO_RATA: _ALL, Ranking.LARGEST: rule.value("largest")}

    def atoms(field: str) -> int:
        return round(rule.value(field) * scale)

    return CloseRule(
        in_hand=np.array([IN_HAND[stage] for stage in stages if stage in IN_HAND], np.int64),
        orders=int(Stage.ORDERS in stages),
        step=list(Step).index(rule.value("step")),
        portion_ppm=rule.value("portion_ppm"),
        portion_above=atoms("portion_above"),
        least=atoms("least"),
        most=atoms("most"),
        cooldown_seconds=float(rule.value("cooldown_seconds")),
        whole_after_cooldown=bool(rule.value("whole_after_cooldown")),
        orders_when_due=bool(rule.value("orders_when_due")),
        fill_or_kill=bool(rule.value("fill_or_kill")),
        fillable=rule.value("order_price") is OrderPrice.FILLABLE,
        spread_to_mm=float(rule.value("spread_to_mm")),
        bankruptcy_adjustment=float(rule.value("bankruptcy_adjustment")),
        through_ppm=rule.value("through_ppm"),
        takeover_ppm=rule.value("takeover_ppm"),
        takeover_gradual=bool(rule.value("takeover_gradual")),
        fee_ppm=rule.value("fee_ppm"),
        volume=atoms("volume_per_second"),
        goes=1,
        step_seconds=0.0,
        backstops=backstop_rows(rule.value("backstops"), backstops, scale),
        backstop_mark_thirds=MARK_THIRDS[rule.value("backstop_price")],
        backstop_in_debt=bool(rule.value("backstop_in_debt")),
        backstop_unwind_ppm=rule.value("backstop_unwind_ppm"),
        adl_mark_thirds=MARK_THIRDS[rule.value("adl_price")],
        adl_trigger_ppm=rule.value("adl_trigger_ppm"),
        rest_seconds=float(rule.value("rest_seconds")),
        pooled=pooled.get(ranking, 0),
        band_ppm=band_ppm,
    )


def in_step(rule: CloseRule, step_seconds: float) -> CloseRule:
    """The rule for a step of so many seconds."""
    goes = 1
    if rule.cooldown_seconds > 0 and not rule.whole_after_cooldown:
        goes = max(1, int(step_seconds / rule.cooldown_seconds + 1e-9))
    volume = min(round(rule.volume * step_seconds), MAX_ATOMS)
    return rule._replace(volume=volume, goes=goes, step_seconds=step_seconds)
