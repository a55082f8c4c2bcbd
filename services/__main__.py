"""``python -m services COMMAND``: what the image runs; its first argument is the command."""

import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

_COMMANDS: Final[Mapping[str, str]] = {
    "user": "services.user",
    "inventory": "services.inventory",
    "order": "services.order",
    "check": "services.check",
    "keys": "services.keyring",
    "provision": "services.provision",
    "demo": "services.demo",
}

_USAGE: Final = """\
usage: python -m services COMMAND [options]

  user, inventory, order   run a service
  check                    exit with 0 if a service on this host is serving
  keys                     keep the signing keys of the services
  provision                make the secrets of a shop in containers, and the users of its stores
  demo                     fill a shop that runs with products, customers and orders

`python -m services COMMAND --help` tells the options.
"""

_UNUSABLE: Final = 2


def main(argv: Sequence[str]) -> int:
    """Become the command that the first argument names.

    Returns 2 for a name that is none; a command ends the process with an exit code of its own.
    """
    name, *rest = argv or ["--help"]
    if name in {"-h", "--help"}:
        sys.stdout.write(_USAGE)
        return 0
    module = _COMMANDS.get(name)
    if module is None:
        sys.stderr.write(f"no such command: {name}\n\n{_USAGE}")
        return _UNUSABLE
    # The first process of a container gets no signal that it has no handler for.
    signal.signal(signal.SIGTERM, _end)
    sys.argv = [name, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def _end(number: int, _frame: Any) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
