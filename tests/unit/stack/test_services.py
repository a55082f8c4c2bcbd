"""Services that the stack has started and that never serve."""

from pathlib import Path

import pytest

from services.stack import services
from services.stack.credentials import open_credentials
from services.stack.errors import StackError
from services.stack.folder import DataFolder
from services.stack.ports import claimed_ports
from services.stack.services import ServicePorts, Shop, running_service
from services.stack.settings import StackSettings


@pytest.mark.parametrize(
    ("bind_host", "order"),
    [("0.0.0.0", "127.0.0.1:50053"), ("::", "[::1]:50053"), ("[fd00::2]", "[fd00::2]:50053")],  # noqa: S104
)
def test_the_services_are_called_at_an_address_of_this_host(
    bind_host: str, order: str, tmp_path: Path
) -> None:
    host = StackSettings(bind_host=bind_host).reachable_host
    assert Shop("", "", open_credentials(tmp_path), host=host).order == order


async def test_of_a_service_that_never_serves_it_is_said_what_it_wrote_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_SERVING_WITHIN_S", 1.0)
    mute = tmp_path / "python"
    mute.write_text("#!/bin/sh\necho 'the password is wrong'\nexec sleep 60\n")
    mute.chmod(0o755)
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    with claimed_ports(1) as (port,):
        shop = Shop(
            mongo_uri="mongodb://127.0.0.1:1/",
            redis_url="redis://127.0.0.1:1/0",
            credentials=open_credentials(folder.secrets),
            ports=ServicePorts(user=port),
            python=str(mute),
        )
        with pytest.raises(StackError) as refused:
            async with running_service(folder, shop, "user"):
                raise AssertionError

    said = str(refused.value)
    assert f"user at 127.0.0.1:{port} does not serve after 1 s" in said
    assert str(folder.log("user")) in said
    assert "the password is wrong" in said
