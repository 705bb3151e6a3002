"""Lending: pools of loans against collateral, and what stands on them."""
