"""The product that is read in all measurements."""

from typing import Final

NAME: Final = "Desk lamp"
DESCRIPTION: Final = "A lamp for a desk, with an arm that stays where it is put. " * 3
CATEGORY: Final = "lighting"
CURRENCY: Final = "EUR"
CENTS: Final = 4_900
STOCK: Final = 120
TAGS: Final = ("lamp", "desk")
