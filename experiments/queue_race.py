"""Races between the best queues of an order book: which is empty first, and what fills before.

A race begins with given queues at a bid and at the ask one tick above and runs in continuous time:
on each side limit orders join at rate lambda, market orders take at rate mu, and every order but
the own ones is withdrawn at rate theta. It ends when a queue is empty, for then the mid moves; or,
where only the own bid counts (`first_fill`), when that is filled as well.

Many races share one tape, each in a stretch of its own: place the queues, then the flow over the
horizon, then two large market orders that clear the book and so show who still stood where. A race
not over by then goes on from those queues in a later step; lifetimes are exponential, so that
nothing is lost by beginning anew. Rates are per second.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.trader import NOTHING, Cohort
from markets.errors import ConfigError
from markets.intents import BUY, SELL, Intent, cancel_all, limit_order, market_order
from markets.market import Market, View
from markets.outcomes import Fills
from markets.spot.tape import TapeView, in_time

BID_TICKS = 1_000
EVERYTHING = 10_000
"""More orders than any queue holds."""
NEVER = np.iinfo(np.int64).max

Rows = NDArray[np.int64]
Seconds = NDArray[np.float64]
ABSENT, WAITING, FILLED = range(3)
"""What the own order of a side is doing."""


class Queues(NamedTuple):
    """Queues of many races, columns bid and ask: others ahead and behind, and the own order."""

    ahead: Rows
    own: Rows
    behind: Rows

    def take(self, races: slice | NDArray[np.bool_]) -> "Queues":
        """Some of the races."""
        return Queues(*(column[races] for column in self))


class QueueRaces(Cohort):
    """Everybody in the races; counts those that are `over` and those of them that were `won`.

    Won means: with `first_fill`, the own bid filled before the ask queue was empty; else with own
    orders, both filled before the mid moved; else the ask queue was empty first, so the mid rose.
    """

    class Params(Cohort.Params):
        """Parameters of the races; own orders are the last of their queues."""

        venue: str
        """The tape book's name."""
        count: int = 500
        """Accounts."""
        limit_rate: float
        """Limit orders per second and side."""
        market_rate: float
        """Market orders per second and side."""
        cancel_rate: float
        """Withdrawals per second of each order."""
        queues: tuple[int, int]
        """Orders at the bid and at the ask to begin with, own ones included."""
        own: tuple[bool, bool] = (False, False)
        """Whether there is an own order at the bid, and at the ask."""
        first_fill: bool = False
        """Whether only the own bid counts, and its fill ends the race."""
        races: int
        """Races in all."""
        races_a_step: int = 1_000
        """Races in a step."""
        endowment: float = 1e10
        """Base and quote held by each account."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue, params = market.venues[self.params.venue], self.params
        held = {asset.name: params.endowment for asset in venue.columns()[:2]}
        self.accounts = self.endow_all(market, venue.domain, held)
        self.own = market.endow(self.name, venue.domain, held, 2)
        self.takers = market.endow(self.name, venue.domain, held, 2)
        own = np.array(params.own, np.int64)
        shape = (params.races, 2)
        others = np.broadcast_to(np.array(params.queues) - own, shape)
        self.waiting = Queues(others, np.broadcast_to(own, shape), np.zeros(shape, np.int64))
        self.running = self.waiting.take(slice(0))
        self.over, self.won = 0, 0

    @property
    def busy(self) -> bool:
        """Whether a race waits or runs."""
        return len(self.waiting.own) + len(self.running.own) > 0

    def act(self, view: View) -> Sequence[Intent]:
        """Judge the races of the last step and send the tape of the next ones."""
        if len(self.running.own):
            self._judge(view[self.params.venue])
        self.running = self.waiting.take(slice(self.params.races_a_step))
        self.waiting = self.waiting.take(slice(self.params.races_a_step, None))
        if not len(self.running.own):
            return NOTHING
        return self._tape(view[self.params.venue].index, view.moment.step_seconds)

    def _tape(self, venue: int, horizon: float) -> list[Intent]:
        """A race's stretch: the queues in its first second, the flow, the clearing in its last."""
        self.end, params = 1 + horizon, self.params
        stretch = self.end + 1
        race, second, side, own = self._orders()
        account = np.where(own, self.own[(side < 0).astype(np.int64)], self._customers(race))
        limit_ticks = np.where(side > 0, BID_TICKS, BID_TICKS + 1)
        gone = np.maximum(second, 1) + self.stream.exponential(1 / params.cancel_rate, len(race))
        leaving = ~own & (gone < self.end)
        start: Seconds = np.arange(len(self.running.own)) * np.float64(stretch)
        times = [race * stretch + second, (race * stretch + gone)[leaving]]
        intents = [
            limit_order(venue, account, side, 1, limit_ticks),
            cancel_all(venue, account[leaving]),
        ]
        for number, taking in enumerate((SELL, BUY)):
            taken, moments = self._arrivals(params.market_rate)
            times += [taken * stretch + moments, start + self.end + (1 + number) / 4]
            intents += [
                market_order(venue, int(self.takers[0]), taking, 1),
                market_order(venue, int(self.takers[1]), taking, EVERYTHING),
            ]
        moments, tape = in_time(times, intents)
        self.race = (moments // stretch).astype(np.int64)
        self.second = moments - self.race * stretch
        return tape

    def _orders(self) -> tuple[Rows, Seconds, Rows, NDArray[np.bool_]]:
        """Race, second within its stretch, side and ownership of all limit orders."""
        parts = []
        for column, side in enumerate((BUY, SELL)):
            ahead, own, behind = (rows[:, column] for rows in self.running)
            queue = ahead + (own == WAITING) + behind
            race = np.repeat(np.arange(len(queue)), queue)
            rank = np.arange(len(race)) - np.repeat(queue.cumsum() - queue, queue)
            is_own = (rank == ahead[race]) & (own[race] == WAITING)
            parts.append((race, rank / EVERYTHING, np.full(len(race), side), is_own))
            race, second = self._arrivals(self.params.limit_rate)
            parts.append((race, second, np.full(len(race), side), np.zeros(len(race), np.bool_)))
        race, second, sides, owned = (np.concatenate(column) for column in zip(*parts, strict=True))
        return race, second, sides, owned

    def _arrivals(self, rate: float) -> tuple[Rows, Seconds]:
        """Race and second of the events of one Poisson process in each race."""
        horizon, count = self.end - 1, len(self.running.own)
        race = np.repeat(np.arange(count), self.stream.poisson(rate * horizon, count))
        return race, 1 + self.stream.random(len(race)) * horizon

    def _customers(self, race: Rows) -> Rows:
        """An account of its own for each order of a race; races share them."""
        order = np.argsort(race, kind="stable")
        counts = np.bincount(race)
        number = np.empty(len(race), np.int64)
        number[order] = np.arange(len(race)) - np.repeat(counts.cumsum() - counts, counts)
        if number.max() >= len(self.accounts):
            raise ConfigError(f"{self.name}.count", "fewer accounts than orders in a race")
        return self.accounts[number]

    def _judge(self, view: TapeView) -> None:
        """Count what is over, and put off the rest."""
        count = len(self.running.own)
        rows = np.searchsorted(view.feed["trades"], np.arange(len(view.fills)), "right")
        first_move, rose = self._moves(view, count)
        clearing = self.second[rows] >= self.end
        fill = np.where(self.running.own == FILLED, -1, np.full((count, 2), NEVER))
        for column, account in enumerate(self.own):
            mine = rows[(view.fills["maker"] == account) & ~clearing]
            fill[self.race[mine], column] = mine
        over, won = first_move < NEVER, rose
        if self.params.first_fill:
            won = fill[:, 0] <= first_move
            over |= fill[:, 0] < NEVER
        elif any(self.params.own):
            won = np.asarray((fill <= first_move[:, None]).all(axis=1))
        self.over += int(over.sum())
        self.won += int((won & over).sum())
        left = self._standing(self.race[rows[clearing]], view.fills[clearing], count).take(~over)
        self.waiting = Queues(
            *(np.concatenate(pair) for pair in zip(left, self.waiting, strict=True))
        )

    def _moves(self, view: TapeView, count: int) -> tuple[Rows, NDArray[np.bool_]]:
        """By race: the row at which a queue was first empty (NEVER without), and if it rose."""
        flow = (self.second >= 1) & (self.second < self.end)
        fell = view.feed["bid_ticks"] != BID_TICKS
        rose = view.feed["ask_ticks"] != BID_TICKS + 1
        moved = np.flatnonzero(flow & (fell | rose))
        races, place = np.unique(self.race[moved], return_index=True)
        first_move, up = np.full(count, NEVER), np.zeros(count, np.bool_)
        first_move[races] = moved[place]
        up[races] = rose[moved[place]]
        return first_move, up

    def _standing(self, race: Rows, fills: Fills, count: int) -> Queues:
        """The queues as the clearing orders found them, oldest first."""
        column = (fills["side"] == BUY).astype(np.int64)
        group = 2 * race + column
        length = np.bincount(group, minlength=2 * count)
        place = np.arange(len(group)) - (length.cumsum() - length)[group]
        mine = np.flatnonzero(np.isin(fills["maker"], self.own))
        ahead, behind = length.copy(), np.zeros(2 * count, np.int64)
        own = np.where(self.running.own.ravel() == ABSENT, ABSENT, FILLED)
        ahead[group[mine]] = place[mine]
        behind[group[mine]] = (length[group] - place - 1)[mine]
        own[group[mine]] = WAITING
        return Queues(*(rows.reshape(count, 2) for rows in (ahead, own, behind)))
