"""Poisson order flow: zero-intelligence customers who place, take and withdraw unit orders.

In continuous time, on each side and independently of everything else,

    limit orders arrive i ticks from the opposite best quote at rate limit_rates[i - 1],
    market orders arrive at rate market_rate,
    each resting order is withdrawn at rate cancel_rates[i - 1] while it is i ticks from the
    opposite best quote (the last rate holds beyond the last place).

Each limit order belongs to an account of its own. Withdrawals are thinned: each order is tried at
the highest of the cancel rates, and each try is a cancel for the distances at which it is to
succeed, found by one uniform draw. So a step may hold any number of messages and nothing is
approximated. Rates are per second. Models: Smith et al. (2003); Cont, Stoikov and Talreja (2010).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agents.trader import Cohort
from markets.errors import ConfigError
from markets.intents import BUY, SELL, Intent, limit_order, market_order
from markets.market import Market, View
from markets.spot.tape import ALWAYS, PEGGED, conditional, in_time, withdrawal

ANYWHERE = 2**40
"""Further than any price."""
_NONE = np.zeros(0, np.int64)


class PoissonFlow(Cohort):
    """All customers of one book."""

    class Params(Cohort.Params):
        """Parameters; `count` accounts, which must exceed the orders at once."""

        venue: str
        """The tape book's name."""
        limit_rates: tuple[float, ...]
        """Limit orders per second and side, by ticks from the opposite best quote, from 1 on."""
        cancel_rates: tuple[float, ...]
        """Withdrawals per second of each order, by the same distance; the last holds beyond."""
        market_rate: float = Field(ge=0)
        """Market orders per second and side."""
        opening_bid_ticks: int = Field(ge=1)
        """Best bid at the start."""
        opening_spread_ticks: int = Field(default=1, ge=1)
        """Spread at the start."""
        base: float = Field(default=1e9, ge=0)
        """Base held by each account at the start."""
        quote: float = Field(default=1e13, ge=0)
        """Quote held by each account at the start."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        venue = market.venue(self.params.venue, f"{self.name}.venue")
        base, quote = venue.columns()[:2]
        held = {base.name: self.params.base, quote.name: self.params.quote}
        self.accounts = self.endow_all(market, venue.domain, held)
        self.takers = market.endow(self.name, venue.domain, held, 2)
        rates = np.array(self.params.limit_rates)
        self._limit_rate, self._places = rates.sum(), rates.cumsum() / rates.sum()
        self._tries = max(self.params.cancel_rates)
        self._bands = bands(self.params.cancel_rates)
        self.times = np.zeros(0)

    def act(self, view: View) -> Sequence[Intent]:
        """The tape of the step; `times` are its messages' seconds within the step."""
        tape_view = view[self.params.venue]
        venue, seconds = tape_view.index, view.moment.step_seconds
        resting = tape_view.book.newest_orders(self.accounts) >= 0
        old, free = self.accounts[resting], self.accounts[~resting]
        sides, limits = self._opening() if view.moment.step == 0 else (_NONE, _NONE)
        arriving = self._arrivals(2 * self._limit_rate * seconds, seconds)
        placed = np.concatenate([np.zeros(len(sides)), arriving])
        if len(free) < len(placed):
            raise ConfigError(f"{self.name}.count", f"{self.params.count} accounts do not suffice")
        conditions = np.where(np.arange(len(placed)) < len(sides), ALWAYS, PEGGED)
        sides = np.concatenate([sides, self._sides(arriving)])
        limits = np.concatenate([limits, self._distances(arriving)])
        new = free[: len(placed)]
        orders = conditional(limit_order(venue, new, sides, 1, limits), conditions)
        taken = self._arrivals(2 * self.params.market_rate * seconds, seconds)
        sides = self._sides(taken)
        takes = market_order(venue, self.takers[(sides > 0).astype(np.int64)], sides, 1)
        born = np.concatenate([np.zeros(len(old)), placed])
        tried, withdrawals = self._withdrawals(venue, np.concatenate([old, new]), born, seconds)
        self.times, tape = in_time((placed, taken, tried), (orders, takes, withdrawals))
        return tape

    def _opening(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sides and prices of the book to begin with: as deep as if nobody ever took."""
        params, places = self.params, len(self.params.limit_rates)
        last = params.cancel_rates[-1]
        rates = [*params.cancel_rates, *[last] * (places - len(params.cancel_rates))]
        depth = np.array(params.limit_rates) / np.array(rates[:places])
        depth[: params.opening_spread_ticks] = 0
        sides, limits = [], []
        for side in (BUY, SELL):
            orders = self.stream.poisson(depth)
            orders[params.opening_spread_ticks - 1] = 1
            distance = np.repeat(np.arange(1, places + 1), orders)
            best_ticks = params.opening_bid_ticks
            best_ticks += params.opening_spread_ticks if side == BUY else 0
            sides.append(np.full(len(distance), side))
            limits.append(best_ticks - side * distance)
        return np.concatenate(sides), np.concatenate(limits)

    def _arrivals(self, mean: float, seconds: float) -> NDArray[np.float64]:
        return self.stream.random(self.stream.poisson(mean)) * seconds

    def _sides(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.where(self.stream.random(len(times)) < 0.5, BUY, SELL)

    def _distances(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.searchsorted(self._places, self.stream.random(len(times)), "right") + 1

    def _withdrawals(
        self, venue: int, living: NDArray[np.int64], born: NDArray[np.float64], seconds: float
    ) -> tuple[NDArray[np.float64], Intent]:
        """Times and rows of the tries to withdraw."""
        tries = self.stream.poisson(self._tries * (seconds - born))
        start = np.repeat(born, tries)
        times = start + self.stream.random(len(start)) * (seconds - start)
        upper, nearest, furthest = self._bands
        band = np.searchsorted(upper, self.stream.random(len(start)) * self._tries, "right")
        return times, withdrawal(venue, np.repeat(living, tries), nearest[band], furthest[band])


def bands(
    rates: Sequence[float],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Where a rate by distance exceeds a level: upper ends of levels, nearest and furthest ticks.

    Raises ConfigError unless the rates rise to one peak and fall from it.
    """
    by_place = np.array(rates)
    upper = np.unique(by_place)
    inside = by_place[None, :] >= upper[:, None]
    nearest = inside.argmax(axis=1) + 1
    furthest = inside.shape[1] - inside[:, ::-1].argmax(axis=1)
    if not np.array_equal(inside.sum(axis=1), furthest - nearest + 1):
        raise ConfigError("cancel_rates", "must rise to one peak and fall from it")
    return upper, nearest, np.where(furthest == inside.shape[1], ANYWHERE, furthest)
