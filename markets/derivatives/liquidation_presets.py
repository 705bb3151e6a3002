"""What a liquidation rule is made of, and the presets that are named after venues.

A preset fills every field of `LiquidationRule` that is not set; what it leaves open too is as in
`PLAIN`. Facts, by venue (amounts in US dollars there, in settlement units here):

    bitmex       fill-or-kill order down to the lower risk limit, else the engine takes the whole
                 (its limit order at bankruptcy is `rest_seconds`, for a time that is not known: 0);
                 risk limits are steps on the whole position
    binance      immediate-or-cancel orders, then the fund, then ADL; clearance fee [recalled]
    hyperliquid  below maintenance 20 % first above 100,000, all after 30 s; below 2/3 of it, worth
                 something, the vault takes position and margin; worth less, ADL; ADL at the mark
    dydx         10 %, 1,000 to 100,000 a block, within the fillable price; fee at most 1.5 %
    okx          third tier and above: down to the lowest near the market, a minute each time; else,
                 or below what the lowest asks, the fund; ADL at the mark, fund 30 % below 8 h peak
    bybit        maintenance of the value at entry; takeover at bankruptcy; ADL from 30 % below the
                 8 h peak until 25 %
    ftx          10 % every 6 s, 1,000 at least, 1-5 bp through the book; below auto-close a part a
                 second to providers, then 10 largest opposite, at 2/3 bankruptcy price + 1/3 mark
    okx_2018     the fund sells at any price within the band; winners of the week pay its debt

Sources: the venues' liquidation, ADL and backstop pages; dYdX v4-chain. Set by us: 5 bp for OKX's
"slightly better than the market". Left out: Hyperliquid's market orders beyond bankruptcy, FTX's
lottery by second (its mean is taken).
"""

from enum import StrEnum
from typing import Any

from markets.derivatives.brackets import MarginBasis, TierRule
from markets.derivatives.ranking import Ranking
from markets.rounding import PPM


class Stage(StrEnum):
    """Who closes, or takes, an unsafe position."""

    ORDERS = "orders"
    BACKSTOP = "backstop"
    FUND = "fund"
    ADL = "adl"
    SOCIAL = "social"


class Step(StrEnum):
    """How much the account's own orders close at once."""

    WHOLE = "whole"
    TIER = "tier"
    """Down to the bracket below; nothing in the lowest."""
    LOWEST = "lowest"
    """Down to the lowest bracket from the third one up; nothing below that (OKX)."""
    PORTION = "portion"


class OrderPrice(StrEnum):
    """Worst price of those orders: worth nothing afterwards, or dYdX's fillable price.

    Between the two the fund pays the difference, as far as it can.
    """

    BANKRUPTCY = "bankruptcy"
    FILLABLE = "fillable"


class ClosePrice(StrEnum):
    """What who takes the position pays: the loser's bankruptcy price, the mark, or between (FTX).

    The fund gains the difference to bankruptcy, or pays it as far as it can.
    """

    BANKRUPTCY = "bankruptcy"
    TWO_THIRDS = "two_thirds"
    MARK = "mark"


MARK_THIRDS = {ClosePrice.BANKRUPTCY: 0, ClosePrice.TWO_THIRDS: 1, ClosePrice.MARK: 3}
"""Weight of the mark in thirds; the bankruptcy price has the rest."""


class Preset(StrEnum):
    """A venue's rule; `takeover` is the plain one: fund, book, queue."""

    TAKEOVER = "takeover"
    BITMEX = "bitmex"
    BINANCE = "binance"
    HYPERLIQUID = "hyperliquid"
    DYDX = "dydx"
    OKX = "okx"
    BYBIT = "bybit"
    OKX_2018 = "okx_2018"
    FTX = "ftx"


