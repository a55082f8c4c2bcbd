"""Demonstration data for a shop that runs: ``python -m services.demo``."""
