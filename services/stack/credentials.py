"""Keys and passwords: generated on the first start, kept in files only their owner may read."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.keyring.files import write_whole
from services.keyring.ring import Ring, RingError
from services.stack.errors import StackError

_PASSWORD_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the keys of the services are, and the generated passwords."""

    user_key: Path
    order_key: Path
    trusted_keys: Path
    admin_password: str
    demo_password: str


def open_credentials(folder: Path) -> Credentials:
    """Return the credentials kept in the folder, and generate those that are missing.

    Raises ``StackError`` when a file of keys there is not one.
    """
    ring = Ring(folder)
    try:
        ring.init()
    except RingError as error:
        raise StackError(str(error)) from None
    return Credentials(
        user_key=ring.signing_key("user"),
        order_key=ring.signing_key("order"),
        trusted_keys=ring.trusted_keys,
        admin_password=_kept_password(folder / "admin-password"),
        demo_password=_kept_password(folder / "demo-password"),
    )


def _kept_password(path: Path) -> str:
    if not path.exists():
        write_whole(path, secrets.token_urlsafe(_PASSWORD_BYTES).encode())
    return path.read_text()
