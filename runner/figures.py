"""Figures: functions that take a table and return a Matplotlib figure, in one house style.

    price_figure(steps)                 mid of every venue and the reference, in time
    stress_figure(steps, venue)         liquidated size in steps, insurance fund below
    outcome_figure(runs, x, y, by)      mean of a metric against a parameter, with standard errors
    flows_figure(flows)                 who paid whom, by reason

Tables are pandas frames as `runner.load` gives them; for the first two, of one run. Figures are
made without pyplot: they hold no global state and need no display.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#edae49", "#6c4ab6", "#00798c", "#8d6a4f", "#555555")
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
    "lines.linewidth": 1.4,
}
SIZE = (7.2, 4.2)
DOTS_PER_INCH = 150
FEW, MANY = 8, 30
FEW_TICKS = 4
THOUSANDS = "{x:,.10g}"


def price_figure(steps: pd.DataFrame) -> Figure:
    """The mid of every venue in time, and the reference price."""
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        for venue, rows in steps.groupby("venue", observed=True):
            axes.plot(rows["seconds"] / 3600, rows["mid"], label=str(venue))
        reference = steps.drop_duplicates("seconds")
        if reference["reference"].notna().any():
            axes.plot(
                reference["seconds"] / 3600,
                reference["reference"],
                color="#222222",
                linestyle=":",
                label="reference",
            )
        axes.set(xlabel="time (hours)", ylabel="price (quote/base)", title="Price on the venues")
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.legend()
    return figure


def stress_figure(steps: pd.DataFrame, venue: str) -> Figure:
    """Liquidated size above, insurance fund below, of one derivatives venue in time."""
    rows = steps[steps["venue"] == venue]
    hours = rows["seconds"] / 3600
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], 5.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        width = float(np.median(np.diff(hours))) if len(hours) > 1 else 1.0
        above.bar(hours, rows["liquidated"].fillna(0), width=width, color=COLOURS[1])
        above.set(ylabel="liquidated (base per step)", title=f"Liquidations on {venue}")
        below.plot(hours, rows["insurance_fund"], color=COLOURS[0])
        below.axhline(0, color="#222222", linewidth=0.8)
        below.set(xlabel="time (hours)", ylabel="insurance fund (quote)")
        below.yaxis.set_major_formatter(THOUSANDS)
    return figure


def outcome_figure(runs: pd.DataFrame, x: str, y: str, by: str | None = None) -> Figure:
    """Mean of column `y` at each value of column `x`, a line for each value of `by`.

    Bars are one standard error of the mean over seeds; many values of `x` are not joined by lines.
    """
    values = sorted(runs[x].unique())
    line = "-" if len(values) <= MANY else ""
    groups = [("", runs)] if by is None else list(runs.groupby(by, observed=True))
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        for value, rows in groups:
            column = rows.groupby(x)[y]
            mean, error = column.mean(), (column.std() / np.sqrt(column.count())).fillna(0)
            axes.errorbar(
                mean.index,
                mean,
                yerr=error,
                label=_text(value),
                ls=line,
                marker="o",
                ms=4,
                capsize=3,
            )
        axes.set(xlabel=_name(x), ylabel=_name(y), title="Mean over seeds, one standard error")
        if len(values) <= FEW:
            axes.set_xticks(values, [_text(value) for value in values])
        axes.yaxis.set_major_formatter(THOUSANDS)
        if by is not None:
            axes.legend(title=_name(by), alignment="left")
    return figure


def flows_figure(flows: pd.DataFrame, assets: Sequence[str], most: int = 12) -> Figure:
    """The largest sums paid in assets of equal worth, from whom to whom, coloured by reason."""
    rows = flows[flows["asset"].isin(assets)]
    sums = rows.groupby(["payer", "receiver", "reason"], observed=True)["paid"].sum()
    largest = sums.sort_values(ascending=False).head(most).iloc[::-1].reset_index()
    reasons = sorted(largest["reason"].astype(str).unique())
    colours = {reason: COLOURS[at % len(COLOURS)] for at, reason in enumerate(reasons)}
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        for reason in reasons:
            chosen = largest[largest["reason"] == reason]
            axes.barh(chosen.index, chosen["paid"], color=colours[reason], label=reason)
        pairs = [f"{row.payer} → {row.receiver}" for row in largest.itertuples()]
        axes.set_yticks(range(len(pairs)), pairs)
        axes.set(xlabel=f"paid ({', '.join(assets)})", title="Who paid whom")
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.xaxis.set_major_locator(MaxNLocator(FEW_TICKS, min_n_ticks=2))
        axes.grid(axis="y", visible=False)
        if reasons:
            axes.legend(title="reason", loc="lower right", alignment="left")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    FigureCanvasAgg(figure)
    sink = io.BytesIO()
    figure.savefig(sink, dpi=DOTS_PER_INCH, format="png")
    return sink.getvalue()


def save(figure: Figure, target: Path) -> None:
    """Write a PNG."""
    target.write_bytes(png(figure))


def _blank() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.subplots()


def _name(column: str) -> str:
    return column.removeprefix("p_").removeprefix("m_")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
