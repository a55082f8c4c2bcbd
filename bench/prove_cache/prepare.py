"""Products and customers for a run, made through the services."""

import asyncio
import secrets
from typing import Final

from shop.inventory.v1 import inventory_pb2
from shop.user.v1 import user_pb2

from bench.prove_cache.calls import bearer
from bench.prove_cache.creator import draft
from bench.prove_cache.plan import Assets, Customer, Stocked
from bench.prove_cache.questions import CALL_TIMEOUT_S, Twin
from bench.prove_cache.writers import FULL_NAME
from services.common.auth.keys import SigningKey, load_signing_key
from services.common.auth.principal import Principal, Role
from services.common.auth.tokens import USER_ISSUER, TokenSigner
from services.stack.credentials import Credentials

_UPDATED: Final = 6
_RESERVED: Final = 3
_CUSTOMERS: Final = 4
_STOCK: Final = 10**9
_TOKEN_LIFETIME_S: Final = 3_600
_SERVICE: Final = "order"
_INVENTORY: Final = inventory_pb2.DESCRIPTOR.services_by_name["InventoryService"].full_name


class Identities:
    """Tokens that last for the run, signed with the keys of the shop."""

    def __init__(self, credentials: Credentials) -> None:
        self._users: SigningKey = load_signing_key(credentials.user_key)
        self._orders: SigningKey = load_signing_key(credentials.order_key)

    def user(self, user_id: str, role: Role = Role.CUSTOMER) -> str:
        """Return a user's token."""
        signer = TokenSigner(self._users, USER_ISSUER)
        return signer.sign(Principal(user_id, role), _TOKEN_LIFETIME_S)[0]

    @property
    def admin(self) -> str:
        """An administrator's token."""
        return self.user("0" * 24, Role.ADMIN)

    @property
    def service(self) -> str:
        """The token of the Order service for Inventory."""
        signer = TokenSigner(self._orders, _SERVICE)
        return signer.sign(Principal(_SERVICE, Role.SERVICE), _TOKEN_LIFETIME_S, _INVENTORY)[0]


async def prepare(twin: Twin, identities: Identities) -> Assets:
    """Create what a run reads and changes."""
    return Assets(
        updated=[await _product(twin, identities, f"updated-{n}") for n in range(_UPDATED)],
        reserved=[await _stocked(twin, identities, f"reserved-{n}") for n in range(_RESERVED)],
        customers=await asyncio.gather(
            *(_customer(twin, identities, number) for number in range(_CUSTOMERS))
        ),
    )


async def _product(twin: Twin, identities: Identities, sku: str) -> str:
    answer = await twin.inventory.CreateProduct(
        inventory_pb2.CreateProductRequest(product=draft(sku, _STOCK)),
        timeout=CALL_TIMEOUT_S,
        metadata=bearer(identities.admin),
    )
    return answer.product.product_id


async def _stocked(twin: Twin, identities: Identities, sku: str) -> Stocked:
    return Stocked(await _product(twin, identities, sku), _STOCK)


async def _customer(twin: Twin, identities: Identities, number: int) -> Customer:
    request = user_pb2.RegisterUserRequest(
        username=f"customer-{number}",
        email=f"customer-{number}@example.com",
        password=secrets.token_urlsafe(12),
        full_name=f"{FULL_NAME} 0",
    )
    answer = await twin.users.RegisterUser(request, timeout=CALL_TIMEOUT_S)
    user_id = answer.user.user_id
    stocked = await _stocked(twin, identities, f"bought-{number}")
    return Customer(user_id, identities.user(user_id), stocked)
