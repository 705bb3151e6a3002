"""The ledger: endowments balance, and a column that does not sum to zero is found."""

import numpy as np
import pytest

from markets.assets import Asset
from markets.errors import BrokenInvariant, ConfigError
from markets.ledger import ISSUER, Ledger

BTC, USDT = Asset("BTC", 8), Asset("USDT", 6)
CLAIM = Asset("claim", 6, signed=True)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger([BTC, USDT, CLAIM])


def test_what_is_issued_is_owed(ledger: Ledger) -> None:
    rows = ledger.open("cohort", "exchange", 3)
    ledger.issue(rows, "BTC", np.array([1, 2, 3]))
    ledger.issue(rows, "USDT", 10)
    assert ledger.balances[rows].tolist() == [[1, 10, 0], [2, 10, 0], [3, 10, 0]]
    assert ledger.balances[ISSUER].tolist() == [-6, -30, 0]
    ledger.check()


def test_money_from_nowhere_is_found(ledger: Ledger) -> None:
    row = ledger.open("somebody", "exchange")[0]
    ledger.balances[row, 1] += 1
    with pytest.raises(BrokenInvariant, match="USDT, difference 1 atoms"):
        ledger.check()


def test_an_overdraft_is_found_with_its_owner(ledger: Ledger) -> None:
    rows = ledger.open("debtor", "exchange", 2)
    ledger.balances[rows[0], 0] -= 5
    ledger.balances[rows[1], 0] += 5
    with pytest.raises(BrokenInvariant, match=r"account 1 of debtor is overdrawn.*-5 atoms"):
        ledger.check()


def test_signed_assets_may_be_owed_by_anybody(ledger: Ledger) -> None:
    rows = ledger.open("trader", "exchange", 2)
    ledger.balances[rows, 2] = [-7, 7]
    ledger.check()


def test_an_issuer_may_owe_what_it_issues_and_nothing_else(ledger: Ledger) -> None:
    pool, holder = ledger.open("pool", "chain", 2)
    ledger.allow_issue(int(pool), "BTC")
    ledger.balances[[pool, holder], 0] = [-7, 7]
    ledger.check()
    ledger.balances[[pool, holder], 1] = [-7, 7]
    with pytest.raises(BrokenInvariant, match="overdrawn"):
        ledger.check()


@pytest.mark.parametrize("atoms", [-1, 2**62])
def test_impossible_endowments_are_refused(ledger: Ledger, atoms: int) -> None:
    rows = ledger.open("trader", "exchange", 4)
    with pytest.raises(ConfigError, match=r"endowment\.BTC"):
        ledger.issue(rows, "BTC", atoms)


def test_names_of_assets_must_differ() -> None:
    with pytest.raises(ConfigError, match="names repeat"):
        Ledger([BTC, BTC])
