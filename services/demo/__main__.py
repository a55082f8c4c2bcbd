"""``python -m services.demo``: fill a running shop with products, customers and their orders."""

import asyncio
import sys
from typing import Final

from services.common.settings import UnusableSettingsError, read_settings
from services.demo.seed import SeedError, seed
from services.demo.settings import DemoSettings

_REFUSED: Final = 1
_UNUSABLE_SETTINGS: Final = 2


def main() -> int:
    """Create what is missing and return the exit code."""
    try:
        settings = read_settings(DemoSettings)
    except UnusableSettingsError as error:
        sys.stderr.write(f"{error}\n")
        return _UNUSABLE_SETTINGS
    try:
        asyncio.run(seed(settings.doors, _tell))
    except SeedError as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED
    return 0


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
