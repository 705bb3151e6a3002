"""Kyle 1985: an insider in one call auction, and in a sequence of up to a hundred.

The parties are those of `agents.kyle_traders`; each auction is a call of the order-book venue. The
intensities beta_n and impacts lambda_n solve Kyle's difference equations,

    lambda_n = beta_n Sigma_n / su**2,           Sigma_n = (1 - beta_n lambda_n dt) Sigma_(n-1),
    beta_n dt = (1 - 2 a_n lambda_n) / (2 lambda_n (1 - a_n lambda_n)),
    a_(n-1) = 1 / (4 lambda_n (1 - a_n lambda_n)),   a_N = 0,   dt = 1 / N,

and what is measured is what the calls make of them: lambda as the slope of price on net demand, of
value on net demand where there is one auction, the variance of v that the last price leaves open,
and the insider's profit off the ledger. Learning makers begin with twice the right lambda; in each
of 30 rounds they take the slope of value on demand, and the insider answers with 1 / (2 lambda).

A run is one game with each number of auctions. Games are played in groups of `GROUP`, whose draws
of v and u are made to have means 0 and covariances exactly as in the model: second moments, which
is all that the figures are, then lose their sampling error. Standard errors are between groups.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.kyle_traders import Insider, Makers, Noise
from experiments.reproduction import Row
from experiments.scenario import AgentSpec, Scenario
from experiments.world import World
from markets.assets import Asset, Instrument
from markets.exchange import Exchange
from markets.sequencing import Ordering
from markets.spot.book import NO_PRICE
from markets.spot.call_auction import CallAuction

CITATION = (
    "Kyle, A. S. (1985), Continuous auctions and insider trading, Econometrica 53(6), 1315-1335"
)
DEFAULT_RUNS = 512
GROUP = 128

START = 100.0
TICKS_A_MOVE, LOTS_A_TICK = 15, 20
RELATIVE_TOLERANCE = 0.02
SINGLE = {"lambda": 1.0, "variance left open": 0.5, "insider's profit": 1.0}
"""One auction with Sigma_0 = 4 and su = 1; the variance as a share of Sigma_0."""
SEQUENCES = {
    2: (0.653, 0.588, 0.346, 0.621),
    4: (0.765, 0.664, 0.221, 0.731),
    10: (0.865, 0.741, 0.110, 0.844),
    20: (0.915, 0.782, 0.061, 0.902),
    100: (0.975, 0.832, 0.014, 0.971),
}
"""By number of auctions, Sigma_0 = su = 1: lambda first and last, variance left open, profit."""
ROUNDS, FIRST_GUESS, LEARNT_TOLERANCE = 30, 2.0, 1e-3


class Equilibrium(NamedTuple):
    """lambda_n and beta_n dt of each auction, and the variance that the last one leaves."""

    impacts: NDArray[np.float64]
    intensities: NDArray[np.float64]
    open_variance: float


def equilibrium(auctions: int, variance: float) -> Equilibrium:
    """Solve backwards from any last variance and scale, since lambda goes with its root; su = 1."""
    dt, after, gain = 1 / auctions, 1.0, 0.0
    impacts, intensities = np.empty(auctions), np.empty(auctions)
    for n in range(auctions - 1, -1, -1):
        scaled = dt / after
        roots = np.roots([gain * scaled, -scaled, -gain, 0.5][0 if gain else 1 :])
        impact = min(root.real for root in roots if abs(root.imag) < 1e-9 and root.real > 0)
        impacts[n], intensities[n] = impact, impact / after * dt
        gain = 1 / (4 * impact * (1 - gain * impact))
        after /= 1 - impact**2 * scaled
    scale = math.sqrt(variance / after)
    return Equilibrium(impacts * scale, intensities / scale, variance / after)


@dataclass(frozen=True)
class Values:
    """What the share will be worth, known from the start of each game to those who may look."""

    asset: str
    values: NDArray[np.float64]
    auctions: int

    def sample(
        self, steps: int, step_seconds: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """See `Process`; the value after the last game is that of the last game."""
        return np.append(np.repeat(self.values, self.auctions), self.values[-1])


class Games(NamedTuple):
    """Games down, auctions across: price moves and net demands; values over START, and profits."""

    moves: NDArray[np.float64]
    demands: NDArray[np.float64]
    values: NDArray[np.float64]
    profits: NDArray[np.float64]


def draws(columns: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """GROUP rows of standard normals with means 0 and covariances exactly those of the law."""
    raw = rng.standard_normal((GROUP, columns))
    raw -= raw.mean(axis=0)
    whitened: NDArray[np.float64] = np.linalg.qr(raw)[0] * math.sqrt(GROUP)
    return whitened


def _grid(size: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above a size."""
    power = 10.0 ** math.floor(math.log10(size))
    return round(max(times for times in (1, 2, 5) if times * power <= size) * power, 9)


