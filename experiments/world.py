"""The world: a Mesa model whose step is the nine beats.

    advance, accrue, observe, decide, sequence, execute, liquidate, check, record

Sequence and execute are one call of the market, since each domain does both for itself. The world
owns time and randomness and hands them out; the market owns money; traders own decisions.
"""

import mesa
import numpy as np
from numpy.typing import NDArray

from agents.trader import Event, Trader
from experiments.randomness import stream
from experiments.recorder import Recorder
from experiments.scenario import Scenario
from experiments.tables import TABLES
from markets.errors import BrokenInvariant, ConfigError
from markets.intents import stack
from markets.market import Market
from markets.venue import Moment


class World(mesa.Model):
    """One run of a scenario. `reference[asset]` holds steps + 1 prices sampled beforehand."""

    def __init__(self, scenario: Scenario, seed: int, record: tuple[str, ...] = tuple(TABLES)):
        super().__init__(rng=seed)
        self.scenario = scenario
        self.market = Market(scenario.domains, scenario.venues)
        self.reference = {
            process.asset: process.sample(
                scenario.steps, scenario.step_seconds, stream(seed, f"process/{process.asset}")
            )
            for process in scenario.processes
        }
        self._journal: list[Event] = []
        self.traders = self._make_traders(scenario, seed)
        self._randomness = {name: stream(seed, f"domain/{name}") for name in self.market.domains}
        self.market.begin()
        self.recorder = Recorder(self.market, scenario.steps, scenario.account_steps, record)
        self.intents = 0
        self.now = 0

    def _make_traders(self, scenario: Scenario, seed: int) -> list[Trader]:
        """In the order of their names, so that the order of the list means nothing."""
        specs = sorted(scenario.agents, key=lambda spec: spec.name)
        names = [spec.name for spec in specs]
        taken = set(self.market.ledger.owner_names)
        for name in names:
            if names.count(name) > 1 or name in taken:
                raise ConfigError("agents", f"the name {name!r} is taken")
        traders = []
        for spec in specs:
            trader = spec.kind(self, spec.name, spec.params, stream(seed, f"agent/{spec.name}"))
            trader.journal = self._journal
            trader.open(self.market)
            traders.append(trader)
        return traders

    def moment(self, step: int) -> Moment:
        """The start of a step; step `steps` is the end of the run."""
        seconds = step * self.scenario.step_seconds
        reference = {asset: float(prices[step]) for asset, prices in self.reference.items()}
        return Moment(step, seconds, self.scenario.step_seconds, reference)

    def step(self) -> None:
        """The nine beats. A broken invariant raises with the step it broke in."""
        market = self.market
        moment = self.moment(self.now)
        try:
            market.accrue(moment)
            view = market.observe(moment)
            intents = stack([trader.act(view) for trader in self.traders])
            self.intents += market.execute(intents, moment, self._randomness)
            market.liquidate(moment)
            market.check()
        except BrokenInvariant as error:
            error.add_note(f"in step {self.now}")
            raise
        if self._journal:
            for event in sorted(self._journal):
                self.recorder.event(self.now, *event)
            self._journal.clear()
        self.recorder.step(moment)
        self.now += 1

    def holdings(self) -> NDArray[np.float64]:
        """What each owner holds, the escrow of its orders included, in units: owners x assets."""
        ledger = self.market.ledger
        sums = self.market.holdings_atoms()
        return sums / np.array([asset.scale for asset in ledger.assets], np.float64)

    def unit_values(self) -> NDArray[np.float64]:
        """What a unit of each asset is worth now, in quote: reference, mark or pool value."""
        moment = self.moment(self.now)
        return np.array([self._unit_value(a.name, moment) for a in self.market.ledger.assets])

    def _unit_value(self, asset: str, moment: Moment) -> float:
        for venue in self.market.venues.values():
            values = venue.asset_values(moment)
            if asset in values:
                return values[asset]
        return moment.reference.get(asset, 1.0)
