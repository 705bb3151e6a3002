"""What agents see of a pool-based perpetual: the oracle price, the room left, the pool, the fees.

Prices are quote per base, interests and values quote units, rooms base units, rates plain
fractions. Positions and margins are columns of the ledger, as at an order-book perpetual: equity is
the claim and the lots at the mark.
"""

from dataclasses import dataclass

from markets.assets import Instrument


@dataclass(frozen=True)
class PoolPerpetualView:
    """The oracle price, room on both sides, rates and the pool; quote units and base units."""

    index: int
    instrument: Instrument
    mark: float
    long_interest: float
    short_interest: float
    room_long: float
    """Base units that longs may still open; likewise for shorts."""
    room_short: float
    pool_value: float
    share_price: float
    impact_pool: float
    borrow_per_hour: float
    fee: float
    half_spread: float
    initial_margin_rate: float
    contract_column: int
    margin_column: int
    share_column: int

    @property
    def mid(self) -> float:
        """The oracle price."""
        return self.mark
