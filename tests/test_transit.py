"""Transit: delay, custody on the way, rejects, and what belongs to whom meanwhile."""

import numpy as np
import pytest

from markets.assets import Asset
from markets.chain import Chain
from markets.errors import BrokenInvariant
from markets.exchange import Exchange
from markets.intents import bundle, stack, transfer
from markets.market import Market
from markets.outcomes import Code
from markets.transit import Transit
from markets.venue import Moment

BTC, USD = Asset("BTC", 6), Asset("USD", 6)
STEP = 60.0


class Bench:
    """One owner with an account on an exchange and one on a chain, a way in each direction."""

    def __init__(self, delay_seconds: float = 600.0) -> None:
        params = Transit.Params(delay_seconds=delay_seconds)
        domains = [Exchange("exchange"), Chain("chain", 12.0, "USD")]
        ways = [Transit(f"from_{d.name}", d.name, (BTC, USD), params) for d in domains]
        self.market = Market(domains, ways)
        self.here = int(self.market.endow("owner", "exchange", {"BTC": 5, "USD": 100})[0])
        self.there = int(self.market.open_accounts("owner", "chain")[0])
        self.other = int(self.market.open_accounts("other", "chain")[0])
        self.market.begin()
        self.now = 0
        self.rng = {name: np.random.default_rng(1) for name in self.market.domains}

    def step(self, *intents: tuple) -> None:
        moment = Moment(self.now, self.now * STEP, STEP)
        self.market.accrue(moment)
        self.market.execute(stack(intents), moment, self.rng)
        self.market.check()
        self.now += 1

    def held(self, account: int, asset: str) -> int:
        return int(self.market.ledger.balances[account, self.market.ledger.column[asset]])

    def owned(self, asset: str) -> int:
        ledger = self.market.ledger
        owner = ledger.owner_names.index("owner")
        return int(self.market.holdings_atoms()[owner, ledger.column[asset]])


def test_assets_travel_for_the_delay_and_stay_the_owners() -> None:
    bench = Bench()
    btc = bench.market.ledger.column["BTC"]
    bench.step(transfer(0, bench.here, bench.there, btc, 2_000_000))
    for _ in range(9):
        bench.step()
        assert bench.held(bench.there, "BTC") == 0
        assert bench.held(bench.here, "BTC") == 3_000_000
        assert bench.owned("BTC") == 5_000_000
    view = bench.market.observe(Moment(0, 0.0, STEP))["from_exchange"]
    assert view.coming_atoms(bench.there, btc) == 2_000_000
    bench.step()
    assert bench.held(bench.there, "BTC") == 2_000_000
    assert bench.owned("BTC") == 5_000_000
    bench.step(transfer(1, bench.there, bench.here, btc, 500_000))
    for _ in range(10):
        bench.step()
    assert bench.held(bench.here, "BTC") == 3_500_000


def test_transfers_that_cannot_be_are_rejected() -> None:
    bench = Bench()
    btc = bench.market.ledger.column["BTC"]
    rows = stack(
        [
            transfer(0, bench.here, bench.there, btc, 0),
            transfer(0, bench.here, bench.other, btc, 10),
            transfer(0, bench.here, bench.here, btc, 10),
            transfer(0, bench.here, 10**6, btc, 10),
            transfer(0, bench.here, bench.there, 99, 10),
            transfer(0, bench.here, bench.there, btc, 5_000_001),
        ]
    )
    codes = bench.market.venues["from_exchange"].execute(rows, Moment(0, 0.0, STEP))
    assert codes.tolist() == [Code.INVALID] * 5 + [Code.INSUFFICIENT_BALANCE]
    assert bench.held(bench.here, "BTC") == 5_000_000


def test_a_failed_bundle_on_the_chain_sends_nothing() -> None:
    bench = Bench(delay_seconds=0.0)
    btc = bench.market.ledger.column["BTC"]
    bench.step(transfer(0, bench.here, bench.there, btc, 5_000_000))
    bench.step()
    assert bench.held(bench.there, "BTC") == 5_000_000
    first = transfer(1, bench.there, bench.here, btc, 5_000_000)
    bench.step(*bundle([first, transfer(1, bench.there, bench.here, btc, 1)]))
    bench.step()
    assert bench.held(bench.there, "BTC") == 5_000_000
    assert bench.held(bench.here, "BTC") == 0


def test_an_account_out_of_step_is_seen() -> None:
    bench = Bench()
    venue = bench.market.venues["from_exchange"]
    usd = bench.market.ledger.column["USD"]
    bench.market.ledger.balances[venue.accounts[0], usd] += 1
    with pytest.raises(BrokenInvariant, match="out of step"):
        venue.check()
