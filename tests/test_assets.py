"""Assets and instruments: units and integers, and the settings that cannot be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.assets import Asset, Instrument
from markets.errors import ConfigError

BTC, USDT = Asset("BTC", 8), Asset("USDT", 6)


def test_scales_of_an_instrument() -> None:
    instrument = Instrument(BTC, USDT, tick_size=0.1, lot_size=0.0001)
    assert instrument.lot_atoms == 10_000
    assert instrument.notional_atoms == 10
    assert instrument.to_ticks(7934.57) == 79_346
    assert instrument.to_lots(1.23456) == 12_346
    assert instrument.name == "BTC-USDT"


def test_notional_of_a_trade_is_exact() -> None:
    instrument = Instrument(BTC, USDT, tick_size=0.1, lot_size=0.0001)
    notional = 79_346 * 12_346 * instrument.notional_atoms
    assert USDT.to_units(notional) == pytest.approx(7934.6 * 1.2346, abs=1e-6)


@given(st.integers(0, 2**53), st.integers(0, 9))
def test_atoms_survive_the_way_to_units_and_back(atoms: int, decimals: int) -> None:
    asset = Asset("X", decimals)
    back = asset.to_atoms(asset.to_units(atoms))
    assert abs(back - atoms) <= max(1, atoms // 2**51)
    assert asset.to_atoms(np.array([asset.to_units(atoms)]))[0] == back


@pytest.mark.parametrize(
    ("tick_size", "lot_size", "field"),
    [
        (0.0, 1.0, "tick_size"),
        (-1.0, 1.0, "tick_size"),
        (0.1, 0.0, "lot_size"),
        (0.1, 1e-9, "lot_size"),
        (1e-7, 1e-3, "tick_size"),
    ],
)
def test_grids_that_break_atoms_are_refused(tick_size: float, lot_size: float, field: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Instrument(BTC, USDT, tick_size, lot_size)
    assert raised.value.field == f"BTC-USDT.{field}"


def test_too_many_decimals_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"WEI\.decimals"):
        Asset("WEI", 18)
