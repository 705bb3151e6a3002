"""Scenarios, one file each, found by name."""
