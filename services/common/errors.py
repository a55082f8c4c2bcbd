"""The errors a use case may raise, one class per way to be refused.

::

    DomainError
    ├── InvalidArgument      the request breaks a rule whatever the state is; names the fields
    ├── Unauthenticated      nobody, or nobody we know, is calling
    ├── PermissionDenied     the caller may not do this
    ├── NotFound             the thing does not exist, or not for this caller
    ├── AlreadyExists        something unique is taken
    ├── FailedPrecondition   the state forbids it; repeating alone will not help
    ├── Aborted              somebody else changed it meanwhile; read again and repeat
    ├── ResourceExhausted    too much at once; says when to come back
    ├── DeadlineExceeded     the time allowed for the call is over
    └── Unavailable          something we need is down; repeat later

``services.common.rpc.status`` maps each to its gRPC status. Services subclass these for
refusals of their own and set ``reason``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

MAX_VIOLATIONS: Final = 20
"""How many violations a refusal names at most."""


class DomainError(Exception):
    """A refusal that the caller is told about.

    ``reason`` is a constant in UPPER_SNAKE for programs, ``message`` is for people, and
    ``metadata`` holds the particulars. None of them may hold anything internal.
    """

    reason: ClassVar[str] = "UNKNOWN"
    always_alike: ClassVar[bool] = False
    """Whether all errors of the class say the same, so that their answer is prepared once."""

    def __init__(self, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request, named by its path in the request."""

    field: str
    description: str


class InvalidArgument(DomainError):
    """The request breaks a rule whatever the state is. Names the first violations."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations[:MAX_VIOLATIONS])
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.violations))

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidArgument":
        """Return the error for a single field."""
        return cls([FieldViolation(field, description)])


class Unauthenticated(DomainError):
    """Nobody, or nobody we know, is calling."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(DomainError):
    """The caller may not do this."""

    reason = "PERMISSION_DENIED"


class NotFound(DomainError):
    """The thing does not exist, or not for this caller."""

    reason = "NOT_FOUND"


class AlreadyExists(DomainError):
    """Something unique is taken."""

    reason = "ALREADY_EXISTS"


class FailedPrecondition(DomainError):
    """The state forbids it; repeating the call alone will not help."""

    reason = "FAILED_PRECONDITION"


class Aborted(DomainError):
    """Somebody else changed it meanwhile; read again and repeat."""

    reason = "ABORTED"


class ResourceExhausted(DomainError):
    """Too much at once. ``retry_delay_s`` says when to come back, in seconds; ``inf`` is never."""

    reason = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, retry_delay_s: float) -> None:
        super().__init__(message)
        self.retry_delay_s = retry_delay_s


class DeadlineExceeded(DomainError):
    """The time allowed for the call is over; what it was to do may or may not be done."""

    reason = "DEADLINE_EXCEEDED"


class Unavailable(DomainError):
    """Something the service needs is down; repeat later."""

    reason = "UNAVAILABLE"
