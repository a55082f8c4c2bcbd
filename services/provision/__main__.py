"""``python -m services.provision COMMAND``: what has to be there before a shop can start."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from services.provision.errors import ProvisionError
from services.provision.handout import Addresses, readers
from services.provision.logins import LOGINS
from services.provision.mongo_users import ROOT, prepare_mongodb
from services.provision.vault import Vault


def main(argv: Sequence[str]) -> int:
    """Do what the command line says and return the exit code."""
    options = _parsed(argv)
    try:
        options.work(options)
    except ProvisionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    return 0


def _parsed(argv: Sequence[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m services.provision", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    secrets = commands.add_parser(
        "secrets", help="make the secrets that are missing, and hand out all to their readers"
    )
    secrets.add_argument("--vault", type=Path, required=True, help="folder that keeps them")
    secrets.add_argument("--out", type=Path, required=True, help="folder with each reader's own")
    secrets.add_argument("--mongodb", default="mongodb:27017", help="its address (%(default)s)")
    secrets.add_argument("--redis", default="redis:6379", help="its address (%(default)s)")
    secrets.set_defaults(work=_secrets)

    mongodb = commands.add_parser(
        "mongodb", help="make the MongoDB on this host a replica set with a user for each service"
    )
    mongodb.add_argument("--passwords", type=Path, required=True, help="folder, a file per user")
    mongodb.add_argument("--port", type=int, default=27017, help="on this host (%(default)s)")
    mongodb.add_argument(
        "--member", default="mongodb:27017", help="its address for others (%(default)s)"
    )
    mongodb.set_defaults(work=_mongodb)
    return parser.parse_args(argv)


def _secrets(options: Namespace) -> None:
    addresses = Addresses(options.mongodb, options.redis)
    for reader in readers(Vault(options.vault), addresses):
        reader.receive(options.out)


def _mongodb(options: Namespace) -> None:
    names = [ROOT, *(login.name for login in LOGINS)]
    passwords = {name: (options.passwords / name).read_text() for name in names}
    prepare_mongodb(options.port, options.member, LOGINS, passwords)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
