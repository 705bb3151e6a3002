"""Accounting of one liquidity position: where the provider's result comes from.

    result against rebalancing = fees - LVR - moving - gas + rewards + rest
    LVR     = sum over steps of  x dP - dC         C: worth of the position without its fees
    moving  = what changes of the position cost (swaps, spread), gas left aside

The rebalancing portfolio holds at every time the base that the provider holds, bought and sold at
the outside price P without cost: its gain is the sum of (base held) dP. Holding keeps what the
provider began with: base0 P + quote0. Impermanent loss is the position's worth without fees over
that of holding what was put in, since the last change of the position. Everything in quote units.
A `Bookkeeper` looks at the market after every step; gas and rewards come from the run's flows.
Source: Milionis et al. 2022 (arXiv 2208.06046). A step in which the position changes counts as
moving altogether; trades of the provider outside the pool are part of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from experiments.tables import Columns
from experiments.world import World
from markets.pools.concentrated_pool import ConcentratedView
from markets.pools.constant_product_pool import PoolView as ConstantProductView


class Position(NamedTuple):
    """A position now: what it consists of, fees owed beside it, and a key that is its identity.

    `liquidity` is sqrt(base quote) where fees compound inside a constant-product pool, else NaN.
    """

    base: float
    quote: float
    base_fee: float
    quote_fee: float
    liquidity: float
    key: Any


NO_POSITION = Position(0.0, 0.0, 0.0, 0.0, math.nan, None)


@dataclass(frozen=True)
class Statement:
    """The result of a provider and its parts, in quote units."""

    fees: float
    lvr: float
    moving: float
    gas: float
    rewards: float
    impermanent_loss: float
    against_rebalancing: float
    against_holding: float


class Bookkeeper:
    """Follows one provider in one pool; call `note` before the first step and after every step."""

    def __init__(self, world: World, provider: str, pool: str) -> None:
        self._world, self._pool = world, world.market.venues[pool]
        self._provider: Any = next(t for t in world.traders if t.name == provider)
        self._owner = world.market.ledger.owner_names.index(provider)
        self._base, self._quote = self._pool.columns()[:2]
        self._columns = [world.market.ledger.column[a.name] for a in (self._base, self._quote)]
        self.fees = self.lvr = self.rebalancing = 0.0
        self._last: tuple[float, Position, float] | None = None
        self._entry: Position | None = None
        self._first: tuple[float, float] = (math.nan, math.nan)

    def note(self) -> None:
        """Take the figures of the moment."""
        price = self._price()
        position = self._position()
        base, quote = self._held()
        if self._last is None:
            self._first = (base, quote)
        else:
            self._add(price, position)
        if self._entry is None or self._entry.key != position.key:
            self._entry = position
        self._last = (price, position, base)

    def _add(self, price: float, position: Position) -> None:
        assert self._last is not None
        before, old, held = self._last
        change = price - before
        self.rebalancing += held * change
        if old.key != position.key or position.key is None:
            return
        worth = position.base * price + position.quote
        gain = worth - old.base * before - old.quote
        fees = (position.base_fee - old.base_fee) * price + position.quote_fee - old.quote_fee
        if not math.isnan(position.liquidity):
            compounded = worth * (1 - old.liquidity / position.liquidity)
            gain, fees = gain - compounded, fees + compounded
        self.lvr += old.base * change - gain
        self.fees += fees

    def _price(self) -> float:
        step = max(self._world.now - 1, 0)
        return float(self._world.reference[self._base.name][step])

    def _held(self) -> tuple[float, float]:
        """Base and quote of the owner, in accounts and positions."""
        atoms = self._world.market.holdings_atoms()[self._owner]
        base, quote = (int(atoms[column]) for column in self._columns)
        view = self._pool.observe(self._world.moment(self._world.now))
        shares = self._shares(view)
        if shares:
            part = shares / view.shares_atoms
            base += int(part * view.base_atoms)
            quote += int(part * view.quote_atoms)
        return self._base.to_units(base), self._quote.to_units(quote)

    def _shares(self, view: Any) -> int:
        if view.share_column < 0:
            return 0
        balances = self._world.market.ledger.balances
        return int(balances[self._provider.account, view.share_column])

    def _position(self) -> Position:
        view = self._pool.observe(self._world.moment(self._world.now))
        if isinstance(view, ConcentratedView):
            return self._range(view)
        shares = self._shares(view)
        if not shares:
            return NO_POSITION
        part = shares / view.shares_atoms
        base = self._base.to_units(view.base_atoms * part)
        quote = self._quote.to_units(view.quote_atoms * part)
        root = math.sqrt(base * quote) if isinstance(view, ConstantProductView) else math.nan
        return Position(base, quote, 0.0, 0.0, root, shares)

    def _range(self, view: ConcentratedView) -> Position:
        ticks = self._provider.ticks
        found = view.position(self._provider.account, *ticks) if ticks else None
        if found is None or not found.liquidity:
            return NO_POSITION
        base, base_fee = (self._base.to_units(a) for a in (found.base_atoms, found.base_fee_atoms))
        quote, quote_fee = (
            self._quote.to_units(a) for a in (found.quote_atoms, found.quote_fee_atoms)
        )
        return Position(base, quote, base_fee, quote_fee, math.nan, (ticks, found.liquidity))

    def statement(self, tables: Mapping[str, Columns]) -> Statement:
        """The parts so far; `tables` must hold the flows of the run."""
        assert self._last is not None
        assert self._entry is not None
        price, position, _ = self._last
        base, quote = self._held()
        worth = base * price + quote
        begun = self._first[0] * self._start_price() + self._first[1]
        gas = self._sum(tables["flows"], "payer", "gas")
        rewards = self._rewards(tables["flows"])
        result = worth - begun - self.rebalancing
        moving = self.fees - self.lvr - gas - result
        entered = self._entry.base * price + self._entry.quote
        loss = (position.base * price + position.quote) - entered if position.key else 0.0
        holding = worth + rewards - self._first[0] * price - self._first[1]
        return Statement(self.fees, self.lvr, moving, gas, rewards, loss, result + rewards, holding)

    def _start_price(self) -> float:
        return float(self._world.reference[self._base.name][0])

    def _sum(self, flows: Columns, side: str, reason: str) -> float:
        chosen = (np.asarray(flows[side]) == self._provider.name) & (
            np.asarray(flows["reason"]) == reason
        )
        return float(np.asarray(flows["paid"])[chosen].sum())

    def _rewards(self, flows: Columns) -> float:
        """Rewards received, at their worth now."""
        values = dict(
            zip(
                (asset.name for asset in self._world.market.ledger.assets),
                self._world.unit_values(),
                strict=True,
            )
        )
        chosen = (np.asarray(flows["receiver"]) == self._provider.name) & (
            np.asarray(flows["reason"]) == "reward"
        )
        paid, assets = np.asarray(flows["paid"])[chosen], np.asarray(flows["asset"])[chosen]
        return float(sum(p * values[a] for p, a in zip(paid, assets, strict=True)))
