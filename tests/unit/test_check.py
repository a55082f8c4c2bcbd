import importlib

import pytest

from services.check import SERVICES, CheckSettings
from services.stack.services import SERVICES as ALL


def test_all_services_can_be_asked_after() -> None:
    assert SERVICES == ALL


@pytest.mark.parametrize("service", SERVICES)
def test_the_check_asks_where_the_service_listens_unless_told_otherwise(service: str) -> None:
    settings = importlib.import_module(f"services.{service}.settings").Settings
    field = f"{service}_port"
    assert CheckSettings.model_fields[field].default == settings.model_fields[field].default


@pytest.mark.parametrize(
    ("bind_host", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("::", "[::1]"),
        ("[::]", "[::1]"),
        ("::1", "[::1]"),
        ("[fd00::2]", "[fd00::2]"),
        ("10.0.0.7", "10.0.0.7"),
        ("shop.internal", "shop.internal"),
    ],
)
def test_the_check_asks_at_an_address_of_this_host(bind_host: str, asked: str) -> None:
    assert CheckSettings(bind_host=bind_host).server("order").address == f"{asked}:50053"
