"""12-13 March 2020 on a chain: vaults are sold by auction while gas is dear, and zero bids win.

A chain with blocks of limited space that goes to the highest tips, a vault protocol with collateral
auctions, and those who use both: owners of vaults, some of whom repay in time; keepers who bid
while gas is cheap enough for them; a watcher who liquidates and one who bids nothing, both whatever
gas costs; and a crowd that sends coins to an exchange, the more the rougher the market. With
`keepers.gas_aware` the keepers pay for gas what it takes. The collateral follows the outside price,
that of `crash_prices`, from `first_price` on: ether fell as bitcoin did, by half (194.97 to 95.87,
DeFi Saver). Reported:

    zero_share        worth of the lots sold for nothing over that of all lots put up for sale
    gas_rise          highest hourly gas price over the mean of the first `CALM_HOURS`
    short_of_zero     what the system is short of at the end, over the worth of what went for nought
    unsafe_left       worth of unsafe collateral left at the end over that put up for sale

Fitted: `zero_share`, by the keepers' count, caps (`cap_low`, `cap_high`) and stablecoin (`stable`)
and the owners' vaults; `gas_rise`, by the crowd (`calm_per_hour`, `urgency`, `most`,
`memory_seconds`, `worth_median`). Zero bids have two causes: dear gas, which sends keepers away
above their caps and leaves cheap bids waiting in the way of the next, and keepers who have run out
of stablecoin. Means of 12 runs on the hourly bars of the days, standard errors about 0.06:

    zero_share    0.43 as set, 0.30 with ample stablecoin (5e6), 0.35 without caps, 0.27 with both

so three tenths of the zero bids come of empty purses; one run gives 0.16, another 0.72. Only
gas-aware keepers, who also send again what waits, bring the share to 0. A row of the crowd stands
for seven users of 70,000 gas. Left out: late readings of the oracle.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from agents.chain_users import ChainUsers
from agents.keeper import Keepers
from agents.vault_owner import VaultOwners
from experiments.crash_prices import crash_prices
from experiments.paths import History, Replay
from experiments.scenario import AgentSpec, Scenario
from experiments.tables import Columns
from experiments.world import World
from markets import params
from markets.assets import Asset, Instrument
from markets.chain import Chain
from markets.exchange import Exchange
from markets.gas import GasSchedule
from markets.lending.vault_terms import VaultTerms
from markets.lending.vaults import Vaults
from markets.transit import Transit

CALM_HOURS = 6


class Params(params.Params):
    """Everything that can be set."""

    step_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Length of a step."""
    bridge_volatility_per_year: float = Field(default=0.6, ge=0)
    """How much the outside price wanders between two known points."""
    first_price: float = Field(default=194.97, gt=0)
    """Stablecoin for a unit of collateral at the start."""
    block_seconds: float = Field(default=15.0, gt=0)
    """Time between blocks of the chain."""
    chain: Chain.Params = Chain.Params(
        gas_limit=10_000_000,
        queue_limit=1_000,
        gas=GasSchedule(transfer=469_000, other=180_000),
    )
    transit: Transit.Params = Transit.Params(delay_seconds=0)
    vaults: VaultTerms = VaultTerms()
    owners: VaultOwners.Params = VaultOwners.Params(
        venue="vaults", count=800, collateral_median=450, collateral_sigma=1.2
    )
    keepers: Keepers.Params = Keepers.Params(
        venue="vaults", count=12, stable=8e5, cap_low=18, cap_high=101
    )
    zero_bidder: Keepers.Params = Keepers.Params(venue="vaults", count=1, stable=0, bids_zero=True)
    watcher: Keepers.Params = Keepers.Params(
        venue="vaults", count=1, stable=0, gas_aware=True, liquidates=True
    )
    users: ChainUsers.Params = ChainUsers.Params(
        count=1_000,
        transit="transit",
        exchange="exchange",
        asset="ETH",
        calm_per_hour=4_000,
        memory_seconds=7_200,
        urgency=0.35,
        most=4.2,
        worth_median=34,
    )


def build(params: Params, history: History | None = None) -> Scenario:
    """The scenario on the built-in anchors, or on a history that takes their place."""
    path = history or crash_prices()
    path = History(path.seconds, path.price * (params.first_price / path.price[0]))
    base, quote = Asset("ETH", 9), Asset("DAI", 6)
    instrument = Instrument(base, quote, tick_size=0.01, lot_size=0.001)
    return Scenario(
        domains=(
            Chain("chain", params.block_seconds, base.name, params=params.chain),
            Exchange("exchange"),
        ),
        venues=(
            Vaults("vaults", "chain", instrument, params.vaults),
            Transit("transit", "chain", (base, quote), params.transit),
        ),
        agents=(
            AgentSpec("owners", VaultOwners, params.owners),
            AgentSpec("keepers", Keepers, params.keepers),
            AgentSpec("zero_bidder", Keepers, params.zero_bidder),
            AgentSpec("watcher", Keepers, params.watcher),
            AgentSpec("users", ChainUsers, params.users),
        ),
        processes=(Replay(base.name, path, params.bridge_volatility_per_year),),
        steps=max(1, round(path.duration_seconds / params.step_seconds)),
        step_seconds=params.step_seconds,
        record=("steps", "fills", "flows", "events"),
    )


def summarise(world: World, tables: Mapping[str, Columns]) -> dict[str, float]:
    """The shapes of the auctions; NaN where the run does not reach them."""
    steps = pd.DataFrame(dict(tables["steps"]))
    steps = steps[steps["venue"] == "vaults"].set_index("step")
    fills = pd.DataFrame(dict(tables["fills"]))
    fills["worth"] = fills["size"] * steps["reference"].loc[fills["step"]].to_numpy()
    zero = float(fills.loc[fills["price"] == 0, "worth"].sum())
    offered = float((steps["liquidated"] * steps["reference"]).sum())
    gas = _gas_prices(tables["events"])
    view = world.market.venues["vaults"].observe(world.moment(world.now))
    left = view.instrument.base.to_units(int(view.collateral_atoms[view.unsafe()].sum()))
    short = -float(steps["insurance_fund"].iloc[-1])
    return {
        "zero_share": _over(zero, offered),
        "zero_worth": zero,
        "gas_rise": float(gas.max() / gas[:CALM_HOURS].mean()) if len(gas) else np.nan,
        "gas_highest": float(gas.max()) if len(gas) else np.nan,
        "short": short,
        "short_of_zero": _over(short, zero),
        "lots": float(steps["liquidations"].sum()),
        "unsafe_left": _over(left * float(steps["reference"].iloc[-1]), offered),
    }


def _gas_prices(events: Columns) -> np.ndarray:
    """The hourly gas prices that the crowd has noted."""
    return np.asarray(events["value"])[np.asarray(events["event"]) == "gas_price"]


def _over(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else np.nan