PLAIN: dict[str, Any] = {
    "stages": (Stage.FUND, Stage.ADL),
    "tier_rule": TierRule.MARGINAL,
    "maintenance_at": MarginBasis.MARK,
    "step": Step.WHOLE,
    "portion_ppm": PPM,
    "portion_above": 0.0,
    "least": 0.0,
    "most": 0.0,
    "cooldown_seconds": 0.0,
    "whole_after_cooldown": False,
    "orders_when_due": True,
    "fill_or_kill": False,
    "order_price": OrderPrice.BANKRUPTCY,
    "spread_to_mm": 1.5,
    "bankruptcy_adjustment": 1.0,
    "through_ppm": 0,
    "takeover_ppm": PPM,
    "takeover_gradual": False,
    "fee_ppm": 0,
    "volume_per_second": 0.0,
    "backstops": (),
    "backstop_price": ClosePrice.BANKRUPTCY,
    "backstop_in_debt": True,
    "backstop_unwind_ppm": 100_000,
    "rest_seconds": 0.0,
    "adl_price": ClosePrice.BANKRUPTCY,
    "adl_trigger_ppm": 0,
    "adl_stop_ppm": 0,
    "adl_threshold": 0.0,
    "adl_window_seconds": 28_800.0,
    "clawback_seconds": 0.0,
    "ranking": None,
    "largest": 10,
}

PRESETS: dict[Preset, dict[str, Any]] = {
    Preset.TAKEOVER: {},
    Preset.BITMEX: {
        "stages": (Stage.ORDERS, Stage.FUND, Stage.ADL),
        "tier_rule": TierRule.STEP,
        "step": Step.TIER,
        "fill_or_kill": True,
        "ranking": Ranking.LEVERAGE,
    },
    Preset.BINANCE: {
        "stages": (Stage.ORDERS, Stage.FUND, Stage.ADL),
        "fee_ppm": 5_000,
        "ranking": Ranking.MARGIN,
    },
    Preset.HYPERLIQUID: {
        "stages": (Stage.ORDERS, Stage.BACKSTOP, Stage.ADL),
        "step": Step.PORTION,
        "portion_ppm": 200_000,
        "portion_above": 100_000.0,
        "cooldown_seconds": 30.0,
        "whole_after_cooldown": True,
        "orders_when_due": False,
        "takeover_ppm": 666_667,
        "backstop_in_debt": False,
        "adl_price": ClosePrice.MARK,
        "ranking": Ranking.NOTIONAL,
    },
    Preset.DYDX: {
        "stages": (Stage.ORDERS, Stage.FUND, Stage.ADL),
        "step": Step.PORTION,
        "portion_ppm": 100_000,
        "least": 1_000.0,
        "most": 100_000.0,
        "order_price": OrderPrice.FILLABLE,
        "takeover_ppm": 0,
        "fee_ppm": 15_000,
        "ranking": Ranking.DRAWN,
    },
    Preset.OKX: {
        "stages": (Stage.ORDERS, Stage.FUND, Stage.ADL),
        "tier_rule": TierRule.STEP,
        "step": Step.LOWEST,
        "cooldown_seconds": 60.0,
        "orders_when_due": False,
        "through_ppm": 500,
        "adl_price": ClosePrice.MARK,
        "adl_trigger_ppm": 300_000,
        "adl_stop_ppm": 300_000,
    },
    Preset.BYBIT: {
        "maintenance_at": MarginBasis.ENTRY,
        "adl_trigger_ppm": 300_000,
        "adl_stop_ppm": 250_000,
    },
    Preset.OKX_2018: {
        "stages": (Stage.FUND, Stage.SOCIAL),
        "clawback_seconds": 604_800.0,
    },
    Preset.FTX: {
        "stages": (Stage.ORDERS, Stage.BACKSTOP, Stage.ADL),
        "step": Step.PORTION,
        "portion_ppm": 100_000,
        "least": 1_000.0,
        "cooldown_seconds": 6.0,
        "orders_when_due": False,
        "through_ppm": 300,
        "takeover_ppm": 500_000,
        "takeover_gradual": True,
        "backstop_price": ClosePrice.TWO_THIRDS,
        "adl_price": ClosePrice.TWO_THIRDS,
        "ranking": Ranking.LARGEST,
    },
}

REQUIRED: dict[Preset, tuple[str, ...]] = {Preset.FTX: ("volume_per_second",)}
"""Sizes that belong to the market at hand; FTX: 0.0001 of the day's volume every 6 s."""
