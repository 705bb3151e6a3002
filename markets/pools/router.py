"""Routing: one order over many pools, along paths of one to three pools, gas counted.

    split of D:   input_i = a_i(p),  sum a_i(p) = D,   a_i(p): input of route i until price p
    path:         its marginal price is the product of those of its pools

A route is a chain of hops, each a pool's view and a way through it. All it needs of a pool is
"output of an input" and "input until marginal price": the best split is where all routes end at one
common price, found by bisection (dual decomposition); along a path the bisection is on the first
pool's price, whose output the rest must absorb at what is left of the product. Constant-product
pools in series are one such pool (reserves x1 x2/(x2 + g2 y1) and g2 y1 y2/(x2 + g2 y1), fee of the
first), so that routes of them alone are split in closed form. The best size of a cycle is the input
until price one. A route costs gas whatever its size: routes whose part does not pay for it go.
Prices: units received per unit paid, fees included. Rounding: inputs are whole atoms that sum to
the order. Routes of one split must not share pools.
Source: Angeris et al. 2022, Diamandis et al. 2023; bcc-research/CFMMRouter.jl.
Left out: the exact mixed-integer optimum with gas (routes are dropped one by one).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.pools import arbitrage
from markets.pools import constant_product as curve
from markets.pools.constant_product_pool import PoolView as ConstantProductView
from markets.pools.pool import LARGEST, PoolView
from markets.rounding import PPM

MOST_HOPS = 3
ROUNDS = 60
PATH_ROUNDS = 40


class Hop(NamedTuple):
    """A pool and the coins paid to and received from it."""

    pool: PoolView
    paid: int
    received: int

    @property
    def way(self) -> tuple[int, int]:
        """The pair of coins."""
        return self.paid, self.received


Route = tuple[Hop, ...]


class Part(NamedTuple):
    """What goes along one route, and what comes of it."""

    route: Route
    input_atoms: int
    output_atoms: int


def output_atoms(route: Route, input_atoms: int) -> int:
    """What an input pays at the end of the route."""
    for hop in route:
        input_atoms = hop.pool.output_atoms(hop.way, input_atoms) if input_atoms > 0 else 0
    return input_atoms


def marginal_price(route: Route) -> float:
    """Units received for a unit of hardly any size."""
    return math.prod(hop.pool.marginal_price(hop.way) for hop in route)


def input_until(route: Route, price: float) -> int:
    """Input atoms after which the next unit earns `price`; 0 where it earns no more now."""
    first, rest = route[0], route[1:]
    if not rest:
        return first.pool.input_until(first.way, price)
    series = _in_series(route)
    if series is not None:
        reserve_in, reserve_out, fee_ppm = series
        wanted = curve.input_until_price(reserve_in, reserve_out, fee_ppm, _atomic(route, price))
        return int(min(wanted, LARGEST - 1))
    best = first.pool.marginal_price(first.way)
    following = marginal_price(rest)
    if not best * following > price:
        return 0
    low, high = math.log(price / following), math.log(best)
    for _ in range(PATH_ROUNDS):
        middle = math.exp(0.5 * (low + high))
        between = output_atoms((first,), first.pool.input_until(first.way, middle))
        if input_until(rest, price / middle) >= between:
            high = math.log(middle)
        else:
            low = math.log(middle)
    return first.pool.input_until(first.way, math.exp(high))


def _atomic(route: Route, price: float) -> float:
    """Units per unit as atoms per atom."""
    paid, received = route[0].pool.coins[route[0].paid], route[-1].pool.coins[route[-1].received]
    return price * received.scale / paid.scale


def _in_series(route: Route) -> tuple[float, float, int] | None:
    """Reserves and fee of the one constant-product pool that a route amounts to, if it does."""
    if not all(isinstance(hop.pool, ConstantProductView) for hop in route):
        return None
    series_in, series_out, fee_ppm = 0.0, 0.0, 0
    for number, hop in enumerate(route):
        reserve_in, reserve_out = (float(hop.pool.reserves_atoms[coin]) for coin in hop.way)
        if number == 0:
            series_in, series_out, fee_ppm = reserve_in, reserve_out, hop.pool.fee_ppm
            continue
        kept = (PPM - hop.pool.fee_ppm) / PPM
        joint = reserve_in + kept * series_out
        series_in, series_out = (
            series_in * reserve_in / joint,
            kept * series_out * reserve_out / joint,
        )
    return (series_in, series_out, fee_ppm) if series_in > 0.0 else None


def split(routes: Sequence[Route], input_atoms: int) -> list[Part]:
    """The parts of an input that together pay the most, gas left aside; all of it is placed."""
    if len(routes) == 1:
        return [_part(routes[0], input_atoms)]
    series = [_in_series(route) for route in routes]
    known = [each for each in series if each is not None]
    if len(known) == len(routes):
        columns = (np.array(column, np.float64) for column in zip(*known, strict=True))
        reserves_in, reserves_out, fees_ppm = columns
        shares = arbitrage.split(reserves_in, reserves_out, fees_ppm, float(input_atoms))
        inputs = np.floor(shares).astype(np.int64)
    else:
        inputs = _common_price(routes, input_atoms)
    inputs[int(np.argmax(inputs))] += input_atoms - int(inputs.sum())
    return [_part(route, int(part)) for route, part in zip(routes, inputs, strict=True) if part > 0]


def _part(route: Route, input_atoms: int) -> Part:
    return Part(route, input_atoms, output_atoms(route, input_atoms))


def _inputs_until(routes: Sequence[Route], price: float) -> NDArray[np.int64]:
    return np.array([input_until(route, price) for route in routes], np.int64)


def _common_price(routes: Sequence[Route], input_atoms: int) -> NDArray[np.int64]:
    """Inputs until the common price at which they make up the order, floored."""
    high = math.log(max(marginal_price(route) for route in routes))
    low = high - 1e-6
    while _inputs_until(routes, math.exp(low)).sum(dtype=np.float64) < input_atoms:
        low = high - 2 * (high - low)
        if high - low > 100:
            break
    for _ in range(ROUNDS):
        middle = 0.5 * (low + high)
        if _inputs_until(routes, math.exp(middle)).sum(dtype=np.float64) < input_atoms:
            high = middle
        else:
            low = middle
    return np.minimum(_inputs_until(routes, math.exp(high)), input_atoms)


def best_split(
    routes: Sequence[Route], input_atoms: int, gas_atoms: float = 0.0
) -> tuple[list[Part], float]:
    """The split that pays the most after gas, and what it pays; `gas_atoms` is that of one hop.

    Gas is in atoms of the coin received. Starting from all routes, the one whose loss costs least
    is dropped as long as that pays.
    """
    active = list(routes)
    parts, net = _net(active, input_atoms, gas_atoms)
    active = [part.route for part in parts]
    while len(active) > 1 and gas_atoms > 0:
        fewer = [active[:place] + active[place + 1 :] for place in range(len(active))]
        tried = [_net(each, input_atoms, gas_atoms) for each in fewer]
        best = max(range(len(tried)), key=lambda place: tried[place][1])
        if tried[best][1] <= net:
            break
        active, (parts, net) = fewer[best], tried[best]
    return parts, net


def _net(routes: Sequence[Route], input_atoms: int, gas_atoms: float) -> tuple[list[Part], float]:
    parts = split(routes, input_atoms)
    hops = sum(len(part.route) for part in parts)
    return parts, sum(part.output_atoms for part in parts) - gas_atoms * hops


def best_cycle(route: Route, gas_atoms: float = 0.0) -> tuple[int, float]:
    """Best input of a route that ends in the coin it began with, and its profit after gas.

    Both in atoms; (0, 0) where it does not pay.
    """
    size = input_until(route, 1.0)
    profit = output_atoms(route, size) - size - gas_atoms * len(route)
    return (size, profit) if size > 0 and profit > 0 else (0, 0.0)


def find_routes(
    pools: Mapping[str, PoolView], paid: str, received: str, most_hops: int = MOST_HOPS
) -> list[Route]:
    """Every path from one asset to another, shortest first, no pool and no coin twice.

    Equal names give the cycles. Empty pools are passed over.
    """
    found: list[Route] = []
    open_paths: list[tuple[str, Route]] = [(paid, ())]
    while open_paths:
        at, path = open_paths.pop(0)
        seen = {hop.pool.coins[hop.paid].name for hop in path}
        for hop in _hops_from(pools.values(), at, path):
            name = hop.pool.coins[hop.received].name
            if name == received:
                found.append((*path, hop))
            elif name not in seen and len(path) + 1 < most_hops:
                open_paths.append((name, (*path, hop)))
    return found


def _hops_from(pools: Iterable[PoolView], at: str, path: Route) -> list[Hop]:
    used = {hop.pool.index for hop in path}
    hops = []
    for pool in pools:
        names = [coin.name for coin in pool.coins]
        if at not in names or pool.index in used or not all(pool.reserves_atoms):
            continue
        paid = names.index(at)
        hops += [Hop(pool, paid, other) for other in range(len(names)) if other != paid]
    return hops


def without_overlap(routes: Sequence[Route]) -> list[Route]:
    """The routes of best marginal price that share no pool with a better one."""
    kept: list[Route] = []
    used: set[int] = set()
    for route in sorted(routes, key=marginal_price, reverse=True):
        pools = {hop.pool.index for hop in route}
        if not pools & used:
            kept.append(route)
            used |= pools
    return kept