def play(plan: Equilibrium, variance: float, seed: int) -> Games:
    """A group of games with given intensities and impacts."""
    auctions = len(plan.impacts)
    normals = draws(auctions + 1, np.random.default_rng(seed))
    values = START + math.sqrt(variance) * normals[:, 0]
    noise = normals[:, 1:].ravel() / math.sqrt(auctions)
    tick_size = _grid(plan.impacts.min() / math.sqrt(auctions) / TICKS_A_MOVE)
    assets = (Asset("share", 6), Asset("cash", 9))
    instrument = Instrument(*assets, tick_size, round(tick_size / LOTS_A_TICK, 9))
    shared: dict[str, Any] = {"auctions": auctions, "start": START}
    insider = Insider.Params(intensities=tuple(plan.intensities.tolist()), **shared)
    makers = Makers.Params(impacts=tuple(plan.impacts.tolist()), **shared)
    rules = CallAuction.Params(keep=False, opening=START)
    scenario = Scenario(
        domains=(Exchange("exchange", Ordering.ARRIVAL),),
        venues=(CallAuction("call", "exchange", instrument, rules),),
        agents=(
            AgentSpec("insider", Insider, insider),
            AgentSpec("makers", Makers, makers),
            AgentSpec("noise", Noise, Noise.Params(orders=tuple(noise.tolist()), **shared)),
        ),
        processes=(Values("share", values, auctions),),
        steps=GROUP * auctions,
        step_seconds=1.0,
    )
    return _collect(World(scenario, seed, record=()), auctions, values)


def _collect(world: World, auctions: int, values: NDArray[np.float64]) -> Games:
    """Play all games; holdings are those of insider and makers, shares and cash."""
    ledger, venue = world.market.ledger, world.market.venues["call"]
    assert isinstance(venue, CallAuction)
    accounts = [ledger.owner_names.index(name) for name in ("insider", "makers")]
    rows = [int(np.flatnonzero(ledger.owner == owner)[0]) for owner in accounts]
    scales = np.array([asset.scale for asset in ledger.assets])
    holdings, prices = [ledger.balances[rows] / scales], [START]
    for _ in range(GROUP * auctions):
        world.step()
        holdings.append(ledger.balances[rows] / scales)
        call = venue.last_call
        traded = call.price_ticks != NO_PRICE
        prices.append(venue.instrument.to_price(call.price_ticks) if traded else prices[-1])
    gained = np.diff(holdings, axis=0).reshape(GROUP, auctions, 2, 2)
    levels = np.column_stack([np.full(GROUP, START), np.reshape(prices[1:], (GROUP, auctions))])
    shares, cash = gained[:, :, 0].sum(axis=1).T
    return Games(
        np.diff(levels, axis=1), -gained[:, :, 1, 0], values - START, shares * values + cash
    )


def slope(outcome: NDArray[np.float64], demand: NDArray[np.float64]) -> float:
    """Of a regression with a constant."""
    centred = demand - demand.mean()
    return float(centred @ outcome / (centred @ centred))


def learn(seed: int) -> float:
    """The makers' lambda after ROUNDS rounds of one auction each, Sigma_0 = 4."""
    impact = FIRST_GUESS
    for number in range(ROUNDS):
        plan = Equilibrium(np.array([impact]), np.array([1 / (2 * impact)]), math.nan)
        games = play(plan, 4.0, seed + number)
        impact = slope(games.values, games.demands[:, 0])
    return impact


def single(seed: int) -> tuple[float, ...]:
    """Slope of value on demand, share of variance left open and profit, in one group."""
    games = play(equilibrium(1, 4.0), 4.0, seed)
    missed = games.values - games.moves[:, 0]
    impact = slope(games.values, games.demands[:, 0])
    return impact, float((missed**2).mean() / 4), float(games.profits.mean())


def sequence(auctions: int, seed: int) -> tuple[float, ...]:
    """The four figures of SEQUENCES in one group."""
    games = play(equilibrium(auctions, 1.0), 1.0, seed)
    first, last = (slope(games.moves[:, n], games.demands[:, n]) for n in (0, -1))
    missed = games.values - games.moves.sum(axis=1)
    return first, last, float((missed**2).mean()), float(games.profits.mean())


def reproduce(runs: int, seed: int) -> list[Row]:
    """Means over groups, at least two; the tolerances do not depend on their number."""
    groups = [seed + 1000 * number for number in range(max(2, runs // GROUP))]
    figures = np.array([single(group) for group in groups])
    rows = _rows("1 auction", tuple(SINGLE), tuple(SINGLE.values()), figures)
    labels = ("lambda first", "lambda last", "variance left open", "insider's profit")
    for auctions, published in SEQUENCES.items():
        figures = np.array([sequence(auctions, group) for group in groups])
        rows += _rows(f"{auctions} auctions", labels, published, figures)
    learnt = np.array([learn(group) for group in groups])
    error = learnt.std(ddof=1) / math.sqrt(len(groups))
    label = f"lambda learnt in {ROUNDS} rounds"
    return [*rows, Row("kyle", label, 1.0, LEARNT_TOLERANCE, float(learnt.mean()), float(error))]


def _rows(
    label: str,
    quantities: tuple[str, ...],
    published: tuple[float, ...],
    figures: NDArray[np.float64],
) -> list[Row]:
    means, errors = figures.mean(axis=0), figures.std(axis=0, ddof=1) / math.sqrt(len(figures))
    return [
        Row("kyle", f"{label}: {quantity}", figure, RELATIVE_TOLERANCE * figure, got, error)
        for quantity, figure, got, error in zip(
            quantities, published, means.tolist(), errors.tolist(), strict=True
        )
    ]
