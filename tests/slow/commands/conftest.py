"""What the commands are run with."""

from tests.integration.conftest import forks

__all__ = ["forks"]
