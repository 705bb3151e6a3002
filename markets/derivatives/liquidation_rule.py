"""The liquidation rule of a venue, as parameters, and the presets that are named after venues.

An account below maintenance passes the listed stages until it is safe or gone:

    orders     its own immediate orders into the book, a step at a time, a fee to the fund
    backstop   an account with capital of its own takes position and margin, up to its limits
    fund       the insurance fund takes them and sells into the book while it can pay
    adl        what is left is closed against opposite positions, in a queue or pro rata
    social     the fund sells at any price; winners of the period give back what it then owes

orders and backstop come before the fund's hands, the others in the order listed; `takeover_ppm` is
the part of maintenance below which orders are no longer enough. A preset fills every field that is
not set. Sources: see each preset; figures in `close_out`. Left out: fill-or-kill (orders are
immediate-or-cancel), FTX's lottery by second (its mean is taken), providers' own quotes.
"""

from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from markets.derivatives.ranking import Ranking
from markets.params import Params
from markets.rounding import PPM


class Stage(StrEnum):
    """Who closes, or takes, an unsafe position."""

    ORDERS = "orders"
    BACKSTOP = "backstop"
    FUND = "fund"
    ADL = "adl"
    SOCIAL = "social"


class Step(StrEnum):
    """How much the account's own orders close at once."""

    WHOLE = "whole"
    TIER = "tier"
    PORTION = "portion"


class OrderPrice(StrEnum):
    """Worst price of those orders: worth nothing afterwards, or dYdX's fillable price."""

    BANKRUPTCY = "bankruptcy"
    FILLABLE = "fillable"


class AdlPrice(StrEnum):
    """What deleveraged winners get: the loser's bankruptcy price, or the mark where it is paid."""

    BANKRUPTCY = "bankruptcy"
    MARK = "mark"


class Preset(StrEnum):
    """A venue's rule; `takeover` is the plain one: fund, book, queue."""

    TAKEOVER = "takeover"
    BITMEX = "bitmex"
    BINANCE = "binance"
    HYPERLIQUID = "hyperliquid"
    DYDX = "dydx"
    OKX_2018 = "okx_2018"
    FTX = "ftx"


_PLAIN: dict[str, Any] = {
    "stages": (Stage.FUND, Stage.ADL),
    "step": Step.WHOLE,
    "portion_ppm": PPM,
    "portion_above": 0.0,
    "least": 0.0,
    "most": 0.0,
    "cooldown_seconds": 0.0,
    "whole_after_cooldown": False,
    "orders_when_due": True,
    "order_price": OrderPrice.BANKRUPTCY,
    "takeover_ppm": PPM,
    "fee_ppm": 0,
    "volume_per_second": 0.0,
    "backstop_capital": 0.0,
    "backstop_most": 0.0,
    "backstop_loss": 0.0,
    "backstop_unwind_ppm": 100_000,
    "adl_price": AdlPrice.BANKRUPTCY,
    "clawback_seconds": 0.0,
    "ranking": None,
}

PRESETS: dict[Preset, dict[str, Any]] = {
    Preset.TAKEOVER: {},
    Preset.BITMEX: {
        "stages": (Stage.ORDERS, Stage.FUND, Stage.ADL),
        "step": Step.TIER,
        "ranking": Ranking.LEVERAGE,
    },
    Preset.BINANCE: {
        "stages": (Stage.ORDERS, Stage.FUND, Stage.ADL),
        "fee_ppm": 5_000,
        "ranking": Ranking.MARGIN,
    },
    Preset.HYPERLIQUID: {
        "stages": (Stage.ORDERS, Stage.BACKSTOP, Stage.ADL),
        "step": Step.PORTION,
        "portion_ppm": 200_000,
        "portion_above": 100_000.0,
        "cooldown_seconds": 30.0,
        "whole_after_cooldown": True,
        "orders_when_due": False,
        "takeover_ppm": 666_667,
        "backstop_capital": 10_000_000.0,
        "backstop_loss": 2_000_000.0,
        "adl_price": AdlPrice.MARK,
        "ranking": Ranking.NOTIONAL,
    },
    Preset.DYDX: {
        "stages": (Stage.ORDERS, Stage.FUND, Stage.ADL),
        "step": Step.PORTION,
        "portion_ppm": 100_000,
        "least": 1_000.0,
        "most": 100_000.0,
        "order_price": OrderPrice.FILLABLE,
        "takeover_ppm": 0,
        "fee_ppm": 15_000,
        "ranking": Ranking.ACCOUNT,
    },
    Preset.OKX_2018: {
        "stages": (Stage.FUND, Stage.SOCIAL),
        "clawback_seconds": 604_800.0,
    },
    Preset.FTX: {
        "stages": (Stage.ORDERS, Stage.BACKSTOP, Stage.FUND, Stage.ADL),
        "step": Step.PORTION,
        "portion_ppm": 100_000,
        "least": 1_000.0,
        "cooldown_seconds": 6.0,
        "orders_when_due": False,
        "takeover_ppm": 500_000,
        "volume_per_second": 100_000.0,
        "backstop_capital": 10_000_000.0,
        "ranking": Ranking.NOTIONAL,
    },
}
"""Capital, loss limit and volume per second are sizes to be set for the market at hand."""


