"""Mechanisms and money: venues, order rules, the ledger, prices. Knows no agents and no files."""

from markets.kernel_cache import use_own_cache

use_own_cache()
