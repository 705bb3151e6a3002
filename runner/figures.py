"""Figures: functions that take a table and return a Matplotlib figure, in one house style.

    price_figure(steps)                 mid of every venue and the reference, in time
    stress_figure(steps, venue)         liquidated size in steps, insurance fund below
    depth_figure(steps)                 depth within 1 % on every venue in time, spread below
    outcome_figure(runs, x, y, by)      mean of a metric against a parameter, with standard errors
    flows_figure(flows, assets)         who paid whom, by reason
    matrix_figure(flows, assets)        the same as a matrix of payers and receivers
    paid_figure(flows, assets, length)  what was paid so far, by reason, in time
    parts_figure(table, label, title)   a bar a row, made of the columns

Tables are pandas frames as `runner.load` gives them; those in time are of one run. Figures are made
without pyplot: they hold no global state and need no display.
"""

import io
import itertools
from collections.abc import Sequence
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


def depth_figure(steps: pd.DataFrame) -> Figure:
    """Base bid and offered within 1 % of the mid above, ask over bid below, of every venue in time.

    A venue without quotes has no depth, and no spread.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], 5.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        for venue, rows in steps.groupby("venue", observed=True):
            hours = rows["seconds"] / 3600
            depth = (rows["bid_depth"] + rows["ask_depth"]).fillna(0.0)
            above.plot(hours, depth, label=str(venue))
            below.plot(hours, 1e4 * (rows["ask"] / rows["bid"] - 1))
        above.set(ylabel="depth within 1 % (base)", title="Depth and spread")
        below.set(xlabel="time (hours)", ylabel="spread (bp)", ylim=(0, None))
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=FEW)
    return figure


def outcome_figure(
    runs: pd.DataFrame, x: str, y: str, by: str | None = None, expected: str | None = None
) -> Figure:
    """Mean of column `y` at each value of column `x`, a line for each value of `by`.

    Bars are one standard error of the mean: over seeds, or where the runs know theirs (a column
    `<y>_se`) of that. Many values of `x` are not joined by lines. Dashes are column `expected`, a
    closed form; then both axes are logarithmic.
    """
    values = sorted(runs[x].unique())
    line = "-" if len(values) <= MANY and expected is None else ""
    groups = [("", runs)] if by is None else list(runs.groupby(by, observed=True))
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        for colour, (value, rows) in zip(itertools.cycle(COLOURS), groups, strict=False):
            means = rows.groupby(x)[y].mean()
            style: Any = {"color": colour, "ls": line, "marker": "o", "ms": 4, "capsize": 3}
            axes.errorbar(means.index, means, _errors(rows, x, y), label=_text(value), **style)
            if expected is not None:
                curve = rows.groupby(x)[expected].mean()
                axes.plot(curve.index, curve, color=colour, ls="--", lw=1)
        axes.set(xlabel=_name(x), ylabel=_name(y), title="Mean over seeds, one standard error")
        if expected is not None:
            axes.set(
                xscale="log", yscale="log", title="Mean, one standard error; closed form dashed"
            )
            axes.xaxis.set_minor_formatter("")
        if len(values) <= FEW:
            axes.set_xticks(values, [_text(value) for value in values])
        axes.yaxis.set_major_formatter(THOUSANDS)
        if by is not None:
            axes.legend(title=_name(by), alignment="left")
    return figure


def _errors(runs: pd.DataFrame, x: str, y: str) -> pd.Series:
    """Standard error of the mean of `y` at each value of `x`."""
    count = np.sqrt(runs.groupby(x)[y].count())
    if f"{y}_se" in runs:
        return np.sqrt((runs[f"{y}_se"] ** 2).groupby(runs[x]).mean()) / count
    return (runs.groupby(x)[y].std() / count).fillna(0)


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


def matrix_figure(flows: pd.DataFrame, assets: Sequence[str]) -> Figure:
    """What each payer (row) paid each receiver (column) in assets of equal worth, in thousands.

    Those who paid most come first, then those who only received.
    """
    rows = flows[flows["asset"].isin(assets)]
    sums = rows.groupby(["payer", "receiver"], observed=True)["paid"].sum().unstack(fill_value=0.0)
    payers = sums.sum(axis=1).sort_values(ascending=False).index
    receivers = [*payers.intersection(sums.columns), *sums.columns.difference(payers)]
    sums = sums.reindex(index=payers, columns=receivers) / 1e3
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        shade = sums.clip(lower=1e-6).map(np.log10)
        axes.imshow(shade, cmap="Blues", vmin=-2, vmax=shade.to_numpy().max() + 1, aspect="auto")
        for (row, column), paid in np.ndenumerate(sums.to_numpy()):
            if paid >= 0.05:
                axes.text(column, row, f"{paid:,.1f}", ha="center", va="center", size=9)
        turned: Any = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(receivers)), [str(name) for name in receivers], **turned)
        axes.set_yticks(range(len(payers)), [str(name) for name in payers])
        title = f"Who paid whom (thousands, {', '.join(assets)})"
        axes.set(xlabel="receiver", ylabel="payer", title=title)
        axes.grid(visible=False)
    return figure


def paid_figure(flows: pd.DataFrame, assets: Sequence[str], step_seconds: float) -> Figure:
    """The sums paid so far in assets of equal worth, a line for each reason, in time."""
    rows = flows[flows["asset"].isin(assets)]
    by_step = rows.groupby(["step", "reason"], observed=True)["paid"].sum().unstack(fill_value=0.0)
    so_far = by_step.cumsum()
    with mpl.rc_context(STYLE):
        figure, axes = _blank()
        hours = (so_far.index + 1) * step_seconds / 3600
        for reason in so_far.iloc[-1].sort_values(ascending=False).index:
            axes.step(hours, so_far[reason], where="post", label=str(reason))
        axes.set(xlabel="time (hours)", ylabel=f"paid so far ({', '.join(assets)})")
        axes.set(title="What was paid, by reason")
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.legend(title="reason", alignment="left")
    return figure


def parts_figure(table: pd.DataFrame, label: str, title: str) -> Figure:
    """A horizontal bar for each row, made of the columns; what is below zero goes to the left."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], 1.8 + 0.4 * len(table)), layout="constrained")
        axes = figure.subplots()
        right, left = np.zeros(len(table)), np.zeros(len(table))
        for name, colour in zip(table.columns, itertools.cycle(COLOURS), strict=False):
            part = table[name].to_numpy()
            start = np.where(part >= 0, right, left)
            axes.barh(range(len(table)), part, left=start, color=colour, label=str(name))
            right, left = right + part.clip(min=0), left + part.clip(max=0)
        axes.axvline(0, color="#222222", linewidth=0.8)
        axes.set_yticks(range(len(table)), [_text(value) for value in table.index])
        axes.invert_yaxis()
        axes.set(xlabel=label, ylabel=str(table.index.name or ""), title=title)
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=min(len(table.columns), FEW_TICKS))
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    FigureCanvasAgg(figure)
    sink = io.BytesIO()
    figure.savefig(sink, dpi=DOTS_PER_INCH, format="png")
    return sink.getvalue()


def _blank() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, layout="constrained")
    return figure, figure.subplots()


def _name(column: str) -> str:
    return column.removeprefix("p_").removeprefix("m_")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
