"""A perpetual with a million positions: a mark, a funding stamp, and a cascade through the book.

Half a million members are long against half a million short, all deposited and opened by ordinary
orders at one price. Timed on one core are the venue's own beats: `accrue` at a funding stamp, where
every account pays or receives; `liquidate` in a quiet step, where every account is checked and
nobody is unsafe; and both together. Then the mark falls by a tenth, so that every tenth member, a
long with twenty times leverage, is liquidated into bids that reach from there to a quarter down.
Memory is the peak of the process, so run this benchmark alone to read it.
"""

import resource
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.figure import Figure
from markets.assets import Asset, Instrument
from markets.derivatives.perpetual import Perpetual
from markets.exchange import Exchange
from markets.intents import BUY, SELL, deposit, limit_order, stack
from markets.market import Market
from markets.outcomes import Code
from markets.venue import Moment

ACCOUNTS = 1_000_000
LIQUIDATED_PART = 10
"""One in so many members is a long at twenty times leverage."""
START, FALLEN = 10_000.0, 9_000.0
STEP_SECONDS = 60.0
REPEATS = 5
_MAKERS = 100
_MEGABYTE = 2.0**20


@dataclass
class Crowd:
    """A venue whose members all hold a position."""

    venue: Perpetual
    market: Market
    members: NDArray[np.int64]
    step: int = 0

    def moment(self, mark: float) -> Moment:
        """The next step's beginning, a funding stamp."""
        self.step += 1
        seconds = self.step * self.venue.params.funding_interval_seconds
        return Moment(self.step, seconds, STEP_SECONDS, {"BTC": mark})


def crowd(accounts: int) -> Crowd:
    """Members who all trade one lot at the start: even rows sell, odd rows buy."""
    instrument = Instrument(Asset("BTC", 8), Asset("USDT", 6), tick_size=0.1, lot_size=0.001)
    params = Perpetual.Params(basis_bandwidth=0, insurance_fund_quote=1e6)
    venue = Perpetual("perpetual", "exchange", instrument, params)
    market = Market([Exchange("exchange")], [venue])
    notional = START * instrument.lot_size
    margin = np.full(accounts, notional)
    margin[1 :: 2 * (LIQUIDATED_PART // 2)] = notional / 20
    members = market.endow("members", "exchange", {"USDT": margin * 1.01}, accounts)
    makers = market.endow("makers", "exchange", {"USDT": 1e9}, _MAKERS)
    market.begin()
    made = Crowd(venue, market, members)
    moment = made.moment(START)
    market.accrue(moment)
    columns = market.ledger.column["USDT"]
    held = market.ledger.balances[:, columns]
    venue.execute(stack([deposit(0, members, held[members])]), moment)
    venue.execute(stack([deposit(0, makers, held[makers])]), moment)
    sides = np.where(np.arange(accounts) % 2 == 0, SELL, BUY)
    ticks = instrument.to_ticks(START)
    codes = venue.execute(stack([limit_order(0, members, sides, 1, ticks)]), moment)
    assert np.isin(codes, (Code.RESTING, Code.FILLED)).all()
    _rest_bids(made, makers, 2 * accounts // LIQUIDATED_PART, moment)
    market.check()
    venue.forget()
    return made


def _rest_bids(made: Crowd, makers: NDArray[np.int64], lots: int, moment: Moment) -> None:
    """Bids of `lots` altogether, evenly from the fallen price to a quarter below the start."""
    instrument = made.venue.instrument
    levels = instrument.to_ticks(np.linspace(FALLEN, 0.75 * START, 1_000))
    sizes = np.full(len(levels), -(-lots // len(levels)))
    rows = limit_order(0, np.resize(makers, len(levels)), BUY, sizes, levels)
    assert (made.venue.execute(stack([rows]), moment) == Code.RESTING).all()


def _beats(made: Crowd) -> tuple[float, float]:
    """The shortest stamp and the shortest quiet check of several, in seconds."""
    stamps, checks = [], []
    for _ in range(REPEATS):
        moment = made.moment(START)
        begun = time.perf_counter()
        made.venue.accrue(moment)
        paid = time.perf_counter()
        made.venue.liquidate(moment)
        stamps.append(paid - begun)
        checks.append(time.perf_counter() - paid)
        made.venue.forget()
    made.market.check()
    return min(stamps), min(checks)


def _cascade(made: Crowd) -> tuple[float, int]:
    """Seconds that the fall takes, and how many it liquidates."""
    moment = made.moment(FALLEN)
    made.venue.accrue(moment)
    begun = time.perf_counter()
    made.venue.liquidate(moment)
    taken = time.perf_counter() - begun
    made.market.check()
    return taken, int(made.venue.measure(moment)["liquidations"])


def measure(scale: float = 1.0) -> list[Figure]:
    """Times by beat, and the peak memory of the process."""
    accounts = max(2 * LIQUIDATED_PART, int(ACCOUNTS * scale) // 10 * 10)
    _cascade(crowd(2 * LIQUIDATED_PART))
    made = crowd(accounts)
    stamp, check = _beats(made)
    taken, liquidated = _cascade(made)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    name = f"{accounts:,} positions"
    return [
        Figure(f"funding stamp, {name}", 1e3 * stamp, "ms", note="with the flows for the record"),
        Figure(f"margin check, {name}", 1e3 * check, "ms"),
        Figure(f"funding and margin check, {name}", 1e3 * (stamp + check), "ms", 20.0),
        Figure(f"cascade of {liquidated:,} accounts", taken, "s", 5.0, "through the book"),
        Figure("peak memory of the process", peak / _MEGABYTE, "MB", 1_000.0),
    ]
