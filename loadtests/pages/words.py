"""How numbers and findings are put into words."""

from math import inf
from typing import Final

from loadtests.results import Comparison

_ARM_NAMES: Final = {
    "near": "near cache",
    "redis": "Redis alone",
    "mongo": "MongoDB",
    "": "all calls",
}
_SOURCE_NAMES: Final = {
    "near": "near",
    "redis": "Redis",
    "mongo": "MongoDB",
    "bypass": "MongoDB as asked",
}
_THROUGH: Final = {"near": "through the near cache", "redis": "from Redis alone"}


def arm_name(arm: str) -> str:
    """Return what an arm is called."""
    return _ARM_NAMES.get(arm, arm)


def source_name(source: str) -> str:
    """Return what a source that ``x-cache`` names is called."""
    return _SOURCE_NAMES.get(source, source)


def whole(number: float) -> str:
    """Return a count with its thousands told apart."""
    return f"{number:,.0f}"


def milliseconds(value: float) -> str:
    """Return a latency to the hundredth of a millisecond that was measured, without its unit."""
    return f"{value:,.2f}"


def rate(value: float) -> str:
    """Return a rate with one decimal, or none where it would not be seen."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def times(ratio: float) -> str:
    """Return a ratio with about three figures."""
    return f"{ratio:,.1f}" if ratio >= 9.95 else f"{ratio:.2f}"


def share(part: float, total: float) -> str:
    """Return a share in per cent; what is not quite all, or not quite nothing, says so."""
    if not total:
        return "none"
    percent = 100 * part / total
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in {0, 100} else f"{percent:.1f} %"


def axis_time(value_ms: float) -> str:
    """Return a latency as an axis names it, with its unit."""
    return f"{value_ms / 1000:g} s" if value_ms >= 1000 else f"{value_ms:g} ms"


def finding(comparison: Comparison) -> str:
    """Return what a comparison has found, in a sentence."""
    median = f"the median read {_THROUGH.get(comparison.arm, f'of {arm_name(comparison.arm)}')}"
    other = f"{arm_name(comparison.base)}'s"
    low, high = comparison.low, comparison.high
    if low <= 1 <= high:
        return f"{median} is as fast as {other}, as far as this run can tell {_between(low, high)}"
    if comparison.speedup > 1:
        ratio = times(comparison.speedup)
        return f"{median} is {ratio} times faster than {other} {_between(low, high)}"
    slower, least, most = (_inverse(each) for each in (comparison.speedup, high, low))
    return f"{median} is {times(slower)} times slower than {other} {_between(least, most)}"


def headline(comparison: Comparison) -> str:
    """Return the same with the lookup, or else the method, that it is about."""
    return f"{comparison.lookup or f'{comparison.method}:'} {finding(comparison)}"


def brief(comparison: Comparison) -> str:
    """Return what a comparison has found, in the fewest words."""
    arm, base = arm_name(comparison.arm), arm_name(comparison.base)
    ratio, between = times(comparison.speedup), _between(comparison.low, comparison.high)
    return f"{arm}: median {ratio} times faster than {base} {between}"


def capital(words: str) -> str:
    """Return words as a sentence begins."""
    return words[:1].upper() + words[1:]


def _between(low: float, high: float) -> str:
    return f"({times(low)} to {times(high)})"


def _inverse(ratio: float) -> float:
    return 1 / ratio if ratio else inf
