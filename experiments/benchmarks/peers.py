"""Peers on the same work in the same run: bourse (Rust behind Python) and PAMS (Python).

bourse is installed with the dependency group `peers` into this environment. PAMS needs an older
NumPy and runs in an environment of its own: `make peers` makes it in `.venv-pams`, or
`FATHOM_PAMS_PYTHON` names its interpreter. What is not installed is left out, and said.

The stream is that of `order_book`, with market orders as limit orders beyond the book, since the
batch environment of bourse has no others. It shuffles each batch of 1,000 and settles nothing, as
our `MatchingBook`, which keeps the order; what the venue makes that settles every fill on the
ledger stands beside it. One message a call, both keep the order, and the traded volume must be the
same; bourse needs its time set before each order, which is counted.

Of the common random-agent model, what is compared is bourse as its users run it: its own agents in
its own runner, only with every number drawn by Python's generator, several times cheaper than the
single NumPy draws of its example. The loop without agents shows what its objects cost.
"""

import importlib
import json
import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.figure import Figure, best_seconds
from experiments.benchmarks.order_book import MID_TICKS, NOW, Session, matching_rate, record
from markets.intents import BUY, CANCEL, MARKET, PLACE
from markets.outcomes import Code
from markets.spot.settlement import VOLUME_LOTS

BATCH = 1_000
_A_SIDE = 1_000
_PAMS_MESSAGES = 1_000
_ROOT = Path(__file__).resolve().parents[2]


class Stream(NamedTuple):
    """The same messages in both tongues; `created` numbers orders as bourse does, -1 for none."""

    session: Session
    resting: NDArray[np.void]
    messages: NDArray[np.void]
    cancelled: NDArray[np.int64]


def stream(messages: int) -> Stream:
    """A recorded session without fees, market orders put as limits, cancels by order of arrival."""
    session = record(_A_SIDE, messages, (0, 0))
    rows = session.stream.copy()
    market = rows["flags"] & MARKET != 0
    rows["limit"][market] = np.where(rows["side"][market] == BUY, 2 * MID_TICKS - 1, 1)
    rows["flags"] = 0
    created, cancelled = 2 * _A_SIDE, np.full(len(rows), -1, np.int64)
    number = {order: place for place, order in enumerate(range(1, created + 1))}
    session.rewind()
    for place, row in enumerate(rows):
        if row["action"] == CANCEL:
            cancelled[place] = number.get(int(row["order"]), 0)
        columns = (int(row[name]) for name in ("account", "side", "size", "limit"))
        if row["action"] == PLACE:
            if session.venue.place(*columns) == Code.RESTING:
                number[session.venue.newest_order] = created
            created += 1
        else:
            session.venue.cancel(int(row["account"]), int(row["order"]))
    return Stream(session, session.passive, rows, cancelled)


def figures(scale: float = 1.0) -> list[Figure]:
    """Ours beside theirs, as rates and as ratios."""
    common = stream(max(int(100_000 * scale), 2_000))
    found = []
    bourse = _module("bourse")
    if bourse is None:
        found.append(Figure("bourse", float("nan"), "messages/s", None, "not installed"))
    else:
        found += _batches(bourse, common) + _calls(bourse, common) + _agents(bourse, scale)
    return [*found, *_pams(common)]


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _pair(name: str, ours: float, theirs: float, target: float, note: str) -> list[Figure]:
    return [
        Figure(f"{name}: ours", ours, "messages/s"),
        Figure(f"{name}: bourse", theirs, "messages/s"),
        Figure(f"{name}: ours / bourse", ours / theirs, "times", target, note),
    ]


# ---------------------------------------------------------------- batches


def _instructions(rows: NDArray[np.void], cancelled: NDArray[np.int64]) -> list[tuple[Any, ...]]:
    """bourse's arrays, 1,000 messages each."""
    columns = (
        np.where(rows["action"] == PLACE, 1, 2).astype(np.uint32),
        rows["side"] == BUY,
        rows["size"].astype(np.uint32),
        rows["account"].astype(np.uint32),
        rows["limit"].astype(np.uint32),
        np.maximum(cancelled, 0).astype(np.uint64),
    )
    starts = range(0, len(rows), BATCH)
    return [tuple(column[first : first + BATCH] for column in columns) for first in starts]


