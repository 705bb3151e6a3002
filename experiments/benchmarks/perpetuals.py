"""A perpetual with a million positions: a mark, a funding stamp, and a cascade through the book.

Half a million members are long against half a million short, all deposited and opened by ordinary
orders at one price, once of a linear and once of an inverse contract. Timed on one core are the
venue's own beats: `accrue` at a funding stamp, where every account pays or receives; `liquidate` in
a quiet step, where every account is checked and nobody is unsafe; both together; and apart from
them the rows of flows that a record asks for. Then the mark falls by a tenth, so that every tenth
member, a long with twenty times leverage, is liquidated into bids that reach from there to a
quarter down. Memory is the peak of a process that does the linear part and nothing else.
"""

import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.figure import Figure
from markets.assets import Asset, Instrument
from markets.derivatives.contract_form import ContractKind
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


def crowd(accounts: int, contract: str = "linear") -> Crowd:
    """Members who all trade one lot at the start: even rows sell, odd rows buy."""
    instrument = Instrument(Asset("BTC", 8), Asset("USDT", 6), tick_size=0.1, lot_size=0.001)
    params = Perpetual.Params(
        contract=ContractKind(contract),
        contract_value_quote=START * instrument.lot_size,
        basis_bandwidth=0,
        insurance_fund_units=1e6,
    )
    venue = Perpetual("perpetual", "exchange", instrument, params)
    market = Market([Exchange("exchange")], [venue])
    asset = venue.form.settlement.name
    notional = instrument.lot_size * (1.0 if venue.form.is_inverse else START)
    margin = np.full(accounts, notional)
    margin[1 :: 2 * (LIQUIDATED_PART // 2)] = notional / 20
    members = market.endow("members", "exchange", {asset: margin * 1.01}, accounts)
    makers = market.endow("makers", "exchange", {asset: 1e8 * notional}, _MAKERS)
    market.begin()
    made = Crowd(venue, market, members)
    moment = made.moment(START)
    market.accrue(moment)
    columns = market.ledger.column[asset]
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


def _beats(made: Crowd) -> tuple[float, float, float]:
    """The shortest stamp, quiet check and flows of several, in seconds."""
    stamps, checks, rows = [], [], []
    for _ in range(REPEATS):
        moment = made.moment(START)
        begun = time.perf_counter()
        made.venue.accrue(moment)
        paid = time.perf_counter()
        made.venue.liquidate(moment)
        checked = time.perf_counter()
        made.venue.drain_flows()
        rows.append(time.perf_counter() - checked)
        stamps.append(paid - begun)
        checks.append(checked - paid)
        made.venue.forget()
    made.market.check()
    return min(stamps), min(checks), min(rows)


def _cascade(made: Crowd) -> tuple[float, int]:
    """Seconds that the fall takes, and how many it liquidates."""
    moment = made.moment(FALLEN)
    made.venue.accrue(moment)
    begun = time.perf_counter()
    made.venue.liquidate(moment)
    taken = time.perf_counter() - begun
    made.market.check()
    return taken, int(made.venue.measure(moment)["liquidations"])


def _peak_bytes() -> int:
    """Most memory of this process since its program began; of all that it ran, without /proc."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def alone(accounts: int) -> None:
    """Do the linear part once, and print the peak memory in bytes."""
    made = crowd(accounts)
    _beats(made)
    _cascade(made)
    print(_peak_bytes())


def _peak_alone(accounts: int) -> float:
    """Peak memory in bytes of a fresh process that does the linear part."""
    program = f"from {__name__} import alone; alone({accounts})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def measure(scale: float = 1.0) -> list[Figure]:
    """Times by beat and contract, and the peak memory of a process of its own."""
    accounts = max(2 * LIQUIDATED_PART, int(ACCOUNTS * scale) // 10 * 10)
    figures = []
    for contract in ("inverse", "linear"):
        _cascade(crowd(2 * LIQUIDATED_PART, contract))
        made = crowd(accounts, contract)
        stamp, check, rows = (1e3 * seconds for seconds in _beats(made))
        name = f"{accounts:,} positions, {contract}"
        figures += [
            Figure(f"funding stamp, {name}", stamp, "ms"),
            Figure(f"margin check, {name}", check, "ms"),
            Figure(f"funding and margin check, {name}", stamp + check, "ms", 20.0),
            Figure(f"flows of a stamp, {name}", rows, "ms", note="rows for a record"),
        ]
    taken, liquidated = _cascade(made)
    peak = _peak_alone(accounts) / _MEGABYTE
    return [
        *figures,
        Figure(f"cascade of {liquidated:,} accounts", taken, "s", 5.0, "through the book"),
        Figure("peak memory", peak, "MB", 1_000.0, "in a process of its own"),
    ]
