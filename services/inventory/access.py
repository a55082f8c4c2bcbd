"""Who may call which RPC of the Inventory service."""

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
