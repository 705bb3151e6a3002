"""Summary metrics of a run: one number each, named `<venue or agent>.<quantity>`.

Venues: price range, distance to the reference, volume, and on derivatives liquidations, ADL, the
insurance fund and funding. Agents: profit in quote units, wealth at reference, mark and pool value
at the end less that at the start. Money: `ledger_residual_atoms`, the largest column sum, is 0.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from experiments.tables import Columns
from experiments.world import World


def summarise(
    world: World, tables: Mapping[str, Columns], before: Mapping[str, float]
) -> dict[str, float]:
    """All metrics of a finished world; `before` is each owner's wealth at the start."""
    metrics = {
        "ledger_residual_atoms": float(np.abs(world.market.ledger.column_sums()).max()),
        "intents": float(world.intents),
    }
    if "steps" in tables:
        steps = pd.DataFrame(dict(tables["steps"]))
        for venue, rows in steps.groupby("venue", sort=False):
            metrics |= {f"{venue}.{name}": value for name, value in _venue(rows).items()}
    after = world.values()
    for trader in world.traders:
        metrics[f"{trader.name}.profit"] = after[trader.name] - before[trader.name]
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
