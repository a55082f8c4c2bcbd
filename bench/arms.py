"""Ways to answer a request that are compared, and the proof that each is what it is called."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from bench.h2 import NO_SOURCE
from bench.load import AT_ONCE, Outcome
from bench.stores import Asked

_NEAREST_FIRST: Final = ("near", "redis", "mongo", "bypass")
_MAY_BE_FARTHER: Final = 0.02
_ASKED_ANYWAY: Final = 100  # a second: health probes, the links that prove near values
_ANY: Final = float("inf")


class NotWhatItClaimsError(Exception):
    """An arm is not served from where it claims to be; its figures would mislead."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is true of an arm: what its answers say in ``x-cache``, and what the stores are asked.

    ``redis`` and ``mongo`` are the fewest and the most commands and queries per call.
    """

    source: str
    redis: tuple[float, float] = (0.0, _MAY_BE_FARTHER)
    mongo: tuple[float, float] = (0.0, _MAY_BE_FARTHER)


ECHO: Final = Claim(NO_SOURCE)
NEAR: Final = Claim("near")
REDIS: Final = Claim("redis", redis=(0.001, _ANY))
UNCACHED: Final = Claim("bypass", mongo=(0.001, _ANY))
NAIVE_CACHED: Final = Claim(NO_SOURCE, redis=(0.98, _ANY))
NAIVE_UNCACHED: Final = Claim(NO_SOURCE, mongo=(0.98, _ANY))


@dataclass(slots=True)
class Arm:
    """One way to answer, and what was measured of it: CPU per call and calls/s, by rounds.

    ``naive`` names the arm that does the same naively. A dear arm makes only a ``share`` of the
    calls, so that it does not take most of the time. ``at_once`` is how many are made at a time.
    """

    name: str
    claim: Claim
    naive: str = ""
    share: float = 1.0
    at_once: int = AT_ONCE
    cpu_us: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    sources: Counter[str] = field(default_factory=Counter)
    redis: int = 0
    mongo: int = 0

    def note(self, outcome: Outcome, cpu_s: float, before: Asked, after: Asked) -> None:
        """Take in what a round has shown."""
        self.cpu_us.append(cpu_s / outcome.calls * 1e6)
        self.rate.append(outcome.calls / outcome.seconds)
        self.calls += outcome.calls
        self.seconds += outcome.seconds
        self.sources += outcome.sources
        self.redis += after.redis - before.redis
        self.mongo += after.mongo - before.mongo

    def check(self) -> None:
        """Raise ``NotWhatItClaimsError`` unless the calls so far bear the claim out.

        No answer may come from nearer than claimed, and next to none from farther.
        """
        claim = self.claim
        farther = self.calls - self.sources[claim.source]
        nearer = any(self.sources[source] for source in _nearer_than(claim.source))
        if nearer or farther > _MAY_BE_FARTHER * self.calls:
            raise NotWhatItClaimsError(
                f"{self.name}: x-cache was {_shares(self.sources)}, and should be {claim.source}"
            )
        self._check_asked("Redis", self.redis, claim.redis)
        self._check_asked("MongoDB", self.mongo, claim.mongo)

    def _check_asked(self, store: str, asked: int, claimed: tuple[float, float]) -> None:
        least, most = claimed
        anyway = _ASKED_ANYWAY * (1 + self.seconds)
        if not least * self.calls <= asked <= most * self.calls + anyway:
            raise NotWhatItClaimsError(
                f"{self.name}: {store} was asked {asked:,} times for {self.calls:,} calls"
            )


def _nearer_than(source: str) -> tuple[str, ...]:
    if source not in _NEAREST_FIRST:
        return ()
    return _NEAREST_FIRST[: _NEAREST_FIRST.index(source)]


def _shares(sources: Counter[str]) -> str:
    return ", ".join(
        f"{source} {count / sources.total():.1%}" for source, count in sources.most_common()
    )
