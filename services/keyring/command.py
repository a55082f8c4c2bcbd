"""The commands that make, roll and retire keys."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Final

from services.common.settings import UnusableSettingsError, read_settings
from services.keyring.ring import ISSUERS, Ring, RingError, RingKey, Waits
from services.keyring.settings import KeyringSettings

_REFUSED: Final = 1
_UNUSABLE_SETTINGS: Final = 2
_DESCRIPTION: Final = """\
Keep the signing keys of the services in a folder.

A key rolls in three steps: `add` a new one, `use` it once every service trusts it, `retire` the old
one once its last token has ended. `use` and `retire` refuse to come too early. They go by
SHOP_KEYS_REFRESH_S and SHOP_ACCESS_TOKEN_LIFETIME_S, which must be the services' own, and
SHOP_KEYS_SPREAD_S, the time that a changed file takes to reach them."""

Step = Callable[[Ring, Waits, Namespace], str]


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code.

    It is 0, 1 when the command was refused, and 2 when a setting is wrong.
    """
    given = _parser().parse_args(arguments)
    step: Step = given.step
    try:
        waits = read_settings(KeyringSettings).waits
        told = step(Ring(given.folder), waits, given)
    except UnusableSettingsError as error:
        sys.stderr.write(f"{error}\n")
        return _UNUSABLE_SETTINGS
    except RingError as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return _REFUSED
    sys.stdout.write(f"{told}\n")
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="keys", description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, step, summary in (
        ("init", _init, "make the keys that are missing; nothing if all are there"),
        ("list", _list, "show all keys that are trusted"),
        ("add", _add, "make a new key that everybody is to trust and nothing signs with yet"),
        ("use", _use, "sign with the key that was added; the old one stays trusted"),
        ("retire", _retire, "trust keys no more that sign no more"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(step=step)
        command.add_argument("folder", type=Path, metavar="FOLDER")
        if step not in {_init, _list}:
            command.add_argument("issuer", choices=ISSUERS)
        if step in {_use, _retire}:
            command.add_argument(
                "--now", action="store_true", help="do not wait, as for a stolen key"
            )
    return parser


def _init(ring: Ring, _waits: Waits, _given: Namespace) -> str:
    written = ring.init()
    return f"written: {', '.join(written)}" if written else "nothing is missing"


def _list(ring: Ring, _waits: Waits, _given: Namespace) -> str:
    return "\n".join(_line(key) for key in ring.all_keys())


def _add(ring: Ring, waits: Waits, given: Namespace) -> str:
    key = ring.add(given.issuer)
    return (
        f"key {key.key_id} of {given.issuer} is staged.\n"
        f"Bring {ring.trusted_keys.name} to every service; "
        f"`use` the key in {ceil(waits.reach_s)} s or later."
    )


def _use(ring: Ring, waits: Waits, given: Namespace) -> str:
    key = ring.use(given.issuer, waits, now=given.now)
    wait_s = ceil(waits.reach_s + waits.lifetimes_s[given.issuer])
    return (
        f"key {key.key_id} of {given.issuer} signs.\n"
        f"Bring {ring.signing_key(given.issuer).name} to the service; "
        f"`retire` the old key in {wait_s} s or later."
    )


def _retire(ring: Ring, waits: Waits, given: Namespace) -> str:
    gone = ring.retire(given.issuer, waits, now=given.now)
    if not gone:
        return f"there is no old key of {given.issuer}"
    return (
        f"no longer trusted: {', '.join(gone)}.\nBring {ring.trusted_keys.name} to every service."
    )


def _line(key: RingKey) -> str:
    ended = "" if key.replaced is None else f", signs no more since {_moment(key.replaced)}"
    added = "at an unknown time" if key.added is None else _moment(key.added)
    return f"{key.issuer:<6} {key.key_id}  {key.state:<7}  added {added}{ended}"


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
