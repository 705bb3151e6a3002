"""Routing: optimal splits over all kinds of pools, paths, cycles, gas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.intents import add_coins, add_liquidity, add_range, stack
from markets.market import Market
from markets.pools import arbitrage, router
from markets.pools.concentrated_pool import ConcentratedPool
from markets.pools.constant_product_pool import ConstantProductPool
from markets.pools.pool import PoolView
from markets.pools.router import Hop, Route
from markets.pools.stableswap_pool import StableSwapPool
from markets.pools.weighted_pool import WeightedPool
from markets.venue import Moment

ETH, BTC, USD, DAI = Asset("ETH", 9), Asset("BTC", 8), Asset("USD", 6), Asset("DAI", 9)
NOW = Moment(0, 0.0, 12.0)


def product(name: str, base: Asset, quote: Asset, fee_ppm: int = 3_000) -> ConstantProductPool:
    instrument = Instrument(base, quote, 10.0 ** (base.decimals - quote.decimals), 1.0)
    if base.decimals < quote.decimals:
        instrument = Instrument(base, quote, 1.0, 1.0)
    return ConstantProductPool(
        name, "chain", instrument, ConstantProductPool.Params(fee_ppm=fee_ppm)
    )


def market_of(pools: dict, deposits: dict) -> dict[str, PoolView]:
    """Fill the pools and look at them."""
    market = Market([Chain("chain", 12.0, "USD")], list(pools.values()))
    assets = {a.name for pool in pools.values() for a in pool.coins}
    provider = int(market.endow("provider", "chain", dict.fromkeys(assets, 1e8))[0])
    market.begin()
    for name, make in deposits.items():
        rows = stack([make(market.venues[name].index, provider)])
        codes = market.venues[name].execute(rows, NOW)
        assert (codes > 0).all()
    return {name: venue.observe(NOW) for name, venue in market.venues.items()}


def both(base: Asset, quote: Asset, amounts: tuple[float, float]):
    atoms = base.to_atoms(amounts[0]), quote.to_atoms(amounts[1])
    return lambda venue, account: add_liquidity(venue, account, *atoms)


def coins(assets: list[Asset], amounts: list[float]):
    atoms = [asset.to_atoms(amount) for asset, amount in zip(assets, amounts, strict=True)]
    return lambda venue, account: add_coins(venue, account, atoms)


def ranges(low: int, high: int, base: float, quote: float):
    atoms = ETH.to_atoms(base), USD.to_atoms(quote)
    return lambda venue, account: add_range(venue, account, low, high, *atoms)


@pytest.fixture(scope="module")
def views() -> dict[str, PoolView]:
    eth_usd = Instrument(ETH, USD, 0.001, 1.0)
    tick = round(np.log(2_000 * 1e-3) / np.log(1.0001))
    low, high = (tick - 900) // 60 * 60, (tick + 900) // 60 * 60
    weighted = WeightedPool.Params(weights=(0.8, 0.2), fee_ppm=2_000)
    concentrated = ConcentratedPool.Params(fee_ppm=500, initial_price=2_000.0)
    pools = {
        "v2": product("v2", ETH, USD),
        "v2b": product("v2b", ETH, USD, 1_000),
        "v3": ConcentratedPool("v3", "chain", eth_usd, concentrated),
        "weighted": WeightedPool("weighted", "chain", (ETH, USD), weighted),
        "eth_dai": product("eth_dai", ETH, DAI, 500),
        "stable": StableSwapPool("stable", "chain", (DAI, USD), StableSwapPool.Params(fee_ppm=100)),
        "btc_usd": product("btc_usd", BTC, USD),
        "eth_btc": product("eth_btc", ETH, BTC),
    }
    deposits = {
        "v2": both(ETH, USD, (1_000, 2_000_000)),
        "v2b": both(ETH, USD, (400, 806_000)),
        "v3": ranges(low, high, 300, 600_000),
        "weighted": coins([ETH, USD], [2_000, 1_002_000]),
        "eth_dai": both(ETH, DAI, (800, 1_600_000)),
        "stable": coins([DAI, USD], [3_000_000, 2_000_000]),
        "btc_usd": both(BTC, USD, (100, 4_000_000)),
        "eth_btc": both(ETH, BTC, (1_000, 49)),
    }
    return market_of(pools, deposits)


def hop(view: PoolView, paid: str, received: str) -> Hop:
    names = [coin.name for coin in view.coins]
    return Hop(view, names.index(paid), names.index(received))


def paid_out(parts: list[router.Part]) -> int:
    return sum(part.output_atoms for part in parts)


def improves_by_moving(parts: list[router.Part], routes: list[Route], moved: int) -> float:
    """The most that moving some input from one route to another adds."""
    inputs = {id(route): 0 for route in routes} | {id(p.route): p.input_atoms for p in parts}
    out = {id(route): router.output_atoms(route, inputs[id(route)]) for route in routes}
    best = 0.0
    for source in routes:
        for target in routes:
            if source is target or inputs[id(source)] < moved:
                continue
            less = router.output_atoms(source, inputs[id(source)] - moved) - out[id(source)]
            more = router.output_atoms(target, inputs[id(target)] + moved) - out[id(target)]
            best = max(best, less + more)
    return best


@pytest.mark.parametrize("size_usd", [1_000.0, 50_000.0, 400_000.0])
def test_no_shift_between_any_kinds_of_pools_improves_a_split(
    views: dict[str, PoolView], size_usd: float
) -> None:
    routes = [(hop(views[name], "USD", "ETH"),) for name in ("v2", "v2b", "v3", "weighted")]
    routes.append((hop(views["stable"], "USD", "DAI"), hop(views["eth_dai"], "DAI", "ETH")))
    routes.append((hop(views["btc_usd"], "USD", "BTC"), hop(views["eth_btc"], "BTC", "ETH")))
    size = USD.to_atoms(size_usd)
    parts = router.split(routes, size)
    assert sum(part.input_atoms for part in parts) == size
    total = paid_out(parts)
    assert improves_by_moving(parts, routes, size // 200) <= 1e-9 * total
    single = max(router.output_atoms(route, size) for route in routes)
    assert total >= single


@given(
    st.lists(
        st.tuples(st.floats(1e8, 1e14), st.floats(0.5, 2.0), st.integers(0, 20_000)),
        min_size=2,
        max_size=5,
    ),
    st.floats(1e-4, 3.0),
)
@settings(deadline=None, max_examples=50)
def test_the_closed_form_ends_at_one_common_price(pools: list, part: float) -> None:
    reserves = np.array([base for base, _, _ in pools])
    others = np.array([base * ratio for base, ratio, _ in pools])
    fees = np.array([fee for *_, fee in pools], np.float64)
    size = part * reserves.sum()
    shares = arbitrage.split(reserves, others, fees, size)
    kept = 1 - fees / 1e6
    ends = kept * reserves * others / (reserves + kept * shares) ** 2
    used = shares > 0
    assert shares.sum() == pytest.approx(size)
    assert np.ptp(ends[used]) <= 1e-9 * ends.max()
    assert (ends[~used] <= ends[used].max() * (1 + 1e-9)).all()


def test_closed_form_and_bisection_agree(views: dict[str, PoolView]) -> None:
    routes = [(hop(views[name], "USD", "ETH"),) for name in ("v2", "v2b")]
    size = USD.to_atoms(100_000.0)
    closed = [part.input_atoms for part in router.split(routes, size)]
    bisected = router._common_price(routes, size)
    assert bisected == pytest.approx(closed, rel=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        (("btc_usd", "USD", "BTC"), ("eth_btc", "BTC", "ETH")),
        (("stable", "USD", "DAI"), ("eth_dai", "DAI", "ETH")),
        (("stable", "DAI", "USD"), ("btc_usd", "USD", "BTC"), ("eth_btc", "BTC", "ETH")),
        (("eth_dai", "DAI", "ETH"), ("weighted", "ETH", "USD"), ("btc_usd", "USD", "BTC")),
    ],
)
def test_input_until_a_price_along_a_path(views: dict[str, PoolView], names: tuple) -> None:
    route = tuple(hop(views[name], paid, received) for name, paid, received in names)
    start = router.marginal_price(route)
    target = 0.98 * start
    size = router.input_until(route, target)
    step = size // 1_000
    paid = route[0].pool.coins[route[0].paid]
    received = route[-1].pool.coins[route[-1].received]
    more, less = (router.output_atoms(route, size + change) for change in (step, -step))
    slope = received.to_units(more - less) / paid.to_units(2 * step)
    assert slope == pytest.approx(target, rel=1e-4)
    assert router.input_until(route, start * 1.001) == 0


def test_the_best_cycle_is_the_closed_form(views: dict[str, PoolView]) -> None:
    route = (hop(views["v2"], "USD", "ETH"), hop(views["v2b"], "ETH", "USD"))
    reserves = [[float(a) for a in view.reserves_atoms] for view in (views["v2"], views["v2b"])]
    amount, profit = arbitrage.cycle(
        (reserves[0][1], reserves[0][0], 3_000), (reserves[1][0], reserves[1][1], 1_000)
    )
    size, gain = router.best_cycle(route)
    assert size == pytest.approx(amount, abs=1)
    assert gain == pytest.approx(profit, abs=3)
    assert router.best_cycle(route, gas_atoms=profit) == (0, 0.0)
    back = (hop(views["v2b"], "USD", "ETH"), hop(views["v2"], "ETH", "USD"))
    assert router.best_cycle(back) == (0, 0.0)


def test_a_cycle_over_three_pools_cannot_be_improved(views: dict[str, PoolView]) -> None:
    route = (
        hop(views["eth_btc"], "ETH", "BTC"),
        hop(views["btc_usd"], "BTC", "USD"),
        hop(views["v3"], "USD", "ETH"),
    )
    back = tuple(Hop(each.pool, each.received, each.paid) for each in reversed(route))
    size, profit = max(router.best_cycle(route), router.best_cycle(back), key=lambda x: x[1])
    best = route if router.best_cycle(route)[1] == profit else back
    assert profit > 0
    for factor in (0.97, 1.03):
        other = int(size * factor)
        assert router.output_atoms(best, other) - other < profit


def test_gas_drops_the_routes_that_do_not_pay_for_it(views: dict[str, PoolView]) -> None:
    routes = [(hop(views[name], "USD", "ETH"),) for name in ("v2", "v2b", "v3", "weighted")]
    size = USD.to_atoms(30_000.0)
    free, _ = router.best_split(routes, size)
    gas = ETH.to_atoms(20 / 2_000)
    dear, net = router.best_split(routes, size, gas)
    assert len(dear) < len(free)
    assert net == paid_out(dear) - gas * len(dear)
    for route in routes:
        assert net >= router.output_atoms(route, size) - gas


def test_all_paths_are_found_and_none_uses_a_pool_or_coin_twice(
    views: dict[str, PoolView],
) -> None:
    routes = router.find_routes(views, "USD", "ETH")
    described = {tuple(h.pool.coins[h.paid].name for h in route) for route in routes}
    assert described == {("USD",), ("USD", "DAI"), ("USD", "BTC")}
    assert [len(route) for route in routes] == sorted(len(route) for route in routes)
    for route in routes:
        assert len({h.pool.index for h in route}) == len(route)
    kept = router.without_overlap(routes)
    pools = [h.pool.index for route in kept for h in route]
    assert len(pools) == len(set(pools))
    cycles = router.find_routes(views, "ETH", "ETH", 2)
    assert all(len(route) == 2 for route in cycles)
    assert len(cycles) >= 12


def test_an_order_for_nothing_pays_nothing(views: dict[str, PoolView]) -> None:
    route = (hop(views["v2"], "USD", "ETH"),)
    assert router.output_atoms(route, 0) == 0
    assert router.split([route], 0)[0].output_atoms == 0
