"""The time of day as MongoDB keeps it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present in UTC, cut to the milliseconds that a BSON date holds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def as_utc(moment: datetime) -> datetime:
    """Return a moment as the drivers read it, which is in UTC and does not say so.

    Letting them say so costs as much as reading all the rest of a document.
    """
    return datetime.combine(moment, moment.time(), UTC)  # replace() takes five times as long
