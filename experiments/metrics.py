"""Summary metrics of a run: one number each, named `<venue or agent>.<quantity>`.

Venues: price range, distance to the reference, volume, and on derivatives liquidations, ADL, the
insurance fund and funding. Agents: profit in quote units against holding, that is the worth of what
the agent has at the end less the worth, then, of what it was given at the start. Money:
`ledger_residual_atoms`, the largest column sum, is 0.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.tables import Columns
from experiments.world import World


def summarise(
    world: World, tables: Mapping[str, Columns], endowed: NDArray[np.float64]
) -> dict[str, float]:
    """All metrics of a finished world; `endowed` is what each owner held before the first step."""
    metrics = {
        "ledger_residual_atoms": float(np.abs(world.market.ledger.column_sums()).max()),
        "intents": float(world.intents),
    }
    if "steps" in tables:
        steps = pd.DataFrame(dict(tables["steps"]))
        for venue, rows in steps.groupby("venue", sort=False):
            metrics |= {f"{venue}.{name}": value for name, value in _venue(rows).items()}
    gained = world.holdings() - endowed
    profit = np.where(gained == 0, 0.0, gained * world.unit_values()).sum(axis=1)
    owners = world.market.ledger.owner_names
    for trader in (trader for trader in world.traders if trader.name in owners):
        metrics[f"{trader.name}.profit"] = float(profit[owners.index(trader.name)])
    return metrics


def _venue(rows: pd.DataFrame) -> dict[str, float]:
    mid, reference = rows["mid"], rows["reference"]
    gap = (mid / reference - 1).abs()
    figures = {
        "mid_first": _valid(mid, 0),
        "mid_last": _valid(mid, -1),
        "mid_low": float(mid.min()),
        "mid_high": float(mid.max()),
        "gap_median": float(gap.median()),
        "gap_max": float(gap.max()),
        "steps_without_mid": float(mid.isna().sum()),
        "volume": float(rows["volume"].sum()),
        "trades": float(rows["trades"].sum()),
    }
    if rows["mark"].notna().any():
        figures |= _derivative(rows)
    return figures


def _derivative(rows: pd.DataFrame) -> dict[str, float]:
    return {
        "liquidations": float(rows["liquidations"].sum()),
        "liquidated": float(rows["liquidated"].sum()),
        "adl": float(rows["adl"].sum()),
        "insurance_fund_low": float(rows["insurance_fund"].min()),
        "insurance_fund_last": float(rows["insurance_fund"].iloc[-1]),
        "open_interest_high": float(rows["open_interest"].max()),
        "open_interest_last": float(rows["open_interest"].iloc[-1]),
        "funding_rate_mean": float(rows["funding_rate"].mean()),
    }


def _valid(values: pd.Series, place: int) -> float:
    valid = values.dropna()
    return float(valid.iloc[place]) if len(valid) else float("nan")
