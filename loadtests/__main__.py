"""``python -m loadtests``: run a load, watch one, or compare two."""

import sys
from collections.abc import Sequence

_USAGE = """\
usage: python -m loadtests COMMAND [options]

  run      put the shop under load and report what a client sees
  master   the same, with workers on other machines that generate the load
  worker   generate load for a master
  ui       the same users in Locust's web interface
  compare  put two runs side by side

`python -m loadtests COMMAND --help` tells the options.
"""


def main(argv: Sequence[str]) -> int:
    """Do what the command line says and return the exit code."""
    command, *rest = argv or ["--help"]
    match command:
        case "run" | "master":
            from loadtests import run  # Locust patches the standard library when imported

            return run.main(rest, master=command == "master")
        case "worker":
            from loadtests import worker

            return worker.main(rest)
        case "ui":
            from loadtests import ui

            return ui.main(rest)
        case "compare":
            from loadtests import compare

            return compare.main(rest)
        case "-h" | "--help":
            sys.stdout.write(_USAGE)
            return 0
        case _:
            sys.stderr.write(f"no such command: {command}\n\n{_USAGE}")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
