"""Reward program: liquidity mining. Holders of a pool's shares are paid an asset of the program.

    paid to account i at each accrual = floor(rate x dt x shares_i / shares of all holders)

The schedule is a list of (start in seconds, units a day); the last entry that has begun holds. The
program's account issues the reward, so that its balance is the negative of what has been paid. The
pool's own accounts (locked shares) earn nothing. Payment needs no claim and no gas.
Rounding: down for every holder; what is lost to rounding is never issued.
Left out: lock-ups, boosts, staking.
"""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from markets import params
from markets.assets import Asset
from markets.errors import BrokenInvariant, ConfigError
from markets.market import Market
from markets.outcomes import Code, Reason, flows
from markets.venue import Moment, Venue


@dataclass(frozen=True)
class RewardView:
    """What agents see: units a day now, the columns of share and reward, shares that earn."""

    index: int
    units_per_day: float
    share_column: int
    reward_column: int
    reward: Asset
    shares_atoms: int


class RewardProgram(Venue):
    """Pays the asset `<name>:reward` to whoever holds shares of one pool."""

    class Params(params.Params):
        """Parameters of the program."""

        pool: str
        """The pool whose shares earn."""
        schedule: tuple[tuple[float, float], ...] = Field(min_length=1)
        """Pairs of start in seconds and units a day, in the order of their starts."""
        price: float = Field(1.0, ge=0)
        """What a unit is worth in quote, where the outside world does not say."""

    def __init__(self, name: str, domain: str, quote: Asset, params: Params) -> None:
        super().__init__()
        starts = [start for start, _ in params.schedule]
        if starts != sorted(set(starts)):
            raise ConfigError(f"{name}.schedule", "starts must rise")
        if min(rate for _, rate in params.schedule) < 0:
            raise ConfigError(f"{name}.schedule", "rates must not be negative")
        self.name = name
        self.domain = domain
        self.params = params
        self.quote = quote
        self.reward = Asset(f"{name}:reward", 6)
        self._starts = starts

    def columns(self) -> tuple[Asset, ...]:
        """See `Venue.columns`."""
        return (self.reward, self.quote)

    def open(self, market: Market) -> None:
        """See `Venue.open`; the pool must be listed before the program."""
        self.accounts = market.open_accounts(self.name, self.domain)
        self._account = int(self.accounts[0])
        self._ledger = market.ledger
        market.ledger.allow_issue(self._account, self.reward.name)
        self._column = market.ledger.column[self.reward.name]
        share = f"{self.params.pool}:share"
        if share not in market.ledger.column:
            raise ConfigError(f"{self.name}.pool", f"no pool {self.params.pool} with shares")
        self._share_column = market.ledger.column[share]
        self._excluded = market.venues[self.params.pool].accounts
        self._paid_atoms = 0

    def units_per_day(self, seconds: float) -> float:
        """The rate in force."""
        place = bisect_right(self._starts, seconds) - 1
        return self.params.schedule[place][1] if place >= 0 else 0.0

    def _earning(self) -> NDArray[np.int64]:
        """Shares by account, those that earn nothing left out."""
        shares = self._ledger.balances[:, self._share_column].copy()
        shares[self._excluded] = 0
        return shares

    def accrue(self, moment: Moment) -> None:
        """Pay for the step that has just passed, to those who hold shares now."""
        seconds = moment.seconds - moment.step_seconds
        rate = self.units_per_day(seconds)
        if moment.step == 0 or not rate:
            return
        shares = self._earning()
        total = int(shares.sum())
        if not total:
            return
        due = rate / 86_400 * moment.step_seconds * self.reward.scale
        paid = np.floor(due * (shares / total)).astype(np.int64)
        self._ledger.balances[:, self._column] += paid
        self._ledger.balances[self._account, self._column] -= paid.sum()
        self._paid_atoms += int(paid.sum())
        holders = np.flatnonzero(paid)
        rows = flows(self._account, holders, self._column, paid[holders], Reason.REWARD)
        self._flows.append(rows)

    def observe(self, moment: Moment) -> RewardView:
        """See `Venue.observe`."""
        rate, shares = self.units_per_day(moment.seconds), int(self._earning().sum())
        columns = (self._share_column, self._column)
        return RewardView(self.index, rate, *columns, self.reward, shares)

    def execute(self, intents: NDArray[np.void], moment: Moment) -> NDArray[np.int64]:
        """See `Venue.execute`: there is nothing to ask for."""
        return np.full(len(intents), Code.INVALID, np.int64)

    def check(self) -> None:
        """The program has issued what it has paid."""
        issued = -int(self._ledger.balances[self._account, self._column])
        if issued != self._paid_atoms:
            difference = issued - self._paid_atoms
            raise BrokenInvariant("rewards issued", self.name, self.reward.name, difference)

    def measure(self, moment: Moment) -> dict[str, float]:
        """See `Venue.measure`: there is no price here."""
        return {}

    def asset_values(self, moment: Moment) -> dict[str, float]:
        """See `Venue.asset_values`."""
        return {self.reward.name: moment.reference.get(self.reward.name, self.params.price)}
