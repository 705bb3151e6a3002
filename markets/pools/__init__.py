"""Automated market makers: float64 kernels of every pool, and the venues that call them."""
