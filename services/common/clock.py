"""The time of day as MongoDB keeps it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present in UTC, cut to the milliseconds that a BSON date holds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
