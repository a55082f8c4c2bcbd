"""Limits that a run has to keep, and whether it did.

A limit is a number, or a number for a part of the run: ``CreateOrder=250``, ``GetProduct/near=5``.
A number alone holds for what customers get: for latencies every method as it answers when nothing
special is asked for, for errors every method with all its arms together, for the speedup the arm
``near`` beside ``mongo``. A part with a number of its own is not judged by the one for all. What
was to be judged and was not measured has failed: a limit never passes for want of calls.
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, Protocol, TypeVar

from loadtests.results import Comparison, Report, Sample, Threshold

_AS_CUSTOMERS_GET_IT: Final = ("near", "")
_CACHED: Final = "near"
_UNCACHED: Final = "mongo"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number, and the part of the run that it is for: a method, ``method/arm``, or ``""``."""

    value: float
    part: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What was asked for: a p99 in milliseconds, a share of errors, and times faster.

    A run has failed if a p99 or a share lies above its limit, or if the lower end of a speedup's
    interval lies below: a run must show that it is as fast, and one too short to tell has not.
    """

    p99_ms: tuple[Limit, ...] = ()
    error_rate: tuple[Limit, ...] = ()
    speedup: tuple[Limit, ...] = ()


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the limits; each may be given several times."""
    group = parser.add_argument_group(
        "limits",
        "Exit with 1 if one is not kept. Each is a number, or PART=NUMBER for a method or "
        "METHOD/ARM, and may be given several times.",
    )
    for name, metavar, parse, text in (
        ("p99-ms", "MS", _positive, "highest p99 in milliseconds"),
        ("error-rate", "SHARE", _share, "highest share of failed calls of a method, 0 to 1"),
        (
            "speedup-below",
            "TIMES",
            _positive,
            "how many times faster than MongoDB's the near median has to be, at the least",
        ),
    ):
        group.add_argument(
            f"--fail-{name}",
            action="append",
            default=[],
            type=parse,
            metavar=f"[PART=]{metavar}",
            help=text,
        )


def limits_of(namespace: Namespace) -> Limits:
    """Return what the options of ``add_options`` were given."""
    return Limits(
        tuple(namespace.fail_p99_ms),
        tuple(namespace.fail_error_rate),
        tuple(namespace.fail_speedup_below),
    )


def judge(report: Report, limits: Limits) -> list[Threshold]:
    """Return each limit with what was measured, for each part that it holds for."""
    return [
        *_latencies(report.samples, limits.p99_ms),
        *_errors(report.samples, limits.error_rate),
        *_speedups(report.comparisons, limits.speedup),
    ]


def _positive(text: str) -> Limit:
    limit = _limit(text)
    if limit.value <= 0:
        raise ArgumentTypeError(f"{text!r}: the number has to be greater than 0")
    return limit


def _share(text: str) -> Limit:
    limit = _limit(text)
    if not 0 <= limit.value <= 1:
        raise ArgumentTypeError(f"{text!r}: a share lies between 0 and 1")
    return limit


def _limit(text: str) -> Limit:
    part, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is neither a number nor PART=NUMBER") from error
    if not isfinite(value):
        raise ArgumentTypeError(f"{text!r}: the number has to be finite")
    return Limit(value, part.strip())


class _WithArm(Protocol):
    @property
    def method(self) -> str: ...
    @property
    def arm(self) -> str: ...


_Part = TypeVar("_Part", bound=_WithArm)


def _latencies(samples: Sequence[Sample], limits: Sequence[Limit]) -> Iterator[Threshold]:
    def usual(sample: Sample) -> bool:
        return sample.arm in _AS_CUSTOMERS_GET_IT

    for limit, sample in _parts(samples, limits, usual):
        if sample is None or not sample.count:
            yield _not_measured("p99", limit)
            continue
        p99 = sample.latency_ms.p99
        yield Threshold(f"p99 of {_named(sample)}, ms", limit.value, p99, p99 <= limit.value)


def _errors(samples: Sequence[Sample], limits: Sequence[Limit]) -> Iterator[Threshold]:
    for limit, part, calls in _error_parts(samples, limits):
        count = sum(sample.count for sample in calls)
        if not count:
            yield _not_measured("share of errors", Limit(limit.value, part))
            continue
        share = sum(sum(sample.errors.values()) for sample in calls) / count
        yield Threshold(f"share of errors of {part}", limit.value, share, share <= limit.value)


def _error_parts(
    samples: Sequence[Sample], limits: Sequence[Limit]
) -> Iterator[tuple[Limit, str, list[Sample]]]:
    own = {limit.part for limit in limits}
    methods = list(dict.fromkeys(sample.method for sample in samples))
    for limit in limits:
        if limit.part:
            parts = [limit.part]
        else:
            parts = [method for method in methods if method not in own] if methods else [""]
        for part in parts:
            yield limit, part, [sample for sample in samples if _is_of(sample, part)]


def _speedups(comparisons: Sequence[Comparison], limits: Sequence[Limit]) -> Iterator[Threshold]:
    def usual(comparison: Comparison) -> bool:
        return comparison.arm == _CACHED

    against = [each for each in comparisons if each.base == _UNCACHED]
    for limit, each in _parts(against, limits, usual):
        if each is None:
            yield _not_measured("speedup", limit)
            continue
        name = f"speedup of {_named(each)} over {each.base}, lower end"
        yield Threshold(name, limit.value, each.low, each.low >= limit.value)


def _parts(
    parts: Sequence[_Part], limits: Sequence[Limit], usual: Callable[[_Part], bool]
) -> Iterator[tuple[Limit, _Part | None]]:
    """Give each limit with each part that it is for, or with None if there is none."""
    own = [limit.part for limit in limits if limit.part]
    usually = [part for part in parts if usual(part)]
    for limit in limits:
        if limit.part:
            found = [part for part in parts if _is_of(part, limit.part)]
        else:
            found = [part for part in usually if not any(_is_of(part, each) for each in own)]
        left_to_others = not limit.part and usually
        for part in found:
            yield limit, part
        if not found and not left_to_others:
            yield limit, None


def _is_of(part: _WithArm, name: str) -> bool:
    return name in {part.method, f"{part.method}/{part.arm}"}


def _named(part: _WithArm) -> str:
    return f"{part.method}/{part.arm}" if part.arm else part.method


def _not_measured(what: str, limit: Limit) -> Threshold:
    of = f" of {limit.part}" if limit.part else ""
    return Threshold(f"{what}{of}: nothing was measured", limit.value, 0.0, passed=False)
