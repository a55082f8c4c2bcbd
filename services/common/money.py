"""Exact money."""

import re
from dataclasses import dataclass
from typing import Final

MAX_MINOR_UNITS: Final = 10**12
CURRENCY_CODE: Final = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency's smallest unit (cents for EUR), with its ISO 4217 code."""

    currency_code: str
    minor_units: int

    def times(self, quantity: int) -> "Money":
        """Return the price of ``quantity`` pieces."""
        return Money(self.currency_code, self.minor_units * quantity)
