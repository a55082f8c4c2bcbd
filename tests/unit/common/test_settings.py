from pathlib import Path

import pytest

from services.common.mongo import MongoDriver
from services.common.settings import ServiceSettings, UnusableSettingsError, read_settings
from services.order.settings import Settings as OrderSettings

COMPLETE = {
    "SHOP_MONGO_URI": "mongodb://root:hunter2@localhost",
    "SHOP_REDIS_URL": "redis://:hunter2@localhost",
    "SHOP_TRUSTED_KEYS_FILE": "/keys.json",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOP_ORDER_SIGNING_KEY_FILE", "SHOP_MONGO_DRIVER", "SHOP_MONGO_TIMEOUT_MS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MONGO_DRIVER", "pymongo")
    monkeypatch.setenv("SHOP_MONGO_TIMEOUT_MS", "750")
    settings = read_settings(ServiceSettings)
    assert settings.mongo.driver is MongoDriver.PYMONGO
    assert settings.mongo.timeout_ms == 750
    assert settings.mongo.uri == COMPLETE["SHOP_MONGO_URI"]
    assert settings.redis.url == COMPLETE["SHOP_REDIS_URL"]
    assert settings.trusted_keys_file == Path("/keys.json")


def test_what_is_not_set_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MONGO_DRIVER", "")
    assert read_settings(ServiceSettings).mongo.driver is MongoDriver.MOTOR


def test_every_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_MONGO_URI")
    with pytest.raises(UnusableSettingsError) as unusable:
        read_settings(OrderSettings)
    assert str(unusable.value).splitlines() == [
        "SHOP_MONGO_URI: must be set",
        "SHOP_ORDER_SIGNING_KEY_FILE: must be set",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHOP_MONGO_DRIVER", "odbc"),
        ("SHOP_MONGO_TIMEOUT_MS", "0"),
        ("SHOP_MONGO_TIMEOUT_MS", "soon"),
        ("SHOP_ORDER_PORT", "65536"),
        ("SHOP_RECONCILE_AGE_S", "-1"),
        ("SHOP_RECONCILE_AGE_S", "nan"),
        ("SHOP_LOG_LEVEL", "loud"),
        ("SHOP_REFLECTION", "perhaps"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("SHOP_ORDER_SIGNING_KEY_FILE", "/key.pem")
    monkeypatch.setenv(name, value)
    with pytest.raises(UnusableSettingsError, match=f"^{name}: ") as unusable:
        read_settings(OrderSettings)
    assert len(str(unusable.value).splitlines()) == 1


def test_secrets_appear_neither_in_complaints_nor_in_the_settings_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "hunter2" not in repr(read_settings(ServiceSettings))
    monkeypatch.delenv("SHOP_TRUSTED_KEYS_FILE")
    with pytest.raises(UnusableSettingsError) as unusable:
        read_settings(ServiceSettings)
    assert "hunter2" not in f"{unusable.value}{unusable.value.__cause__}"
