"""Which MongoDB has transactions, by what it says of itself."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.common.mongo import Mongo, NoTransactionsError

SINGLE: dict[str, Any] = {"isWritablePrimary": True, "ok": 1.0}


def saying(hello: dict[str, Any]) -> Mongo:
    """Return a database of a MongoDB that answers so."""

    async def command(asked: dict[str, Any]) -> dict[str, Any]:
        assert asked == {"hello": 1}
        return hello

    database = SimpleNamespace(command=command)
    return Mongo(SimpleNamespace(get_database=lambda *_, **__: database), "shop", timeout_s=10)


@pytest.mark.parametrize("more", [{"setName": "rs0"}, {"msg": "isdbgrid"}])
async def test_a_member_of_a_replica_set_and_a_router_have_transactions(
    more: dict[str, str],
) -> None:
    await saying(SINGLE | more).confirm_transactions()


async def test_a_single_server_has_none() -> None:
    with pytest.raises(NoTransactionsError):
        await saying(SINGLE).confirm_transactions()
