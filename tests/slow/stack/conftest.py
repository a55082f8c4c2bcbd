"""What the stores of the stack are tried with."""

from tests.integration.conftest import lone_mongo_uri

__all__ = ["lone_mongo_uri"]
