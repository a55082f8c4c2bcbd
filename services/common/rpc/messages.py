"""Between messages of the contracts and plain values."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from shop.common.v1 import money_pb2

from services.common.errors import FieldViolation, InvalidArgument
from services.common.money import Money
from services.common.snapshot import Snapshot

Value = TypeVar("Value")
Entry = TypeVar("Entry")
AnyMessage = TypeVar("AnyMessage", bound=Message)

_MAX_PATHS: Final = 100
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MAX_DURATION_S: Final = 315_576_000_000  # 10,000 years, as duration.proto has it


def prepared(snapshot: Snapshot[Value], build: Callable[[Value], AnyMessage]) -> AnyMessage:
    """Return the serialized message that ``build`` makes of the value, made once per snapshot.

    What comes back is bytes: a handler may answer with them, and nothing else can be done with
    them. They are typed as the message so that the type checker goes on comparing a handler with
    its contract. ``build`` must be one and the same function every time, one of a module say:
    the snapshot keeps what it made by who made it, and for a new lambda all is made again.
    """
    return cast("AnyMessage", snapshot.shown(_serializing(build)))


def joined(parts: Iterable[Message], rest: AnyMessage) -> AnyMessage:
    """Return the serialized message of several prepared ones and the rest of its fields.

    Serialized messages one after another are one message, in which repeated fields have the
    items of all (Protocol Buffers, *Encoding*). So a prepared answer with one item is also that
    item of a list, if the field has the same number in both. Typed as ``prepared`` is.
    """
    serialized = cast("Iterable[bytes]", parts)
    return cast("AnyMessage", b"".join((*serialized, rest.SerializeToString())))


@lru_cache(maxsize=64)  # as many as there are functions; what is more was made for one call
def _serializing(build: Callable[[Value], Message]) -> Callable[[Value], bytes]:
    """Return the function that serializes what ``build`` makes, the same one every time."""
    return lambda value: build(value).SerializeToString()


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as a message."""
    message = Timestamp()
    write_moment(message, moment)
    return message


def write_moment(message: Timestamp, moment: datetime) -> None:
    """Make the message say this moment."""
    since = moment - _EPOCH  # FromDatetime() takes four times as long
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1_000


def moment(message: Timestamp, field: str = "time") -> datetime:
    """Return a message as a moment in UTC.

    Raises ``InvalidArgument`` naming the field for what is not a moment of the years 1 to 9999.
    """
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument.of(field, "must be a moment of the years 1 to 9999") from None


def duration(message: Duration, field: str) -> timedelta:
    """Return a message as a span of time that is not negative.

    Raises ``InvalidArgument`` naming the field for anything else.
    """
    if not (0 <= message.seconds <= _MAX_DURATION_S and 0 <= message.nanos < 10**9):
        raise InvalidArgument.of(field, f"must be a duration of 0 s to {_MAX_DURATION_S:,} s")
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1_000)


def money_message(money: Money) -> money_pb2.Money:
    """Return an amount as a message."""
    message = money_pb2.Money()
    write_money(message, money)
    return message


def write_money(message: money_pb2.Money, money: Money) -> None:
    """Make the message say this amount."""
    message.currency_code = money.currency_code
    message.minor_units = money.minor_units


def money(message: money_pb2.Money) -> Money:
    """Return a message as an amount."""
    return Money(message.currency_code, message.minor_units)


def one_too_many(entries: Sequence[Entry], at_most: int) -> Sequence[Entry]:
    """Return the entries that are enough for a use case to see that they are more than allowed."""
    return entries[: at_most + 1]


def masked_fields(message: Message, mask: FieldMask, updatable: Collection[str]) -> list[str]:
    """Return which fields an update shall change (AIP-134).

    Those that the mask names; all updatable ones for ``*``; without a mask, those that are
    set. Raises ``InvalidArgument`` for a path that is not updatable, and when nothing is left.
    """
    if len(mask.paths) > _MAX_PATHS:
        raise InvalidArgument.of("update_mask", f"must name at most {_MAX_PATHS} fields")
    if not mask.paths:
        set_fields = {field.name for field, _ in message.ListFields()}
        paths = [name for name in updatable if name in set_fields]
    elif list(mask.paths) == ["*"]:
        paths = list(updatable)
    else:
        paths = list(dict.fromkeys(mask.paths))
    _check_paths(paths, updatable)
    return paths


def _check_paths(paths: Iterable[str], updatable: Collection[str]) -> None:
    unknown = [path for path in paths if path not in updatable]
    if unknown:
        known = ", ".join(sorted(updatable))
        raise InvalidArgument(
            [
                FieldViolation("update_mask", f"'{path[:64]}' is not one of {known}")
                for path in unknown
            ]
        )
    if not paths:
        raise InvalidArgument.of("update_mask", "names no field and no field is set")
