"""The settings of the User service."""

import pytest

from services.common.settings import UnusableSettingsError, read_settings
from services.user.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SHOP_MONGO_URI": "mongodb://localhost",
        "SHOP_REDIS_URL": "redis://localhost",
        "SHOP_TRUSTED_KEYS_FILE": "keys.json",
        "SHOP_USER_SIGNING_KEY_FILE": "user.pem",
        "SHOP_ADMIN_PASSWORD": "",
    }.items():
        monkeypatch.setenv(name, value)


def test_no_administrator_is_made_without_a_password() -> None:
    assert read_settings(Settings).admin_password is None


@pytest.mark.parametrize("password", ["short", "x" * 129, "\u3000" * 8])
def test_a_bad_admin_password_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("SHOP_ADMIN_PASSWORD", password)
    with pytest.raises(UnusableSettingsError) as refused:
        read_settings(Settings)
    assert str(refused.value).startswith("SHOP_ADMIN_PASSWORD: must be 8 to 128 characters long")


def test_a_service_without_its_signing_key_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_USER_SIGNING_KEY_FILE")
    with pytest.raises(UnusableSettingsError, match="SHOP_USER_SIGNING_KEY_FILE: must be set"):
        read_settings(Settings)
