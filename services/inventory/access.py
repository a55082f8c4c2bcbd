"""Who may call which RPC of the Inventory service, and with how large a request."""

from collections.abc import Mapping
from typing import Final

from services.common.rpc.access import ADMIN, PUBLIC, SERVICE, AccessTable

ACCESS: Final[AccessTable] = {
    "CreateProduct": ADMIN,
    "GetProduct": PUBLIC,
    "BatchGetProducts": PUBLIC,
    "ListProducts": PUBLIC,
    "UpdateProduct": ADMIN,
    "AdjustStock": ADMIN,
    "DeleteProduct": ADMIN,
    "ReserveStock": SERVICE,
    "CommitReservation": SERVICE,
    "ReleaseReservation": SERVICE,
    "ListHeldReservations": SERVICE,
}

MAX_BYTES: Final[Mapping[str, int]] = {
    "CreateProduct": 48 * 1024,
    "BatchGetProducts": 8 * 1024,
    "ListProducts": 4 * 1024,
    "UpdateProduct": 48 * 1024,
    "ReserveStock": 16 * 1024,
}
"""Bytes of the largest request: about twice what its longest fields take; 1 KiB if not named."""
