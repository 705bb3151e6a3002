"""Derivatives and lending refuse what contradicts itself, and say which field it is."""

import importlib
import pkgutil
from math import inf, nan
from typing import Any

import pytest

import markets.derivatives
import markets.lending
from markets.assets import Asset, Instrument
from markets.derivatives.backstop import Backstop
from markets.derivatives.brackets import MarginTier
from markets.derivatives.clearing_house import ClearingHouse
from markets.derivatives.collateral import CollateralParams
from markets.derivatives.lending import LendingParams
from markets.derivatives.liquidation_rule import LiquidationRule
from markets.derivatives.perpetual import Perpetual
from markets.derivatives.pool_perpetual import PoolPerpetual
from markets.errors import ConfigError
from markets.lending.lending_params import LendingPoolParams, ReserveParams
from markets.lending.rate_curve import CurveParams
from markets.lending.vault_terms import VaultTerms
from markets.params import Params

WRONG: list[tuple[type[Params], dict[str, Any], str]] = [
    (CurveParams, {"rate_at_0": 0.2}, "rate_at_0"),
    (ReserveParams, {"rate_at_kink": 0.7}, "rate_at_kink"),
    (LendingParams, {"rate_at_1": 0.1}, "rate_at_1"),
    (LendingPoolParams, {"reserves": [{}, {"rate_at_1": 0.01}]}, r"reserves\.1.*rate_at_1"),
    (ReserveParams, {"kink": 0.0}, "kink"),
    (ReserveParams, {"kink": 1.0}, "kink"),
    (ReserveParams, {"threshold_ppm": 960_000}, "threshold"),
    (LendingPoolParams, {"oracle_heartbeat_seconds": 0.0}, "oracle_heartbeat_seconds"),
    (LendingPoolParams, {"close_factor_ppm": 0}, "close_factor_ppm"),
    (VaultTerms, {"minimum_ratio_ppm": 1_000_000}, "minimum_ratio_ppm"),
    (VaultTerms, {"bid_seconds": 0.0}, "bid_seconds"),
    (VaultTerms, {"largest_lot": 0.0}, "largest_lot"),
    (MarginTier, {"maintenance_ppm": 0}, "maintenance_ppm"),
    (MarginTier, {"floor_units": -1.0}, "floor_units"),
    (Backstop, {"capital": 10.0, "loss": 11.0}, "loss"),
    (Backstop, {"capital": 0.0}, "capital"),
    (CollateralParams, {"asset": "ETH", "weight": 1.1}, "weight"),
    (
        CollateralParams,
        {"asset": "ETH", "weight": 0.9, "maintenance_weight": 0.8},
        "maintenance_weight",
    ),
    (ClearingHouse.Params, {"insurance_fund_units": -1.0}, "insurance_fund_units"),
    (ClearingHouse.Params, {"lending": {"rate_at_kink": 0.9}}, r"lending.*rate_at_kink"),
    (LiquidationRule, {"least": -1.0}, "least"),
    (LiquidationRule, {"adl_stop_ppm": 1}, "adl_stop_ppm"),
    (LiquidationRule, {"portion_ppm": 0}, "portion_ppm"),
    (LiquidationRule, {"takeover_ppm": 1_000_001}, "takeover_ppm"),
    (LiquidationRule, {"adl_window_seconds": 0.0}, "adl_window_seconds"),
    (LiquidationRule, {"stages": ["orders", "adl"], "rest_seconds": 9.0}, "rest_seconds"),
    (Perpetual.Params, {"funding_interval_seconds": 0.0}, "funding_interval_seconds"),
    (Perpetual.Params, {"funding_cap": -0.1}, "funding_cap"),
    (Perpetual.Params, {"interest_rate": 1.0}, "interest_rate"),
    (Perpetual.Params, {"funding_damper": -1e-9}, "funding_damper"),
    (Perpetual.Params, {"basis_ema_seconds": 0.0}, "basis_ema_seconds"),
    (Perpetual.Params, {"basis_bandwidth": -0.1}, "basis_bandwidth"),
    (Perpetual.Params, {"impact_notional_quote": 0.0}, "impact_notional_quote"),
    (Perpetual.Params, {"contract_value_quote": 0.0}, "contract_value_quote"),
    (Perpetual.Params, {"open_interest_caps_quote": [2e6, 1e6]}, "open_interest_caps_quote"),
    (Perpetual.Params, {"open_interest_caps_quote": [-1.0, 1e6]}, "open_interest_caps_quote"),
    (Perpetual.Params, {"open_interest_caps_quote": [1e6, 1e6]}, "open_interest_caps_quote"),
    (Perpetual.Params, {"open_interest_caps_quote": [0.0, nan]}, "open_interest_caps_quote"),
    (
        Perpetual.Params,
        {"index_venues": ["a", "b"], "index_weights": [1.0, -1.0]},
        "index_weights",
    ),
    (Perpetual.Params, {"index_venues": ["a"], "index_weights": [nan]}, "index_weights"),
    (Perpetual.Params, {"index_weights": [1.0]}, "index_weights"),
    (Perpetual.Params, {"maintenance_tiers": []}, "maintenance_tiers"),
    (
        Perpetual.Params,
        {"maintenance_tiers": [{}, {"floor_units": 9.0}, {"floor_units": 5.0}]},
        "maintenance_tiers",
    ),
    (
        Perpetual.Params,
        {"maintenance_tiers": [{}, {"floor_units": 9.0, "maintenance_ppm": 4_999}]},
        "maintenance rates",
    ),
    (Perpetual.Params, {"initial_margin_ppm": 4_999}, "initial_margin_ppm"),
    (PoolPerpetual.Params, {"maintenance_ppm": 30_000}, "maintenance_ppm"),
    (PoolPerpetual.Params, {"adl_target": 0.7}, "adl_target"),
    (PoolPerpetual.Params, {"half_spread_ppm": -1}, "half_spread_ppm"),
    (PoolPerpetual.Params, {"accrual_seconds": 0.0}, "accrual_seconds"),
    (PoolPerpetual.Params, {"positive_impact_factor": 1e-9}, "positive_impact_factor"),
    (PoolPerpetual.Params, {"negative_impact_cap": 0.001}, "positive_impact_cap"),
    (PoolPerpetual.Params, {"borrow_above_per_second": 1e-9}, "borrow_above_per_second"),
    (PoolPerpetual.Params, {"funding_decrease_threshold": 0.1}, "funding_decrease_threshold"),
    (PoolPerpetual.Params, {"reserve_factor": 0.0}, "reserve_factor"),
]


