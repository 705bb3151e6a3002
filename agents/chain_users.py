"""Users of a chain: the crowd whose demand for block space makes the price of gas.

They carry coins to an exchange, and more of them the farther the price has gone of late,

    transfers an hour = calm * (1 + urgency * max(0, r/r0 - 1)),    at most `most` times the calm,

r the highest over the lowest price of the last `memory_seconds` less 1, and r0 what it is on a calm
day. Each transfer is worth a gas price of its own to its sender, lognormal, and bids the less of
that and of what it takes: a part above the best bid that the last blocks left waiting, or the floor
where they left none. So the price is made by a first-price auction for space, as Ethereum's was
until 2021, and those who will not pay wait. Gas prices are in atoms of the chain's fee asset for a
unit of gas; with nine decimals that is a gwei.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from agents.gas_price import MOST, price_to_beat, require_gas
from agents.trader import NOTHING, Cohort
from markets.errors import ConfigError
from markets.intents import TRANSFER, Intent, transfer, with_tip
from markets.market import Market, View
from markets.transit import Transit
from markets.venue import Moment


class ChainUsers(Cohort):
    """Accounts that send an asset from a chain to an exchange, each at times."""

    class Params(Cohort.Params):
        """Parameters; gas prices in atoms of the fee asset a unit of gas."""

        count: int = Field(400, ge=1, le=1_000_000)
        """Accounts of the crowd."""
        transit: str
        """The transit venue from the chain."""
        exchange: str
        """Domain that the coins are sent to."""
        asset: str
        """The coin that is sent, and that the chain's gas is paid in."""
        held: float = Field(1_000.0, gt=0)
        """Units of the asset of each account, for transfers and for gas."""
        sent: float = Field(0.1, gt=0)
        """Units in a transfer."""
        calm_per_hour: float = Field(2_000.0, ge=0, le=1e9)
        """Transfers an hour of the crowd on a calm day."""
        calm_range: float = Field(0.02, ge=1e-9)
        """Range of the price within `memory_seconds` on such a day."""
        memory_seconds: float = Field(3_600.0, gt=0)
        """How far back the range of the price is looked for."""
        urgency: float = Field(0.4, ge=0)
        """Part of the calm transfers that comes on top for each further such range."""
        most: float = Field(6.0, ge=1, le=1e6)
        """Transfers are at most so many times the calm ones."""
        worth_median: float = Field(30.0, gt=0, le=MOST)
        """Gas price that half of the transfers are worth."""
        worth_sigma: float = Field(1.0, ge=0, le=5)
        """Standard deviation of the logarithm of that gas price."""
        floor: float = Field(12.0, ge=0, le=MOST)
        """Gas price that is bid where nothing waits;"""
        overbid: float = Field(1.1, ge=1, le=100)
        """and over the price to beat elsewhere."""

    def open(self, market: Market) -> None:
        """See `Trader.open`."""
        transit = market.venue(self.params.transit, f"{self.name}.transit", Transit)
        if self.params.exchange == transit.domain:
            raise ConfigError(f"{self.name}.exchange", "must be another domain than the transit's")
        require_gas(market, transit.domain, self.params.asset, f"{self.name}.asset")
        held = {self.params.asset: self.params.held}
        self.accounts = self.endow_all(market, transit.domain, held)
        self.receivers = self.endow_all(market, self.params.exchange, {})
        self._domain = transit.domain
        self._column = market.ledger.column[self.params.asset]
        asset = market.ledger.assets[self._column]
        if not 0.5 / asset.scale < self.params.sent <= self.params.held:
            within = f"{1 / asset.scale:g} {asset.name} to what is held, {self.params.held:g}"
            raise ConfigError(f"{self.name}.sent", f"must be {within}, got {self.params.sent:g}")
        self._sent_atoms = asset.to_atoms(self.params.sent)
        self._seen: deque[float] = deque()
        self._asked: list[float] = []

    def act(self, view: View) -> Sequence[Intent]:
        """Some send; who waits for a block may send once more."""
        params, moment = self.params, view.moment
        rough = max(0.0, self._range(moment) / params.calm_range - 1)
        rate = params.calm_per_hour * min(1 + params.urgency * rough, params.most)
        chain = view.domains[self._domain]
        asked = max(params.floor, params.overbid * price_to_beat(chain))
        self._note_price(moment, asked)
        count = min(self.stream.poisson(rate * moment.step_seconds / 3600), params.count)
        if not count:
            return NOTHING
        members = self.stream.choice(params.count, count, replace=False)
        worth = params.worth_median * np.exp(
            params.worth_sigma * self.stream.standard_normal(count)
        )
        tips = (np.minimum(worth, asked) * chain.gas_of(TRANSFER)).astype(np.int64)
        sending = transfer(
            view[params.transit].index,
            self.accounts[members],
            self.receivers[members],
            self._column,
            self._sent_atoms,
        )
        return [with_tip(sending, tips)]

    def _range(self, moment: Moment) -> float:
        """How far apart the prices of late are, as a fraction of the lowest."""
        self._seen.append(moment.reference[self.params.asset])
        while (
            len(self._seen) > 1
            and len(self._seen) * moment.step_seconds > self.params.memory_seconds
        ):
            self._seen.popleft()
        return max(self._seen) / min(self._seen) - 1

    def _note_price(self, moment: Moment, asked: float) -> None:
        """Once an hour, the mean gas price of the hour."""
        self._asked.append(asked)
        if (moment.seconds + moment.step_seconds) % 3600 < moment.step_seconds:
            self.note("gas_price", float(np.mean(self._asked)))
            self._asked.clear()
