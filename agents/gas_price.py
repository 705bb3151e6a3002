"""Gas prices as participants see them, on a chain whose blocks are filled by the highest tips.

The best tip for a unit of gas that the last blocks left waiting is the price to beat: whoever bids
more would have been taken before it. Where nothing waits there was room for all, and it is 0.
Prices are in atoms of the chain's fee asset for a unit of gas.
"""

import numpy as np

from markets.chain import Chain, ChainView
from markets.errors import ConfigError
from markets.market import Market
from markets.sequencing import first_rows

MOST = 1e9
"""Highest gas price that can be set: a unit of a coin of nine decimals for each unit of gas."""


def require_gas(market: Market, domain: str, asset: str, field: str) -> None:
    """Raise ConfigError naming `field` unless `domain` is a chain whose gas is paid in `asset`."""
    chain = market.domains[domain]
    if not isinstance(chain, Chain) or chain.fee_asset != asset:
        raise ConfigError(field, f"must be on a chain whose gas is paid in {asset}")


def price_to_beat(chain: ChainView) -> float:
    """The highest tip a unit of gas among the public transactions that wait; 0 if none does."""
    if not len(chain.pending):
        return 0.0
    first = first_rows(chain.transaction)
    gas = np.add.reduceat(chain.gas_by_action[chain.pending["action"]], first)
    return float((chain.pending["tip_atoms"][first] / (gas + chain.gas.transaction)).max())
