"""The start of a service process."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import uvloop

from services.common.auth.keys import UnusableKeyError
from services.common.logs import configure_logs, flush_logs
from services.common.rpc.transport import CannotServeError
from services.common.settings import ServiceSettings, UnusableSettingsError, read_settings
from services.common.telemetry.exposition import CannotExposeError
from services.common.tls import UnusableCertificateError
from services.common.tracing.opening import log_processors
from services.common.workers import (
    CANNOT_START,
    WorkerPlan,
    end_with_supervisor,
    giving_signs,
    supervise,
)

_SHORT_TMPDIR: Final = "/tmp"  # noqa: S108 (in it, folders of our own are made)
_LONGEST_TMPDIR: Final = 107 - len("/pygrpc-native-12345678/fallback.sock")  # unix(7)

AnySettings = TypeVar("AnySettings", bound=ServiceSettings)

_FOR_A_PERSON_TO_MEND = (
    UnusableSettingsError,
    UnusableKeyError,
    UnusableCertificateError,
    CannotServeError,
    CannotExposeError,
)


def run(
    name: str, kind: type[AnySettings], serve: Callable[[AnySettings], Coroutine[Any, Any, None]]
) -> None:
    """Read the settings and serve on uvloop until told to stop; with several workers, supervise.

    What a person can mend ends the process with exit code 2 and a message on standard error.
    """
    try:
        overrides = _parse_arguments(name)
        settings = read_settings(kind, overrides)
        use_short_temporary_folder()
        more = log_processors(settings.traces)
        configure_logs(name, settings.log_level, settings.log_format, more)
        if settings.worker_index is None and settings.workers > 1:
            plan = WorkerPlan(
                f"services.{name}",
                settings.workers,
                settings.bind_host,
                settings.ports.metrics,
                settings.drain_notice_s + settings.drain_timeout_s,
            )
            sys.exit(uvloop.run(supervise(plan)))
        if settings.worker_index is None:
            uvloop.run(serve(settings))
        else:
            end_with_supervisor()
            uvloop.run(giving_signs(serve(settings)))
    except _FOR_A_PERSON_TO_MEND as error:
        flush_logs()
        with suppress(AttributeError, OSError):  # standard error may be closed
            sys.stderr.write(f"services.{name} cannot start:\n{error}\n")
        sys.exit(CANNOT_START)


def use_short_temporary_folder() -> None:
    """Put Unix sockets into ``/tmp`` if the path of the temporary folder is too long for them.

    Raises ``UnusableSettingsError`` when there is no folder to put them.
    """
    try:
        chosen = tempfile.gettempdir()
    except FileNotFoundError:
        raise UnusableSettingsError("TMPDIR: must name a folder that can be written to") from None
    if len(os.fsencode(chosen)) <= _LONGEST_TMPDIR:
        return
    if not os.access(_SHORT_TMPDIR, os.W_OK | os.X_OK):
        raise UnusableSettingsError(
            f"TMPDIR: must have at most {_LONGEST_TMPDIR} bytes, since Unix sockets are put there"
        )
    tempfile.tempdir = _SHORT_TMPDIR


def _parse_arguments(name: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{name}",
        description="Settings come from SHOP_* environment variables; see the README.",
    )
    parser.add_argument("--workers", type=int, help="processes on the port (SHOP_WORKERS)")
    arguments = parser.parse_args()
    return {} if arguments.workers is None else {"workers": arguments.workers}
