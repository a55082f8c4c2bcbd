"""Checking a request's fields, all of them before the first complaint."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from services.common.errors import FieldViolation, InvalidArgument
from services.common.ids import ID_PATTERN, NAME_PATTERN

_identifies: Final = ID_PATTERN.fullmatch
_CONTROL: Final = "Cc"  # not Cf: emoji and many scripts need joiners
_INVISIBLE: Final = {"Zs", "Zl", "Zp", "Cf", _CONTROL}


Entry = TypeVar("Entry")


class FieldChecks:
    """Collects what is wrong with a request; ``finish`` raises it all at once.

    Lengths and counts come first: what they refuse is not looked at any further.
    """

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def require(self, holds: bool, field: str, description: str) -> None:  # noqa: FBT001 (a predicate)
        """Note ``description`` against ``field`` unless the predicate holds."""
        if not holds:
            self._violations.append(FieldViolation(field, description))

    def identifier(self, field: str, value: str) -> None:
        """Require an identifier as this shop gives them."""
        self.require(
            ID_PATTERN.fullmatch(value) is not None,
            field,
            "must be 24 lower-case hexadecimal digits",
        )

    def name(self, field: str, value: str) -> None:
        """Require a name that a caller chose for a request or a thing."""
        self.matches(
            field, value, NAME_PATTERN, "must be 1 to 64 of letters, digits, '.', '_' and '-'"
        )

    def matches(self, field: str, value: str, pattern: re.Pattern[str], description: str) -> None:
        """Require that the whole value matches."""
        self.require(pattern.fullmatch(value) is not None, field, description)

    def text(self, field: str, value: str, *, at_least: int = 0, at_most: int) -> None:
        """Require a length in characters, and text of any script that is not all blank."""
        if not at_least <= len(value) <= at_most:
            self.require(
                holds=False,
                field=field,
                description=f"must be {at_least} to {at_most} characters long",
            )
            return
        categories = {unicodedata.category(c) for c in value if c not in "\n\r\t"}
        self.require(not value or not categories <= _INVISIBLE, field, "must not be blank")
        self.require(
            _CONTROL not in categories,
            field,
            "must not hold control characters",
        )

    def number(self, field: str, value: int, *, at_least: int, at_most: int) -> None:
        """Require a number within bounds, both included."""
        self.require(
            at_least <= value <= at_most,
            field,
            f"must be {at_least:,} to {at_most:,}, is {value:,}",
        )

    def entries(
        self, field: str, values: Sequence[Entry], *, at_least: int, at_most: int
    ) -> Iterator[tuple[str, Entry]]:
        """Require a number of entries within bounds, both included.

        Yield each with its path, and none if they are too many.
        """
        if at_least <= len(values) <= at_most:
            for index, value in enumerate(values):
                yield f"{field}[{index}]", value
        else:
            self.require(
                holds=False, field=field, description=f"must have {at_least} to {at_most} entries"
            )

    def finish(self) -> None:
        """Raise ``InvalidArgument`` with everything found wrong, if anything was."""
        if self._violations:
            raise InvalidArgument(self._violations)


def check_identifier(field: str, value: str) -> None:
    """Raise ``InvalidArgument`` unless the value is an identifier of this shop."""
    if _identifies(value):
        return
    checks = FieldChecks()
    checks.identifier(field, value)
    checks.finish()


def check_name(field: str, value: str) -> None:
    """Raise ``InvalidArgument`` unless the value is a name that a caller may choose."""
    checks = FieldChecks()
    checks.name(field, value)
    checks.finish()
