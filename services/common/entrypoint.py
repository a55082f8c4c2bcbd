"""The start of a service process."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from services.common.auth.keys import UnusableKeyError
from services.common.logs import configure_logs
from services.common.rpc.server import CannotListenError
from services.common.settings import ServiceSettings, UnusableSettingsError, read_settings

AnySettings = TypeVar("AnySettings", bound=ServiceSettings)


def run(
    name: str, kind: type[AnySettings], serve: Callable[[AnySettings], Coroutine[Any, Any, None]]
) -> None:
    """Read the settings and serve on uvloop until told to stop.

    What a person can mend ends the process with exit code 2 and a message on standard error.
    """
    try:
        settings = read_settings(kind)
        configure_logs(name, settings.log_level, settings.log_format)
        uvloop.run(serve(settings))
    except (UnusableSettingsError, UnusableKeyError, CannotListenError) as error:
        sys.stderr.write(f"services.{name} cannot start:\n{error}\n")
        sys.exit(2)
