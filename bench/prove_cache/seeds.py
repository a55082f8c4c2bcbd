"""Chance that can be repeated."""

from random import Random


def seeded(seed: int, *purpose: object) -> Random:
    """Return a source of chance for one purpose, the same for the same seed."""
    return Random(f"{seed}/{'/'.join(map(str, purpose))}")  # noqa: S311 (chance, not secrets)
