"""The fund's drawdown, which starts and stops ADL at venues that do not wait for an empty fund.

Once a step the fund is valued at the mark with all that it holds, and the greatest value E_max of
the window is kept. With trigger t and stop s

    ADL starts   E < (1 - t)*E_max, or E <= 0          ADL stops again   E > (1 - s)*E_max

and the fund spends nothing in the book that would take it below (1 - t)*E_max, so that losses
beyond are the counterparties'. While ADL is on, nothing is offered to the book; while it is off,
what the book does not take stays the fund's. Where E_max is no more than the threshold, both levels
are 0. Whole atoms: the first is rounded up, the second down, which changes nothing. Sources: OKX
(30 % below the 8 h peak), Bybit (-30 %, stop at -25 %); the verdict is `adl.drawdown_trigger`.
"""

from collections import deque

import numpy as np

from markets.derivatives.adl import TriggerRule, drawdown_trigger
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.rounding import PPM, ppm_down, ppm_up


class Drawdown:
    """The fund's peak of the window, and whether ADL is on."""

    def __init__(
        self, trigger_ppm: int, stop_ppm: int, threshold_atoms: int, window_seconds: float
    ) -> None:
        self.trigger_ppm, self.stop_ppm = trigger_ppm, stop_ppm
        self.threshold_atoms, self.window_seconds = threshold_atoms, window_seconds
        self.on = False
        self._peaks: deque[tuple[float, int]] = deque()
        """(seconds, value) of samples that no later one exceeds: the first is the greatest."""

    @property
    def peak_atoms(self) -> int:
        """Greatest value of the window, 0 before the first sample."""
        return self._peaks[0][1] if self._peaks else 0

    def sample(self, seconds: float, fund_atoms: int) -> None:
        """Take the fund's value of the step; switches ADL on or off."""
        while self._peaks and self._peaks[-1][1] <= fund_atoms:
            self._peaks.pop()
        self._peaks.append((seconds, fund_atoms))
        while self._peaks[0][0] < seconds - self.window_seconds:
            self._peaks.popleft()
        rule = TriggerRule(np.inf, -1.0, -1.0)
        if self.peak_atoms > self.threshold_atoms:
            rule = TriggerRule(0.0, -self.trigger_ppm / PPM, -self.stop_ppm / PPM)
        fall = float(fund_atoms - self.peak_atoms)
        verdict = drawdown_trigger(fall, float(max(self.peak_atoms, 1)), float(fund_atoms), rule)
        self.on = bool(verdict.triggered or (self.on and not verdict.stops))

    def levels(self) -> tuple[int, int]:
        """Values in atoms below which ADL starts, and above which it stops."""
        peak = self.peak_atoms
        if peak <= self.threshold_atoms:
            return 0, 0
        return ppm_up(peak, PPM - self.trigger_ppm), ppm_down(peak, PPM - self.stop_ppm)


def drawdown_of(rule: LiquidationRule, scale: int) -> Drawdown:
    """As the rule has it; `scale` is atoms in a settlement unit."""
    return Drawdown(
        rule.value("adl_trigger_ppm"),
        rule.value("adl_stop_ppm"),
        round(rule.value("adl_threshold") * scale),
        rule.value("adl_window_seconds"),
    )
