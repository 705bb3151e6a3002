"""A small market for tests of the runner: a desk sells base at the reference price for a fee.

`fail` raises in the middle of a run, `kill` ends the process, `pause_seconds` makes a run slow,
`hang` never comes back, as compiled code may.
"""

import itertools
import os
import signal
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from agents.trader import Trader
from experiments.paths import GeometricBrownian, Replay
from experiments.scenario import AgentSpec, Scenario
from markets.assets import Asset
from markets.exchange import Exchange
from markets.intents import market_order
from markets.outcomes import FILL, Code, Reason, fee_flows
from markets.params import Params as BaseParams
from markets.venue import Venue

BTC, USD = Asset("BTC", 6), Asset("USD", 6)


@dataclass(frozen=True)
class Quote:
    price: float


class Desk(Venue):
    """Sells one lot of 0.001 base at the reference price."""

    class Params(BaseParams):
        fee: float = Field(0.001, ge=0, description="part of the notional")

    def __init__(self, name, domain, params):
        super().__init__()
        self.name, self.domain, self.params = name, domain, params
        self.traded = 0

    def columns(self):
        return (BTC, USD)

    def open(self, market):
        self.ledger = market.ledger
        self.accounts = market.endow(self.name, self.domain, {"BTC": 1000})

    def observe(self, moment):
        return Quote(moment.reference["BTC"])

    def execute(self, intents, moment):
        desk, lot = int(self.accounts[0]), BTC.to_atoms(0.001)
        cost = USD.to_atoms(moment.reference["BTC"] * 0.001)
        fee = round(cost * self.params.fee)
        fills = np.zeros(len(intents), FILL)
        fills["taker"], fills["maker"], fills["side"] = intents["account"], desk, 1
        fills["base_atoms"], fills["quote_atoms"], fills["taker_fee_atoms"] = lot, cost, fee
        fills["reason"], fills["size_lots"] = Reason.TRADE, 1
        for account in intents["account"]:
            self.ledger.balances[account] += (lot, -cost - fee)
            self.ledger.balances[desk] += (-lot, cost + fee)
        self.traded = len(intents)
        self._fills.append(fills)
        self._flows.append(fee_flows(fills, desk, 1))
        return np.full(len(intents), Code.FILLED, np.int64)

    def check(self):
        pass

    def measure(self, moment):
        return {"mid": moment.reference["BTC"], "volume": 0.001 * self.traded}


class Buyer(Trader):
    """Buys in half of the steps."""

    class Params(Trader.Params):
        fail: bool = False
        kill: bool = False
        hang: bool = False
        pause_seconds: float = 0.0
        venue: int = 0

    def open(self, market):
        self.account = self.endow(market, "exchange", {"USD": 1e7})

    def act(self, view):
        time.sleep(self.params.pause_seconds)
        if view.moment.step == 5 and self.params.fail:
            raise RuntimeError("the buyer fell over")
        if view.moment.step == 5 and self.params.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if view.moment.step == 5 and self.params.hang:
            deque(itertools.count(), maxlen=0)
        return [market_order(0, self.account, 1, 1)] if self.dice.random() < 0.5 else []


class Params(BaseParams):
    desk: Desk.Params = Desk.Params()
    buyer: Buyer.Params = Buyer.Params()
    volatility_per_year: float = Field(0.6, gt=0)


def build(params, history=None):
    process = GeometricBrownian("BTC", 50_000.0, params.volatility_per_year)
    return Scenario(
        domains=[Exchange("exchange")],
        venues=[Desk("desk", "exchange", params.desk)],
        agents=[AgentSpec("buyer", Buyer, params.buyer)],
        processes=[Replay("BTC", history) if history else process],
        steps=20,
        step_seconds=60.0,
        account_steps=5,
    )
