"""The liquidation rule of a venue, as parameters.

An account below maintenance passes the listed stages until it is safe or gone:

    orders     its own immediate orders into the book, a step at a time, a fee to the fund
    backstop   accounts with capital of their own take position and margin, up to their limits
    fund       the insurance fund takes them and sells into the book while it can pay; or it rests
               them there at the bankruptcy price, and pays after `rest_seconds` (`fund_order`)
    adl        what is left is closed against opposite positions, in a queue or pro rata
    social     the fund sells at any price; winners of the period give back what it then owes

orders and backstop come before the fund's hands, the others in the order listed; `takeover_ppm` is
the part of maintenance below which orders are no longer enough. ADL starts where the fund cannot
pay, or (`adl_trigger_ppm`) where it has fallen so far below its peak of `adl_window_seconds`, and
until then the fund keeps what it could not sell; see `drawdown`. Presets: `liquidation_presets`.
Left out: providers' own quotes, a venue's change of its rule in a run.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field, model_validator

from markets.derivatives.backstop import Backstop
from markets.derivatives.liquidation_presets import (
    PLAIN,
    PRESETS,
    REQUIRED,
    ClosePrice,
    OrderPrice,
    Preset,
    Stage,
    Step,
)
from markets.derivatives.ranking import Ranking
from markets.params import Params
from markets.rounding import PPM

_AMOUNTS = ("portion_above", "least", "most", "volume_per_second", "adl_threshold")


class LiquidationRule(Params):
    """A preset and what differs from it; amounts in units of the settlement asset, 0: no limit."""

    preset: Preset = Preset.TAKEOVER
    """The venue whose rule fills what is not set."""
    stages: tuple[Stage, ...] | None = None
    """What is tried, in this order: orders, backstop, fund, adl, social."""
    step: Step | None = None
    """What an account's orders close at once: whole, tier, lowest or portion."""
    portion_ppm: int | None = Field(default=None, gt=0, le=PPM)
    """Part of the position that step portion closes."""
    portion_above: float | None = Field(default=None, ge=0)
    """Positions up to this notional are closed whole."""
    least: float | None = Field(default=None, ge=0)
    """Least notional closed by the orders of one account at once."""
    most: float | None = Field(default=None, ge=0)
    """Most notional closed by the orders of one account at once."""
    cooldown_seconds: float | None = Field(default=None, ge=0)
    """Between orders of one account; a longer step holds several, unless the next takes all."""
    whole_after_cooldown: bool | None = None
    """Whether orders close the whole position after the first."""
    orders_when_due: bool | None = None
    """Whether orders are tried even below the takeover ratio, and the rest taken at once."""
    fill_or_kill: bool | None = None
    """Whether an order trades whole or not at all; reduce-only ones are not counted on."""
    order_price: OrderPrice | None = None
    """Worst price of the orders: bankruptcy, or dYdX's fillable price."""
    spread_to_mm: float | None = Field(default=None, ge=0)
    """Of the fillable price: its farthest from the mark, in maintenance rates of the position."""
    bankruptcy_adjustment: float | None = Field(default=None, ge=0)
    """Of the fillable price: how fast it gets there as the account loses its maintenance."""
    through_ppm: int | None = Field(default=None, ge=0, lt=PPM)
    """How far beyond the best price of the book orders may go; 0: no limit."""
    takeover_ppm: int | None = Field(default=None, ge=0, le=PPM)
    """Part of maintenance below which orders no longer do and the position is taken."""
    takeover_gradual: bool | None = None
    """Whether only 1 - equity/(takeover_ppm of maintenance) of it is taken a second."""
    fee_ppm: int | None = Field(default=None, ge=0, le=100_000)
    """Of the notional closed by orders, to the fund, as far as fills beat bankruptcy."""
    volume_per_second: float | None = Field(default=None, ge=0)
    """Notional that the orders of all accounts may close together."""
    backstops: tuple[Backstop, ...] | None = None
    """Accounts with capital of their own that take positions."""
    backstop_price: ClosePrice | None = None
    """What backstops pay: mark, bankruptcy price, or two_thirds of the way to that."""
    backstop_in_debt: bool | None = None
    """Whether backstops take positions worth less than nothing."""
    backstop_unwind_ppm: int | None = Field(default=None, gt=0, le=PPM)
    """Part of its position that a backstop offers to the book each step."""
    rest_seconds: float | None = Field(default=None, ge=0)
    """How long the fund rests lots at the bankruptcy price before it spends; 0: it never rests."""
    adl_price: ClosePrice | None = None
    """What the opposite side pays in ADL, as with backstops."""
    adl_trigger_ppm: int | None = Field(default=None, ge=0, lt=PPM)
    """Fall of the fund below its peak that starts ADL; 0: when it cannot pay."""
    adl_stop_ppm: int | None = Field(default=None, ge=0, lt=PPM)
    """Fall below which ADL stops again."""
    adl_threshold: float | None = Field(default=None, ge=0)
    """A fund with no more than this is not measured by its fall."""
    adl_window_seconds: float | None = Field(default=None, gt=0)
    """How far back the fund's peak is looked for."""
    clawback_seconds: float | None = Field(default=None, ge=0)
    """Period after which profits are realised, and cut for what the fund owes."""
    ranking: Ranking | None = None
    """None: the venue's own `adl_ranking`."""
    largest: int | None = Field(default=None, ge=1)
    """How many of the largest positions share, at least, by the ranking largest."""

    @model_validator(mode="after")
    def _is_coherent(self) -> "LiquidationRule":
        stages = self.value("stages")
        if not stages or len(set(stages)) != len(stages):
            raise ValueError("stages must name each stage at most once, and one at least")
        if not set(stages) & {Stage.FUND, Stage.ADL, Stage.SOCIAL}:
            raise ValueError("stages must end with fund, adl or social")
        if self.has(Stage.BACKSTOP) and not self.value("backstops"):
            raise ValueError("backstops must be set, with their capital, for the stage backstop")
        for field in REQUIRED.get(self.preset, ()):
            if getattr(self, field) is None:
                raise ValueError(f"{field} must be set for the preset {self.preset.value}")
        if self.value("rest_seconds") and not self.has(Stage.FUND):
            raise ValueError("rest_seconds needs the stage fund")
        if self.value("adl_stop_ppm") > self.value("adl_trigger_ppm"):
            raise ValueError("adl_stop_ppm must be at most adl_trigger_ppm")
        return self

    def value(self, field: str) -> Any:
        """A field as set, or as the preset has it."""
        own = getattr(self, field, None)
        return PRESETS[self.preset].get(field, PLAIN[field]) if own is None else own

    def amounts(self) -> Iterator[tuple[str, float]]:
        """Each amount in force, in units of the settlement asset, under its field."""
        for field in _AMOUNTS:
            yield field, self.value(field)
        for place, backstop in enumerate(self.value("backstops")):
            for field in type(backstop).model_fields:
                yield f"backstops.{place}.{field}", getattr(backstop, field)

    def has(self, stage: Stage) -> bool:
        """Whether a stage is part of the waterfall."""
        return stage in self.value("stages")
