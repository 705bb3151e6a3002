"""Collateral auctions: bids first raise the stablecoin, then lower the lot, until nobody bids.

An auction sells `lot` for up to `goal`, the debt behind it with the penalty. In its first phase
(tend) a bid b on the whole lot must beat the standing one,

    b > bid,   b >= (1 + raise) bid  or  b = goal,   b <= goal        the first may be as low as 0;

once the goal is bid, bids (dent) take less for it: lot' < lot, lot' (1 + raise) <= lot. Who bids
pays the standing bidder back and the rest to the system; what a dent leaves of the lot returns to
the vault's owner at once. The auction ends `bid_seconds` after its last bid, or `length_seconds`
after its start if there was one; without any it begins anew. All is exact: no amount is rounded.
Source: Maker's Flipper (flip.sol, 2019). There a first bid must exceed 0 by an atom 10**-45 of a
coin, which is nought in the atoms of a ledger. Left out: the call that settles an auction that is
over, which anybody could send: the venue sends it itself.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from markets.outcomes import Code
from markets.rounding import PPM

NOBODY = -1
NEVER = np.inf

AUCTION = np.dtype(
    [
        ("number", np.int64),
        ("vault", np.int64),
        ("bidder", np.int64),
        ("lot_atoms", np.int64),
        ("bid_atoms", np.int64),
        ("goal_atoms", np.int64),
        ("expiry_seconds", np.float64),
        ("end_seconds", np.float64),
    ]
)
"""`vault` is the account of its owner, `bidder` NOBODY before the first bid."""


class AuctionRules(NamedTuple):
    """Least raise of a bid, life of a bid, length of an auction."""

    raise_ppm: int
    bid_seconds: float
    length_seconds: float


class Standing(NamedTuple):
    """A bid as it stood before another took its place, and the code of the new one."""

    code: Code
    bidder: int
    bid_atoms: int
    lot_atoms: int


class AuctionHouse:
    """The auctions that run, in the order of their start; it decides, and moves no money."""

    def __init__(self, rules: AuctionRules) -> None:
        self.rules = rules
        self.started = 0
        self._rows = np.zeros(64, AUCTION)
        self._running = 0

    @property
    def running(self) -> NDArray[np.void]:
        """Rows of the auctions that run: a view, valid until one starts or ends."""
        return self._rows[: self._running]

    def start(self, vault: int, lot_atoms: int, goal_atoms: int, seconds: float) -> None:
        """Put a lot up for sale."""
        if self._running == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self.started += 1
        end = seconds + self.rules.length_seconds
        row = (self.started, vault, NOBODY, lot_atoms, 0, goal_atoms, NEVER, end)
        self._rows[self._running] = row
        self._running += 1

    def find(self, number: int) -> int:
        """The place of an auction among those that run, -1 where it does not."""
        place = int(np.searchsorted(self.running["number"], number))
        found = place < self._running and self._rows["number"][place] == number
        return place if found else -1

    def bid(
        self, place: int, bidder: int, bid_atoms: int, lot_atoms: int, seconds: float
    ) -> Standing:
        """Let a bid take the place of the standing one if it is better by enough."""
        row = self._rows[place]
        held, lot, goal = (int(row[name]) for name in ("bid_atoms", "lot_atoms", "goal_atoms"))
        standing = Standing(Code.DONE, int(row["bidder"]), held, lot)
        if min(float(row["expiry_seconds"]), float(row["end_seconds"])) <= seconds:
            return standing._replace(code=Code.HALTED)
        if not (0 <= bid_atoms <= goal and 0 < lot_atoms <= lot):
            return standing._replace(code=Code.INVALID)
        if not self._beats(standing, goal, bid_atoms, lot_atoms):
            return standing._replace(code=Code.BEYOND_LIMIT)
        row["bidder"], row["bid_atoms"], row["lot_atoms"] = bidder, bid_atoms, lot_atoms
        row["expiry_seconds"] = seconds + self.rules.bid_seconds
        return standing

    def _beats(self, standing: Standing, goal: int, bid_atoms: int, lot_atoms: int) -> bool:
        raised, held, lot = PPM + self.rules.raise_ppm, standing.bid_atoms, standing.lot_atoms
        first = standing.bidder == NOBODY
        if first or held < goal:
            enough = bid_atoms * PPM >= held * raised or bid_atoms == goal
            return lot_atoms == lot and (first or bid_atoms > held) and enough
        return bid_atoms == goal and lot_atoms < lot and lot_atoms * raised <= lot * PPM

    def end(self, seconds: float) -> NDArray[np.void]:
        """Take out the auctions that are over; those that nobody bid in begin anew."""
        rows = self.running
        unsold = (rows["bidder"] == NOBODY) & (rows["end_seconds"] <= seconds)
        rows["end_seconds"][unsold] = seconds + self.rules.length_seconds
        over = np.minimum(rows["expiry_seconds"], rows["end_seconds"]) <= seconds
        ended, kept = rows[over].copy(), rows[~over]
        self._running = len(kept)
        self._rows[: self._running] = kept
        return ended

    def snapshot(self) -> tuple[int, NDArray[np.void]]:
        """State, enough for `restore`."""
        return self.started, self.running.copy()

    def restore(self, state: tuple[int, NDArray[np.void]]) -> None:
        """Go back to a snapshot."""
        self.started, rows = state
        self._running = len(rows)
        self._rows[: self._running] = rows
