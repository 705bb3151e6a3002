"""Mechanisms and money: venues, order rules, the ledger, prices. Knows no agents and no files."""
