"""Liquidation under every preset and family of parameters against a plain model, to the atom."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.derivatives.backstop import Backstop
from markets.derivatives.liquidation_presets import Preset
from markets.derivatives.liquidation_rule import LiquidationRule
from tests.perpetual_bench import STEP_SECONDS
from tests.reference.liquidation import RuledReference, Vault
from tests.reference.perpetual import Account
from tests.test_perpetual_reference import FLAT_TIER, TIERS, Duel, fight

LOW_TIERS = ((0.0, 20_000), (10.0, 30_000), (25.0, 45_000))
AMOUNTS = ("portion_above", "least", "most", "volume_per_second", "adl_threshold")
VAULTS = (
    {"capital": 40.0, "loss": 10.0},
    {"capital": 25.0, "most": 60.0, "per_minute": 20.0, "per_hour": 150.0},
)
FAMILIES = (
    {},
    {"volume_per_second": 0.2},
    {"most": 15.0, "fee_ppm": 8_000},
    {"fill_or_kill": True, "through_ppm": 20_000},
    {"adl_price": "mark"},
    {"adl_price": "two_thirds", "ranking": "largest"},
    {"ranking": "largest", "largest": 2},
    {"order_price": "fillable", "spread_to_mm": 0.5, "bankruptcy_adjustment": 2.0},
    {"ranking": "pro_rata"},
    {"ranking": "account", "stages": ("adl", "fund")},
    {"ranking": "notional", "adl_trigger_ppm": 300_000, "adl_stop_ppm": 250_000},
    {
        "adl_trigger_ppm": 100_000,
        "adl_stop_ppm": 50_000,
        "adl_threshold": 5.0,
        "adl_window_seconds": 400.0,
    },
    {"stages": ("backstop", "fund", "adl"), "backstop_price": "two_thirds"},
    {"stages": ("orders", "backstop", "fund", "adl", "social"), "takeover_ppm": 500_000},
    {"stages": ("orders", "fund", "adl"), "step": "tier"},
    {"stages": ("orders", "fund", "adl"), "rest_seconds": 3 * STEP_SECONDS},
    {
        "stages": ("backstop", "fund", "adl"),
        "rest_seconds": 1e6,
        "adl_trigger_ppm": 300_000,
        "adl_stop_ppm": 250_000,
    },
    {"stages": ("fund", "adl", "social"), "rest_seconds": 1e6, "ranking": "pro_rata"},
    {"stages": ("orders", "fund", "social"), "clawback_seconds": 5 * STEP_SECONDS},
)


def rule_of(preset, family, scale):
    """The preset with amounts that fit the play, `scale` being units of it in a settlement unit."""
    sizes = {"portion_above": 20.0, "least": 5.0, "volume_per_second": 2.0, **family}
    if preset == Preset.OKX_2018:
        sizes = {"clawback_seconds": 5 * STEP_SECONDS, **sizes}
    sizes = {name: value * scale if name in AMOUNTS else value for name, value in sizes.items()}
    vaults = [{name: value * scale for name, value in vault.items()} for vault in VAULTS]
    return LiquidationRule(
        preset=preset, backstops=[Backstop(**vault) for vault in vaults], **sizes
    )


class RuledDuel(Duel):
    """The venue and the plain model under a liquidation rule."""

    def __init__(self, fees, tiers, fund_units, inverse, rule, users=6):
        self.rule = rule
        super().__init__(users, fees, tiers, fund_units, inverse, rule)

    def reference(self, terms, accounts, own_rows, scale):
        params, vaults = self.bench.venue.params, []
        given = self.rule.value("backstops") if self.rule.has("backstop") else ()
        for row, vault in zip(self.bench.venue._backstops.tolist(), given, strict=True):
            accounts[row] = Account(claim=round(vault.capital * scale))
            least = round((vault.capital - vault.loss) * scale) if vault.loss else 0
            limits = (round(vault.per_minute * scale), round(vault.per_hour * scale))
            vaults.append(Vault(row, round(vault.most * scale), least, limits))
        return RuledReference(
            terms,
            accounts,
            *own_rows,
            rule=self.rule,
            scale=scale,
            ranking=self.rule.value("ranking") or params.adl_ranking,
            vaults=vaults,
        )

    def settle(self):
        self.model.seconds = self.bench.moment.seconds
        period = self.rule.value("clawback_seconds")
        if period and self.model.seconds % period == 0:
            self.model.settle_period()


def duel_of(seed, preset, family, inverse, rounds, fund=20.0, tiers=TIERS, fees=(200, 500)):
    rule = rule_of(preset, family, 0.01 if inverse else 1.0)
    duel = fight(seed, RuledDuel(fees, tiers, fund, inverse, rule), rounds)
    assert duel.model.stranded == duel.bench.venue.shortfalls
    return duel


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    preset=st.sampled_from(list(Preset)),
    family=st.sampled_from(FAMILIES),
    inverse=st.booleans(),
    rounds=st.integers(1, 20),
    fund=st.sampled_from((0.0, 3.0, 50.0)),
    tiers=st.sampled_from((FLAT_TIER, TIERS, LOW_TIERS)),
    fees=st.sampled_from(((0, 0), (200, 500), (-300, 700))),
)
def test_every_rule_agrees_with_the_reference(
    seed, preset, family, inverse, rounds, fund, tiers, fees
) -> None:
    duel_of(seed, preset, family, inverse, rounds, fund, tiers, fees)


REACHED = {
    Preset.TAKEOVER: {"fund"},
    Preset.BITMEX: {"orders", "fund"},
    Preset.BINANCE: {"orders", "fund"},
    Preset.HYPERLIQUID: {"orders", "backstop", "unwinding", "fund"},
    Preset.DYDX: {"orders", "fund"},
    Preset.OKX: {"orders", "fund"},
    Preset.BYBIT: {"fund", "holding"},
    Preset.OKX_2018: {"fund"},
    Preset.FTX: {"orders", "backstop", "unwinding", "fund"},
}


@pytest.mark.parametrize("preset", list(Preset))
def test_the_random_play_reaches_every_stage_of_the_preset(preset) -> None:
    duels = [duel_of(seed, preset, {}, False, 30, 3.0, LOW_TIERS) for seed in range(8)]
    logs = [duel.bench.venue.drain_liquidations() for duel in duels]
    stages = {by for log in logs if log is not None for by in log.by.tolist()}
    assert stages >= REACHED[preset]
    assert sum(duel.adl for duel in duels) > 0 or preset == Preset.OKX_2018


@pytest.mark.slow
@pytest.mark.parametrize("preset", list(Preset))
def test_long_random_play_under_every_rule(preset) -> None:
    """Some 70,000 intents a preset."""
    for number, family in enumerate(FAMILIES):
        for seed in range(10):
            tiers = (TIERS, LOW_TIERS)[seed % 2]
            duel_of(1_000 * number + seed, preset, family, seed % 4 > 1, 40, 10.0, tiers)
