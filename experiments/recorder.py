"""The record of a run: columns that grow by whole steps, never a Python object a row.

Step figures go into one float64 block (step x venue x column); fills and flows stay the arrays that
the venues made, and become units and names once, at the end. `tables()` gives the columns declared
in `experiments.tables`.
"""

from collections.abc import Collection, Sequence
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tables import LIQUIDATIONS, STEPS, TABLES, Columns
from markets.derivatives.liquidation_log import LiquidationLog
from markets.market import Market
from markets.outcomes import FILL, FLOW, Fills, Flows, Reason
from markets.venue import Moment, Venue

_FIGURES = [column.name for column in STEPS.columns[4:]]
_PLACE = {name: place for place, name in enumerate(_FIGURES, 1)}
"""Of a figure in a row of the block; the reference comes first."""
_WIDTH = 1 + len(_FIGURES)
_REASONS = np.array([reason.name.lower() for reason in Reason], dtype=object)


class Recorder:
    """Collects what happens in a market, step by step."""

    def __init__(self, market: Market, steps: int, account_steps: int, tables: Collection[str]):
        self._market = market
        self._tables = frozenset(tables)
        self._account_steps = account_steps
        self._venues = list(market.venues.values())
        self._bases = [venue.columns()[0].name for venue in self._venues]
        shape = (steps if "steps" in self._tables else 0, len(self._venues), _WIDTH)
        self._figures = np.full(shape, np.nan)
        self._cells: Any = self._figures.reshape(-1).data
        self._moments: list[float] = []
        self._fills: list[list[tuple[int, Fills]]] = [[] for _ in self._venues]
        self._flows: list[tuple[int, int, Flows]] = []
        self._liquidations: list[tuple[int, int, LiquidationLog]] = []
        self._events: list[tuple[int, str, str, float]] = []
        self._accounts: list[tuple[int, NDArray[np.int64]]] = []

    def event(self, step: int, source: str, event: str, value: float) -> None:
        """Note something that happened once."""
        self._events.append((step, source, event, value))

    def step(self, moment: Moment) -> None:
        """Append the step that has just been checked."""
        tables = self._tables
        if not tables:
            for venue in self._venues:
                venue.forget()
            for domain in self._market.domains.values():
                domain.drain_flows()
            return
        self._moments.append(moment.seconds + moment.step_seconds)
        for number, venue in enumerate(self._venues):
            if "fills" in tables and len(fills := venue.drain_fills()):
                self._fills[number].append((moment.step, fills))
            if "flows" in tables:
                self._keep_flows(moment.step, number, venue.drain_flows())
            log = venue.drain_liquidations() if "liquidations" in tables else None
            if log is not None:
                self._liquidations.append((moment.step, number, log))
            for event, value in venue.drain_events():
                self.event(moment.step, venue.name, event, value)
            venue.forget()
            if "steps" in tables:
                self._keep_figures(number, venue, moment)
        for number, domain in enumerate(self._market.domains.values(), len(self._venues)):
            gas = domain.drain_flows()
            if "flows" in tables:
                self._keep_flows(moment.step, number, gas)
        if "accounts" in tables and moment.step % self._account_steps == 0:
            self._accounts.append((moment.step, self._market.holdings_atoms()))

    def _keep_flows(self, step: int, number: int, flows: Flows) -> None:
        if len(flows):
            self._flows.append((step, number, self._summed(flows)))

    def _keep_figures(self, number: int, venue: Venue, moment: Moment) -> None:
        cells, place = self._cells, _PLACE
        first = (moment.step * len(self._venues) + number) * _WIDTH
        cells[first] = moment.reference.get(self._bases[number], nan)
        for name, value in venue.measure(moment).items():
            cells[first + place[name]] = value

    def _summed(self, flows: Flows) -> Flows:
        """The flows of one step with equal payer, receiver, asset and reason added up by owner."""
        owner = self._market.ledger.owner
        payer, receiver = owner[flows["payer"]], owner[flows["receiver"]]
        owners = len(self._market.ledger.owner_names)
        key = (payer * owners + receiver) * len(self._market.ledger.assets) + flows["asset"]
        key = key * len(Reason) + flows["reason"]
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        summed = np.zeros(len(first), FLOW)
        summed["payer"], summed["receiver"] = payer[first], receiver[first]
        summed["asset"], summed["reason"] = flows["asset"][first], flows["reason"][first]
        np.add.at(summed["atoms"], group, flows["atoms"])
        return summed[summed["payer"] != summed["receiver"]]

    def tables(self) -> dict[str, Columns]:
        """All tables, each with every declared column."""
        made = {
            "steps": self._steps_table,
            "fills": self._fills_table,
            "flows": self._flows_table,
            "liquidations": self._liquidations_table,
            "events": self._events_table,
            "accounts": self._accounts_table,
        }
        return {name: made[name]() for name in TABLES if name in self._tables}

    def _steps_table(self) -> Columns:
        steps, venues = len(self._moments), len(self._venues)
        names = np.array([venue.name for venue in self._venues], dtype=object)
        columns: dict[str, Any] = {
            "step": np.repeat(np.arange(steps), venues),
            "seconds": np.repeat(np.array(self._moments), venues),
            "venue": np.tile(names, steps),
            "reference": self._figures[:steps, :, 0].reshape(-1),
        }
        for name, place in _PLACE.items():
            columns[name] = self._figures[:steps, :, place].reshape(-1)
        for column in STEPS.columns:
            if column.kind == "int32":
                columns[column.name] = np.nan_to_num(columns[column.name]).astype(np.int32)
        return columns

    def _fills_table(self) -> Columns:
        parts = [self._venue_fills(number) for number in range(len(self._venues))]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.argsort(joined["step"], kind="stable")
        return {name: values[order] for name, values in joined.items()}

    def _venue_fills(self, number: int) -> dict[str, NDArray[Any]]:
        venue = self._venues[number]
        chunks = self._fills[number]
        fills = np.concatenate([fills for _, fills in chunks]) if chunks else np.zeros(0, FILL)
        ledger = self._market.ledger
        owners = np.array(ledger.owner_names, dtype=object)
        base_scale, quote_scale, fee_scale = venue.fill_scales(fills)
        size = fills["base_atoms"] / base_scale
        notional = fills["quote_atoms"] / quote_scale
        return {
            "step": np.repeat(
                np.array([step for step, _ in chunks], np.int32), [len(f) for _, f in chunks]
            ),
            "venue": np.full(len(fills), venue.name, dtype=object),
            "taker": owners[ledger.owner[fills["taker"]]],
            "maker": owners[ledger.owner[fills["maker"]]],
            "taker_account": fills["taker"],
            "maker_account": fills["maker"],
            "side": fills["side"].astype(np.int32),
            "price": np.divide(notional, size, out=np.full(len(fills), np.nan), where=size != 0),
            "size": size,
            "taker_fee": fills["taker_fee_atoms"] / fee_scale,
            "maker_fee": fills["maker_fee_atoms"] / fee_scale,
            "reason": _REASONS[fills["reason"]],
        }

    def _flows_table(self) -> Columns:
        ledger = self._market.ledger
        chunks = [flows for _, _, flows in self._flows]
        flows = np.concatenate(chunks) if chunks else np.zeros(0, FLOW)
        lengths = [len(chunk) for chunk in chunks]
        places = [*(venue.name for venue in self._venues), *self._market.domains]
        venues = np.array(places, dtype=object)
        owners = np.array(ledger.owner_names, dtype=object)
        assets = np.array([asset.name for asset in ledger.assets], dtype=object)
        scale = np.array([asset.scale for asset in ledger.assets], np.float64)
        return {
            "step": np.repeat(np.array([at for at, _, _ in self._flows], np.int32), lengths),
            "venue": venues[np.repeat(np.array([n for _, n, _ in self._flows], np.int64), lengths)],
            "payer": owners[flows["payer"]],
            "receiver": owners[flows["receiver"]],
            "asset": assets[flows["asset"]],
            "reason": _REASONS[flows["reason"]],
            "paid": flows["atoms"] / scale[flows["asset"]],
        }

    def _liquidations_table(self) -> Columns:
        logs = [log for _, _, log in self._liquidations]
        lengths = [len(log.account) for log in logs]

        def each(values: Sequence[Any], kind: Any) -> NDArray[Any]:
            return np.repeat(np.array(values, kind), lengths)

        def joined(name: str, kind: Any) -> NDArray[Any]:
            return np.concatenate([np.zeros(0, kind), *(getattr(log, name) for log in logs)])

        owners = np.array(self._market.ledger.owner_names, dtype=object)
        account = joined("account", np.int64)
        known = {
            "step": each([step for step, _, _ in self._liquidations], np.int32),
            "venue": each([self._venues[n].name for _, n, _ in self._liquidations], object),
            "owner": owners[self._market.ledger.owner[account]],
            "account": account,
            "by": joined("by", object),
            "side": np.sign(joined("lots", np.int64)).astype(np.int32),
            "asset": each([log.asset for log in logs], object),
        }
        names = [column.name for column in LIQUIDATIONS.columns]
        return {n: known[n] if n in known else joined(n, np.float64) for n in names}

    def _events_table(self) -> Columns:
        steps, sources, events, values = (
            zip(*self._events, strict=True) if self._events else [()] * 4
        )
        return {
            "step": np.array(steps, np.int32),
            "source": np.array(sources, dtype=object),
            "event": np.array(events, dtype=object),
            "value": np.array(values, np.float64),
        }

    def _accounts_table(self) -> Columns:
        ledger = self._market.ledger
        shape = (len(self._accounts), len(ledger.owner_names), len(ledger.assets))
        sums = np.array([sums for _, sums in self._accounts], np.int64).reshape(shape)
        held = np.zeros(shape[1:], np.int64)
        np.add.at(held, ledger.owner, 1)
        at, owner, asset = np.nonzero(sums)
        steps = np.array([step for step, _ in self._accounts], np.int32)
        scale = np.array([asset.scale for asset in ledger.assets], np.float64)
        return {
            "step": steps[at],
            "owner": np.array(ledger.owner_names, dtype=object)[owner],
            "asset": np.array([a.name for a in ledger.assets], dtype=object)[asset],
            "balance": sums[at, owner, asset] / scale[asset],
            "accounts": held[owner, asset],
        }
