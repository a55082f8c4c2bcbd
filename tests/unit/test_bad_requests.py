"""Every rule that a request can break, at the handlers of the services."""

from typing import Any
from unittest.mock import MagicMock

import pytest

from services.common.auth.principal import Principal, Role
from services.common.call import Call, enter_call
from services.common.errors import InvalidArgument
from services.inventory.handler import InventoryHandler
from services.inventory.repository import MongoProducts, MongoReservations
from services.inventory.usecases import InventoryUseCases
from services.order.handler import OrderHandler
from services.order.repository import MongoOrders
from services.order.usecases import OrderUseCases
from services.user.handler import UserHandler
from services.user.repository import MongoUsers
from services.user.usecases import UserUseCases
from tests.bad_requests import BAD, Bad
from tests.e2e.support.contracts import METHODS, service_of

# What reaches a store fails: none of it can be awaited.
NO_STORE: Any = MagicMock()
CONTEXT: Any = MagicMock(**{"peer.return_value": "ipv4:127.0.0.1:1"})
HANDLERS = {
    "user": UserHandler(UserUseCases(MongoUsers(NO_STORE), NO_STORE, NO_STORE, NO_STORE, NO_STORE)),
    "inventory": InventoryHandler(
        InventoryUseCases(MongoProducts(NO_STORE), MongoReservations(NO_STORE))
    ),
    "order": OrderHandler(OrderUseCases(MongoOrders(NO_STORE), NO_STORE, NO_STORE, NO_STORE)),
}


def test_every_rpc_has_rules_that_are_tried() -> None:
    assert {bad.method for bad in BAD} == set(METHODS)


@pytest.mark.parametrize("bad", BAD, ids=str)
async def test_a_bad_field_is_named(bad: Bad) -> None:
    call = Call()
    call.principal = Principal("f" * 24, Role.ADMIN)
    enter_call(call)

    with pytest.raises(InvalidArgument) as caught:
        await getattr(HANDLERS[service_of(bad.method)], bad.method)(bad.request, CONTEXT)

    violations = caught.value.violations
    assert {violation.field for violation in violations} == set(bad.fields)
    assert all(violation.description for violation in violations)