@pytest.mark.parametrize(("kind", "values", "field"), WRONG)
def test_what_contradicts_itself_is_refused_by_name(
    kind: type[Params], values: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError, match=field):
        kind.read(values)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("insurance_fund_units", {"insurance_fund_units": 1e13}),
        ("maintenance_tiers.1.floor_units", {"maintenance_tiers": [{}, {"floor_units": 1e13}]}),
        ("liquidation.most", {"liquidation": {"most": 1e300}}),
        (
            "liquidation.backstops.0.per_hour",
            {"liquidation": {"backstops": [{"capital": 1.0, "per_hour": 1e13}]}},
        ),
    ],
)
def test_what_cannot_be_counted_in_atoms_is_refused_by_name(
    field: str, values: dict[str, Any]
) -> None:
    """2**62 atoms of a millionth are 4.6e12 units."""
    instrument = Instrument(Asset("BTC", 9), Asset("USDT", 6), 0.1, 0.001)
    with pytest.raises(ConfigError, match=rf"^perp\.{field}: must be at most 4\.61e\+12 USDT"):
        Perpetual("perp", "ex", instrument, Perpetual.Params.read(values))


def kinds() -> list[type[Params]]:
    """All parameter sets of the two packages."""
    for package in (markets.derivatives, markets.lending):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found, waiting = set(), [Params]
    while waiting:
        waiting += (below := waiting.pop().__subclasses__())
        found |= {k for k in below if k.__module__.startswith(("markets.der", "markets.lend"))}
    return sorted(found, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__qualname__)
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_no_number_may_be_nan_or_infinite(kind: type[Params], value: float) -> None:
    numbers = {name: field for name, field in kind.model_fields.items() if _is_number(field)}
    needed = {"capital": 1.0} if kind is Backstop else {}
    needed |= {"asset": "ETH"} if kind is CollateralParams else {}
    assert numbers
    for name in numbers:
        with pytest.raises(ConfigError, match=name):
            kind.read({**needed, name: value})


def _is_number(field: Any) -> bool:
    return field.annotation in (int, float, int | None, float | None)
