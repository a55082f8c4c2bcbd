"""Between messages of the contracts and plain values."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from shop.common.v1 import money_pb2

from services.common.errors import FieldViolation, InvalidArgument
from services.common.money import Money


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as a message."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Timestamp, field: str = "time") -> datetime:
    """Return a message as a moment in UTC.

    Raises ``InvalidArgument`` naming the field for what is not a moment of the years 1 to 9999.
    """
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument.of(field, "must be a moment of the years 1 to 9999") from None


def money_message(money: Money) -> money_pb2.Money:
    """Return an amount as a message."""
    return money_pb2.Money(currency_code=money.currency_code, minor_units=money.minor_units)


def money(message: money_pb2.Money) -> Money:
    """Return a message as an amount."""
    return Money(message.currency_code, message.minor_units)


def masked_fields(message: Message, mask: FieldMask, updatable: Collection[str]) -> list[str]:
    """Return which fields an update shall change (AIP-134).

    Those that the mask names; all updatable ones for ``*``; without a mask, those that are
    set. Raises ``InvalidArgument`` for a path that is not updatable, and when nothing is left.
    """
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
