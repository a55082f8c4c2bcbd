"""Calls made by h2load (of nghttp2), where it is installed: in C, it costs next to nothing.

It sees that each call was answered, but not with which gRPC status: what is measured with it must
have been called with a client that does.
"""

import re
import shutil
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.h2 import CONNECTIONS
from bench.load import AT_ONCE, CallsFailedError, Target

_PROGRAM: Final = "h2load"
_SECONDS_PER_CALL: Final = 0.05
_LEAST_SECONDS: Final = 60.0
_RATE: Final = re.compile(r"^finished in .*, ([\d.]+) req/s", re.MULTILINE)
_SUCCEEDED: Final = re.compile(r"^requests: .* (\d+) succeeded,", re.MULTILINE)


def is_installed() -> bool:
    """Whether h2load is on the ``PATH``."""
    return shutil.which(_PROGRAM) is not None


def calls_per_second(target: Target, calls: int) -> float:
    """Make so many calls with the target's first message, as many at once as other loads do.

    Raises ``CallsFailedError`` unless each is answered.
    """
    message = target.messages[0]
    with TemporaryDirectory() as folder:
        framed = Path(folder) / "message"
        framed.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        said = _run(
            *("-n", str(calls), "-c", str(CONNECTIONS), "-m", str(AT_ONCE // CONNECTIONS)),
            *("-d", str(framed), "-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"http://{target.address}{target.method}",
            within_s=max(_LEAST_SECONDS, calls * _SECONDS_PER_CALL),
        )
    rate, succeeded = _RATE.search(said), _SUCCEEDED.search(said)
    if rate is None or succeeded is None or int(succeeded[1]) != calls:
        raise CallsFailedError(f"not all of h2load's calls were answered:\n{said}")
    return float(rate[1])


def _run(*arguments: str, within_s: float) -> str:
    ended = subprocess.run(  # noqa: S603
        [_PROGRAM, *arguments], check=False, capture_output=True, text=True, timeout=within_s
    )
    return ended.stdout + ended.stderr
