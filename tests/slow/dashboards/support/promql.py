"""Which series an expression asks for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_RANGES = re.compile(r"\[[^\]]*\]")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\b(?:\{([^}]*)\})?(?!\s*\()")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_WORDS = {"or", "and", "unless", "group_left", "group_right", "bool", "offset"}
_CHOICE = re.compile(r"\w+(\|\w+)*")


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label must, or must not, be."""

    label: str
    values: tuple[str, ...]
    """Those that are named; none where a pattern says more than which ones."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric and what is asked of its labels."""

    metric: str
    matchers: tuple[Matcher, ...]


def selectors(expression: str) -> Iterator[Selector]:
    """Yield every selector of an expression."""
    bare = _RANGES.sub("", _LISTS.sub("", expression))
    for metric, matchers in _SELECTOR.findall(bare):
        if metric not in _WORDS:
            yield Selector(metric, tuple(_matchers(matchers)))


def _matchers(text: str) -> Iterator[Matcher]:
    for label, sign, value in _MATCHER.findall(text):
        if sign in {"=", "!="}:
            values = (value,)
        else:
            values = tuple(value.split("|")) if _CHOICE.fullmatch(value) else ()
        yield Matcher(label, values)