def _batches(bourse: Any, common: Stream) -> list[Figure]:
    resting = _instructions(common.resting, np.full(len(common.resting), -1))
    batches = _instructions(common.messages, common.cancelled)
    best = float("inf")
    for repeat in range(5):
        environment = bourse.core.StepEnvNumpy(repeat, 0, 1, 1_000_000)
        for batch in resting:
            environment.submit_instructions(batch)
        environment.step()
        start = time.perf_counter()
        for batch in batches:
            environment.submit_instructions(batch)
            environment.step()
        best = min(best, time.perf_counter() - start)
    session, venue = common.session, common.session.venue
    chunks = [
        np.ascontiguousarray(common.messages[first : first + BATCH])
        for first in range(0, len(common.messages), BATCH)
    ]

    def run() -> None:
        for chunk in chunks:
            venue.execute(chunk, NOW)

    count = len(common.messages)
    theirs = count / best
    matching = matching_rate(session, chunks)
    settling = count / best_seconds(run, session.rewind)
    unit, name = "messages/s", "batches of 1,000, settled on the ledger"
    return [
        *_pair("batches of 1,000", matching, theirs, 8.0, "no money; bourse shuffles"),
        Figure(f"{name}: ours", settling, unit),
        Figure(f"{name}: ours / bourse", settling / theirs, "times"),
    ]


# ---------------------------------------------------------------- one message a call


def _calls(bourse: Any, common: Stream) -> list[Figure]:
    rows, session = common.messages, common.session
    names = ("action", "account", "side", "size", "limit", "order")
    messages = list(zip(*(rows[name].tolist() for name in names), strict=True))

    def run() -> None:
        place, cancel = session.venue.place, session.venue.cancel
        for action, account, side, lots, ticks, order in messages:
            if action == PLACE:
                place(account, side, lots, ticks)
            else:
                cancel(account, order)

    ours = len(rows) / best_seconds(run, session.rewind)
    traded_lots = int(session.venue._tally[VOLUME_LOTS]) - int(session.tally[VOLUME_LOTS])
    seconds, their_lots = min(_bourse_calls(bourse, common) for _ in range(5))
    note = "same volume" if their_lots == traded_lots else f"{traded_lots} against {their_lots}"
    return _pair("one message a call", ours, len(rows) / seconds, 1.0, note)


def _bourse_calls(bourse: Any, common: Stream) -> tuple[float, int]:
    book = bourse.core.OrderBook(0, 1)
    for moment, row in enumerate(common.resting):
        book.set_time(moment)
        book.place_order(bool(row["side"] == BUY), int(row["size"]), 0, price=int(row["limit"]))
    rows = common.messages
    columns = (rows["size"].tolist(), rows["account"].tolist(), rows["limit"].tolist())
    bids, cancelled = (rows["side"] == BUY).tolist(), common.cancelled.tolist()
    messages = list(zip(bids, *columns, cancelled, strict=True))
    place, cancel, set_time = book.place_order, book.cancel_order, book.set_time
    start = time.perf_counter()
    for moment, (bid, lots, account, ticks, order) in enumerate(messages, len(common.resting)):
        if order < 0:
            set_time(moment)
            place(bid, lots, account, price=ticks)
        else:
            cancel(order)
    seconds = time.perf_counter() - start
    return seconds, sum(trade[3] for trade in book.get_trades())


# ---------------------------------------------------------------- the common random-agent model