class LiquidationRule(Params):
    """A preset and what differs from it; amounts in units of the settlement asset, 0: no limit."""

    preset: Preset = Preset.TAKEOVER
    stages: tuple[Stage, ...] | None = None
    step: Step | None = None
    portion_ppm: int | None = Field(default=None, gt=0, le=PPM)
    portion_above: float | None = Field(default=None, ge=0)
    """Positions up to this notional are closed whole."""
    least: float | None = Field(default=None, ge=0)
    most: float | None = Field(default=None, ge=0)
    """Notional closed by the orders of one account in one step."""
    cooldown_seconds: float | None = Field(default=None, ge=0)
    whole_after_cooldown: bool | None = None
    orders_when_due: bool | None = None
    """Whether orders are tried even below the takeover ratio, and the rest taken at once."""
    order_price: OrderPrice | None = None
    takeover_ppm: int | None = Field(default=None, ge=0, le=PPM)
    fee_ppm: int | None = Field(default=None, ge=0, le=100_000)
    """Of the notional closed by orders, to the fund, as far as fills beat bankruptcy."""
    volume_per_second: float | None = Field(default=None, ge=0)
    """Notional that the orders of all accounts may close together."""
    backstop_capital: float | None = Field(default=None, ge=0)
    """Brought in from outside at the start."""
    backstop_most: float | None = Field(default=None, ge=0)
    """Largest notional of the backstop's position."""
    backstop_loss: float | None = Field(default=None, ge=0)
    """Loss of capital after which the backstop takes no more."""
    backstop_unwind_ppm: int | None = Field(default=None, gt=0, le=PPM)
    """Part of its position that the backstop offers to the book each step."""
    adl_price: AdlPrice | None = None
    clawback_seconds: float | None = Field(default=None, ge=0)
    """Period after which profits are realised, and cut for what the fund owes."""
    ranking: Ranking | None = None
    """None: the venue's own `adl_ranking`."""

    @model_validator(mode="after")
    def _is_coherent(self) -> "LiquidationRule":
        stages = self.value("stages")
        if not stages or len(set(stages)) != len(stages):
            raise ValueError("stages must name each stage at most once, and one at least")
        if not set(stages) & {Stage.FUND, Stage.ADL, Stage.SOCIAL}:
            raise ValueError("stages must end with fund, adl or social")
        return self

    def value(self, field: str) -> Any:
        """A field as set, or as the preset has it."""
        own = getattr(self, field)
        return PRESETS[self.preset].get(field, _PLAIN[field]) if own is None else own

    def has(self, stage: Stage) -> bool:
        """Whether a stage is part of the waterfall."""
        return stage in self.value("stages")


IN_HAND = {Stage.FUND: 1, Stage.ADL: 2, Stage.SOCIAL: 3}
FUND, ADL, SOCIAL = IN_HAND.values()
WHOLE, TIER, PORTION = range(3)


class CloseRule(NamedTuple):
    """The rule in whole numbers, for kernels; amounts in atoms, `backstop` a row or -1.

    `in_hand` lists what is done, in order, with lots that the fund has taken.
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
    fillable: bool
    takeover_ppm: int
    fee_ppm: int
    volume: int
    backstop: int
    backstop_most: int
    backstop_floor: int
    backstop_unwind_ppm: int
    adl_at_mark: bool
    pro_rata: bool
    band_ppm: int


def close_rule(
    rule: LiquidationRule, scale: int, backstop: int, ranking: Ranking, band_ppm: int
) -> CloseRule:
    """The rule for kernels; `scale` is atoms in a settlement unit, the volume that of a second."""
    stages = rule.value("stages")

    def atoms(field: str) -> int:
        return round(rule.value(field) * scale)

    floor = atoms("backstop_capital") - atoms("backstop_loss") if atoms("backstop_loss") else 0
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
        fillable=rule.value("order_price") is OrderPrice.FILLABLE,
        takeover_ppm=rule.value("takeover_ppm"),
        fee_ppm=rule.value("fee_ppm"),
        volume=atoms("volume_per_second"),
        backstop=backstop if Stage.BACKSTOP in stages else -1,
        backstop_most=atoms("backstop_most"),
        backstop_floor=floor,
        backstop_unwind_ppm=rule.value("backstop_unwind_ppm"),
        adl_at_mark=rule.value("adl_price") is AdlPrice.MARK,
        pro_rata=ranking is Ranking.PRO_RATA,
        band_ppm=band_ppm,
    )
