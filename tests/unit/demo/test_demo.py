from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata
from shop.inventory.v1 import inventory_pb2

from services.common.settings import read_settings
from services.demo import seed
from services.demo.__main__ import main
from services.demo.settings import DemoSettings


class Shy:
    """A method that refuses so many calls before it answers."""

    def __init__(self, code: grpc.StatusCode, refusals: int) -> None:
        self._code = code
        self._refusals = refusals
        self.calls = 0

    async def __call__(self, request: Any, **_: Any) -> inventory_pb2.ListProductsResponse:
        self.calls += 1
        if self.calls <= self._refusals:
            raise AioRpcError(self._code, Metadata(), Metadata())
        return inventory_pb2.ListProductsResponse()


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SHOP_ADMIN_PASSWORD", "SHOP_DEMO_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHOP_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_passwords_come_from_the_folder_of_secrets(secrets: Path) -> None:
    (secrets / "shop_admin_password").write_text("of the admin")
    (secrets / "shop_demo_password").write_text("of the customers")
    doors = read_settings(DemoSettings).doors
    assert (doors.admin_password, doors.demo_password) == ("of the admin", "of the customers")


def test_without_a_password_nothing_is_begun_and_the_variable_is_named(
    secrets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main() == 2
    assert "SHOP_ADMIN_PASSWORD: must be set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ],
)
async def test_a_shop_that_is_busy_is_asked_again(
    code: grpc.StatusCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed, "_PAUSE_S", 0)
    method = Shy(code, refusals=3)
    await seed._ask(method, inventory_pb2.ListProductsRequest())
    assert method.calls == 4


async def test_what_a_shop_refuses_for_good_is_not_asked_again() -> None:
    method = Shy(grpc.StatusCode.INVALID_ARGUMENT, refusals=9)
    with pytest.raises(AioRpcError):
        await seed._ask(method, inventory_pb2.ListProductsRequest())
    assert method.calls == 1
