"""``python -m bench <what> ...``: all that is measured here, each with its own ``--help``.

``python -m bench help`` lists what there is.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

WHATS: Final[Mapping[str, tuple[str, str]]] = {
    "layers": ("bench.layers.__main__", "what each layer costs (pytest-benchmark)"),
    "cache": ("bench.cache", "what a cached read costs, beside an empty call and naively"),
    "sizing": ("bench.sizing", "what a call costs every process that has a part in it"),
    "rpc": ("bench.rpc", "what a call costs, per transport and interceptor"),
    "tracing": ("bench.tracing", "what traces cost, by how many calls are sampled"),
    "grpcio": ("bench.grpcio_releases", "which grpcio release is the cheapest"),
    "prove": ("bench.prove_cache.__main__", "that the cache shows nothing old, under faults"),
    "gate": ("bench.gate.command", "whether budgets and ratios are kept"),
    "compare": ("bench.gate.compare", "what changed in cost since another commit"),
    "false-alarms": ("bench.gate.false_alarms", "how often the gate is red without a reason"),
    "mutations": ("bench.gate.mutations", "whether the gate sees what it is there for"),
}
_WRONG: Final = 2


def usage() -> str:
    """Return what can be asked for."""
    width = max(map(len, WHATS))
    lines = [f"  {name:{width}}  {about}" for name, (_, about) in WHATS.items()]
    return "\n".join(["usage: python -m bench <what> ...", "", *lines, ""])


def main(argv: Sequence[str]) -> int:
    """Measure what is asked for, by default the layers, and return the exit code."""
    what, *rest = argv if argv and not argv[0].startswith("-") else ["layers", *argv]
    if what == "help":
        sys.stdout.write(usage())
        return 0
    if what not in WHATS:
        sys.stderr.write(usage())
        return _WRONG
    module, _ = WHATS[what]
    code: int = importlib.import_module(module).main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
