"""One line on stderr that says how far a run is."""

import sys
from typing import Final

_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Shows a text in place of the one before; without a terminal, each stage once."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()

    def stage(self, text: str) -> None:
        """Show what is being done now."""
        self._write(text if self._in_place else f"{text}\n")

    def tick(self, text: str) -> None:
        """Show how far it is, if somebody is looking."""
        if self._in_place:
            self._write(text)

    def end(self) -> None:
        """Leave the line to others."""
        if self._in_place:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"{_CLEAR}{text}" if self._in_place else text)
        sys.stderr.flush()
