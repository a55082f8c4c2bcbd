"""How far a measurement has come, for whoever watches a terminal."""

import sys


def show(text: str) -> None:
    """Say it in place of what was said last; nothing where nobody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def end() -> None:
    """Leave the line."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")
