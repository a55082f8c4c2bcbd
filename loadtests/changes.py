"""What has changed from one run to another, and whether that is beyond the noise.

Two kinds of noise are allowed for. Chance within a run: each change has an interval, wide enough
that of two runs without any difference one in twenty, at most, shows even one change (Bonferroni:
the error is shared out among all that is compared). And what differs between runs on the same
machine, such as its neighbours, which no run can tell by itself: only what lies beyond a floor
counts. CPU times come without an interval and are judged by the floor alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, hypot, log, sqrt
from random import Random
from statistics import NormalDist
from typing import Final, Literal, TypeVar

from loadtests.encoded_histogram import UnreadableHistogramError, recorded
from loadtests.quantile_noise import Quantiles
from loadtests.results import Comparison, Process, Report, Sample

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_ALPHA: Final = 0.05
_LEAST_ERRORS: Final = 0.001  # a smaller difference of shares is nobody's concern
_LEAST_CPU_S: Final = 0.5  # it is counted in hundredths of a second
_LEAST_REQUESTS: Final = 100
GENERATOR: Final = "load generator"

Verdict = Literal["same", "better", "worse", "differs", "unclear", "too few"]
"""``differs`` is a change that is neither good nor bad for the shop; what is ``unclear`` may be a
change or not, as its interval holds both."""
_Found = Literal["same", "more", "less", "unclear"]

Either = TypeVar("Either", Sample, Comparison, Process)


@dataclass(frozen=True, slots=True)
class Change:
    """A value in both runs, by how much it changed, and from where to where that may lie.

    ``kind`` is ``latency`` (ms), ``cpu`` (us per request) or ``speedup``, whose change is the
    ratio after / before, or ``errors`` (shares of the calls), whose change is the difference.
    ``low`` and ``high`` are None where there is no interval.
    """

    kind: Literal["latency", "errors", "cpu", "speedup"]
    name: str
    before: float
    after: float
    change: float
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Noise:
    """How many standard errors wide an interval is, to either side, and the floor."""

    width: float
    floor: float
    draws: Random

    def around(self, ratio: float, error: float) -> tuple[float, float]:
        """Return the interval of a ratio whose logarithm has this standard error."""
        return ratio * exp(-self.width * error), ratio * exp(self.width * error)

    def beyond(self, low: float, high: float) -> _Found:
        """Return whether the interval of a ratio lies beyond the floor, or within it."""
        least, most = 1 / (1 + self.floor), 1 + self.floor
        if low > most:
            return "more"
        if high < least:
            return "less"
        return "same" if least <= low and high <= most else "unclear"


def changes(before: Report, after: Report, floor: float, seed: int = 1) -> list[Change]:
    """Return all that both runs have, changed or not.

    ``floor`` is the share by which runs differ anyhow: 0.1 lets a tenth pass.
    Raises ``UnreadableHistogramError``.
    """
    samples = _pairs(before.samples, after.samples, sample_name)
    ratios = _pairs(before.comparisons, after.comparisons, _comparison_name)
    compared = len(samples) * (len(QUANTILES) + 1) + len(ratios)
    width = NormalDist().inv_cdf(1 - _ALPHA / 2 / max(compared, 1))
    noise = _Noise(width, floor, Random(seed))  # noqa: S311
    found = [change for name, old, new in samples for change in _latencies(name, old, new, noise)]
    found += [
        _errors(name, old, new, noise) for name, old, new in samples if old.errors or new.errors
    ]
    processes = _pairs(before.processes, after.processes, lambda process: process.name)
    found += [_cpu(name, old, new, noise) for name, old, new in processes]
    found += [_speedup(name, old, new, noise) for name, old, new in ratios]
    return found


def sample_name(sample: Sample) -> str:
    """Return the method, with its arm if it has one."""
    return f"{sample.method}/{sample.arm}" if sample.arm else sample.method


def _comparison_name(each: Comparison) -> str:
    return f"{each.method}/{each.arm} over {each.base}"


def _pairs(
    before: Sequence[Either], after: Sequence[Either], name: Callable[[Either], str]
) -> list[tuple[str, Either, Either]]:
    new = {name(each): each for each in after}
    return [(name(each), each, new[name(each)]) for each in before if name(each) in new]


def _latencies(name: str, old: Sample, new: Sample, noise: _Noise) -> Iterator[Change]:
    first, second = (_quantiles(name, sample) for sample in (old, new))
    for quantile, share in QUANTILES.items():
        values = (getattr(old.latency_ms, quantile), getattr(new.latency_ms, quantile))
        label = f"{name} {quantile}"
        if not (first.told(share) and second.told(share)):
            yield Change("latency", label, *values, _ratio(*values), None, None, "too few")
            continue
        ratio = second.at(share) / first.at(share)
        errors = [each.log_error(share, noise.draws) for each in (first, second)]
        low, high = noise.around(ratio, hypot(*errors))
        verdict = _judged(noise.beyond(low, high), more="worse", less="better")
        yield Change("latency", label, *values, ratio, low, high, verdict)


def _quantiles(name: str, sample: Sample) -> Quantiles:
    try:
        return Quantiles(recorded(sample.histogram))
    except UnreadableHistogramError as error:
        raise UnreadableHistogramError(f"{name}: its histogram cannot be read: {error}") from error


def _errors(name: str, old: Sample, new: Sample, noise: _Noise) -> Change:
    """Compare shares by the interval of Agresti and Caffo, The American Statistician 54 (2000)."""
    shares = [sum(each.errors.values()) / max(each.count, 1) for each in (old, new)]
    # Two calls more in each run, one of them failed: then the interval holds with few errors too.
    counts = [each.count + 2 for each in (old, new)]
    held = [
        (sum(each.errors.values()) + 1) / count
        for each, count in zip((old, new), counts, strict=True)
    ]
    spread = sum(share * (1 - share) / count for share, count in zip(held, counts, strict=True))
    middle, reach = held[1] - held[0], noise.width * sqrt(spread)
    low, high = middle - reach, middle + reach
    verdict: Verdict = "same"
    if low > 0 and shares[1] - shares[0] > _LEAST_ERRORS:
        verdict = "worse"
    elif high < 0 and shares[0] - shares[1] > _LEAST_ERRORS:
        verdict = "better"
    return Change(
        "errors", f"{name} errors", shares[0], shares[1], shares[1] - shares[0], low, high, verdict
    )


def _cpu(name: str, old: Process, new: Process, noise: _Noise) -> Change:
    before, after = old.cpu_us_per_request, new.cpu_us_per_request
    ratio = _ratio(before, after)
    few = any(each.cpu_s < _LEAST_CPU_S or each.requests < _LEAST_REQUESTS for each in (old, new))
    verdict: Verdict = "too few"
    if not few and name == GENERATOR:
        verdict = _judged(noise.beyond(ratio, ratio), more="differs", less="differs")
    elif not few:
        verdict = _judged(noise.beyond(ratio, ratio), more="worse", less="better")
    return Change("cpu", f"{name} CPU", before, after, ratio, None, None, verdict)


def _speedup(name: str, old: Comparison, new: Comparison, noise: _Noise) -> Change:
    """Compare ratios by their intervals; a smaller one may as well be a faster MongoDB."""
    ratio = _ratio(old.speedup, new.speedup)
    if min(old.low, new.low) <= 0:
        return Change("speedup", name, old.speedup, new.speedup, ratio, None, None, "too few")
    low, high = noise.around(ratio, hypot(_log_error(old), _log_error(new)))
    verdict = _judged(noise.beyond(low, high), more="differs", less="differs")
    return Change("speedup", name, old.speedup, new.speedup, ratio, low, high, verdict)


def _log_error(comparison: Comparison) -> float:
    wide = 2 * NormalDist().inv_cdf((1 + comparison.confidence) / 2)
    return log(comparison.high / comparison.low) / wide


def _judged(found: _Found, *, more: Verdict, less: Verdict) -> Verdict:
    if found == "more":
        return more
    return less if found == "less" else found


def _ratio(before: float, after: float) -> float:
    """Return after / before; between nothing and nothing there is no change."""
    if before:
        return after / before
    return float("inf") if after else 1.0
