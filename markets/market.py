"""The market: the ledger, the domains and their venues, driven beat by beat.

Agents never touch a venue. They read the `View` that `observe` gives and return intents; `execute`
hands them to the domains, each of which orders its own by its rule and runs them venue by venue. A
bundle is run as a trial: unless every row succeeds, the ledger rows and the venues it touched
go back to where they were. After `liquidate`, `check` proves conservation or raises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.assets import MAX_ATOMS, Asset
from markets.domain import Domain
from markets.errors import ConfigError, FathomError
from markets.intents import take
from markets.ledger import Ledger
from markets.outcomes import Code
from markets.sequencing import first_stray, run_starts
from markets.venue import Moment, Venue

NO_CODES = np.zeros(0, np.int64)

Randomness = Mapping[str, np.random.Generator]
"""A generator for each domain, by name."""


@dataclass(frozen=True, slots=True)
class View:
    """What agents see: the moment, every venue's and domain's view, and the ledger, read-only.

    Valid during the step in which it was made.
    """

    moment: Moment
    venues: Mapping[str, Any]
    balances: NDArray[np.int64]
    domains: Mapping[str, Any]

    def __getitem__(self, venue: str) -> Any:
        return self.venues[venue]


class Market:
    """All mechanisms of one run."""

    def __init__(self, domains: Sequence[Domain], venues: Sequence[Venue]) -> None:
        self.domains = {domain.name: domain for domain in domains}
        self.venues = {venue.name: venue for venue in venues}
        _require_unique("domains", domains, self.domains)
        _require_unique("venues", venues, self.venues)
        self.ledger = Ledger(_assets(venues))
        self.latency_seconds = np.zeros(1)
        for domain in domains:
            domain.open(self)
        for index, venue in enumerate(venues):
            if venue.domain not in self.domains:
                raise ConfigError(f"{venue.name}.domain", f"no domain {venue.domain}")
            venue.index = index
            venue.open(self)
        self._numbers = {name: number for number, name in enumerate(self.domains)}
        self._domain_of_venue = np.array([self._numbers[v.domain] for v in venues], np.int64)
        self._apart = len(domains) > 1
        self._only_venue = {
            domain.name: own[0]
            for domain in domains
            if len(own := [v for v in venues if v.domain == domain.name]) == 1
            and not domain.knows_bundles
        }

    def venue(self, name: str, field: str, *kinds: Any) -> Any:
        """A venue by name, of one of the kinds if any are given; ConfigError naming `field`."""
        if name not in self.venues:
            raise ConfigError(field, f"no venue {name!r}; known: {', '.join(self.venues)}")
        found = self.venues[name]
        if kinds and not isinstance(found, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ConfigError(field, f"{name!r} is a {type(found).__name__}, not a {wanted}")
        return found

    def open_accounts(
        self, owner: str, domain: str, count: int = 1, latency_seconds: float = 0.0
    ) -> NDArray[np.int64]:
        """Open accounts for an agent or a venue in one domain; returns their ledger rows."""
        if domain not in self.domains:
            raise ConfigError(f"{owner}.domain", f"no domain {domain}")
        rows = self.ledger.open(owner, domain, count)
        latency = np.zeros(len(self.ledger.owner))
        latency[: len(self.latency_seconds)] = self.latency_seconds
        latency[rows] = latency_seconds
        self.latency_seconds = latency
        return rows

    def endow(
        self,
        owner: str,
        domain: str,
        endowment: Mapping[str, Any],
        count: int = 1,
        latency_seconds: float = 0.0,
    ) -> NDArray[np.int64]:
        """Open accounts and give each its endowment: asset to units, one figure or one a row.

        Raises ConfigError where an asset is unknown or an amount negative or too large.
        """
        rows = self.open_accounts(owner, domain, count, latency_seconds)
        for name, units in endowment.items():
            if name not in self.ledger.column:
                raise ConfigError(f"{owner}.endowment", f"no asset {name}")
            asset = self.ledger.assets[self.ledger.column[name]]
            largest = np.max(np.abs(np.asarray(units, np.float64))) * asset.scale
            if not largest <= MAX_ATOMS:
                raise ConfigError(f"{owner}.endowment.{name}", f"{largest:.3g} atoms are too many")
            self.ledger.issue(rows, name, asset.to_atoms(units))
        return rows

    def begin(self) -> None:
        """Close the set-up: from here on only venues move money."""
        for domain in self.domains.values():
            domain.begin()
        for venue in self.venues.values():
            venue.begin()
        numbers = [self._numbers.get(name, -1) for name in self.ledger.domain_names]
        self._domain_of_account = np.array(numbers, np.int64)[self.ledger.domain]
        self._balances_view = self.ledger.balances.view()
        self._balances_view.flags.writeable = False
        self._accruing = self._venues_that("accrue")
        self._clearing = self._venues_that("clear")
        self._liquidating = self._venues_that("liquidate")

    def _venues_that(self, beat: str) -> list[Venue]:
        """Those that have something to do in a beat."""
        venues, nothing = self.venues.values(), getattr(Venue, beat)
        methods = [(venue, getattr(venue, beat)) for venue in venues]
        return [venue for venue, does in methods if getattr(does, "__func__", does) is not nothing]

    def accrue(self, moment: Moment) -> None:
        """Let funding, interest and expiries fall due."""
        for venue in self._accruing:
            venue.accrue(moment)

    def observe(self, moment: Moment) -> View:
        """Everything that agents may look at in this step."""
        views = {name: venue.observe(moment) for name, venue in self.venues.items()}
        domains = {name: domain.observe(moment) for name, domain in self.domains.items()}
        return View(moment, views, self._balances_view, domains)

    def execute(self, intents: NDArray[np.void], moment: Moment, randomness: Randomness) -> int:
        """Sequence and execute the step's intents; returns how many were executed.

        Raises FathomError for an intent that names no venue or no account, or an account of another
        domain than the venue's: a bug of its sender, and kernels do not look twice at where they
        write.
        """
        count, executed = len(intents), 0
        if count:
            stray = first_stray(intents, self._domain_of_venue, self._domain_of_account)
            if stray < count:
                venue, account = intents["venue"][stray], intents["account"][stray]
                text = "must both exist, in one domain"
                raise FathomError(f"an intent names venue {venue} and account {account}: {text}")
        placed = self._domain_of_venue[intents["venue"]] if count and self._apart else None
        for number, domain in enumerate(self.domains.values()):
            own = intents if placed is None else take(intents, np.flatnonzero(placed == number))
            batch = domain.batch(own, moment, randomness[domain.name])
            executed += len(batch)
            domain.settle(self._run(batch, moment, domain) if len(batch) else NO_CODES)
        for venue in self._clearing:
            venue.clear(moment)
        return executed

    def _run(self, batch: NDArray[np.void], moment: Moment, domain: Domain) -> NDArray[np.int64]:
        """Hand runs of rows to their venues; a bundle is a run of its own. A code for each row."""
        venues = list(self.venues.values())
        only = self._only_venue.get(domain.name)
        if only is not None:
            return only.execute(batch, moment)
        codes = np.zeros(len(batch), np.int64)
        for first, last in pairwise(run_starts(batch).tolist()):
            rows = batch[first:last]
            bundle = int(rows["bundle"][0])
            if bundle:
                codes[first:last] = self._run_bundle(rows, venues, moment)
                if codes[first] < 0:
                    self._run(domain.named_in(bundle), moment, domain)
            else:
                codes[first:last] = venues[rows["venue"][0]].execute(rows, moment)
        return codes

    def _run_bundle(
        self, rows: NDArray[np.void], venues: Sequence[Venue], moment: Moment
    ) -> NDArray[np.int64]:
        """All rows or none, within one domain."""
        touched = [venues[index] for index in dict.fromkeys(rows["venue"].tolist())]
        failed = np.full(len(rows), Code.BUNDLE_FAILED, np.int64)
        if not all(venue.atomic for venue in touched):
            return failed
        codes = failed.copy()
        others = [venue.bystanders(rows) for venue in touched]
        own = [venue.accounts for venue in touched]
        accounts = np.concatenate([rows["account"], *own, *others])
        balances = self.ledger.balances[accounts]
        states = [venue.snapshot() for venue in touched]
        for row in range(len(rows)):
            code = venues[rows["venue"][row]].execute(rows[row : row + 1], moment)
            if code[0] <= 0:
                self.ledger.balances[accounts] = balances
                for venue, state in zip(touched, states, strict=True):
                    venue.restore(state)
                return failed
            codes[row] = code[0]
        return codes

    def liquidate(self, moment: Moment) -> None:
        """Close unsafe positions at every venue."""
        for venue in self._liquidating:
            venue.liquidate(moment)

    def check(self) -> None:
        """Raise BrokenInvariant unless ledger and venues agree and nothing was made or lost."""
        self.ledger.check()
        for venue in self.venues.values():
            venue.check()

    def holdings_atoms(self) -> NDArray[np.int64]:
        """Owners x assets: balances summed by owner, escrow counted as its beneficiary's."""
        ledger = self.ledger
        sums = np.zeros((len(ledger.owner_names), len(ledger.assets)), np.int64)
        np.add.at(sums, ledger.owner, ledger.balances)
        for venue in self.venues.values():
            for escrow in venue.escrowed():
                np.add.at(sums[:, escrow.column], ledger.owner[escrow.accounts], escrow.atoms)
                sums[ledger.owner[escrow.holder], escrow.column] -= escrow.atoms.sum()
        return sums


def _assets(venues: Sequence[Venue]) -> list[Asset]:
    """Every asset that some venue carries, once, in the order of the venues."""
    assets: dict[str, Asset] = {}
    for venue in venues:
        for asset in venue.columns():
            if assets.setdefault(asset.name, asset) != asset:
                raise ConfigError(f"{venue.name}.{asset.name}", "differs from another venue's")
    return list(assets.values())


def _require_unique(field: str, listed: Sequence[Any], by_name: Mapping[str, Any]) -> None:
    if len(listed) != len(by_name):
        raise ConfigError(field, f"names repeat: {[item.name for item in listed]}")
