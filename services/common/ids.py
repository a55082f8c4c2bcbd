"""Identifiers of stored things."""

import re
from typing import Final

from bson import ObjectId

ID_PATTERN: Final = re.compile(r"[0-9a-f]{24}")
NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_id() -> str:
    """Return a new identifier: the hexadecimal form of a BSON ObjectId, which grows with time."""
    return str(ObjectId())
