"""When a venue trades how: planned periods, halts by hand, and interruptions for volatility.

    continuous   orders match as they come
    call         orders gather; they trade at one price when the call ends
    halted       orders are refused, cancels are carried out
    outage       nothing is carried out: messages are refused, or wait until the venue is back

Planned periods begin and end with the first step that starts at or after their times, the earliest
in the list first where they overlap. A volatility interruption begins where a trade would be
further than `interruption_move` from the price `interruption_window_seconds` before: that trade
does not happen, and a call begins within the batch and lasts `interruption_seconds`. What of the
order is left gathers for it, or is dropped where the call would not admit it. As trading goes on
the call clears, stops that it reached enter, then messages that an outage kept. From then on moves
are measured from what the call came to: no price of before it counts.

During a call prices may move by `call_collar` around the last price at most; market orders stand at
that edge. A limit beyond it is refused, and so is one that would meet an order beyond the other
edge, from before the call. A halt or an outage suspends a call: it clears when trading goes on.
"""

import math
from collections import deque
from typing import Literal

from pydantic import Field, model_validator

from markets import params
from markets.rounding import PPM
from markets.spot.book import MAX_PRICE_TICKS, NO_PRICE
from markets.spot.settlement import Phase
from markets.venue import Moment


class Period(params.Params):
    """A planned part of the run."""

    phase: Literal["call", "halted", "outage"]
    """call, halted or outage."""
    start_seconds: float = Field(ge=0)
    """When it begins, from the start of the run."""
    end_seconds: float = Field(gt=0)
    """When it ends."""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "Period":
        if self.end_seconds <= self.start_seconds:
            raise ValueError("end_seconds must be above start_seconds")
        return self


class PhaseParams(params.Params):
    """Periods, interruptions and calls; a move of 0 interrupts nothing."""

    periods: tuple[Period, ...] = ()
    """Planned phases, the first in the list first where they overlap."""
    outage: Literal["reject", "queue"] = "reject"
    """Whether messages during an outage are refused or wait."""
    interruption_move: float = Field(default=0.0, ge=0, lt=1)
    """Part of price beyond which a trade sets off a call; 0: never."""
    interruption_window_seconds: float = Field(default=300.0, gt=0)
    """How long ago the price was that a trade is measured by."""
    interruption_seconds: float = Field(default=120.0, gt=0)
    """Length of the call that follows."""
    call_collar: float = Field(default=1.0, gt=0, le=1000)
    """Part of the last price by which a call may move it."""


class PhaseClock:
    """Which phase a moment is in, and how far prices may go."""

    def __init__(self, params: PhaseParams) -> None:
        self.params = params
        self._call_ends_seconds = -math.inf
        self._halted_by_hand = False
        self._past: deque[tuple[float, int]] = deque()

    def phase(self, moment: Moment) -> Phase:
        """The phase at the start of a step."""
        if self._halted_by_hand:
            return Phase.HALTED
        for period in self.params.periods:
            if period.start_seconds <= moment.seconds < period.end_seconds:
                return Phase[period.phase.upper()]
        return Phase.CALL if moment.seconds < self._call_ends_seconds else Phase.CONTINUOUS

    def halt(self, halted: bool) -> None:
        """Halt from the next step on, or resume."""
        self._halted_by_hand = halted

    def interrupt(self, moment: Moment) -> None:
        """Begin a call now."""
        self._call_ends_seconds = moment.seconds + self.params.interruption_seconds

    def cleared(self) -> None:
        """A call has come to its end: the prices before it are no measure after it."""
        self._past.clear()

    def guards(self, moment: Moment, last_ticks: int) -> tuple[int, int]:
        """Lowest and highest price at which trading goes on, given the price as the step starts.

        For steps of continuous trading only.
        """
        if not self.params.interruption_move or last_ticks == NO_PRICE:
            return 0, MAX_PRICE_TICKS
        past = self._past
        past.append((moment.seconds, last_ticks))
        since = moment.seconds - self.params.interruption_window_seconds
        while len(past) > 1 and past[1][0] <= since:
            past.popleft()
        return edges(past[0][1], self.params.interruption_move)

    def call_edges(self, last_ticks: int) -> tuple[int, int]:
        """Lowest and highest price of a call; NO_PRICE where there is no price to go by."""
        if last_ticks == NO_PRICE:
            return NO_PRICE, NO_PRICE
        low_ticks, high_ticks = edges(last_ticks, self.params.call_collar)
        return max(low_ticks, 1), high_ticks


def edges(centre_ticks: int, part: float) -> tuple[int, int]:
    """Prices within a part of the centre, in whole ticks, no further than a book goes."""
    reach_ticks = centre_ticks * round(part * PPM) // PPM
    low_ticks, high_ticks = centre_ticks - reach_ticks, centre_ticks + reach_ticks
    return max(low_ticks, 0), min(high_ticks, MAX_PRICE_TICKS)