def _agents(bourse: Any, scale: float) -> list[Figure]:
    """Ours beside bourse's agents in bourse's runner; the bare loop over its book has no agents.

    They run in turn, so that what else the machine does meets all alike; the best of each counts.
    """
    from experiments.benchmarks.agents import (
        agent_steps_per_second,
        cohort_of,
        objects_of,
    )

    unit, found = "agent-steps/s", []
    for count, whole, repeats in ((100, 200, 5), (1_000, 200, 5), (10_000, 50, 2)):
        steps = max(2, int(whole * scale))
        rounds = [
            (
                _bourse_agents(bourse, count, steps),
                _bourse_loop(bourse, count, steps),
                agent_steps_per_second(objects_of(count), count, steps, 1),
                agent_steps_per_second(cohort_of(count), count, steps, 1),
            )
            for _ in range(repeats)
        ]
        theirs, loop, objects, cohort = map(max, zip(*rounds, strict=True))
        name = f"random agents, {count:,}"
        found += [
            Figure(f"{name}: bourse, its agents, Python draws", theirs, unit),
            Figure(f"{name}: bourse, a loop without agents", loop, unit),
            Figure(f"{name}: our objects", objects, unit),
            Figure(f"{name}: our cohort", cohort, unit),
            Figure(f"{name}: objects / bourse", objects / theirs, "times", 1.0),
            Figure(f"{name}: cohort / bourse", cohort / theirs, "times", 10.0),
        ]
    return found


def _bourse_agents(bourse: Any, count: int, steps: int) -> float:
    """bourse's own runner and RandomAgent, with Python's generator for NumPy's single draws."""
    draw = random.Random(1).random

    class RandomAgent(bourse.step_sim.agents.RandomAgent):
        order_id: int | None

        def update(self, rng: np.random.Generator, env: Any) -> None:
            if draw() < self.activity_rate:
                if self.order_id is not None and env.order_status(self.order_id) == 1:
                    env.cancel_order(self.order_id)
                    self.order_id = None
                else:
                    (low_ticks, end_ticks), (low_lots, end_lots) = self.tick_range, self.vol_range
                    ticks = low_ticks + int(draw() * (end_ticks - low_ticks))
                    lots = low_lots + int(draw() * (end_lots - low_lots))
                    price = ticks * self.tick_size
                    self.order_id = env.place_order(draw() < 0.5, lots, self.i, price=price)

    environment = bourse.core.StepEnv(1, 0, 1, 1_000_000)
    agents = [RandomAgent(number, 0.5, (10, 101), (10, 51), 1) for number in range(count)]
    start = time.perf_counter()
    bourse.step_sim.run(environment, agents, steps, seed=1, show_progress=False)
    return count * steps / (time.perf_counter() - start)


def _bourse_loop(bourse: Any, count: int, steps: int) -> float:
    """The same rule written out in one loop around bourse's environment."""
    environment = bourse.core.StepEnv(1, 0, 1, 1_000_000)
    draw = random.Random(1).random
    status, place, cancel = (
        environment.order_status,
        environment.place_order,
        environment.cancel_order,
    )
    own: list[int | None] = [None] * count
    start = time.perf_counter()
    for _ in range(steps):
        for agent, order in enumerate(own):
            if draw() >= 0.5:
                continue
            if order is not None and status(order) == 1:
                cancel(order)
                own[agent] = None
            else:
                lots, ticks = 10 + int(draw() * 41), 10 + int(draw() * 91)
                own[agent] = place(draw() < 0.5, lots, agent, price=ticks)
        environment.step()
    return count * steps / (time.perf_counter() - start)


# ---------------------------------------------------------------- PAMS, in its own environment


def _pams_python() -> Path | None:
    named = os.environ.get("FATHOM_PAMS_PYTHON")
    python = Path(named) if named else _ROOT / ".venv-pams" / "bin" / "python"
    return python if python.exists() else None


def _pams(common: Stream) -> list[Figure]:
    name, unit = "one message a call: PAMS", "messages/s"
    python = _pams_python()
    if python is None:
        return [Figure(name, float("nan"), unit, None, "not installed: make peers")]
    rows = np.concatenate([common.resting, common.messages[:_PAMS_MESSAGES]])
    cancelled = [-1] * len(common.resting) + common.cancelled[:_PAMS_MESSAGES].tolist()
    columns = (rows[column].tolist() for column in ("side", "size", "limit"))
    document = {
        "mid": MID_TICKS,
        "resting": len(common.resting),
        "rows": list(zip(*columns, cancelled, strict=True)),
    }
    script = Path(__file__).with_name("pams_stream.py")
    done = subprocess.run(
        [python, script], input=json.dumps(document), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return [Figure(name, float("nan"), unit, None, done.stderr.strip().splitlines()[-1][:80])]
    return [Figure(name, float(done.stdout), unit, None, f"the first {_PAMS_MESSAGES} messages")]
